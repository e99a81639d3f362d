"""The networks against an independent oracle of the published ones, on checkpoints of the published shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models import __main__ as command  # noqa: E402
from models.algorithms import ALGORITHMS, build  # noqa: E402
from tests.models import network_oracle as oracle  # noqa: E402
from tests.models import network_oracle_values as values  # noqa: E402
from tests.models.network_oracle_shapes import ALL  # noqa: E402

#: Largest difference allowed, as a share of the oracle's largest value.
TOLERANCES = {"torch": 1e-4, "openvino": 1e-3}
OUTPUTS = ("embedding", "low_res_logits", "iou")


@dataclass(frozen=True)
class Reference:
    """What the oracle makes of an algorithm's checkpoint, and the files that the command takes."""

    algorithm: str
    weights: dict[str, Any]
    checkpoint: Path
    tensors: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module", params=list(ALL))
def reference(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """One per algorithm; its big encoder runs once."""
    algorithm, folder = request.param, tmp_path_factory.mktemp(request.param)
    image, boxes = values.picture(algorithm), values.boxes(algorithm)
    weights, embedding = values.checkpoint(algorithm, image)
    with torch.inference_mode():
        logits, iou = oracle.decode(algorithm, weights, embedding, boxes)
    torch.save(weights, folder / "published.pth")
    np.savez(folder / "x.npz", image=image.numpy(), boxes=boxes.numpy())
    expected = dict(zip(OUTPUTS, (embedding, logits, iou), strict=True))
    return Reference(algorithm, weights, folder / "published.pth", folder / "x.npz", expected)


def worst(ours: Any, expected: Any) -> float:
    """max |a - b| / max |b|."""
    return float((torch.as_tensor(ours) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_embedding_logits_and_iou_equal_the_oracle(reference: Reference, runtime: str, tmp_path: Path):
    pytest.importorskip(runtime)
    out = tmp_path / "y.npz"
    arguments = ["--algorithm", reference.algorithm, "--checkpoint", str(reference.checkpoint), "--runtime", runtime]
    assert command.main(["tensors", *arguments, "--input", str(reference.tensors), "--out", str(out)]) == 0
    with np.load(out) as file:
        ours = {name: file[name] for name in file.files}
    assert {name: (value.shape, value.dtype.name) for name, value in ours.items()} == {
        "embedding": ((1, 256, 64, 64), "float32"),
        "low_res_logits": ((4, 256, 256), "float32"),
        "iou": ((4,), "float32"),
    }
    differences = {name: worst(ours[name], reference.expected[name]) for name in OUTPUTS}
    assert max(differences.values()) <= TOLERANCES[runtime], differences


def test_the_oracle_says_something(reference: Reference):
    """Neither vanishing nor exploding, and different for every box: otherwise equality would mean little."""
    for name, value in reference.expected.items():
        assert torch.isfinite(value).all(), name
    logits = reference.expected["low_res_logits"]
    assert 0.05 < (logits > 0).float().mean() < 0.95
    assert all(worst(logits[i], logits[j]) > 0.01 for i in range(4) for j in range(i))
    embedding = reference.expected["embedding"][0]
    assert embedding.std(dim=(1, 2)).median() > 0.05


@pytest.mark.parametrize("fault", ["eps of the norms", "box centres", "a corner's kind", "the absent mask"])
def test_a_faulty_decoder_would_be_seen(reference: Reference, fault: str, monkeypatch: pytest.MonkeyPatch):
    """Each deed here is a mistake once made in some port; none hides below the tolerance."""
    weights, boxes = dict(reference.weights), values.boxes(reference.algorithm)[:1]
    if fault == "eps of the norms":
        other = 1e-6 if oracle.EPS[reference.algorithm] == 1e-5 else 1e-5
        monkeypatch.setitem(oracle.EPS, reference.algorithm, other)
    elif fault == "box centres":
        boxes = boxes - 0.5
    elif fault == "a corner's kind":
        weights["prompt_encoder.point_embeddings.2.weight"] = weights["prompt_encoder.point_embeddings.0.weight"]
    else:
        weights["prompt_encoder.no_mask_embed.weight"] = torch.zeros(1, 256)
    with torch.inference_mode():
        logits, _ = oracle.decode(reference.algorithm, weights, reference.expected["embedding"], boxes)
    assert worst(logits[0], reference.expected["low_res_logits"][0]) > TOLERANCES["torch"]


@pytest.mark.parametrize("algorithm", list(ALL))
def test_names_and_shapes_are_the_published_ones(algorithm: str):
    ours = {name: tuple(value.shape) for name, value in build(ALGORITHMS[algorithm]).state_dict().items()}
    assert ours == ALL[algorithm]()


def test_bicubic_enlarging_equals_torch():
    """Of the oracle's own parts the one with a formula of its own."""
    x = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    theirs = torch.nn.functional.interpolate(x, size=(64, 64), mode="bicubic", align_corners=False)
    assert worst(oracle.enlarge(x, 64), theirs) < 1e-5
