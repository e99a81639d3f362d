"""Rearranged OpenVINO models compute what they did before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from models import convert  # noqa: E402
from models.algorithms import ALGORITHMS, build  # noqa: E402
from models.fast.network import OpenVinoNetwork, compile_beforehand  # noqa: E402
from models.graph import halved, with_plain_gelu, with_shared_constants  # noqa: E402
from tests.models.cpp_program import Module  # noqa: E402

functional = torch.nn.functional


def computed(model: openvino.Model, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = openvino.Core().compile_model(model, "CPU", convert.F32)(inputs)
    return {output.any_name: value for output, value in found.items()}


def kinds(model: openvino.Model) -> list[str]:
    return [layer.get_type_name() for layer in model.get_ordered_ops()]


# --------------------------------------------------------------------------- GELU


def test_gelu_by_an_exponential():
    """Both formulas' models: of the tanh one it is replaced, the other stays."""
    x = np.concatenate([np.linspace(-12, 12, 4001), [-1e30, -3e4, -90, 90, 3e4, 1e30, 0, 1e-30]]).astype(np.float32)

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return functional.gelu(x, approximate="tanh"), functional.gelu(x)

    plain = convert._converted(Module(both), {"x": torch.from_numpy(x)}, ["tanh", "erf"])
    assert kinds(plain).count("Gelu") == 2
    changed = with_plain_gelu(plain)
    assert kinds(changed).count("Gelu") == 1
    found = computed(changed, {"x": x})
    exact = functional.gelu(torch.from_numpy(x).double(), approximate="tanh").numpy()
    assert np.isfinite(found["tanh"]).all()
    assert (np.abs(found["tanh"] - exact) <= 1e-6 * np.maximum(np.abs(exact), 1)).all()
    np.testing.assert_allclose(found["erf"], functional.gelu(torch.from_numpy(x)).numpy(), atol=1e-6)


# --------------------------------------------------------------------------- constants


def test_equal_small_constants_are_one():
    """What differs in kind, shape or value stays apart, and so does what is large."""
    opset = openvino.opset13
    x = opset.parameter([2, 2], np.float32, "x")
    large = np.ones((10, 10), np.float32)
    values = [np.float32(1), np.float32(1), np.float32([1]), np.float32([[1, 2], [3, 4]]), np.float32([[1, 2], [3, 5]])]
    sums = [opset.add(x, opset.constant(value)) for value in values]
    shapes = [opset.reshape(one, opset.constant(np.int64([4])), False) for one in sums]
    bits = opset.convert(opset.constant(np.int32(np.float32(1).view(np.int32))), "f32")
    outputs = [*shapes, opset.add(x, bits), opset.constant(large), opset.constant(large)]
    model = openvino.Model([opset.result(one) for one in outputs], [x])
    given = [np.float32([[1, 2], [3, 4]])]
    want = list(openvino.Core().compile_model(model, "CPU", convert.F32)(given).values())
    assert kinds(model).count("Constant") == 13
    # One of the two ones, one of the five shapes.
    assert kinds(with_shared_constants(model)).count("Constant") == 13 - 1 - 4
    got = list(openvino.Core().compile_model(model, "CPU", convert.F32)(given).values())
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)


# --------------------------------------------------------------------------- halves


def test_halves_pass_everything_that_the_second_needs():
    """Values used in both halves, a weight used in both, two outputs."""
    weight = torch.randn(6, 6)

    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        early = (x @ weight).sin()
        late = early
        for _ in range(6):
            late = (late @ weight).cos()
        return late + early, late @ weight

    x = torch.randn(4, 6)
    model = convert._converted(Module(forward), {"x": x}, ["sum", "last"])
    want = computed(model, {"x": x.numpy()})
    before = kinds(model)
    begin, end = halved(model)
    assert kinds(model) == before
    between = computed(begin, {"x": x.numpy()})
    assert sorted(between) == ["between0", "between1"]
    got = computed(end, between)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-6)
    counts = [kinds(half).count("MatMul") for half in (begin, end)]
    assert sum(counts) == 8
    assert min(counts) >= 3


def test_what_cannot_be_cut():
    model = convert._converted(Module(lambda x: x + 1), {"x": torch.zeros(3)}, ["y"])
    with pytest.raises(ValueError, match="cannot be cut in two"):
        halved(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["daft", "repmedsam"])
def test_halves_compiled_beforehand_give_the_encoder(name: str, tmp_path: Path):
    """From files and from blobs, in which OpenVINO once read the end of an open slice as -1."""
    algorithm = ALGORITHMS[name]
    network = build(algorithm, 1)
    models = convert.models_of(network, algorithm.input_size)
    for part, model in models.items():
        openvino.save_model(model, tmp_path / f"{part}.xml", False)
    image = np.random.default_rng(0).random((1, 3, 256, 256), dtype=np.float32)
    with torch.inference_mode():
        want = network.image_encoder(torch.from_numpy(image)).numpy()
    anew = OpenVinoNetwork(tmp_path).encode(image)
    assert np.abs(anew - want).max() < 1e-5 * np.abs(want).max()
    compile_beforehand(tmp_path)
    np.testing.assert_array_equal(OpenVinoNetwork(tmp_path).encode(image), anew)
    sizes = [sum(path.stat().st_size for path in tmp_path.glob(f"encoder{half}.bin")) for half in (1, 2)]
    whole = 4 * sum(value.numel() for value in network.image_encoder.parameters())
    assert sum(sizes) < 1.02 * whole, "filters are stored as they were, not transformed"
