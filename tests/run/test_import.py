"""`harness import`: what the official scripts leave becomes a table that ranks, and nothing in it is guessed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import contract, import_folder
from harness.chain import collect
from harness.cli.main import main, run_command
from harness.layout import OutDir
from harness.official_tables import read_scores, read_times
from harness.records import Outcome, Phases, Score
from harness.results import COLUMNS, read_results
from tests.run.run_kit import PROTOCOL, attempt, labels, make_cases

NAMES = ("2DBox_US_0001", "2DBox_XRay_0001", "3DBox_CT_0001")
TIMES = dict(zip(NAMES, (6.5123456789012345, 7.25, 30.000000000000004), strict=True))
SCORES = dict(zip(NAMES, ((0.9, 0.95), (0.5, 0.4), (0.8123, 0.0)), strict=True))


def official_times(path: Path, times=None) -> Path:
    """As the official run writes it."""
    times = TIMES if times is None else times
    metric = {"CaseName": [f"{case}.npz" for case in times], "RunningTime": list(times.values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(metric).to_csv(path, index=False)
    return path


def official_scores(path: Path, scores=None) -> Path:
    """As the official evaluator writes it."""
    scores = SCORES if scores is None else scores
    metrics = {"case": [f"{case}.npz" for case in scores]}
    metrics |= {"dsc": [dsc for dsc, _ in scores.values()], "nsd": [nsd for _, nsd in scores.values()]}
    pd.DataFrame(metrics).to_csv(path, index=False)
    return path


def score_options(preds: Path, gts: Path, table: Path) -> list[str]:
    """Of `harness score`."""
    return ["--preds", str(preds), "--gts", str(gts), "--csv", str(table), "--workers", "1"]


class Importer:
    """The command, in a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.out = OutDir(place / "imported")

    def __call__(self, *options, team="alpha") -> int:
        fixed = ["--team", team, "--out", self.out.root, "--workers", 1]
        return run_command("import", [*map(str, fixed), *map(str, options)])

    def official(self, team="alpha", times=None, scores=None, *options) -> int:
        """Import what the official scripts would have left."""
        tables = [
            "--times",
            official_times(self.place / f"{team}_running_time.csv", times),
            "--scores",
            official_scores(self.place / f"{team}_metrics.csv", scores),
        ]
        return self(*tables, *options, team=team)

    def table(self) -> pd.DataFrame:
        return read_results(self.out.results).set_index(["team", "case"])

    def manifest(self) -> dict:
        return json.loads(self.out.manifest.read_text())


@pytest.fixture
def importer(tmp_path):
    return Importer(tmp_path)


@pytest.fixture
def folders(tmp_path):
    """Folders of perfect predictions and of references: (preds, gts)."""
    _, gts = make_cases(tmp_path / "data", NAMES)
    preds = tmp_path / "preds"
    preds.mkdir()
    for name in NAMES:
        contract.write_prediction(preds / f"{name}.npz", labels(name))
    return preds, gts


class TestRows:
    def test_the_official_tables_become_rows(self, importer, capsys):
        assert importer.official() == 0
        frame = read_results(importer.out.results)
        assert list(frame) == list(COLUMNS)
        assert list(frame["case"]) == sorted(NAMES)
        assert list(frame["modality"]) == ["US", "X-Ray", "CT"]
        assert set(frame["repeat"]) == {1}
        assert set(frame["outcome"]) == {"ok"}
        for row in frame.to_dict("records"):
            assert (row["dsc"], row["nsd"]) == SCORES[row["case"]]
            assert row["runtime_s"] == row["wall_s"] == TIMES[row["case"]]
            assert all(pd.isna(row[name]) for name in ("reason", "exit_code", "run_s", "cpu_s", "peak_bytes"))
        out, err = capsys.readouterr()
        assert "alpha: 3 cases (3 ok)" in out
        assert err == ""

    def test_a_time_without_a_score_is_a_failure(self, importer, capsys):
        assert importer.official(scores=dict(list(SCORES.items())[:2])) == 1
        row = importer.table().loc["alpha", NAMES[2]]
        assert (row["outcome"], row["dsc"], row["nsd"]) == ("no_output", 0.0, 0.0)
        assert (row["runtime_s"], row["wall_s"]) == (PROTOCOL.limits.time_limit_s, TIMES[NAMES[2]])
        assert f"1 case with a runtime and no score: counted as no_output ({NAMES[2]})" in capsys.readouterr().err
        assert NAMES[2] in importer.manifest()["warnings"][0]

    def test_a_score_without_a_time_keeps_its_score(self, importer, capsys):
        assert importer.official(times=dict(list(TIMES.items())[:2])) == 1
        row = importer.table().loc["alpha", NAMES[2]]
        assert (row["outcome"], row["dsc"], row["reason"]) == ("ok", SCORES[NAMES[2]][0], "no runtime")
        assert pd.isna(row["runtime_s"])
        assert pd.isna(row["wall_s"])
        assert "no runtime: the runtime stays empty" in capsys.readouterr().err

    def test_an_undefined_score_stays_undefined(self, importer):
        assert importer.official(scores=SCORES | {NAMES[0]: (np.nan, 0.0)}) == 0
        row = importer.table().loc["alpha", NAMES[0]]
        assert row["outcome"] == "ok"
        assert pd.isna(row["dsc"])
        assert row["nsd"] == 0.0

    def test_times_alone(self, importer, tmp_path, capsys):
        assert importer("--times", official_times(tmp_path / "alpha_running_time.csv")) == 0
        frame = importer.table()
        assert frame[["dsc", "nsd", "outcome", "reason"]].isna().all(axis=None)
        assert list(frame["runtime_s"]) == list(TIMES.values())
        assert "runtimes only" in capsys.readouterr().err
        importer("--times", official_times(tmp_path / "beta_running_time.csv"), team="beta")
        assert run_command("rank", [str(importer.out.root), "--out", str(tmp_path / "r"), "--no-report"]) == 2
        assert "was not scored" in capsys.readouterr().err
        speed = ["--metrics", "runtime_s", "--bootstrap", "10", "--no-report"]
        assert run_command("rank", [str(importer.out.root), "--out", str(tmp_path / "r"), *speed]) == 0

    def test_slower_than_a_failure_is_told(self, importer, capsys):
        assert importer.official(times=TIMES | {NAMES[0]: 4000.0}) == 0
        assert "took longer than the 3600 s that a failed case is charged" in capsys.readouterr().err
        assert importer.table().loc["alpha", NAMES[0]]["runtime_s"] == 4000.0

    def test_a_table_of_another_team_is_told(self, importer, tmp_path, capsys):
        importer("--times", official_times(tmp_path / "Beta_running_time.csv"), team="BETA")
        assert "imported as" not in capsys.readouterr().err
        importer("--times", official_times(tmp_path / "beta_running_time.csv"), team="alpha")
        assert "beta_running_time.csv is imported as team alpha" in capsys.readouterr().err

    def test_outcomes_of_harness_score_are_kept(self, importer, folders, tmp_path):
        preds, gts = folders
        (preds / f"{NAMES[0]}.npz").unlink()
        np.savez(preds / f"{NAMES[1]}.npz", segs=np.zeros((3, 3)))
        table = tmp_path / "scores.csv"
        assert run_command("score", score_options(preds, gts, table)) == 1
        times = official_times(tmp_path / "alpha_running_time.csv")
        assert importer("--times", times, "--scores", table) == 1
        frame = importer.table().loc["alpha"]
        assert list(frame["outcome"]) == ["no_output", "invalid_output", "ok"]
        assert "(3, 3)" in frame.loc[NAMES[1], "reason"]
        assert importer("--times", times, "--preds", preds, "--gts", gts, "--replace") == 1
        pd.testing.assert_frame_equal(importer.table().loc["alpha"][list(frame)], frame)

    def test_the_protocols_further_metrics_are_taken_along(self, importer, folders, tmp_path):
        also = PROTOCOL.scoring.also
        table = tmp_path / "scores.csv"
        assert run_command("score", [*score_options(*folders, table), "--also", ",".join([*also, "iou"])]) == 0
        times = official_times(tmp_path / "alpha_running_time.csv")
        assert importer("--times", times, "--scores", table) == 0
        assert list(read_results(importer.out.results)) == [*COLUMNS, *also]
        assert (importer.table()[list(also)] == 1.0).all(axis=None)

    def test_a_single_table_with_both(self, importer, tmp_path):
        """As the successor of the challenge writes it: CaseName,RunningTime,DSC,NSD."""
        path = tmp_path / "alpha_metrics.csv"
        path.write_text(f"CaseName,RunningTime,DSC,NSD\n{NAMES[0]}.npz,3.5,0.75,0.5\n")
        assert importer("--times", path, "--scores", path) == 0
        row = importer.table().loc["alpha", NAMES[0]]
        assert (row["runtime_s"], row["dsc"], row["nsd"]) == (3.5, 0.75, 0.5)


class TestSegmentations:
    def test_they_are_scored_here(self, importer, folders, tmp_path):
        times = official_times(tmp_path / "alpha" / "alpha_running_time.csv")
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 0
        assert (importer.table()[["dsc", "nsd"]] == 1.0).all(axis=None)

    def test_a_missing_one_failed_and_an_untimed_one_counts(self, importer, folders, tmp_path):
        times = official_times(tmp_path / "alpha_running_time.csv", dict(list(TIMES.items())[:2]))
        (folders[0] / f"{NAMES[0]}.npz").unlink()
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 1
        frame = importer.table().loc["alpha"]
        assert list(frame["outcome"]) == ["no_output", "ok", "ok"]
        assert frame.loc[NAMES[2], "reason"] == "no runtime"

    def test_a_reference_of_no_case_is_none_of_ours(self, importer, folders, tmp_path):
        times = official_times(tmp_path / "alpha_running_time.csv", dict(list(TIMES.items())[:2]))
        (folders[0] / f"{NAMES[2]}.npz").unlink()
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 0
        assert len(importer.table()) == 2

    def test_a_broken_reference_charges_nobody(self, importer, folders, tmp_path, capsys):
        (folders[1] / f"{NAMES[1]}.npz").write_bytes(b"broken")
        times = official_times(tmp_path / "alpha_running_time.csv")
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 2
        frame = importer.table().loc["alpha"]
        assert list(frame["outcome"]) == ["ok", "bad_reference", "ok"]
        assert frame.loc[NAMES[1], ["dsc", "nsd", "runtime_s"]].isna().all()
        assert NAMES[1] in capsys.readouterr().err

    def test_a_time_without_a_reference_is_refused(self, importer, folders, tmp_path, capsys):
        times = official_times(tmp_path / "alpha_running_time.csv", TIMES | {"2DBox_US_0009": 1.0})
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 2
        assert "1 of 4 cases with a runtime have no reference there (2DBox_US_0009)" in capsys.readouterr().err
        assert not importer.out.root.exists()

    def test_the_wrong_folder_is_refused_and_an_empty_one_is_all_failures(self, importer, folders, tmp_path, capsys):
        times = official_times(tmp_path / "alpha_running_time.csv")
        other = tmp_path / "other"
        other.mkdir()
        assert importer("--times", times, "--preds", other, "--gts", folders[1]) == 1
        assert set(importer.table()["outcome"]) == {"no_output"}
        contract.write_prediction(other / "2DBox_US_0077.npz", labels(NAMES[0]))
        assert importer("--times", times, "--preds", other, "--gts", folders[1], "--replace") == 2
        assert "none of the 1 predictions there" in capsys.readouterr().err

    def test_their_digest_is_that_of_sha256sum(self, importer, folders, tmp_path):
        times = official_times(tmp_path / "alpha_running_time.csv")
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1]) == 0
        told = importer.manifest()["submissions"][0]
        for name, folder in zip(("preds", "gts"), folders, strict=True):
            lines = subprocess.run(
                "sha256sum *.npz", shell=True, cwd=folder, env={"LC_ALL": "C"} | os.environ, capture_output=True,
                check=True,
            ).stdout  # fmt: skip
            assert told[f"{name}_sha256"] == hashlib.sha256(lines).hexdigest()


class TestFolder:
    def test_teams_join_and_others_stay_to_the_letter(self, importer):
        importer.official()
        before = importer.out.results.read_text().splitlines()
        assert importer.official("beta", scores=dict.fromkeys(NAMES, (0.1, 0.0))) == 0
        after = importer.out.results.read_text().splitlines()
        assert after[: len(before)] == before
        assert len(after) == 7
        importer.official("beta", None, None, "--replace")
        assert importer.out.results.read_text().splitlines()[: len(before)] == before
        importer.official("alpha", None, None, "--replace")
        assert sorted(importer.out.results.read_text().splitlines()[-3:]) == sorted(before[1:])

    def test_a_team_twice_needs_replace(self, importer, capsys):
        importer.official()
        before = importer.out.results.read_bytes(), importer.out.manifest.read_bytes()
        assert importer.official(scores=dict.fromkeys(NAMES, (0.1, 0.0))) == 2
        assert "team alpha is there already. Add --replace" in capsys.readouterr().err
        assert (importer.out.results.read_bytes(), importer.out.manifest.read_bytes()) == before
        assert importer.official("alpha", None, dict.fromkeys(NAMES, (0.1, 0.0)), "--replace") == 0
        assert set(importer.table()["dsc"]) == {0.1}
        assert len(importer.manifest()["submissions"]) == 1

    def test_sources_are_named_with_their_digests(self, importer, tmp_path):
        importer.official()
        importer.official("beta")
        told = importer.manifest()
        assert told["made_by"] == "harness import"
        assert told["limits"] == {"time_limit_s": 3600.0}
        assert [entry["team"] for entry in told["submissions"]] == ["alpha", "beta"]
        scores = tmp_path / "beta_metrics.csv"
        assert told["submissions"][1]["scores"] == str(scores)
        assert told["submissions"][1]["scores_sha256"] == hashlib.sha256(scores.read_bytes()).hexdigest()

    @pytest.mark.parametrize("file", ["results", "manifest"])
    def test_the_files_of_others_are_not_touched(self, importer, file, capsys):
        path = getattr(importer.out, file)
        path.parent.mkdir()
        path.write_text("{}")
        assert importer.official() == 2
        assert path.read_text() == "{}"
        assert len(list(importer.out.root.iterdir())) == 1
        assert "Give a folder of its own" in capsys.readouterr().err

    def test_a_run_is_not_imported_into(self, importer, capsys):
        importer.official()
        importer.out.ledger.touch()
        assert importer.official("beta") == 2
        assert "it holds a run (ledger.sqlite)" in capsys.readouterr().err

    def test_another_challenge_is_refused(self, importer, tmp_path, capsys):
        importer.official()
        other = tmp_path / "other.toml"
        text = (Path(import_folder.__file__).parent / "protocols" / "cvpr24.toml").read_text()
        other.write_text(text.replace("3600.0", "600.0"))
        assert importer.official("beta", None, None, "--protocol", other) == 2
        assert "imported under another protocol (cvpr24" in capsys.readouterr().err

    def test_two_at_once_do_not_lose_each_others_rows(self, importer, capsys):
        importer.official()
        handle = os.open(importer.out.root, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert importer.official("beta") == 2
        assert "another `harness import` is at work there" in capsys.readouterr().err
        os.close(handle)
        assert importer.official("beta") == 0

    @pytest.mark.parametrize("moment", ["write_results", "write_text"])
    def test_a_full_disk_changes_nothing(self, importer, moment, monkeypatch, capsys):
        importer.official()
        before = {path.name: path.read_bytes() for path in importer.out.root.iterdir()}

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        if moment == "write_results":
            monkeypatch.setattr(import_folder, "write_results", full)
        else:
            monkeypatch.setattr(Path, "write_text", full)
        assert importer.official("beta") == 2
        monkeypatch.undo()
        assert "No space left on device" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in importer.out.root.iterdir()} == before

    def test_a_mended_table_is_refused_with_its_line(self, importer, capsys):
        importer.official()
        with open(importer.out.results, "a") as stream:
            stream.write("beta,case\n")
        assert importer.official("gamma") == 2
        assert "results.csv: line 5 is no row" in capsys.readouterr().err

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.floats(0, 3600), min_size=3, max_size=3))
    def test_times_survive_to_the_last_bit(self, tmp_path_factory, seconds):
        importer = Importer(tmp_path_factory.mktemp("bits"))
        times = dict(zip(NAMES, seconds, strict=True))
        importer.official("alpha", times)
        importer.official("beta")
        importer.official("gamma")
        lines = importer.out.results.read_text().splitlines()
        place = lines[0].split(",").index("wall_s")
        assert [float(line.split(",")[place]) for line in lines[1:4]] == [times[name] for name in sorted(times)]


class TestTables:
    """What tables are read, and which are refused: file, line, remedy."""

    @pytest.mark.parametrize(
        "text",
        [
            "CaseName,RunningTime\na.npz,1.5\nb.npz,2\n",
            "\ufeffCaseName,RunningTime\r\na,1.5\r\nb.npz,2e0\r\n",
            "case_name;Running Time\n a ;1,5\nb;2\n",
            "RUNNINGTIME\tCASE\tnote\n1.5\ta.npz\tx\n\n2\tb\ty",
            '\n"CaseName","RunningTime"\n"a.npz","1.5"\n"b.npz",+2.0\n',
        ],
    )
    def test_times_as_spreadsheets_leave_them(self, text, tmp_path):
        path = tmp_path / "t.csv"
        path.write_text(text, encoding="utf-8", newline="")
        assert read_times(path) == {"a": 1.5, "b": 2.0}

    def test_scores_as_spreadsheets_leave_them(self, tmp_path):
        path = tmp_path / "s.csv"
        path.write_text("\ufeffNSD;DSC;Case;Outcome\n0;;a.npz;\n0,5;0,25;b;OK\n;;c;Timeout\n;;d;bad_reference\n")
        found = read_scores(path)
        assert str(found["a"].values) == "{'dsc': nan, 'nsd': 0.0}"
        assert found["b"] == Score({"dsc": 0.25, "nsd": 0.5}, Outcome.OK)
        assert [found[case].outcome for case in "acd"] == [Outcome.OK, Outcome.TIMEOUT, Outcome.BAD_REFERENCE]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (b"", "it is empty"),
            (b"\n \r\n", "it is empty"),
            (b"CaseName,RunningTime\n", "it has a head and no rows"),
            (b"a.npz,1.5\n", "it has no column 'case' (it has: a.npz, 1.5)"),
            (b"CaseName,Runtime\na,1\n", "it has no column 'RunningTime'"),
            (b"CaseName,case,RunningTime\na,a,1\n", "more than one column is 'case' ('CaseName' and 'case')"),
            (b"CaseName,RunningTime\na,1\nb,-0.5\n", "line 3: RunningTime is -0.5, below zero"),
            (b"CaseName,RunningTime\na,\n", "line 2: RunningTime is empty"),
            (b"CaseName,RunningTime\na,NaN\n", "line 2: RunningTime is empty"),
            (b"CaseName,RunningTime\na,1.5 s\n", "line 2: RunningTime is '1.5 s', no number"),
            (b"CaseName,RunningTime\na,inf\n", "line 2: RunningTime is 'inf', no number"),
            (b"CaseName,RunningTime\na,1e999\n", "line 2: RunningTime is '1e999', no number"),
            (b"CaseName,RunningTime\na,1_0\n", "line 2: RunningTime is '1_0', no number"),
            (b"CaseName;RunningTime\na;1.234,5\n", "line 2: RunningTime is '1.234,5', no number"),
            (b"CaseName,RunningTime\na.npz,1\n\na,2\n", "line 4: case a is in line 2 already"),
            (b"CaseName,RunningTime\na,1,2\n", "line 2: it has 3 cells, the head 2"),
            (b"CaseName,RunningTime\na\n", "line 2: it has 1 cells, the head 2"),
            (b"CaseName,RunningTime\n.npz,1\n", "line 2: '' is no case"),
            (b"CaseName,RunningTime\nimgs/a.npz,1\n", "line 2: 'imgs/a' is no case"),
            (b"CaseName,RunningTime\na\0b,1\n", "line 2: 'a\\x00b' is no case"),
            (b'CaseName,RunningTime\n"a,1\n', "it is no CSV"),
            (b"CaseName,RunningTime\n\xe9,1\n", "it is not text in UTF-8"),
            ("CaseName,RunningTime\na,1\n".encode("utf-16"), "it is not text in UTF-8"),
        ],
    )
    def test_times_that_are_refused(self, text, told, importer, tmp_path, capsys):
        path = tmp_path / "broken.csv"
        path.write_bytes(text)
        assert importer("--times", path) == 2
        error = capsys.readouterr().err
        assert f"{path}: " in error
        assert told in error
        assert error.rstrip().endswith(".")
        assert not importer.out.root.exists()

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("case,dsc\na,1\n", "it has no column 'nsd'"),
            ("case,dsc,nsd\na,1.37,0\n", "line 2: dsc is 1.37, not from 0 to 1. Mend the cell. The official evaluator"),
            ("case,dsc,nsd\na,0.5,-1\n", "line 2: nsd is -1, not from 0 to 1"),
            ("case,dsc,nsd\na,0.5,\n", "line 2: it has a dsc and no nsd"),
            ("case,dsc,nsd\na,high,0\n", "line 2: dsc is 'high', no number"),
            ("case,dsc,nsd,outcome\na,0,0,fine\n", "line 2: there is no outcome 'fine'. Outcomes: harness_fault, "),
            ("case,dsc,nsd\nz,0.5,0.5\n", "none of the 3 cases with a runtime"),
        ],
    )
    def test_scores_that_are_refused(self, text, told, importer, tmp_path, capsys):
        path = tmp_path / "broken.csv"
        path.write_text(text)
        assert importer("--times", official_times(tmp_path / "alpha_running_time.csv"), "--scores", path) == 2
        assert told in capsys.readouterr().err
        assert not importer.out.root.exists()

    def test_no_such_file(self, importer, tmp_path, capsys):
        assert importer("--times", tmp_path / "none.csv") == 2
        assert importer("--times", tmp_path) == 2
        error = capsys.readouterr().err
        assert "none.csv: no such file" in error
        assert "it cannot be read" in error

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--scores", "s.csv", "--preds", "p", "--gts", "g"], "leave --preds and --gts out"),
            (["--preds", "p"], "--preds and --gts go together"),
            (["--workers", "0"], "--workers 0: at least 1"),
        ],
    )
    def test_options_that_contradict(self, options, told, importer, capsys):
        assert importer("--times", "t.csv", *options) == 2
        assert told in capsys.readouterr().err

    @pytest.mark.parametrize("team", ["", "a/b", "nan", "NaN", "-a", "a b", "x" * 101])
    def test_names_that_no_team_has(self, team, importer, capsys):
        assert importer(f"--team={team}", "--times", "t.csv") == 2
        assert "no team name" in capsys.readouterr().err


class TestEndToEnd:
    @pytest.fixture
    def two_teams(self, importer):
        importer.official("alpha")
        importer.official("beta", {name: 2 * s for name, s in TIMES.items()}, dict.fromkeys(NAMES, (0.3, 0.2)))
        return importer.out

    def test_imported_runs_are_ranked_and_reported(self, two_teams):
        root = str(two_teams.root)
        assert run_command("rank", [root, "--out", root, "--bootstrap", "20"], prog="rank.py") == 0
        final = pd.read_csv(two_teams.ranking)
        assert list(final[final["scheme"] == "cvpr24"]["team"]) == ["alpha", "beta"]
        page = two_teams.report.read_text()
        assert "alpha_running_time.csv" in page
        assert PROTOCOL.title in page
        assert main(["report", "--out", root]) == 0
        table = json.loads(two_teams.ranking_json.read_text())["settings"]["tables"][0]
        assert table["time_limit_from"] == "manifest.json"

    def test_teams_with_further_metrics_beside_teams_without(self, two_teams, importer, folders, tmp_path):
        """What one team was not scored in says nothing about the references: no case is lost for it."""
        times = official_times(tmp_path / "gamma_running_time.csv")
        assert importer("--times", times, "--preds", folders[0], "--gts", folders[1], team="gamma") == 0
        root = str(two_teams.root)
        assert run_command("rank", [root, "--out", root, "--bootstrap", "10"]) == 0
        assert json.loads(two_teams.ranking_json.read_text())["dropped_cases"] == []
        assert two_teams.report.is_file()

    def test_late_teams_join_a_ranked_folder(self, two_teams, importer):
        root = str(two_teams.root)
        run_command("rank", [root, "--out", root, "--no-report", "--bootstrap", "0"])
        assert importer.official("gamma") == 0
        assert run_command("rank", [root, "--out", root, "--no-report", "--bootstrap", "0"]) == 0
        assert set(pd.read_csv(two_teams.ranking)["team"]) == {"alpha", "beta", "gamma"}

    def test_beside_a_run_of_ones_own(self, two_teams, tmp_path):
        run = real_run(tmp_path / "run", limit=60.0)
        both = OutDir(tmp_path / "both")
        assert run_command("rank", [*map(str, (run.root, two_teams.root)), "--out", str(both.root)]) == 0
        assert set(pd.read_csv(both.ranking)["team"]) == {"alpha", "beta", "own"}
        assert both.report.is_file()
        limits = [table["time_limit_s"] for table in json.loads(both.ranking_json.read_text())["settings"]["tables"]]
        assert limits == [60.0, 3600.0]

    def test_a_runs_own_official_files_give_its_results_again(self, importer, folders, tmp_path):
        """Out of the harness by the official formats, and in again: the same scores, times and outcomes."""
        run = real_run(tmp_path / "run", limit=PROTOCOL.limits.time_limit_s)
        preds, gts = folders
        (preds / f"{NAMES[1]}.npz").unlink()
        times = run.running_times("own")
        assert importer("--times", times, "--preds", preds, "--gts", gts, team="own") == 1
        columns = ["modality", "repeat", "dsc", "nsd", "runtime_s", "outcome", "wall_s"]
        theirs = read_results(run.results).set_index(["team", "case"])[columns].sort_index()
        pd.testing.assert_frame_equal(importer.table()[columns].sort_index(), theirs)


def real_run(root: Path, limit: float) -> OutDir:
    """A run's folder as the harness leaves it: perfect but for the second case, which has no output."""
    out = OutDir(root)
    root.mkdir()
    out.ledger.touch()
    out.manifest.write_text(json.dumps({"limits": {"time_limit_s": limit}}))
    attempts, scores = [], {}
    for number, name in enumerate(NAMES):
        phases = Phases(wall_s=1.0 + number / 3, run_s=0.5)
        outcome = Outcome.NO_OUTPUT if number == 1 else Outcome.OK
        attempts.append(attempt("own", name, outcome, task=PROTOCOL.task_of(name), phases=phases))
        if outcome is Outcome.OK:
            scores["own", name, 1] = Score({"dsc": 1.0, "nsd": 1.0}, Outcome.OK)
    collect(out, PROTOCOL, attempts, scores, {}, "wall_s", limit)
    return out
