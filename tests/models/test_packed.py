"""Weights as whole numbers of 24 bits: what rounding costs, what is left alone, and files that are wrong.

The C++ program must expand every file to the same bytes, and refuse the same files, under sanitizers.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import packed
from models.packed import PackedError, pack, unpack

BIG = packed.WORTH_PACKING


def xml_of(*constants: tuple[str, int, int]) -> str:
    """A model of constants: element type, offset and size in bytes."""
    layers = "".join(
        f'<layer id="{i}" name="c{i}" type="Const"><data element_type="{kind}" shape="" offset="{at}" size="{size}"/>'
        "</layer>"
        for i, (kind, at, size) in enumerate(constants)
    )
    return f'<net><layers><layer id="99" name="x" type="Parameter"><data shape="1"/></layer>{layers}</layers></net>'


def packed_floats(values: np.ndarray) -> bytes:
    """Repeated until they are worth packing."""
    weights = np.resize(values.astype("<f4"), BIG)
    return pack(weights.tobytes(), xml_of(("f32", 0, weights.nbytes)))


def rounded(values: np.ndarray) -> np.ndarray:
    return np.frombuffer(unpack(packed_floats(values)), dtype="<f4")[: len(values)]


FINITE = st.floats(-(2.0**126), 2.0**126, width=32)


@given(st.lists(FINITE, min_size=1, max_size=200))
def test_error_bound(values: list[float]):
    """Half a step of 2^-23 of the run's largest, and float32's rounding of the factor and of the product."""
    exact = np.array(values, dtype=np.float32).astype(float)
    found = rounded(exact).astype(float)
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
    values = np.repeat(2.0 ** -np.arange(6), packed.RUN).astype(np.float32)[: 5 * packed.RUN + 7]
    values *= np.random.default_rng(0).uniform(-1, 1, len(values)).astype(np.float32)
    found = np.frombuffer(unpack(pack(values.tobytes(), xml_of(("f32", 0, values.nbytes)))), dtype="<f4")
    errors = np.abs(found.astype(float) - values).reshape(-1)
    for run in range(6):
        here = slice(run * packed.RUN, (run + 1) * packed.RUN)
        assert errors[here].max() <= 2.0**-23 * np.abs(values[here]).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_constant_with_numbers_that_are_none_stays_as_it_is(value: float):
    weights = np.random.default_rng(0).normal(size=2 * BIG).astype("<f4")
    weights[5] = value
    half = weights.nbytes // 2
    found = unpack(pack(weights.tobytes(), xml_of(("f32", 0, half), ("f32", half, half))))
    assert found[:half] == weights.tobytes()[:half]
    assert found[half:] != weights.tobytes()[half:]


@given(st.data())
def test_only_large_floats_are_touched(data: st.DataObject):
    """Constants of several types and sizes, some sharing or overlapping bytes, with gaps between."""
    spans = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["f32", "f32", "f32", "i64", "f16"]), st.integers(0, 12000), st.integers(0, 9000)
            ),
            max_size=5,
        )
    )
    constants = [(kind, 4 * at, 4 * count) for kind, at, count in spans]
    total = data.draw(st.integers(0, 9)) + max((at + size for _, at, size in constants), default=0)
    floats = np.random.default_rng(len(spans)).normal(size=total // 4 + 1).astype("<f4")
    weights = floats.view(np.uint8)[:total]
    small = pack(weights.tobytes(), xml_of(*constants))
    found = np.frombuffer(unpack(small), dtype=np.uint8)
    assert len(found) == total
    touched = np.zeros(total, dtype=bool)
    for kind, at, size in constants:
        if kind == "f32" and size >= 4 * BIG:
            touched[at : at + size] = True
    for kind, at, size in constants:
        if kind != "f32" or size < 4 * BIG:
            touched[at : at + size] = False
    np.testing.assert_array_equal(found[~touched], weights[~touched])
    alone = len(constants) == 1 and constants[0][0] == "f32" and constants[0][2] >= 4 * BIG
    assert (len(small) < total) == alone or not alone


def test_a_shared_constant_is_packed_once_and_an_odd_one_is_not():
    floats = np.linspace(-1, 1, 2 * BIG, dtype="<f4").tobytes()
    half = len(floats) // 2
    small = pack(floats, xml_of(("f32", 0, len(floats)), ("f32", 0, len(floats)), ("f32", 0, half)))
    assert len(small) < 0.76 * len(floats)
    assert unpack(pack(floats, xml_of(("f32", 0, len(floats)), ("i32", 8, 4)))) == floats
    assert unpack(pack(floats, xml_of(("f32", 4, half)))) != floats
    assert unpack(pack(floats, xml_of(("f32", 2, half)))) == floats  # not at a multiple of 4


def test_a_constant_beyond_the_file():
    with pytest.raises(PackedError, match="c0 lies beyond"):
        pack(bytes(9), xml_of(("f32", 4, 8)))


# --------------------------------------------------------------------------- files


def good() -> bytes:
    values = np.random.default_rng(0).normal(size=5 * BIG).astype("<f4").tobytes()
    constants = [("i64", 0, 24), ("f32", 64, 4 * BIG), ("f32", 64 + 4 * BIG, 4 * BIG), ("f32", 64 + 9 * BIG, 4 * BIG)]
    return pack(values[: 64 + 14 * BIG + 3], xml_of(*constants))


GOOD = good()


def changed(at: int, kind: str, value: int, source: bytes = GOOD) -> bytes:
    return source[:at] + struct.pack(kind, value) + source[at + struct.calcsize(kind) :]


FORGED = {
    "empty": (b"", "it does not begin as"),
    "short": (GOOD[:20], "it does not begin as"),
    "another file": (changed(0, "<Q", 1), "it does not begin as"),
    "later version": (changed(8, "<I", 3), "its format is 3, and this program knows 2"),
    "many segments": (changed(12, "<I", 2**32 - 1), "its segments are cut off"),
    "no segments": (changed(12, "<I", 0), "its segments are not all of it"),
    "other total": (changed(16, "<Q", 2**64 - 1), "its segments are not all of it"),
    "small total": (changed(16, "<Q", 70), "segment 1 does not follow"),
    "gap": (changed(24, "<Q", 1), "segment 0 does not follow"),
    "longer segment": (changed(32, "<Q", 68), "segment 1 does not follow"),
    "endless segment": (changed(32, "<Q", 2**64 - 1), "segment 0 does not follow"),
    "unknown kind": (changed(40, "<I", 2), "segment 0 is of no known kind"),
    "reserved": (changed(44, "<I", 1), "segment 0 is of no known kind"),
    "broken floats": (changed(56, "<Q", 8 * BIG + 1), "segment 1 is of no known kind"),
    "endless floats": (changed(56, "<Q", 2**64 - 68, changed(16, "<Q", 2**64 - 1)), "segment 1 is cut off"),
    "cut off": (GOOD[:-1], "segment 5 is cut off"),
    "cut in the middle": (GOOD[: len(GOOD) // 2], "is cut off"),
    "more behind": (GOOD + b"\0", "its segments are not all of it"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_files_are_refused(name: str, tmp_path: Path):
    content, fault = FORGED[name]
    (tmp_path / "encoder.int24").write_bytes(content)
    with pytest.raises(PackedError) as refused, packed.expanded(tmp_path / "encoder.int24"):
        pass
    said = str(refused.value)
    assert said.startswith(f"{tmp_path / 'encoder.int24'}: ")
    assert fault in said
    assert said.endswith("Make it again: python -m models export")


def test_an_expanded_file_is_there_while_it_is_needed(tmp_path: Path):
    (tmp_path / "encoder.int24").write_bytes(GOOD)
    with packed.expanded(tmp_path / "encoder.int24") as path:
        assert Path(path).read_bytes() == unpack(GOOD)
    (tmp_path / "empty.int24").write_bytes(pack(b"", xml_of()))
    with packed.expanded(tmp_path / "empty.int24") as path:
        assert Path(path).read_bytes() == b""
