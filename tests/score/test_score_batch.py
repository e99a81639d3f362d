"""Scoring in bulk: worker processes, and a whole challenge's number of cases in one command, killed and gone on."""

from __future__ import annotations

import csv
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.records import Outcome
from harness.score import batch
from harness.score.batch import Job, score_many
from harness.score.workers import prepare, spread

ROOT = Path(__file__).resolve().parents[2]
CASES = 4414

# ------------------------------------------------------------------ workers


def tenfold(number):
    return 10 * number


def deadly(number):
    if number % 7 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def deadly_beside_others(number):
    """Dies unless it is alone, as a process does that needs all of the memory."""
    if number == 5 and not Path(os.environ["ALONE"]).exists():
        Path(os.environ["ALONE"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def slow(number):
    time.sleep(0.2 if number == 0 else 0)
    return os.getpid()


@pytest.mark.parametrize(("jobs", "workers"), [(0, 2), (1, 3), (500, 3)])
def test_every_job_is_done_once(jobs, workers):
    assert sorted(spread(tenfold, range(jobs), workers)) == [(n, 10 * n) for n in range(jobs)]


def test_preparing_changes_nothing():
    prepare()
    prepare()
    assert sorted(spread(tenfold, range(3), 2)) == [(0, 0), (1, 10), (2, 20)]
    prepare()


def test_killed_processes_cost_only_what_killed_them():
    found = dict(spread(deadly, range(16), 2))
    assert found == {n: None if n % 7 == 3 else 10 * n for n in range(16)}


def test_what_a_killed_process_was_at_is_tried_again_alone(tmp_path, monkeypatch):
    # The process that all others are forked from keeps the environment it began with; this one is new.
    monkeypatch.setenv("ALONE", str(tmp_path / "alone"))
    program = (
        "from harness.score.workers import spread\n"
        "from tests.score.test_score_batch import deadly_beside_others\n"
        "if __name__ == '__main__':\n"
        "    print(sorted(spread(deadly_beside_others, range(9), 2)) == [(n, 10 * n) for n in range(9)])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
    assert (tmp_path / "alone").exists()


def test_a_slow_job_keeps_no_others_waiting():
    found = dict(spread(slow, range(40), 2))
    assert list(found)[-1] in (0, 1)  # at most the one told of beside it comes later
    assert len(set(found.values())) == 2


def test_giving_up_ends_the_processes():
    results = spread(slow, range(1, 1000), 2)
    next(results)
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert multiprocessing.active_children() == []


def test_one_case_starts_no_process(write_case, folders, official, monkeypatch):
    write_case("2DBox_US_0001")
    monkeypatch.setattr(batch, "spread", None)
    job = Job("2DBox_US_0001", *(folder / "2DBox_US_0001.npz" for folder in folders))
    assert [scored.score.outcome for scored in score_many([job], official, workers=8)] == [Outcome.OK]


def test_the_largest_cases_are_begun_first(write_case, folders, official, monkeypatch):
    asked = []
    monkeypatch.setattr(batch, "spread", lambda work, jobs, workers: asked.extend(jobs) or iter(()))
    rng = np.random.default_rng(0)
    for case, side in (("2DBox_US_0001", 9), ("2DBox_US_0002", 40), ("2DBox_US_0003", 20)):
        write_case(case, gts=rng.integers(0, 3, (side, side)).astype(np.uint8))
    names = [f"2DBox_US_{n:04}" for n in range(1, 5)]  # the last has no files at all
    list(score_many([Job(n, folders[0] / f"{n}.npz", folders[1] / f"{n}.npz") for n in names], official, workers=2))
    assert [job.case[-1] for job in asked] == ["2", "3", "1", "4"]


# ------------------------------------------------------------------ a whole challenge

#: `harness score` with a line of progress every half second.
PROGRAM = """\
import harness.cli.score
from harness.cli.main import main
harness.cli.score._PROGRESS_S = 0.2
if __name__ == "__main__":
    raise SystemExit(main())
"""
BROKEN_PREDICTION, BROKEN_REFERENCE = "2DBox_US_2000", "2DBox_US_2001"


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    """Folder with 4,414 cases of four kinds, two of them broken, and the program."""
    folder = tmp_path_factory.mktemp("challenge")
    kinds = []
    for number in range(4):
        gt = np.zeros((24, 24), np.uint8)
        gt[3:12, 2 + number : 13] = 1
        gt[14:22, 4:20] = 2
        kinds.append((gt, np.roll(gt, number, axis=0)))
    for kind in ("preds", "gts"):
        (folder / kind).mkdir()
    for number, (gt, segs) in enumerate(kinds):
        np.savez_compressed(folder / "gts" / f"2DBox_US_{number:04}.npz", gts=gt)
        np.savez_compressed(folder / "preds" / f"2DBox_US_{number:04}.npz", segs=segs)
    for number in range(4, CASES):
        for kind in ("preds", "gts"):
            os.link(folder / kind / f"2DBox_US_{number % 4:04}.npz", folder / kind / f"2DBox_US_{number:04}.npz")
    for kind, case in (("preds", BROKEN_PREDICTION), ("gts", BROKEN_REFERENCE)):
        (folder / kind / f"{case}.npz").unlink()
        (folder / kind / f"{case}.npz").write_bytes(b"PK\x03\x04 nothing")
    (folder / "score.py").write_text(PROGRAM)
    return folder


def start(folder, name):
    arguments = ["score", "--preds", "preds", "--gts", "gts", "--csv", name, "--workers", "2"]
    return subprocess.Popen(
        [sys.executable, "score.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_whole_challenge_killed_and_gone_on_with(challenge):
    """4,414 cases: two broken files cost two rows; a SIGKILL part-way costs what was under way."""
    whole = start(challenge, "whole.csv")
    out, err = whole.communicate(timeout=120)
    assert whole.returncode == 2, err  # a broken reference
    assert f"{CASES} cases ({CASES - 2} ok" in out
    shown = [int(n) for n in re.findall(rf"^scored (\d+) of {CASES}$", err, re.MULTILINE)]
    assert shown == sorted(shown)
    assert shown
    with open(challenge / "whole.csv", newline="") as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    assert len(rows) == CASES
    bad = {case: row["outcome"] for case, row in rows.items() if row["outcome"] != "ok"}
    assert bad == {BROKEN_PREDICTION: "invalid_output", BROKEN_REFERENCE: "bad_reference"}
    assert len({(row["dsc"], row["nsd"]) for case, row in rows.items() if case not in bad}) == 4

    killed = start(challenge, "metrics.csv")
    journal = challenge / "metrics.csv.journal"
    while not journal.exists() or journal.read_bytes().count(b"\n") < CASES // 3:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    assert not (challenge / "metrics.csv").exists()
    kept = journal.read_bytes()
    done = kept.count(b"\n")
    assert CASES // 3 <= done < CASES

    again = start(challenge, "metrics.csv")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 2, err
    assert re.search(rf"^{done} of {CASES} cases were scored before$", err, re.MULTILINE)
    lines = journal.read_bytes()
    assert lines.startswith(kept)
    torn = not kept.endswith(b"\n")
    assert lines.count(b"\n") == CASES + torn  # nothing that was done is there twice
    assert (challenge / "metrics.csv").read_bytes() == (challenge / "whole.csv").read_bytes()
