"""The command lines on the real daemon, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from docker.errors import NotFound

from harness.npz import write_npz
from harness.run.roots import owner_prefix, reap_folders
from tests.run.run_daemon import GOOD, Daemon
from tests.run.run_kit import ROOT, make_cases

pytestmark = pytest.mark.docker

NAMES = ("2DBox_US_0001", "3DBox_CT_0001")
CRASH = "echo 'no weights here' >&2; exit 3\n"
NOTHING = "true\n"
SLEEP = "sleep 600\n"


class Shell:
    """Runs commands of this checkout, with a scratch root and a folder of their own."""

    def __init__(self, daemon: Daemon, place: Path) -> None:
        self.daemon = daemon
        self.place = place
        self.scratch = place / "scratch"
        self.environment = {k: v for k, v in os.environ.items() if k != "DOCKER_HOST"} | {
            "HARNESS_SCRATCH": str(self.scratch),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "PYTHONWARNINGS": "error",
        }
        if "DOCKER_HOST" in os.environ:
            self.environment["DOCKER_HOST"] = os.environ["DOCKER_HOST"]

    def command(self, *words: object) -> list[str]:
        first, *rest = map(str, words)
        head = (
            [sys.executable, str(ROOT / first)] if first.endswith(".py") else [sys.executable, "-m", "harness", first]
        )
        return head + rest

    def run(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            self.command(*words), cwd=ROOT, env=self.environment | more, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip

    def start(self, *words: object) -> subprocess.Popen[str]:
        """A command in a process group of its own, as a terminal starts it."""
        return subprocess.Popen(
            self.command(*words), cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip

    def left(self) -> dict[str, list[str]]:
        """What runs from this scratch root have left: containers, mounts, folders."""
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.scratch) in line]
        folders = [path.name for path in self.scratch.iterdir() if path.is_dir()] if self.scratch.is_dir() else []
        return {"containers": self.daemon.containers(owner_prefix(self.scratch)), "mounts": mounts, "folders": folders}


NOTHING_LEFT = {"containers": [], "mounts": [], "folders": []}


@pytest.fixture(scope="module")
def images(daemon: Daemon, tmp_path_factory) -> dict[str, str]:
    """Tiny submissions as tags, by what they do."""
    place = tmp_path_factory.mktemp("images")
    made = {}
    for word, script in (("good", GOOD), ("crash", CRASH), ("nothing", NOTHING), ("sleep", SLEEP)):
        made[word] = f"{daemon.name(word)}:v1"
        daemon.build(daemon.folder(place / word, script), made[word])
    return made


@pytest.fixture
def shell(daemon, tmp_path) -> Iterator[Shell]:
    shell = Shell(daemon, tmp_path)
    yield shell
    # A test that fails may leave a run's mount behind, on which pytest's own clearing up would stumble.
    reap_folders(shell.scratch)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def ledger(out: Path) -> dict[tuple, tuple]:
    """(team, case, repeat) -> (outcome, tries, rowid) of every attempt ever made there."""
    with sqlite3.connect(out / "ledger.sqlite") as db:
        rows = db.execute("SELECT team, case_name, repeat, outcome, tries, rowid FROM attempts").fetchall()
    assert len(rows) == len({row[:3] for row in rows})
    return {row[:3]: row[3:] for row in rows}


class TestEvaluate:
    def test_run_score_rank_report_add_one_and_score_again(self, shell, images, cases, out, tmp_path):
        """The main job, then a late submission, then scoring alone where there is no engine."""
        imgs, gts = cases
        words = ["evaluate.py", "--cases", imgs, "--gts", gts, "--out", out, "--time-limit", 100, "--bootstrap", 20]
        done = shell.run(*words, f"good={images['good']}", f"crash={images['crash']}")
        assert done.returncode == 1, done.stderr  # finished, a submission failed
        assert f"report: {out / 'report.html'}" in done.stdout
        assert "crash on 2DBox_US_0001: crash (exit code 3; no weights here)" in done.stderr
        files = {"results.csv", "ranking.csv", "ranking.json", "report.html", "manifest.json", "ledger.sqlite"}
        assert files <= {path.name for path in out.iterdir()}
        table = pd.read_csv(out / "results.csv").set_index(["team", "case"])
        assert (table.loc["good"][["dsc", "nsd"]] == 1.0).all(axis=None)
        assert (table.loc["crash"][["dsc", "nsd"]] == 0.0).all(axis=None)
        assert (table.loc["crash"]["runtime_s"] == 100.0).all()  # the policy: the run's time limit
        assert (table.loc["good"]["runtime_s"] == table.loc["good"]["wall_s"]).all()
        assert pd.read_csv(out / "ranking.csv").query("scheme == 'cvpr24'").set_index("team")["rank"]["good"] == 1
        assert (out / "predictions" / "good" / "3DBox_CT_0001.npz").is_file()
        assert not (out / "predictions" / "crash").exists()
        assert "no weights here" in (out / "logs" / "crash" / "2DBox_US_0001.1.txt").read_text()
        lines = (out / "good" / "good_running_time.csv").read_text().splitlines()
        assert lines[0] == "CaseName,RunningTime"
        assert [line.split(",")[0] for line in lines[1:]] == [f"{name}.npz" for name in NAMES]
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["limits"]["time_limit_s"] == 100.0
        assert [team["team"] for team in manifest["submissions"]] == ["crash", "good"]
        assert shell.left() == NOTHING_LEFT

        # The same again: nothing runs.
        before = ledger(out)
        assert len(before) == 4
        again = shell.run(*words, f"good={images['good']}", f"crash={images['crash']}")
        assert again.returncode == 1
        assert "4 of 4 attempts have their result already" in again.stderr
        assert ledger(out) == before
        assert json.loads((out / "manifest.json").read_text())["engine"] == manifest["engine"]

        # A late one, alone: only it runs, all are ranked together.
        late = shell.run(*words, f"late={images['nothing']}")
        assert late.returncode == 1, late.stderr
        after = ledger(out)
        assert {key: after[key] for key in before} == before
        assert sorted(set(after) - set(before)) == [("late", name, 1) for name in NAMES]
        assert all(tries == 1 for _, tries, _ in after.values())
        ranking = pd.read_csv(out / "ranking.csv").query("scheme == 'cvpr24'").set_index("team")["rank"]
        assert set(ranking.index) == {"good", "crash", "late"}

        # Scoring again needs no engine, and takes time limit and runtime from the run.
        first = (out / "results.csv").read_bytes()
        nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
        rescored = shell.run(
            "evaluate.py", "--score-only", "--cases", imgs, "--gts", gts, "--out", out, "--no-rank", "--no-report",
            **nowhere,
        )  # fmt: skip
        assert rescored.returncode == 1, rescored.stderr
        assert (out / "results.csv").read_bytes() == first
        assert ledger(out) == after

        # A broken reference: told, charged to nobody, exit code 2; everything else is still done.
        (gts / f"{NAMES[0]}.npz").write_text("hello")
        broken = shell.run("evaluate.py", "--score-only", "--cases", imgs, "--gts", gts, "--out", out, **nowhere)
        assert broken.returncode == 2
        assert f"broken reference of {NAMES[0]}: it is not an npz file" in broken.stderr
        table = pd.read_csv(out / "results.csv").set_index(["team", "case"])
        assert (table.xs(NAMES[0], level="case")["outcome"] == "bad_reference").all()
        assert table.loc["good", NAMES[1]]["dsc"] == 1.0

    def test_a_good_one_alone_ends_with_0_and_no_ranking(self, shell, images, cases, out):
        imgs, gts = cases
        done = shell.run(
            "evaluate.py", f"good={images['good']}", "--cases", imgs, "--gts", gts, "--out", out, "--no-report"
        )
        assert done.returncode == 0, done.stderr
        assert not (out / "report.html").exists()

    def test_a_folder_that_knows_of_more_cases_scores_those_named(self, shell, images, cases, out, tmp_path):
        imgs, gts = cases
        words = ["evaluate.py", f"good={images['good']}", "--out", out, "--no-rank", "--no-report"]
        assert shell.run(*words, "--cases", imgs, "--gts", gts).returncode == 0
        more_imgs, more_gts = make_cases(tmp_path / "more", ["2DBox_US_0007"])
        done = shell.run(*words, "--cases", more_imgs, "--gts", more_gts)
        assert done.returncode == 0, done.stderr
        assert list(pd.read_csv(out / "results.csv")["case"]) == ["2DBox_US_0007"]
        assert shell.run(*words, "--cases", imgs, "--gts", gts).returncode == 0
        assert list(pd.read_csv(out / "results.csv")["case"]) == list(NAMES)
        assert all(tries == 1 for _, tries, _ in ledger(out).values())


class TestRun:
    def test_without_references_and_with_repeats(self, shell, images, cases, out):
        done = shell.run("run", f"good={images['good']}", "--cases", cases[0], "--out", out, "--repeats", 2)
        assert done.returncode == 0, done.stderr
        assert f"4 attempts in {out / 'results.csv'}" in done.stderr
        table = pd.read_csv(out / "results.csv")
        assert table["dsc"].isna().all()
        assert sorted(table["repeat"]) == [1, 1, 2, 2]
        found = sorted(path.name for path in (out / "predictions" / "good").iterdir())
        assert found == sorted(f"{name}{suffix}.npz" for name in NAMES for suffix in ("", ".2"))
        logs = sorted(path.name for path in (out / "logs" / "good").iterdir())
        assert logs == sorted(f"{name}.{repeat}.txt" for name in NAMES for repeat in (1, 2))
        with np.load(out / "predictions" / "good" / f"{NAMES[0]}.2.npz") as first:
            assert set(np.unique(first["segs"])) == {0, 1, 2}
        assert len((out / "good" / "good_running_time.csv").read_text().splitlines()) == 3  # first attempts

    def test_bad_input_ends_with_2_before_anything_runs(self, shell, images, tmp_path, out):
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "2DBox_US_0001.npz").write_text("hello")
        done = shell.run("run", images["good"], "--cases", tmp_path / "bad", "--out", out)
        assert done.returncode == 2
        assert "2DBox_US_0001.npz: it is not an npz file" in done.stderr
        done = shell.run("run", "nobody/has-this", "--cases", ROOT / "inputs" / "imgs", "--out", out)
        assert done.returncode == 2
        assert "no such image here" in done.stderr
        assert "Traceback" not in done.stderr

    def test_disk_that_no_folder_shows_counts(self, shell, daemon, cases, out, tmp_path):
        """A file removed while it is open fills the disk all the same."""
        script = "exec 3>/tmp/hole; rm /tmp/hole; head -c 300000000 /dev/zero >&3; sleep 20\n"
        tag = f"{daemon.name('hole')}:v1"
        daemon.build(daemon.folder(tmp_path / "hole", script), tag)
        done = shell.run("run", f"hole={tag}", "--cases", cases[0], "--out", out, "--disk", "100m", "--time-limit", 15)
        assert done.returncode == 1, done.stderr
        table = pd.read_csv(out / "results.csv")
        assert set(table["outcome"]) == {"invalid_output"}
        assert table["reason"].str.startswith("disk_limit").all()
        assert (table["wall_s"] < 10).all()

    def test_scratch_space_that_cannot_be_made_ends_with_2(self, shell, images, cases, out, tmp_path):
        (tmp_path / "file").touch()
        done = shell.run(
            "run", images["good"], "--cases", cases[0], "--out", out, HARNESS_SCRATCH=str(tmp_path / "file")
        )
        assert done.returncode == 2
        assert "Set HARNESS_SCRATCH to a folder" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_damaged_ledger_ends_with_3(self, shell, images, cases, out):
        out.mkdir()
        (out / "ledger.sqlite").write_bytes(b"x" * 5000)
        done = shell.run("run", images["good"], "--cases", cases[0], "--out", out)
        assert done.returncode == 3
        assert "move it away to begin anew" in done.stderr

    def test_a_second_timed_run_on_this_host_is_refused(self, shell, images, cases, tmp_path):
        first = shell.start("run", f"s={images['sleep']}", "--cases", cases[0], "--out", tmp_path / "a")
        try:
            wait_for_container(shell)
            done = shell.run("run", f"g={images['good']}", "--cases", cases[0], "--out", tmp_path / "b")
            assert done.returncode == 2
            assert "another run is being timed on this host" in done.stderr
        finally:
            first.send_signal(signal.SIGINT)
            first.communicate(timeout=20)
        assert shell.left() == NOTHING_LEFT

    def test_official_conditions(self, shell, images, cases, out):
        done = shell.run(
            "run", f"good={images['good']}", f"crash={images['crash']}", "--cases", cases[0], "--out", out,
            "--conditions", "official",
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        table = pd.read_csv(out / "results.csv").set_index(["team", "case"])
        assert list(table.loc["good"]["outcome"]) == ["ok", "ok"]
        assert list(table.loc["crash"]["exit_code"]) == [3, 3]
        assert shell.left() == NOTHING_LEFT


def wait_for_container(shell: Shell) -> None:
    """Until a container of this shell runs."""
    for _ in range(400):
        found = shell.daemon.containers(owner_prefix(shell.scratch))
        with suppress(NotFound):  # it may be another's that is just being removed
            if found and shell.daemon.api.inspect_container(found[0])["State"]["Running"]:
                return
        time.sleep(0.05)
    raise AssertionError("no container was started")


class TestInterrupt:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
    def test_ends_within_five_seconds_leaves_nothing_and_resumes(self, shell, daemon, images, cases, out, number):
        words = [f"good={images['good']}", f"sleep={images['sleep']}", "--cases", cases[0], "--out", out]
        words += ["--order", "team"]
        process = shell.start("run", *words)
        try:
            for _ in range(600):  # until the first team is done and the other one sleeps
                if (out / "predictions" / "good" / f"{NAMES[1]}.npz").exists():
                    break
                time.sleep(0.05)
            wait_for_container(shell)
            began = time.monotonic()
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
            took = time.monotonic() - began
        finally:
            process.kill()
        assert process.returncode == 130
        assert took < 5
        assert "nothing is left running" in said
        assert "Give the same command again to go on" in said
        assert "Traceback" not in said
        assert shell.left() == NOTHING_LEFT
        before = ledger(out)
        assert {key[0] for key in before} == {"good"}
        # The same command goes on; the sleeping image is mended meanwhile, under a limit it now meets.
        words[1] = f"sleep={images['nothing']}"
        done = shell.run("run", *words)
        assert done.returncode == 1, done.stderr
        assert "2 of 4 attempts have their result already" in done.stderr
        after = ledger(out)
        assert {key: after[key] for key in before} == before
        assert len(after) == 4

    def test_what_a_killed_run_left_is_cleared_by_the_next(self, shell, images, cases, out):
        words = [f"sleep={images['sleep']}", "--cases", cases[0], "--out", out]
        process = shell.start("run", *words)
        wait_for_container(shell)
        process.kill()
        process.communicate(timeout=20)
        assert shell.left() != NOTHING_LEFT
        done = shell.run("run", *words, "--time-limit", 0.2)
        assert done.returncode == 1, done.stderr
        assert {outcome for outcome, _, _ in ledger(out).values()} == {"timeout"}
        assert shell.left() == NOTHING_LEFT


class TestCheck:
    def test_a_good_image(self, shell, images, cases, out):
        words = ["check", f"good={images['good']}", "--cases", cases[0], "--gts", cases[1], "--out", out]
        done = shell.run(*words, "--junit", out.parent / "c.xml", "--json", out.parent / "c.json")
        assert done.returncode == 0, done.stderr
        assert "good works on all 2 cases" in done.stdout
        verdicts = json.loads((out.parent / "c.json").read_text())
        assert (verdicts["team"], verdicts["ok"]) == ("good", True)
        assert [case["case"] for case in verdicts["cases"]] == list(NAMES)
        assert [case["dsc"] for case in verdicts["cases"]] == [1.0, 1.0]

    def test_a_failing_one_then_a_good_one_in_the_same_folder(self, shell, images, cases, out, tmp_path):
        words = ["--cases", cases[0], "--gts", cases[1], "--out", out]
        reports = ["--junit", tmp_path / "c.xml", "--json", tmp_path / "c.json"]
        done = shell.run("check", f"crash={images['crash']}", *words, *reports)
        assert done.returncode == 1, done.stderr
        assert "crash fails on 2 of 2 cases" in done.stdout
        assert (
            "crash: read the end of its log: predict.sh ended with a non-zero exit code and left no valid prediction"
            in done.stdout
        )
        assert f"log: {out / 'logs' / 'crash' / f'{NAMES[0]}.1.txt'}" in done.stdout
        suite = ElementTree.parse(tmp_path / "c.xml").getroot()
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "2", "0")
        failure = suite.find("testcase/failure")
        assert (failure.get("type"), failure.get("message")) == ("crash", "exit code 3; no weights here")
        verdicts = json.loads((tmp_path / "c.json").read_text())
        assert verdicts["ok"] is False
        assert {case["outcome"] for case in verdicts["cases"]} == {"crash"}
        assert {case["exit_code"] for case in verdicts["cases"]} == {3}

        good = shell.run("check", f"good={images['good']}", *words, "--against", out / "results.csv")
        assert good.returncode == 0, good.stderr  # another team's failures are not its own
        assert "good works on all 2 cases" in good.stdout

    def test_other_cases_in_the_same_folder(self, shell, images, cases, out, tmp_path):
        """The default folder is shared by all checks."""
        words = ["check", f"good={images['good']}", "--out", out]
        assert shell.run(*words, "--cases", cases[0], "--gts", cases[1]).returncode == 0
        imgs, gts = make_cases(tmp_path / "more", ["2DBox_US_0007"])
        done = shell.run(*words, "--cases", imgs, "--gts", gts)
        assert done.returncode == 0, done.stderr
        assert "good works on all 1 cases" in done.stdout

    def test_a_broken_reference_is_nobodys_failure(self, shell, images, cases, out, tmp_path):
        write_npz(cases[1] / f"{NAMES[0]}.npz", {"gts": np.zeros((3, 3), np.uint8)})
        words = ["--cases", cases[0], "--gts", cases[1], "--out", out, "--junit", tmp_path / "c.xml"]
        done = shell.run("check", f"good={images['good']}", *words)
        assert done.returncode == 2
        assert f"broken reference of {NAMES[0]}: gts has shape (3, 3)" in done.stderr
        suite = ElementTree.parse(tmp_path / "c.xml").getroot()
        assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


class TestDoctor:
    def test_it_says_what_this_host_offers(self, shell):
        done = shell.run("doctor")
        assert done.returncode == 0, done.stderr
        for word in ("engine", "accounting", "disk limit", "scratch", "runs can be made here"):
            assert word in done.stdout
        assert str(shell.scratch) in done.stdout
        assert shell.left() == NOTHING_LEFT

    def test_no_engine_is_3(self, shell):
        done = shell.run("doctor", DOCKER_HOST="unix:///nowhere/docker.sock")
        assert done.returncode == 3
        assert "no container engine answers at unix:///nowhere/docker.sock" in done.stderr
        assert "Traceback" not in done.stderr
