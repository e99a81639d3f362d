"""`harness score`: its table, exit codes, and going on where it stopped."""

from __future__ import annotations

import csv
import fcntl
import os

import numpy as np
import pytest

from harness.cli.main import run_command
from harness.errors import InputError, UsageError
from harness.protocol import load_protocol
from harness.score import batch

CASES = ["2DBox_US_0001", "2DBox_XRay_0002", "3DBox_CT_0003"]


@pytest.fixture
def command(folders, tmp_path):
    preds, gts = folders
    table = tmp_path / "metrics.csv"

    def run(*extra):
        return run_command(
            "score", ["--preds", str(preds), "--gts", str(gts), "--csv", str(table), "--workers", "1", *extra]
        )

    run.table = table
    return run


@pytest.fixture
def three(write_case):
    for case in CASES:
        write_case(case)


@pytest.fixture
def counted(monkeypatch):
    """Names of the cases that were really scored."""
    names = []
    real = batch.score_job

    def count(job, scoring):
        names.append(job.case)
        return real(job, scoring)

    monkeypatch.setattr(batch, "score_job", count)
    return names


def rows_of(path):
    with open(path, newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def test_table_of_a_clean_folder(three, command, capsys):
    assert command() == 0
    rows = rows_of(command.table)
    assert list(rows) == CASES
    assert command.table.read_text().splitlines()[0] == "case,dsc,nsd,outcome,reason"
    assert all(len(row["dsc"]) <= 6 and float(row["nsd"]) > 0 for row in rows.values())
    out = capsys.readouterr()
    assert "3 cases (3 ok)" in out.out


def test_digits(three, command):
    assert command("--digits", "17") == 0
    full = {case: float(row["dsc"]) for case, row in rows_of(command.table).items()}
    assert command("--digits", "2") == 0
    assert {case: float(row["dsc"]) for case, row in rows_of(command.table).items()} == {
        case: float(np.round(value, 2)) for case, value in full.items()
    }
    assert any(len(str(value)) > 10 for value in full.values())


def test_classes_have_rows_of_their_own(three, command, tmp_path):
    path = tmp_path / "classes.csv"
    assert command() == 0
    assert command("--per-class", str(path)) == 0
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["label"]) for row in rows] == [(case, label) for case in CASES for label in "12"]
    mean = sum(float(row["dsc"]) for row in rows[:2]) / 2
    assert mean == pytest.approx(float(rows_of(command.table)[CASES[0]]["dsc"]), abs=1e-4)


def test_failed_predictions_get_the_failure_values(three, command, folders, capsys):
    (folders[0] / f"{CASES[0]}.npz").unlink()
    np.savez(folders[0] / f"{CASES[1]}.npz", segs=np.zeros((3, 3)))
    assert command() == 1
    rows = rows_of(command.table)
    assert [rows[case]["outcome"] for case in CASES] == ["no_output", "invalid_output", "ok"]
    assert (rows[CASES[0]]["dsc"], rows[CASES[1]]["nsd"]) == ("0.0", "0.0")
    assert "(3, 3)" in rows[CASES[1]]["reason"]
    assert "invalid_output" in capsys.readouterr().err


def test_a_broken_reference_gets_no_values_and_exit_2(three, command, folders):
    (folders[1] / f"{CASES[1]}.npz").write_bytes(b"broken")
    (folders[0] / f"{CASES[0]}.npz").unlink()
    assert command() == 2
    row = rows_of(command.table)[CASES[1]]
    assert (row["dsc"], row["nsd"], row["outcome"]) == ("", "", "bad_reference")


def test_undefined_scores_are_empty_cells(write_case, command):
    gap = np.zeros((9, 9), dtype=np.uint8)
    gap[2:5, 2:5] = 2
    write_case(CASES[0], gts=gap)
    assert command() == 0
    row = rows_of(command.table)[CASES[0]]
    assert (row["dsc"], row["nsd"], row["outcome"]) == ("", "0.0", "ok")


def test_predictions_without_a_reference_are_named(three, command, folders, capsys):
    np.savez(folders[0] / "2DBox_US_0099.npz", segs=np.zeros((3, 3)))
    assert command() == 0
    assert "2DBox_US_0099" in capsys.readouterr().err
    assert "2DBox_US_0099" not in rows_of(command.table)


def test_a_protocol_of_ones_own(three, command, tmp_path, folders):
    from harness.protocol import protocol_names

    assert "cvpr24" in protocol_names()
    from importlib import resources

    text = (resources.files("harness") / "protocols" / "cvpr24.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace("tolerance_mm = 2.0", "tolerance_mm = 0.0").replace("digits = 4", "digits = 1"))
    assert command() == 0
    before = rows_of(command.table)
    assert command("--protocol", str(own)) == 0
    after = rows_of(command.table)
    assert all(float(after[case]["nsd"]) < float(before[case]["nsd"]) for case in CASES)


# ------------------------------------------------------------------ further metrics


def test_further_metrics_are_columns_after_the_official_ones(three, command, capsys):
    assert command() == 0
    official = rows_of(command.table)
    assert command("--also", "nsd_corrected,f1, hd95_mm") == 0
    header = command.table.read_text().splitlines()[0]
    assert header == "case,dsc,nsd,outcome,reason,nsd_corrected,f1,hd95_mm"
    rows = rows_of(command.table)
    for case in CASES:
        assert official[case].items() <= rows[case].items()
        assert 0 < float(rows[case]["nsd_corrected"]) <= 1
        assert float(rows[case]["hd95_mm"]) > 0
    assert "mean hd95_mm" in capsys.readouterr().out


def test_failures_and_broken_references_in_further_metrics(three, command, folders):
    """0 where 1 is best; a distance that is not there stays empty."""
    (folders[0] / f"{CASES[0]}.npz").unlink()
    (folders[1] / f"{CASES[1]}.npz").write_bytes(b"broken")
    assert command("--also", "pq,assd_mm") == 2
    rows = rows_of(command.table)
    assert [(rows[case]["pq"], rows[case]["assd_mm"]) for case in CASES[:2]] == [("0.0", ""), ("", "")]


def test_other_further_metrics_are_scored_anew(three, command, counted):
    assert command("--also", "iou") == 0
    assert command("--also", "iou") == 0
    assert counted == CASES
    assert command("--also", "iou,pq") == 0
    assert command() == 0
    assert counted == CASES * 3


def test_further_metrics_with_workers_and_classes(three, command, tmp_path):
    assert command("--also", "dsc_corrected,pq", "--per-class", str(tmp_path / "classes.csv")) == 0
    alone = command.table.read_bytes()
    command.table.with_name("metrics.csv.journal").unlink()
    assert command("--also", "dsc_corrected,pq", "--workers", "2") == 0
    assert command.table.read_bytes() == alone


def test_other_further_metrics_do_not_make_another_run():
    """`evaluate --also` scores anew what was run, and runs nothing anew."""
    from harness.cli.evaluate import _with_further
    from tests.run.run_kit import settings

    before = settings()
    after = _with_further(before, ("pq", "f1", "pq"))
    assert after.protocol.scoring.also == ("pq", "f1")
    assert after.digest() == before.digest()
    assert _with_further(before, None).protocol.scoring.also == ("dsc_corrected", "nsd_corrected")
    assert _with_further(before, ()).protocol.scoring.also == ()
    with pytest.raises(UsageError, match="dice"):
        _with_further(before, ("dice",))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('["dsc_corrected", "nsd_corrected"]', '["dice"]', "scoring.also names .*dice"),
        ("on_failure = 0.0 }", 'on_failure = "worst" }', "wrong type"),
    ],
)
def test_a_protocol_with_a_further_metric_that_it_does_not_define(tmp_path, old, new, fault):
    from importlib import resources

    text = (resources.files("harness") / "protocols" / "cvpr24.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=fault):
        load_protocol(own)


def test_help_names_every_further_metric(capsys):
    from harness.score.further import FURTHER

    with pytest.raises(SystemExit):
        run_command("score", ["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in FURTHER)


# ------------------------------------------------------------------ going on


def test_a_second_run_scores_only_what_changed(three, command, counted, write_case, folders):
    assert command() == 0
    assert counted == CASES
    first = command.table.read_bytes()
    assert command() == 0
    assert counted == CASES
    assert command.table.read_bytes() == first
    path = folders[0] / f"{CASES[1]}.npz"
    np.savez_compressed(path, segs=np.zeros((24, 24), dtype=np.uint8))
    write_case("2DBox_US_0007")
    assert command() == 0
    assert counted[3:] == ["2DBox_US_0007", CASES[1]]
    assert rows_of(command.table)[CASES[1]]["dsc"] == "0.0"


def test_a_file_of_the_same_size_and_time_is_seen_to_have_changed(three, command, counted, folders):
    assert command() == 0
    path = folders[0] / f"{CASES[0]}.npz"
    data, times = path.read_bytes(), os.stat(path)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert command() == 0
    assert counted[3:] == [CASES[0]]


def test_a_prediction_that_comes_later_or_goes_away(three, command, counted, folders):
    path = folders[0] / f"{CASES[0]}.npz"
    aside = path.with_suffix(".aside")
    path.rename(aside)
    assert command() == 1
    aside.rename(path)
    assert command() == 0
    path.unlink()
    assert command() == 1
    assert rows_of(command.table)[CASES[0]]["outcome"] == "no_output"


def test_an_interrupted_run_keeps_what_it_had(three, command, monkeypatch, counted):
    real = batch.score_job

    def interrupted(job, scoring):
        if job.case == CASES[2]:
            raise KeyboardInterrupt
        return real(job, scoring)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "score_job", interrupted)
        assert command() == 130
    assert not command.table.exists()
    assert command() == 0
    assert counted == CASES


def test_a_torn_journal_line_costs_one_case(three, command, counted):
    assert command() == 0
    journal = command.table.with_name("metrics.csv.journal")
    journal.write_bytes(journal.read_bytes()[:-20])
    assert command() == 0
    assert counted[3:] == [CASES[2]]
    assert command() == 0
    assert len(counted) == 4


def test_a_fault_of_ours_is_exit_3_and_tried_again(three, command, monkeypatch, counted):
    def fail(*_):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(batch, "score_files_by_class", fail)
        assert command() == 3
    assert rows_of(command.table)[CASES[0]]["outcome"] == "harness_fault"
    assert command() == 0
    assert counted == CASES * 2


def test_two_commands_cannot_write_one_table(three, command, capsys):
    with open(command.table.with_name("metrics.csv.journal"), "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert command() == 2
    assert "another" in capsys.readouterr().err


def test_with_workers(three, command):
    assert command() == 0
    alone = command.table.read_bytes()
    command.table.with_name("metrics.csv.journal").unlink()
    assert command("--workers", "2") == 0
    assert command.table.read_bytes() == alone


# ------------------------------------------------------------------ usage


@pytest.mark.parametrize(
    "extra",
    [("--also", "dice"), ("--workers", "0"), ("--digits", "18"), ("--preds", "/nowhere"), ("--csv", "/nowhere/m.csv")],
)
def test_usage_errors(three, command, extra, capsys):
    assert command(*extra) == 2
    assert "error" in capsys.readouterr().err


def test_the_same_file_twice_and_an_empty_folder(three, command, folders, capsys):
    assert command("--per-class", str(command.table)) == 2
    for path in folders[1].iterdir():
        path.unlink()
    assert command() == 2
    assert "--gts" in capsys.readouterr().err
