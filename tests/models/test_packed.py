"""Weights as whole numbers of 24 bits: what rounding costs, which are packed, and models that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

openvino = pytest.importorskip("openvino")

from models.packed import RUN, WORTH_PACKING, Widened, pack, unpack, with_floats, with_packed  # noqa: E402


def rounded(values: np.ndarray) -> np.ndarray:
    return unpack(pack(values), len(values))


FINITE = st.floats(-(2.0**126), 2.0**126, width=32)


@given(st.lists(FINITE, min_size=1, max_size=200))
@example([459 * 2.0**-149])
@example([2.0**-126 * 1.4, 2.0**-149])
def test_error_bound(values: list[float]):
    """Half a step of 2^-23 of the run's largest, and float32's rounding of the factor and of the product."""
    exact = np.array(values, dtype=np.float32).astype(float)
    found = rounded(exact.astype(np.float32)).astype(float)
    largest = np.abs(exact).max()
    step = max(largest / (2**23 - 1), 2.0**-149)  # below there are no floats
    assert (np.abs(found - exact) <= 0.5 * step + 2.0**-23 * np.abs(exact) + 2.0**-149).all()
    assert (found[exact == 0] == 0).all()
    assert (np.abs(found) <= largest * (1 + 2.0**-22)).all()


@given(st.lists(st.integers(-(2**23) + 1, 2**23 - 1), min_size=1, max_size=200), st.integers(-100, 100))
def test_whole_numbers_of_24_bits_stay_as_they_are(whole: list[int], exponent: int):
    values = (np.array([*whole, 2**23 - 1]) * 2.0**exponent).astype(np.float32)
    np.testing.assert_array_equal(rounded(values), values)


def test_each_run_has_a_factor_of_its_own():
    """Small weights far from large ones are as exact, in a last run that is not full as well."""
    values = np.repeat(2.0 ** -np.arange(6), RUN).astype(np.float32)[: 5 * RUN + 7]
    values *= np.random.default_rng(0).uniform(-1, 1, len(values)).astype(np.float32)
    errors = np.abs(rounded(values).astype(float) - values)
    for run in range(6):
        here = slice(run * RUN, (run + 1) * RUN)
        assert errors[here].max() <= 2.0**-23 * np.abs(values[here]).max()


@pytest.mark.parametrize("count", [0, 1, RUN - 1, RUN, RUN + 1, 5 * RUN + 3])
def test_bytes(count: int):
    """Three a weight and four a run."""
    assert pack(np.ones(count, dtype=np.float32)).shape == (3 * count + 4 * -(-count // RUN),)
    np.testing.assert_array_equal(rounded(np.ones(count, dtype=np.float32)), np.ones(count))


# --------------------------------------------------------------------------- models

SIDE = 256
WIDE = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
assert WIDE.size == WORTH_PACKING


def model_of(values: dict[str, np.ndarray]) -> openvino.Model:
    """(256, 256) -> products with the values, of three axes from the left, and a sum with those that are shared."""
    x = openvino.opset13.parameter([SIDE, SIDE], openvino.Type.f32, "x")
    y = x
    for name, value in values.items():
        constant = openvino.opset13.constant(value)
        constant.set_friendly_name(name)
        if name.startswith("shared"):
            y = openvino.opset13.add(y, constant)
        if value.ndim == 2:
            y = openvino.opset13.matmul(y, constant, False, True)
        else:
            y = openvino.opset13.reshape(
                openvino.opset13.matmul(constant, y, False, False), openvino.opset13.constant([SIDE, SIDE]), False
            )
    return openvino.Model([y], [x], "products")


def names_of_packed(model: openvino.Model) -> set[str]:
    layers = [layer for layer in model.get_ordered_ops() if layer.get_type_name() == "Widened"]
    return {layer.get_friendly_name().removesuffix("/widened") for layer in layers}


def test_only_large_matrices_of_finite_floats_are_packed():
    infinite, huge, none = WIDE.copy(), WIDE.copy(), WIDE.copy()
    infinite[3, 4], huge[5, 6], none[7, 8] = -np.inf, 3e38, np.nan
    values = {"right": WIDE, "left": WIDE[None], "infinite": infinite, "huge": huge, "none": none, "shared": WIDE}
    model = model_of(values)
    assert names_of_packed(with_packed(model)) == {"right", "left"}
    assert names_of_packed(model) == set()  # a copy
    x = openvino.opset13.parameter([SIDE, SIDE], openvino.Type.f32, "x")
    small = openvino.Model(
        [openvino.opset13.matmul(x, openvino.opset13.constant(WIDE[:255]), False, True)], [x], "small"
    )
    assert names_of_packed(with_packed(small)) == set()


def test_a_saved_model_is_read_with_the_rounded_floats(tmp_path: Path):
    """And computes with them what one that holds them computes."""
    values = {"right": WIDE / 16, "left": WIDE[None] / 16}
    openvino.save_model(model_of(values), tmp_path / "exact.xml", compress_to_fp16=False)
    openvino.save_model(with_packed(model_of(values)), tmp_path / "packed.xml", compress_to_fp16=False)
    sizes = [(tmp_path / f"{name}.bin").stat().st_size for name in ("packed", "exact")]
    assert sizes[0] < 0.76 * sizes[1]

    core = openvino.Core()
    core.add_extension(Widened)
    read = core.read_model(tmp_path / "packed.xml")
    assert len(names_of_packed(read)) == 2
    expected = model_of({name: rounded(value.reshape(-1)).reshape(value.shape) for name, value in values.items()})
    x = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    results = [core.compile_model(model, "CPU")([x])[0] for model in (with_floats(read), expected)]
    np.testing.assert_array_equal(*results)
    assert names_of_packed(read) == set()
