"""Checkpoint files: every nesting and prefix that trainers write, and what is no checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from models.algorithms import ALGORITHMS  # noqa: E402
from models.checkpoints import CheckpointError, load_network, read_weights  # noqa: E402
from tests.models.network_oracle_shapes import ALL  # noqa: E402
from tests.models.network_oracle_values import fill  # noqa: E402

Weights = dict[str, Any]


@pytest.fixture(scope="module")
def weights() -> Weights:
    """The baseline's, the smallest that is complete."""
    return {name: torch.from_numpy(value) for name, value in fill(ALL["litemedsam"](), seed=7).items()}


@pytest.fixture
def few() -> Weights:
    """Names of each part; reading does not know which there should be."""
    return {f"{part}.norm.weight": torch.ones(3) for part in ("image_encoder", "prompt_encoder", "mask_decoder")}


def prefixed(weights: Weights, *prefixes: str) -> Weights:
    return {"".join(prefixes) + name: value for name, value in weights.items()}


FORMS = {
    "bare": lambda w: w,
    "data parallel": lambda w: prefixed(w, "module."),
    "under model": lambda w: {"model": w, "epoch": 3, "optimizer": {"lr": 1e-4}, "best_loss": 0.5},
    "under model, data parallel": lambda w: {"model": prefixed(w, "module."), "epoch": 3},
    "Lightning": lambda w: {"state_dict": prefixed(w, "model."), "pytorch-lightning_version": "2.2.0", "loops": {}},
    "Lightning, compiled": lambda w: {"state_dict": prefixed(w, "model.", "_orig_mod.")},
    "Lightning, data parallel": lambda w: {"state_dict": prefixed(w, "model.", "module.")},
    "data parallel around Lightning": lambda w: {"state_dict": prefixed(w, "module.", "model.")},
    "compiled, data parallel": lambda w: prefixed(w, "_orig_mod.", "module."),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_bare_names(form: str, few: Weights, tmp_path: Path):
    torch.save(FORMS[form](few), tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").keys() == few.keys()


def test_a_whole_checkpoint_is_loaded_as_it_is(weights: Weights, tmp_path: Path):
    torch.save({"model": prefixed(weights, "module.")}, tmp_path / "x.pth")
    network = load_network(ALGORITHMS["litemedsam"], tmp_path / "x.pth")
    assert not network.training
    loaded = network.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda w: w.pop("mask_decoder.iou_token.weight"), "missing weights: 1 (mask_decoder.iou_token.weight)"),
        (lambda w: w.update(extra=torch.ones(1)), "unknown weights: 1 (extra)"),
        (
            lambda w: w.update({"mask_decoder.iou_token.weight": torch.ones(1, 255)}),
            "weights of another shape: 1 (mask_decoder.iou_token.weight)",
        ),
    ],
    ids=["missing", "strange", "shape"],
)
def test_one_wrong_weight_is_named(change: Any, fault: str, weights: Weights, tmp_path: Path):
    wrong = dict(weights)
    change(wrong)
    torch.save(wrong, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as error:
        load_network(ALGORITHMS["litemedsam"], tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in str(error.value)
    assert fault in str(error.value)
    assert "Name the algorithm" in str(error.value)


def test_another_algorithms_checkpoint_is_not_taken(weights: Weights, tmp_path: Path):
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of RepMedSAM"):
        load_network(ALGORITHMS["repmedsam"], tmp_path / "x.pth")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_nothing_in_a_file_is_executed(save: Any, tmp_path: Path):
    save({"image_encoder.x": torch.ones(1).tolist(), "trap": Trap(tmp_path / "sprung")}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth: it holds more than tensors.*Save its state dictionary"):
        read_weights(tmp_path / "x.pth")
    assert not (tmp_path / "sprung").exists()


def test_a_pickled_module_is_not_taken(tmp_path: Path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_weights(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.write_bytes(b""), "torch cannot read it"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut short"), "torch cannot read it"),
        (lambda path: torch.save({}, path), "no dictionary of tensors"),
        (lambda path: torch.save([torch.ones(1)], path), "no dictionary of tensors"),
        (lambda path: torch.save({"epoch": 3}, path), "no dictionary of tensors"),
        (lambda path: torch.save({"model": {"a": 1}}, path), "no dictionary of tensors"),
    ],
    ids=["absent", "folder", "empty", "cut", "empty dictionary", "list", "numbers", "nested numbers"],
)
def test_what_is_no_checkpoint_is_said(make: Any, fault: str, tmp_path: Path):
    path = tmp_path / "x.pth"
    make(path)
    with pytest.raises(CheckpointError) as error:
        read_weights(path)
    assert str(error.value).startswith(f"{path}: ")
    assert fault in str(error.value)
    assert "Give a " in str(error.value)
