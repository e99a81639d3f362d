"""`compute_metrics.py` against the challenge's own script, told again step by step on DeepMind's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.cli.main import run_command

ROOT = Path(__file__).resolve().parents[2]


def original(peer, seg_dir, gt_dir, csv_dir, nsd=True):
    """The official loop, in the order that the folder happens to have; ends as that does at a broken file."""
    seg_metrics = {"case": [], "dsc": []} | ({"nsd": []} if nsd else {})
    for npz_name in [name for name in os.listdir(gt_dir) if name.endswith(".npz")]:
        gts = np.load(os.path.join(gt_dir, npz_name))["gts"]
        segs = np.load(os.path.join(seg_dir, npz_name))["segs"]
        labels = range(1, gts.max() + 1)
        dsc = np.mean([peer.class_dsc(gts == i, segs == i) for i in labels]) if labels else np.nan
        value = 0.0
        if nsd and dsc > 0.2:
            if npz_name.startswith("3D"):
                spacing = np.load(os.path.join(gt_dir, npz_name))["spacing"]
            else:
                gts, segs, spacing = np.expand_dims(gts, -1), np.expand_dims(segs, -1), [1.0, 1.0, 1.0]
            value = np.mean([peer.class_nsd(gts == i, segs == i, spacing) for i in labels])
        seg_metrics["case"].append(npz_name)
        seg_metrics["dsc"].append(np.round(dsc, 4))
        if nsd:
            seg_metrics["nsd"].append(np.round(value, 4))
    pd.DataFrame(seg_metrics).sort_values(by=["case"]).to_csv(csv_dir, index=False)


def blob(random, shape, labels):
    """Noisy boxes, each of its own label, with islands; the same for a reference and what is predicted for it."""
    gt = np.zeros(shape, np.uint8)
    for label in range(1, labels + 1):
        low = [int(random.integers(0, max(n - 3, 1))) for n in shape]
        high = [min(n, a + int(random.integers(1, max(n // 2, 2)))) for a, n in zip(low, shape, strict=True)]
        gt[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = label
    pred = np.roll(gt, int(random.integers(0, 3)), axis=int(random.integers(0, len(shape))))
    islands = random.random(shape) < 0.01
    pred[islands] = random.integers(0, labels + 2, int(islands.sum()))
    return gt, pred


@pytest.fixture
def all_kinds(write_case):
    """2D and 3D cases at random, and one for each edge of the definitions."""
    random = np.random.default_rng(4)
    for number in range(12):
        gt, pred = blob(random, (int(random.integers(5, 40)), int(random.integers(5, 40))), 1 + number % 5)
        write_case(f"2DBox_US_{number:04d}", pred, gts=gt)
    for number, spacing in enumerate([(1, 1, 1), (0.8, 0.8, 2.5), (0.1, 0.4, 0.4), (12.0, 0.3, 0.7), (2, 2, 2)]):
        gt, pred = blob(random, (7, 12, 10), 3)
        write_case(f"3DBox_CT_{number:04d}", pred, gts=gt, spacing=np.array(spacing, dtype=float))
    square = np.zeros((20, 30), np.uint8)
    square[4:12, 4:12], square[4:12, 20:28] = 1, 2
    shifted = np.roll(square, 3, axis=1)
    gap, gap_shifted = (np.where(labels == 1, 3, labels).astype(np.uint8) for labels in (square, shifted))
    write_case("2DBox_XRay_gap", gap_shifted, gts=gap)
    write_case("2DBox_XRay_gap_filled", np.where(gap_shifted == 0, 1, gap_shifted), gts=gap)
    write_case("2DBox_XRay_nothing", shifted, gts=np.zeros((20, 30), np.uint8))
    write_case("2DBox_XRay_missed", np.zeros((20, 30), np.uint8), gts=square)
    write_case("2DBox_XRay_class_missed", np.where(shifted == 2, 0, shifted), gts=square)
    write_case("2DBox_XRay_more", np.where(shifted == 0, 9, shifted), gts=square)
    write_case("2DBox_XRay_below_gate", np.roll(square, 7, axis=1), gts=square)
    write_case("2DBox_XRay_perfect", square, gts=square)
    write_case("2DBox_XRay_float", shifted + np.where(shifted == 1, 0.5, 0), gts=square)
    write_case("2DBox_XRay_bool", shifted > 0, gts=square > 0)
    write_case("2DBox_XRay_wide", shifted.astype(np.uint64), gts=square.astype(np.int64))
    write_case("2DBox_XRay_border", np.ones((9, 9), np.int16), gts=np.pad(np.ones((8, 8), np.uint16), (0, 1)))
    dot = np.zeros((3, 3, 3), np.uint8)
    dot[1, 1, 1] = 1
    write_case("3DBox_PET_dot", np.roll(dot, 1, axis=0), gts=dot, spacing=np.array([1.9, 1.0, 1.0]))
    write_case("3DBox_PET_dot_too_far", np.maximum(dot, np.roll(dot, 1)), gts=dot, spacing=np.array([9.0, 2.1, 9.0]))


@pytest.fixture
def odd_names(write_case):
    """Names whose order with `.npz` is not that without, and one that a CSV must quote."""
    for name in ("2D_US_1", "2D_US_1-2", "2D_US_1_2", "2D_US_1 copy", "2D_US_10", '2D_US_a,"b"', "2D_us.b"):
        write_case(name)


@pytest.fixture
def drop_in(folders, tmp_path):
    """The script: (options...) -> exit code; its table lies at `drop_in.table`."""
    preds, gts = folders
    places = ["-s", str(preds), "-g", str(gts), "-csv_dir", str(tmp_path / "ours.csv")]

    def run(*options):
        return run_command("compute_metrics", [*places, "-num_workers", "1", *options], prog="compute_metrics.py")

    run.table, run.places = tmp_path / "ours.csv", places
    return run


@pytest.mark.parametrize("cases", ["all_kinds", "odd_names"])
def test_the_table_is_the_originals_byte_for_byte(cases, request, folders, peer, drop_in, tmp_path, capsys):
    request.getfixturevalue(cases)
    assert drop_in() == 0
    original(peer, *folders, tmp_path / "theirs.csv")
    assert drop_in.table.read_bytes() == (tmp_path / "theirs.csv").read_bytes()
    assert capsys.readouterr().out == ""  # the original prints a progress bar alone


def test_the_edges_are_what_they_are_called(all_kinds, drop_in):
    """So that the comparison above does compare them."""
    assert drop_in() == 0
    rows = pd.read_csv(drop_in.table, index_col="case")
    assert rows.loc[["2DBox_XRay_gap.npz", "2DBox_XRay_nothing.npz"], "dsc"].isna().all()
    assert (rows.loc[["2DBox_XRay_gap.npz", "2DBox_XRay_missed.npz", "2DBox_XRay_below_gate.npz"], "nsd"] == 0).all()
    assert 0.2 < rows.loc["2DBox_XRay_gap_filled.npz", "dsc"] < 0.67
    assert 0 < rows.loc["2DBox_XRay_below_gate.npz", "dsc"] <= 0.2
    assert tuple(rows.loc["2DBox_XRay_perfect.npz"]) == (1.0, 1.0)
    assert rows.loc["2DBox_XRay_float.npz", "dsc"] < rows.loc["2DBox_XRay_bool.npz", "dsc"]
    assert len(set(rows["nsd"])) > 12


@pytest.mark.parametrize("word", ["False", "false", "0", "no", ""])
def test_nsd_can_be_left_out(word, all_kinds, folders, peer, drop_in, tmp_path):
    assert drop_in("-nsd", word) == 0
    original(peer, *folders, tmp_path / "theirs.csv", nsd=False)
    assert drop_in.table.read_bytes() == (tmp_path / "theirs.csv").read_bytes()


def test_nsd_left_out_is_not_computed(write_case, drop_in, monkeypatch):
    from harness.score import evaluate

    def never(*_):
        raise AssertionError("NSD was computed")

    write_case("2DBox_US_0001")
    monkeypatch.setattr(evaluate, "_nsd", never)
    assert drop_in("-nsd", "False") == 0
    assert drop_in("-nsd", "True") == 3


def test_the_originals_defaults(write_case, folders, tmp_path, monkeypatch):
    """Called without options, in a folder laid out as the challenge's own example."""
    write_case("3DBox_MR_0001")
    (tmp_path / "test_demo").mkdir()
    shutil.move(folders[0], tmp_path / "test_demo" / "segs")
    shutil.move(folders[1], tmp_path / "test_demo" / "gts")
    monkeypatch.chdir(tmp_path)
    assert run_command("compute_metrics", [], prog="compute_metrics.py") == 0
    assert (tmp_path / "test_demo" / "metrics.csv").read_text().startswith("case,dsc,nsd\n3DBox_MR_0001.npz,0.")


def test_as_a_script_with_workers_and_a_broken_prediction(write_case, folders, drop_in):
    """The original would end at the second file without a table; here only its own row is lost."""
    for number in range(1, 5):
        write_case(f"2DBox_US_{number:04d}", None if number == 4 else "shifted")
    (folders[0] / "2DBox_US_0002.npz").write_bytes(b"PK nonsense")
    command = [sys.executable, str(ROOT / "compute_metrics.py"), *drop_in.places, "-num_workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "2DBox_US_0002.npz: invalid_output" in done.stderr
    assert "2DBox_US_0004.npz: no_output" in done.stderr
    lines = drop_in.table.read_text().splitlines()
    assert lines[2] == "2DBox_US_0002.npz,0.0,0.0"
    assert lines[4] == "2DBox_US_0004.npz,0.0,0.0"
    assert float(lines[1].split(",")[1]) > 0.5
    assert lines[1].split(",")[1:] == lines[3].split(",")[1:]


def test_a_broken_reference_has_no_values(write_case, folders, drop_in, capsys):
    write_case("2DBox_US_0001")
    (folders[1] / "2DBox_US_0002.npz").write_bytes(b"broken")
    assert drop_in() == 2
    assert drop_in.table.read_text().splitlines()[2] == "2DBox_US_0002.npz,,"
    assert "bad_reference" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-nsd", "maybe"], "neither True nor False"),
        (["-num_workers", "0"], "at least 1"),
        (["-s", "/nowhere"], "/nowhere: no such folder"),
        (["-csv_dir", "/nowhere/metrics.csv"], "/nowhere/metrics.csv: no file can be written there"),
    ],
)
def test_what_cannot_be_is_said_before_the_work(options, told, write_case, drop_in, capsys):
    write_case("2DBox_US_0001")
    try:
        code = drop_in(*options)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert told in capsys.readouterr().err
    assert not drop_in.table.exists()


def test_a_folder_without_references(drop_in, capsys):
    assert drop_in() == 2
    assert "holds no .npz file" in capsys.readouterr().err
