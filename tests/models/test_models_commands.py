"""`python -m models tensors` and `describe`: files in and out, wrong usage, and the published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from models import __main__ as command
from models import tensors
from models.algorithms import ALGORITHMS

IMAGE = np.zeros((1, 3, 256, 256), np.float32)
BOXES = np.array([[10, 20, 100, 140]], np.float32)


def run(tmp_path: Path, *more: str, **arrays: Any) -> int:
    """The command on a file of these arrays, with random weights unless told otherwise."""
    np.savez(tmp_path / "x.npz", **arrays)
    files = ["--input", str(tmp_path / "x.npz"), "--out", str(tmp_path / "y.npz")]
    return command.main(["tensors", "--algorithm", "repmedsam", *(more or ("--seed", "1")), *files])


def test_integer_arrays_are_taken_as_numbers(tmp_path: Path):
    np.savez(tmp_path / "x.npz", image=IMAGE.astype(np.uint8), boxes=BOXES.astype(np.int64))
    image, boxes = tensors.read_input(tmp_path / "x.npz", ALGORITHMS["repmedsam"])
    assert (image.dtype, boxes.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(boxes, BOXES)


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"boxes": BOXES}, "image"),
        ({"image": IMAGE}, "boxes"),
        ({"image": IMAGE[0], "boxes": BOXES}, "image is (3, 256, 256)"),
        ({"image": np.zeros((1, 3, 512, 512), np.float32), "boxes": BOXES}, "image is (1, 3, 512, 512)"),
        ({"image": IMAGE, "boxes": BOXES[0]}, "boxes are (4,)"),
        ({"image": IMAGE, "boxes": np.zeros((0, 4))}, "boxes are (0, 4)"),
        ({"image": IMAGE, "boxes": np.zeros((1, 6))}, "boxes are (1, 6)"),
        ({"image": IMAGE, "boxes": BOXES * np.nan}, "NaN or infinity"),
        ({"image": IMAGE + np.inf, "boxes": BOXES}, "NaN or infinity"),
        ({"image": np.array([{"a": 1}], dtype=object), "boxes": BOXES}, "cannot be read"),
        ({"image": np.array(["text"]), "boxes": BOXES}, "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_said_and_nothing_written(
    arrays: dict[str, Any], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(tmp_path, **arrays) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path / 'x.npz'}: ")
    assert fault in said
    assert "Give image (1, 3, 256, 256) and boxes (N, 4)" in said
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"], ids=["absent", "empty", "cut"])
def test_a_file_that_is_no_npz_is_said(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    files = ["--input", str(path), "--out", str(tmp_path / "y.npz")]
    assert command.main(["tensors", "--algorithm", "daft", "--seed", "1", *files]) == 2
    assert f"error: {path}: it cannot be read" in capsys.readouterr().err


def test_a_missing_checkpoint_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(tmp_path, "--checkpoint", str(tmp_path / "x.pth"), image=IMAGE, boxes=BOXES) == 2
    assert f"error: {tmp_path / 'x.pth'}: no such file. Give a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("weights", [(), ("--seed", "1", "--checkpoint", "x.pth")], ids=["none", "both"])
def test_weights_come_from_one_place(weights: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        command.main(["tensors", "--algorithm", "daft", "--input", "x", "--out", "y", *weights])
    assert exit_.value.code == 2
    assert "--checkpoint" in capsys.readouterr().err


@pytest.fixture(scope="module")
def facts() -> dict[str, dict[str, Any]]:
    """What `describe --json` prints, by algorithm."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert command.main(["describe", "--json"]) == 0
    return {fact["algorithm"]: fact for fact in json.loads(printed.getvalue())}


@pytest.mark.parametrize(
    ("algorithm", "millions", "encoder_millions"),
    [
        ("litemedsam", 9.79, 5.73),
        ("medficientsam", 47.65, 43.59),  # its notebook flop_counter
        ("daft", 34.79, None),
        ("repmedsam", 10.570092, None),  # its flops.py, to the last parameter
    ],
)
def test_parameters_are_the_published_ones(
    algorithm: str, millions: float, encoder_millions: float | None, facts: dict[str, dict[str, Any]]
):
    parameters = facts[algorithm]["parameters"]
    assert parameters["all"] / 1e6 == pytest.approx(millions, abs=0.005 if algorithm != "repmedsam" else 0)
    if encoder_millions is not None:
        assert parameters["image_encoder"] / 1e6 == pytest.approx(encoder_millions, abs=0.005)
    assert parameters["prompt_encoder"] == 6220
    assert parameters["mask_decoder"] / 1e6 == pytest.approx(4.06, abs=0.005)
    assert parameters["all"] == sum(n for part, n in parameters.items() if part != "all")


def test_entries_of_the_baselines_checkpoint(facts: dict[str, dict[str, Any]]):
    assert facts["litemedsam"]["state_entries"] == 435


def test_work_is_the_published_one(facts: dict[str, dict[str, Any]]):
    """MedficientSAM's notebook counts 49.23 GMAC for L1's encoder and 51.05 with one box."""
    work = facts["medficientsam"]["gmacs"]
    assert work["encode"] == pytest.approx(49.23, rel=0.03)
    assert work["encode"] + work["decode_box"] == pytest.approx(51.05, rel=0.03)


@pytest.mark.parametrize(("algorithm", "published"), [("litemedsam", 38.1), ("repmedsam", 32.1)])
def test_work_of_the_small_encoders(algorithm: str, published: float, facts: dict[str, dict[str, Any]]):
    """RepMedSAM's table of encoders; its counter (fvcore) takes batch norms as work, which deployment folds away."""
    assert 0.965 * published < facts[algorithm]["gmacs"]["encode"] < published


def test_describe_prints_every_algorithm(capsys: pytest.CaptureFixture[str]):
    assert command.main(["describe"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in ALGORITHMS)
    assert "9,791,300 parameters, 435 entries in a checkpoint" in printed
