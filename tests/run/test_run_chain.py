"""From attempts to the results table: scores kept, policy applied, broken references charged to nobody."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import chain, contract
from harness.cases import load_cases
from harness.chain import Summary, collect, find_references, score_attempts
from harness.collect import result_rows
from harness.errors import UsageError
from harness.layout import OutDir
from harness.ledger import open_ledger
from harness.npz import write_npz
from harness.records import Outcome, Phases, Resources, Score
from harness.results import COLUMNS, read_results
from tests.run.run_kit import attempt, make_cases, settings, submission

NAMES = ["2DBox_US_0001", "2DBox_US_0002", "3DBox_CT_0001"]
PROTOCOL = settings().protocol


class World:
    """Two teams' accepted predictions on three cases, as a run leaves them."""

    def __init__(self, place: Path) -> None:
        self.imgs, self.gts = make_cases(place, NAMES)
        self.out = OutDir(place / "out")
        self.out.root.mkdir()
        self.attempts = []
        for team in ("alpha", "beta"):
            for name in NAMES:
                with np.load(self.gts / f"{name}.npz") as reference:
                    segs = reference["gts"].copy()
                if team == "beta":
                    segs[segs == 2] = 0
                path = self.out.prediction(team, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                contract.write_prediction(path, segs)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                self.attempts.append(
                    attempt(team, name, task=PROTOCOL.task_of(name), prediction_digest=digest, reason="")
                )
        self.told: list[tuple[int, int]] = []

    def score(self):
        self.told.clear()
        with open_ledger(self.out.ledger) as ledger:
            ledger.register_cases(load_cases(self.imgs, PROTOCOL, ledger))
            return score_attempts(
                self.out, ledger, PROTOCOL, self.attempts, self.gts, 1, lambda *sizes: self.told.append(sizes)
            )

    def collect(self, limit: float = 60.0, runtime: str = "wall_s") -> Summary:
        scores, bad = self.score()
        return collect(self.out, PROTOCOL, self.attempts, scores, bad, runtime, limit)

    def table(self) -> pd.DataFrame:
        return read_results(self.out.results).set_index(["team", "case"])


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestScoring:
    def test_the_right_answer_and_half_of_it(self, world):
        scores, bad = world.score()
        assert bad == {}
        for name in NAMES:
            names = ("dsc", "nsd", "dsc_corrected", "nsd_corrected")
            assert scores["alpha", name, 1].values == dict.fromkeys(names, 1.0)
            assert scores["beta", name, 1].values["dsc"] == 0.5
        assert world.told == [(0, 6), *((n, 6) for n in range(1, 7))]

    def test_nothing_is_scored_twice(self, world, monkeypatch):
        counted = []
        real = chain.score_many

        def counting(jobs, *rest):
            jobs = list(jobs)
            counted.append(len(jobs))
            return real(jobs, *rest)

        monkeypatch.setattr(chain, "score_many", counting)
        first, _ = world.score()
        second, _ = world.score()
        assert counted == [6, 0]
        assert first == second
        assert world.told == [(0, 0)]

    def test_a_changed_reference_is_scored_anew_and_only_that(self, world):
        world.score()
        write_npz(world.gts / f"{NAMES[0]}.npz", {"gts": np.ones((24, 24), np.uint8)})
        scores, _ = world.score()
        assert world.told[0] == (0, 2)
        assert scores["alpha", NAMES[0], 1].values["dsc"] < 1

    def test_the_same_prediction_under_other_scoring_is_scored_anew(self, world, monkeypatch):
        world.score()
        monkeypatch.setattr(chain, "scorer_key", lambda scoring: "another")
        world.score()
        assert world.told[0] == (0, 6)

    def test_a_fault_in_scoring_is_not_kept(self, world, monkeypatch):
        from harness.score import batch

        def broken(*args):
            raise RuntimeError("no")

        with monkeypatch.context() as patch:
            patch.setattr(batch, "score_files_by_class", broken)
            scores, _ = world.score()
            assert {score.outcome for score in scores.values()} == {Outcome.HARNESS_FAULT}
        scores, _ = world.score()
        assert world.told[0] == (0, 6)
        assert {score.outcome for score in scores.values()} == {Outcome.OK}

    @pytest.mark.parametrize("how", ["changed", "removed", "replaced"])
    def test_a_prediction_tampered_with_is_an_error(self, world, how):
        path = world.out.prediction("alpha", NAMES[0])
        if how == "changed":
            contract.write_prediction(path, np.zeros((24, 24), np.uint8))
        elif how == "replaced":
            path.write_bytes(world.out.prediction("beta", NAMES[0]).read_bytes())
        else:
            path.unlink()
        with pytest.raises(UsageError, match=rf"{path}: it is not the file that alpha left on {NAMES[0]}"):
            world.score()

    def test_failed_attempts_are_not_scored(self, world):
        world.attempts = [attempt("alpha", NAMES[0], Outcome.CRASH)]
        assert world.score() == ({}, {})


class TestReferences:
    def test_missing_ones_are_named_before_anything_is_run(self, world):
        cases = load_cases(world.imgs, PROTOCOL)
        assert set(find_references(world.gts, cases)) == set(NAMES)
        (world.gts / f"{NAMES[1]}.npz").unlink()
        with pytest.raises(UsageError, match=rf"1 of 3 cases have no reference there \({NAMES[1]}\)"):
            find_references(world.gts, cases)
        with pytest.raises(UsageError, match="no such folder of references"):
            find_references(world.gts / "gone", cases)

    @pytest.mark.parametrize(
        ("arrays", "reason"),
        [
            (None, "not an npz file"),
            ({"labels": np.zeros((24, 24), np.uint8)}, "'gts' is missing"),
            ({"gts": np.zeros((24, 23), np.uint8)}, "gts has shape (24, 23), the image asks for (24, 24)"),
            ({"gts": np.zeros((24, 24, 1), np.uint8)}, "not one of 2 axes"),
            ({"gts": np.zeros((24, 24), np.complex64)}, "dtype complex64"),
        ],
    )
    def test_a_broken_one_charges_nobody_and_is_told(self, world, arrays, reason):
        """Its case has a row without values for every team, one that failed there too; exit code 2."""
        path = world.gts / f"{NAMES[0]}.npz"
        if arrays is None:
            path.write_text("hello")
        else:
            write_npz(path, arrays)
        world.attempts.append(attempt("gamma", NAMES[0], Outcome.CRASH, reason="exit code 1"))
        summary = world.collect()
        assert list(summary.bad_references) == [NAMES[0]]
        assert reason in summary.bad_references[NAMES[0]]
        assert summary.exit_code() == 2
        table = world.table()
        for team in ("alpha", "beta", "gamma"):
            row = table.loc[team, NAMES[0]]
            assert row["outcome"] == "bad_reference"
            assert reason in row["reason"]
            assert row[["dsc", "nsd", "runtime_s", "dsc_corrected", "nsd_corrected"]].isna().all()
        assert table.loc["alpha", NAMES[1]]["dsc"] == 1.0

    def test_once_mended_it_is_scored(self, world):
        path = world.gts / f"{NAMES[0]}.npz"
        good = path.read_bytes()
        path.write_text("hello")
        assert world.collect().exit_code() == 2
        path.write_bytes(good)
        assert world.collect().exit_code() == 0
        assert world.table()["dsc"].notna().all()


class TestTable:
    def test_columns_and_values(self, world):
        assert world.collect() == Summary(6, 0, 0, {})
        table = pd.read_csv(world.out.results)
        assert list(table.columns) == [*COLUMNS, "dsc_corrected", "nsd_corrected"]
        row = world.table().loc["alpha", NAMES[2]]
        assert (row["modality"], row["repeat"], row["dsc"], row["nsd"], row["runtime_s"]) == ("CT", 1, 1.0, 1.0, 1.5)
        assert (row["outcome"], row["exit_code"], row["wall_s"], row["run_s"]) == ("ok", 0, 1.5, 1.0)
        assert (row["cpu_s"], row["peak_bytes"], row["oom_kills"]) == (0.5, 1 << 20, 0)
        assert pd.isna(row["peak_anon_bytes"])

    def test_the_other_runtime(self, world):
        world.collect(runtime="run_s")
        assert set(world.table()["runtime_s"]) == {1.0}

    @pytest.mark.parametrize("outcome", ["timeout", "oom", "crash", "invalid_output", "no_output"])
    def test_the_policy_for_failures(self, world, outcome):
        world.attempts[0] = attempt("alpha", NAMES[0], Outcome(outcome), reason="why")
        summary = world.collect(limit=77.0)
        assert (summary.failed, summary.exit_code()) == (1, 1)
        row = world.table().loc["alpha", NAMES[0]]
        assert (row["dsc"], row["nsd"], row["runtime_s"]) == (0.0, 0.0, 77.0)
        assert (row["dsc_corrected"], row["nsd_corrected"]) == (0.0, 0.0)
        assert (row["outcome"], row["reason"], row["wall_s"]) == (outcome, "why", 1.5)

    def test_a_fault_gets_no_value_and_goes_before_all_in_the_exit_code(self, world):
        world.attempts[0] = attempt(
            "alpha", NAMES[0], Outcome.HARNESS_FAULT, phases=Phases(), resources=Resources(), exit_code=None
        )
        world.attempts[1] = attempt("alpha", NAMES[1], Outcome.CRASH)
        (world.gts / f"{NAMES[2]}.npz").write_text("hello")
        summary = world.collect()
        assert (summary.faults, summary.failed, summary.exit_code()) == (1, 1, 3)
        assert world.table().loc["alpha", NAMES[0]][["dsc", "nsd", "runtime_s"]].isna().all()

    def test_what_scoring_found_wrong_decides(self):
        found = result_rows(
            [attempt("a", NAMES[0])],
            {("a", NAMES[0], 1): Score({"dsc": math.nan, "nsd": math.nan}, Outcome.INVALID_OUTPUT, "shape")},
            PROTOCOL,
            "wall_s",
            60.0,
        )
        assert (found[0]["outcome"], found[0]["reason"], found[0]["dsc"]) == ("invalid_output", "shape", 0.0)

    def test_flags_of_an_ok_attempt_stay(self):
        scores = {("a", NAMES[0], 1): Score({"dsc": 1.0, "nsd": 1.0}, Outcome.OK, "")}
        found = result_rows([attempt("a", NAMES[0], reason="exit_code=1")], scores, PROTOCOL, "wall_s", 60.0)
        assert found[0]["reason"] == "exit_code=1"

    def test_runtimes_in_the_official_format(self, world):
        world.attempts += [attempt("alpha", NAMES[0], Outcome.CRASH, repeat=2)]
        world.collect()
        lines = world.out.running_times("alpha").read_text().splitlines()
        assert lines == ["CaseName,RunningTime", *(f"{name}.npz,1.5" for name in NAMES)]
        assert world.out.running_times("alpha").name == "alpha_running_time.csv"


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(3, 0, 0, {}), 0),
        (Summary(3, 1, 0, {}), 1),
        (Summary(3, 1, 0, {"x": "broken"}), 2),
        (Summary(3, 1, 1, {"x": "broken"}), 3),
    ],
)
def test_exit_codes(summary, code):
    assert summary.exit_code() == code


def test_teams_need_no_ledger_entry_to_be_scored(world):
    with open_ledger(world.out.ledger) as ledger:
        ledger.register_submission(submission())
    assert world.collect().attempts == 6
