"""`python -m models export`: its options, a folder of checkpoints, and variants against the exact networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("openvino")

from harness import contract
from models import __main__ as commands
from models import convert, export
from models.algorithms import ALGORITHMS, build, networks_of
from models.fast import __main__ as program
from models.fast import bake
from models.fast.pipeline import PUBLISHED, read_pipeline
from tests.models.lively import dice, lively
from tests.models.synthetic import volume_of_blobs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What would be exported: algorithm, checkpoint, seed, pipeline, folder."""
    calls: list[tuple] = []
    monkeypatch.setattr(export, "_export", lambda *given: calls.append(given))
    return calls


def test_nothing_is_traded_unless_asked_for(written: list[tuple], tmp_path: Path):
    assert commands.main(["export", "--algorithm", "litemedsam", "--out", str(tmp_path)]) == 0
    assert written == [(ALGORITHMS["litemedsam"], None, 2024, PUBLISHED["litemedsam"], tmp_path)]


def test_variants(written: list[tuple], tmp_path: Path):
    options = ["--precision", "bf16", "--stored", "int8", "--stride", "3", "--mode", "fixed", "--seed", "1"]
    assert commands.main(["export", "--algorithm", "daft-shared", "--out", str(tmp_path), *options]) == 0
    pipeline = replace(PUBLISHED["daft-shared"].in_mode("fixed"), precision="bf16", stored="int8", stride=3)
    assert written == [(ALGORITHMS["daft"], None, 1, pipeline, tmp_path)]


def test_every_pipeline_has_networks():
    for name, pipeline in PUBLISHED.items():
        assert networks_of(name).input_size == pipeline.input_size


@pytest.mark.parametrize("name", ["daft", "daft-shared"])
def test_a_folder_of_checkpoints(name: str, written: list[tuple], tmp_path: Path):
    (tmp_path / "in").mkdir()
    for model in ("3D", "XRay", "lite_medsam"):
        (tmp_path / "in" / f"{model}.pth").touch()
    arguments = ["--algorithm", name, "--checkpoint", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert commands.main(["export", *arguments]) == 0
    made = {folder.name: (networks.name, checkpoint.name) for networks, checkpoint, _, _, folder in written}
    assert made == {
        "3D": ("daft", "3D.pth"),
        "XRay": ("daft", "XRay.pth"),
        "lite_medsam": ("litemedsam", "lite_medsam.pth"),
    }
    assert {pipeline for *_, pipeline, _ in written} == {PUBLISHED[name]}


def test_a_folder_without_checkpoints_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--algorithm", "daft", "--checkpoint", str(tmp_path), "--out", str(tmp_path / "out")]
    assert commands.main(["export", *arguments]) == 2
    assert f"error: {tmp_path}: it holds no checkpoint. Put some there" in capsys.readouterr().err


@pytest.mark.parametrize("stride", ["0", "-1", "1.5", "two"])
def test_a_stride_is_a_whole_number_of_one_or_more(stride: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        commands.main(["export", "--algorithm", "daft", "--out", "x", "--stride", stride])
    assert exit_.value.code == 2
    assert "--stride" in capsys.readouterr().err


def test_help_explains_the_variants(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        commands.main(["export", "--help"])
    said = capsys.readouterr().out
    for text in (
        "--precision bf16",
        "--stored int8",
        "--stored f16",
        "--stored int24",
        "--stride N",
        "daft-shared",
        "interpolated",
    ):
        assert text in said


# --------------------------------------------------------------------------- variants at work


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory):
    """A volume's labels by options of `export`: exported, baked and segmented by the program; converted only once."""
    root = tmp_path_factory.mktemp("variants")
    network = lively(build(ALGORITHMS["repmedsam"], 3), 256)
    converted = convert.models_of(network, 256)
    volume, boxes = volume_of_blobs((5, 60, 80), 9)
    boxes = np.clip(boxes[:2], 0, [80, 60, 0, 80, 60, 4])
    inputs = root / "in"
    inputs.mkdir()
    np.savez(inputs / "3DBox_CT_0001.npz", imgs=volume, boxes=boxes, spacing=np.ones(3))

    def segmented(name: str, *options: str) -> np.ndarray:
        networks, outputs = root / name, root / f"{name}-out"
        outputs.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(export, "build", lambda *_: network)
            patch.setattr(convert, "models_of", lambda *_: converted)
            assert commands.main(["export", "--algorithm", "repmedsam", "--out", str(networks), *options]) == 0
        assert bake.main([str(networks)]) == 0
        assert program.main(["-i", str(inputs), "-o", str(outputs), "--networks", str(networks)]) == 0
        return contract.read_prediction(outputs / "3DBox_CT_0001.npz", volume.shape).array

    return segmented, segmented("exact"), root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "at_least"),
    [
        ("bf16", ["--precision", "bf16"], 0.9),
        ("half", ["--stored", "f16"], 0.99),
        ("int8", ["--stored", "int8"], 0.9),
        ("stride", ["--stride", "3"], 0.8),
    ],
)
def test_a_variant_segments_nearly_the_same(name: str, options: list[str], at_least: float, labels):
    segmented, exact, root = labels
    found = segmented(name, *options)
    for number in (1, 2):
        assert 100 < np.count_nonzero(exact == number) < 0.9 * exact.size
        assert dice(found == number, exact == number) >= at_least
    pipeline = read_pipeline(root / name)
    assert pipeline != PUBLISHED["repmedsam"]
    if name in ("half", "int8"):
        size = {folder: (root / folder / "encoder1.bin").stat().st_size for folder in ("exact", name)}
        assert size[name] < size["exact"] * (0.55 if name == "half" else 0.35)
    capabilities = pytest.importorskip("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if name in ("stride", "int8") or (name == "bf16" and "BF16" in capabilities):
        assert (found != exact).any()
