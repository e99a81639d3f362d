"""The hostile behaviours that only write files, without a container: the contract refuses each for the named fault.

They run as they do in their image, by the standard library alone, on a small case of each dimension.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract import read_prediction, segmentation_shape
from harness.errors import PredictionError
from harness.npz import write_npz
from harness.records import Limits, Outcome

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads((ROOT / "docker/hostile/hostile.toml").read_text())
BEHAVIOURS: dict[str, dict[str, Any]] = {row["name"]: row for row in TABLE["behaviour"]}
FIELDS = {"name", "row", "does", "outcome", "reason", "exit_code", "extra", "log", "log_not", "fault", "limits"}
#: These fill a disk, hang, allocate or write outside the two folders: for containers only.
IN_CONTAINERS = {"hang", "hang-ignoring-signals", "oom-main", "oom-child", "oom-child-after-prediction", "huge-file"}
IN_CONTAINERS |= {"many-files", "fill-tmp", "fill-layer", "fork-bomb", "background", "leave-files", "flood", "network"}
IN_CONTAINERS |= {"segfault", "sparse-file"}


@pytest.fixture(params=["2DBox_US_0001", "3DBox_CT_0001"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A case file in tmp_path/inputs, beside an empty tmp_path/outputs."""
    (tmp_path / "inputs").mkdir()
    (tmp_path / "outputs").mkdir()
    path = tmp_path / "inputs" / f"{request.param}.npz"
    if request.param.startswith("3D"):
        boxes = np.asfortranarray([[1, 2, 0, 30, 20, 4], [5, 5, 4, 9, 9, 4]], dtype=">f4")
        arrays = {"imgs": np.zeros((5, 24, 31), np.uint8), "boxes": boxes, "spacing": np.ones(3)}
    else:
        arrays = {"imgs": np.zeros((24, 31, 3), np.uint8), "boxes": np.array([[1, 2, 30, 20], [5, 5, 9, 9]])}
    write_npz(path, arrays)
    return path


def run(name: str, case: Path) -> subprocess.CompletedProcess[str]:
    folder = case.parents[1]
    return subprocess.run(
        [sys.executable, "-B", str(ROOT / "docker/hostile/behaviours/main.py"), name],
        env={"HOSTILE_INPUTS": str(folder / "inputs"), "HOSTILE_OUTPUTS": str(folder / "outputs")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def label_shape(case: Path) -> tuple[int, ...]:
    return segmentation_shape(case.stem, (5, 24, 31) if case.stem.startswith("3D") else (24, 31, 3))


def test_the_table_is_whole() -> None:
    """Every behaviour of the programs is in the table and the other way round; its words are the harness's."""
    listed = subprocess.run(
        [sys.executable, "-B", str(ROOT / "docker/hostile/behaviours/main.py")], capture_output=True, text=True
    ).stderr.split("one of: ")[1]
    assert sorted(listed.split()) == sorted(BEHAVIOURS)
    assert len(BEHAVIOURS) == len(TABLE["behaviour"])
    Limits(**TABLE["limits"])
    for row in TABLE["behaviour"]:
        assert set(row) <= FIELDS
        assert set(row.get("limits", {})) <= set(TABLE["limits"])
        Outcome(row["outcome"])
        assert row["outcome"] != Outcome.HARNESS_FAULT


@pytest.mark.parametrize("name", sorted(set(BEHAVIOURS) - IN_CONTAINERS))
def test_files(name: str, case: Path) -> None:
    """What the behaviour leaves under the right name is what its outcome says."""
    row = BEHAVIOURS[name]
    path = case.parents[1] / "outputs" / case.name
    done = run(name, case)
    assert done.returncode == row.get("exit_code", 0), done.stderr
    assert row.get("log", "") in done.stdout + done.stderr
    assert not any(word in done.stdout for word in row.get("log_not", []))
    assert set(row.get("extra", [])) <= set(os.listdir(path.parent))
    regular = path.is_file() and not path.is_symlink()
    if row["outcome"] == Outcome.OK:
        labels = read_prediction(path, label_shape(case)).array
        assert labels.dtype == np.uint16
        assert labels.max() == 2
    elif row["outcome"] == Outcome.INVALID_OUTPUT:
        assert regular
        if "fault" in row:
            with pytest.raises(PredictionError) as caught:
                read_prediction(path, label_shape(case))
            assert row["fault"] in caught.value.fault
    elif name == "device":  # made only where the test runs with every right
        assert not regular
        assert not path.exists() or stat.S_ISCHR(path.stat().st_mode)
    else:
        assert not regular


def test_the_valid_prediction_fills_the_boxes(case: Path) -> None:
    run("valid", case)
    labels = read_prediction(case.parents[1] / "outputs" / case.name, label_shape(case)).array
    expected = np.zeros_like(labels)
    if expected.ndim == 3:
        expected[0:4, 2:20, 1:30] = 1
        expected[4, 5:9, 5:9] = 2
    else:
        expected[2:20, 1:30] = 1
        expected[5:9, 5:9] = 2
    np.testing.assert_array_equal(labels, expected)


def test_two_names_of_one_file(case: Path) -> None:
    """Attack: the judged file has a second name, under which it can be changed after it was accepted."""
    run("hard-link", case)
    assert (case.parents[1] / "outputs" / case.name).stat().st_nlink == 2


def test_a_sparse_file_takes_no_disk(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "2DBox_US_0001.npz").touch()
    environment = {"HOSTILE_INPUTS": str(tmp_path / "in"), "HOSTILE_OUTPUTS": str(tmp_path / "out")}
    program = str(ROOT / "docker/hostile/behaviours/main.py")
    subprocess.run([sys.executable, "-B", program, "sparse-file"], env=environment, check=True)
    status = (tmp_path / "out" / "2DBox_US_0001.npz").stat()
    assert status.st_size >= 1 << 33
    assert status.st_blocks * 512 < 1 << 20
    with pytest.raises(PredictionError, match="does not begin as a zip file"):
        read_prediction(tmp_path / "out" / "2DBox_US_0001.npz", (3, 4))
