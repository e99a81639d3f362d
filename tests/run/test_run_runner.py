"""The main job with an engine that runs nothing: order, resuming, faults, what is kept."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.cases import load_cases
from harness.errors import EngineError, HarnessFault, InputError
from harness.layout import OutDir
from harness.ledger import open_ledger
from harness.npz import write_npz
from harness.protocol import load_protocol
from harness.records import Outcome
from harness.run import host
from harness.run.plan import make_plan
from harness.run.runner import missing_attempts, run_attempts
from tests.run.run_kit import FakeEngine, Silent, execution, labels, right_answer, settings, submission, write_case

NAMES = [f"2DBox_US_{number:04}" for number in range(4)]


class World:
    """An output folder, cases, teams, and an engine: `run` makes what is missing."""

    def __init__(self, place: Path) -> None:
        self.cases_dir = place / "cases"
        self.cases_dir.mkdir()
        for name in NAMES:
            write_case(self.cases_dir, name)
        self.out = OutDir(place / "out")
        self.out.root.mkdir()
        (place / "engine").mkdir()
        self.engine = FakeEngine(place / "engine")
        self.teams = [submission("alpha"), submission("beta")]
        self.settings = settings()
        self.listener = Silent()

    def run(self) -> int:
        self.listener = Silent()
        with open_ledger(self.out.ledger) as ledger:
            cases = load_cases(self.cases_dir, self.settings.protocol, ledger)
            for team in self.teams:
                ledger.register_submission(team)
            ledger.register_cases(cases)
            ledger.set_meta("settings", self.settings.digest())
            return run_attempts(self.out, ledger, self.settings, self.teams, cases, self.engine.open, self.listener)

    def attempts(self):
        with open_ledger(self.out.ledger) as ledger:
            return ledger.attempts()

    def did(self) -> list[tuple[str, str]]:
        """What the engine was asked for, and forgets it."""
        done = [(job.team, job.case_name) for job in self.engine.jobs]
        self.engine.jobs.clear()
        return done


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestWhole:
    def test_every_attempt_is_made_in_the_plans_order_and_recorded(self, world):
        assert world.run() == 8
        plan = make_plan(["alpha", "beta"], NAMES, 1, "interleaved", 0)
        assert world.did() == [(item.team, item.case) for item in plan]
        assert world.listener.begun == plan
        assert world.listener.sizes == (8, 8)
        assert world.engine.finished == 8
        found = world.attempts()
        assert len(found) == 8
        assert {a.outcome for a in found} == {Outcome.OK}

    def test_a_job_says_all_that_the_engine_needs(self, world):
        world.run()
        job = world.engine.jobs[0]
        assert job.image_id == f"sha256:{job.team}"
        assert job.command == ("/bin/bash", "-c", "sh predict.sh")
        assert (job.inputs, job.outputs) == ("/workspace/inputs", "/workspace/outputs")
        assert job.limits == world.settings.limits
        assert job.case_file == (world.cases_dir / f"{job.case_name}.npz").resolve()
        assert len({made.name for made in world.engine.jobs}) == 8

    def test_an_attempts_record(self, world):
        world.run()
        attempt = world.attempts()[0]
        prediction = world.out.prediction("alpha", NAMES[0])
        assert attempt.prediction_digest == hashlib.sha256(prediction.read_bytes()).hexdigest()
        assert attempt.input_digest == hashlib.sha256((world.cases_dir / f"{NAMES[0]}.npz").read_bytes()).hexdigest()
        assert attempt.task == "US"
        assert attempt.host["noisy"] in (True, False, None)
        assert attempt.started.endswith("+00:00")

    def test_predictions_are_kept_byte_for_byte_and_logs_too(self, world):
        world.engine.behaviour = lambda job, folder: (right_answer(job, folder)[0], {"log": f"hello {job.case_name}\n"})
        world.run()
        for name in NAMES:
            kept = world.out.prediction("beta", name)
            assert kept.read_bytes() == (world.engine.folder / f"{name}.npz").read_bytes()
            assert world.out.log("beta", name).read_text() == f"hello {name}\n"

    def test_repeats_have_files_of_their_own(self, world):
        world.settings = settings(repeats=2)
        assert world.run() == 16
        for repeat, suffix in ((1, ""), (2, ".2")):
            assert world.out.prediction("alpha", NAMES[0], repeat).name == f"{NAMES[0]}{suffix}.npz"
            assert world.out.prediction("alpha", NAMES[0], repeat).is_file()
            assert world.out.log("alpha", NAMES[0], repeat).is_file()

    def test_a_team_that_fails_costs_no_other(self, world):
        def behave(job, folder):
            return (None, {"exit_code": 1, "log": "no weights"}) if job.team == "beta" else right_answer(job, folder)

        world.engine.behaviour = behave
        world.run()
        outcomes = {(a.team, a.outcome) for a in world.attempts()}
        assert outcomes == {("alpha", Outcome.OK), ("beta", Outcome.CRASH)}
        assert not world.out.prediction("beta", NAMES[0]).exists()


class TestResuming:
    def test_nothing_is_run_twice_and_no_engine_is_opened_for_nothing(self, world):
        world.run()
        world.did()
        assert world.run() == 0
        assert world.did() == []
        assert world.engine.opened == 1
        assert world.listener.sizes == (8, 0)

    def test_a_noisy_attempt_is_made_again_as_often_as_allowed(self, world, monkeypatch):
        """The last one counts; a quiet host makes no attempt twice."""
        verdicts = iter([True, True, False] + [True] * 3 + [False] * 100)
        monkeypatch.setattr(host, "certificate", lambda *_: {"noisy": next(verdicts)})
        world.settings = replace(world.settings, retry_noisy=2)
        assert world.run() == 8
        assert [job.name for job in world.engine.jobs[:7]] == ["a0-0", "a0-1", "a0-2", "a1-0", "a1-1", "a1-2", "a2-0"]
        assert len(world.engine.jobs) == 12
        readings = [attempt.host for attempt in world.attempts()]
        assert sorted(reading["retries"] for reading in readings) == [0] * 6 + [2, 2]
        assert sum(reading["noisy"] for reading in readings) == 1

    def test_an_interrupt_keeps_what_is_done(self, world):
        def behave(job, folder):
            if len(world.engine.jobs) == 4:
                raise KeyboardInterrupt
            return right_answer(job, folder)

        world.engine.behaviour = behave
        with pytest.raises(KeyboardInterrupt):
            world.run()
        assert len(world.attempts()) == 3
        first = world.did()
        world.engine.behaviour = right_answer
        assert world.run() == 5
        assert first[:3] + world.did() == [
            (item.team, item.case) for item in make_plan(["alpha", "beta"], NAMES, 1, "interleaved", 0)
        ]

    def test_a_later_submission_runs_alone(self, world):
        world.run()
        world.did()
        world.teams.append(submission("gamma"))
        assert world.run() == 4
        assert {team for team, _ in world.did()} == {"gamma"}
        world.teams = [submission("delta")]  # earlier ones need not be named again
        assert world.run() == 4
        assert len(world.attempts()) == 16

    def test_a_changed_image_runs_anew_and_the_old_prediction_goes(self, world):
        world.run()
        world.did()
        world.teams[0] = submission("alpha", identity="mended")
        world.engine.behaviour = lambda job, folder: (None, {})
        assert world.run() == 4
        assert {team for team, _ in world.did()} == {"alpha"}
        assert {(a.team, a.outcome) for a in world.attempts()} == {("alpha", Outcome.NO_OUTPUT), ("beta", Outcome.OK)}
        assert not world.out.prediction("alpha", NAMES[0]).exists()
        assert world.out.prediction("beta", NAMES[0]).exists()

    def test_a_changed_case_runs_anew(self, world):
        world.run()
        world.did()
        write_case(world.cases_dir, NAMES[1], boxes=np.array([[1, 1, 3, 3]]))
        assert world.run() == 2
        assert {name for _, name in world.did()} == {NAMES[1]}

    def test_changed_limits_run_anew(self, world):
        world.run()
        world.settings = settings(limits=load_protocol().limits)
        assert world.run() == 8

    @pytest.mark.parametrize("more", [{"seed": 5}, {"order": "team"}, {"repeats": 1}])
    def test_order_seed_and_repeats_change_no_result(self, world, more):
        world.run()
        world.settings = settings(**more)
        assert world.run() == 0

    def test_another_host_runs_anew(self, world, monkeypatch):
        world.run()
        monkeypatch.setattr(host, "host_class", lambda: "another")
        assert world.run() == 8
        assert len(world.attempts()) == 8


class TestFaults:
    """What the harness or its host failed is nobody's outcome."""

    def test_a_single_fault_is_recorded_and_tried_again(self, world):
        def behave(job, folder):
            if len(world.engine.jobs) == 2:
                raise EngineError("the daemon went away")
            return right_answer(job, folder)

        world.engine.behaviour = behave
        assert world.run() == 8
        faulty = [a for a in world.attempts() if a.outcome is Outcome.HARNESS_FAULT]
        assert [a.reason for a in faulty] == ["the daemon went away"]
        assert faulty[0].exit_code is None
        world.did()
        world.engine.behaviour = right_answer
        assert world.run() == 1
        assert world.did() == [(faulty[0].team, faulty[0].case)]
        assert {a.outcome for a in world.attempts()} == {Outcome.OK}

    def test_three_in_a_row_stop_the_run(self, world):
        def behave(job, folder):
            raise EngineError("no space left")

        world.engine.behaviour = behave
        with pytest.raises(HarnessFault, match=r"3 attempts in a row.*no space left.*same command again") as caught:
            world.run()
        assert caught.value.exit_code == 3
        assert len(world.did()) == 3

    def test_three_that_are_not_in_a_row_do_not(self, world):
        def behave(job, folder):
            if len(world.engine.jobs) % 3:
                raise OSError("a hiccup")
            return right_answer(job, folder)

        world.engine.behaviour = behave
        assert world.run() == 8

    def test_a_case_file_changed_during_the_run_is_a_fault(self, world):
        def behave(job, folder):
            return right_answer(job, folder)[0], {"input_digest": "0" * 64}

        world.engine.behaviour = behave
        with pytest.raises(HarnessFault, match=r"2DBox_US_000\d\.npz changed since the run began"):
            world.run()
        assert not world.out.prediction("alpha", NAMES[0]).exists()

    def test_a_prediction_that_cannot_be_kept_is_a_fault(self, world):
        (world.out.root / "predictions").write_text("in the way")
        with pytest.raises(HarnessFault, match="cannot be kept"):
            world.run()
        assert world.engine.finished == 3

    def test_a_host_that_cannot_read_the_prediction_is_nobodys_failure(self, world, monkeypatch):
        def judge(*args):
            raise HarnessFault("too little free memory to read it")

        monkeypatch.setattr("harness.run.runner.judge", judge)
        with pytest.raises(HarnessFault, match="3 attempts in a row"):
            world.run()
        assert [a.outcome for a in world.attempts()] == [Outcome.HARNESS_FAULT] * 3

    def test_a_fault_leaves_no_prediction_of_an_earlier_image(self, world):
        world.run()
        world.teams[0] = submission("alpha", identity="mended")

        def behave(job, folder):
            raise EngineError("the daemon went away")

        world.engine.behaviour = behave
        with pytest.raises(HarnessFault):
            world.run()
        faulty = {a.case for a in world.attempts() if a.outcome is Outcome.HARNESS_FAULT}
        assert len(faulty) == 3
        for name in faulty:
            assert not world.out.prediction("alpha", name).exists()

    def test_a_log_in_any_language_is_kept_under_any_locale(self, world, monkeypatch):
        real = Path.write_text

        def ascii_by_default(path, text, encoding=None, **named):
            return real(path, text, encoding or "ascii", **named)

        monkeypatch.setattr(Path, "write_text", ascii_by_default)
        world.engine.behaviour = lambda job, folder: (right_answer(job, folder)[0], {"log": "医\n"})
        assert world.run() == 8


class TestHiddenKeys:
    """Published training files hold the reference beside the image."""

    def test_a_submission_gets_a_file_without_them(self, world):
        write_case(world.cases_dir, NAMES[0], gts=labels(NAMES[0]))
        seen = {}

        def behave(job, folder):
            with np.load(job.case_file) as case:
                seen[job.case_name] = set(case.files)
            return right_answer(job, folder)

        world.engine.behaviour = behave
        world.run()
        assert set(seen) == set(NAMES)
        assert all(keys == {"imgs", "boxes"} for keys in seen.values())
        assert {a.outcome for a in world.attempts()} == {Outcome.OK}
        assert not (world.out.root / ".cases").exists()

    def test_copies_of_a_killed_run_are_never_answers(self, world, monkeypatch):
        write_case(world.cases_dir, NAMES[0], gts=labels(NAMES[0]))
        monkeypatch.setattr("harness.run.runner.shutil.rmtree", lambda *args, **named: None)  # as if killed
        world.run()
        write_case(world.cases_dir, NAMES[0], gts=labels(NAMES[0]), boxes=np.array([[1, 1, 3, 3]]))
        seen = []

        def behave(job, folder):
            with np.load(job.case_file) as case:
                seen.append(case["boxes"].tolist())
            return right_answer(job, folder)

        world.engine.behaviour = behave
        assert world.run() == 2
        assert seen == [[[1, 1, 3, 3]]] * 2

    def test_a_case_broken_meanwhile_stops_with_its_name(self, world):
        path = write_case(world.cases_dir, NAMES[0], gts=labels(NAMES[0]))

        def behave(job, folder):
            path.write_text("hello")
            return right_answer(job, folder)

        world.engine.behaviour = behave
        world.settings = settings(order="team")
        world.run()  # the copy was made before
        world.teams = [submission("gamma")]
        with pytest.raises(InputError, match=NAMES[0]):
            world.run()


def test_missing_attempts_counts_the_plan(world):
    world.run()
    with open_ledger(world.out.ledger) as ledger:
        cases = ledger.cases()
        teams = [*world.teams, submission("gamma")]
        missing, total = missing_attempts(ledger, world.settings, teams, cases)
    assert total == 12
    assert {item.team for item, _ in missing} == {"gamma"}


def test_the_fake_engine_is_what_the_runner_expects():
    assert execution().exit_code == 0


def test_an_invalid_prediction_is_not_kept(world):
    def behave(job, folder):
        path = folder / "bad.npz"
        write_npz(path, {"segs": np.zeros((3, 3), np.uint8)})
        return path, {}

    world.engine.behaviour = behave
    world.run()
    assert {a.outcome for a in world.attempts()} == {Outcome.INVALID_OUTPUT}
    assert not list((world.out.root).glob("predictions/*/*"))
