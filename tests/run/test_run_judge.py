"""How an attempt ended: the rules of DESIGN section 2, the first that matches decides."""

from __future__ import annotations

import os

import numpy as np
import pytest

from harness import contract
from harness.npz import write_npz
from harness.records import Outcome
from harness.run.judge import judge
from tests.run.run_kit import SIDE, case, execution, labels

CASE = case()


@pytest.fixture
def good(tmp_path):
    path = tmp_path / f"{CASE.name}.npz"
    contract.write_prediction(path, labels(CASE.name))
    return path


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / f"{CASE.name}.npz"
    write_npz(path, {"segs": np.zeros((3, 3), np.uint8)})
    return path


def outcome(found, **more):
    return judge(found, CASE, **more).outcome


class TestOrder:
    """Each rule against all that come after it."""

    def test_a_valid_prediction_is_ok(self, good):
        verdict = judge(execution(good), CASE)
        assert (verdict.outcome, verdict.reason, verdict.prediction) == (Outcome.OK, "", good)

    def test_timeout_goes_before_everything(self, good):
        verdict = judge(execution(good, stopped="timeout", exit_code=137, oom_kills=1), CASE)
        assert (verdict.outcome, verdict.prediction) == (Outcome.TIMEOUT, None)
        assert "time limit" in verdict.reason

    def test_a_valid_prediction_goes_before_exit_code_and_kills(self, good):
        verdict = judge(execution(good, exit_code=137, oom_kills=2), CASE)
        assert (verdict.outcome, verdict.prediction) == (Outcome.OK, good)
        assert verdict.reason == "exit_code=137; oom_kills=2"

    def test_oom_goes_before_crash_invalid_and_none(self, bad):
        for file in (bad, None):
            assert outcome(execution(file, exit_code=1, oom_kills=1)) is Outcome.OOM
            assert outcome(execution(file, exit_code=0, oom_kills=1)) is Outcome.OOM

    def test_exit_137_alone_is_no_oom(self):
        verdict = judge(execution(exit_code=137), CASE)
        assert verdict.outcome is Outcome.CRASH
        assert "SIGKILL" in verdict.reason

    def test_crash_goes_before_invalid_and_none(self, bad):
        for file in (bad, None):
            assert outcome(execution(file, exit_code=1)) is Outcome.CRASH

    def test_invalid_and_none_with_exit_0(self, bad):
        verdict = judge(execution(bad), CASE)
        assert verdict.outcome is Outcome.INVALID_OUTPUT
        assert "segs has shape (3, 3)" in verdict.reason
        verdict = judge(execution(), CASE)
        assert verdict.outcome is Outcome.NO_OUTPUT
        assert verdict.reason == f"no {CASE.name}.npz in outputs"

    def test_a_disk_limit_spoils_even_a_valid_prediction(self, good):
        verdict = judge(execution(good, stopped="disk_limit", exit_code=137, oom_kills=1), CASE)
        assert (verdict.outcome, verdict.prediction) == (Outcome.INVALID_OUTPUT, None)
        assert verdict.reason.startswith("disk_limit")

    def test_only_ok_carries_a_prediction(self, bad):
        for found in (execution(bad), execution(), execution(bad, exit_code=1), execution(bad, oom_kills=1)):
            assert judge(found, CASE).prediction is None

    def test_unknown_kills_are_no_kills(self, good):
        assert judge(execution(good, oom_kills=None), CASE).reason == ""
        assert outcome(execution(oom_kills=None)) is Outcome.NO_OUTPUT


class TestStrictExit:
    def test_kills_and_exit_codes_decide(self, good):
        assert outcome(execution(good, oom_kills=1), strict_exit=True) is Outcome.OOM
        assert outcome(execution(good, exit_code=1), strict_exit=True) is Outcome.CRASH
        assert outcome(execution(good, exit_code=1, oom_kills=1), strict_exit=True) is Outcome.OOM
        assert outcome(execution(good, exit_code=1, stopped="timeout"), strict_exit=True) is Outcome.TIMEOUT

    def test_exit_0_stays_ok(self, good):
        assert outcome(execution(good), strict_exit=True) is Outcome.OK


class TestReasons:
    def test_a_crash_names_its_code_signal_and_last_words(self):
        log = "loading\nTraceback:\nValueError: no weights\n\n"
        assert judge(execution(exit_code=1, log=log), CASE).reason == "exit code 1; ValueError: no weights"
        assert judge(execution(exit_code=139), CASE).reason == "exit code 139 (SIGSEGV); it said nothing"
        assert judge(execution(exit_code=255), CASE).reason == "exit code 255; it said nothing"

    def test_oom_counts_kills(self):
        assert judge(execution(oom_kills=1), CASE).reason == "1 process killed for memory"
        assert judge(execution(oom_kills=3, exit_code=137), CASE).reason == (
            "3 processes killed for memory; exit code 137 (SIGKILL)"
        )

    def test_flags_of_an_ok_attempt(self, good):
        found = execution(
            good, exit_code=1, input_changes="changed", input_extra=True, extra=("efficiency.csv", "x"), oom_kills=1
        )
        assert judge(found, CASE).reason == (
            "exit_code=1; oom_kills=1; input changed; left files in inputs; other files in outputs: efficiency.csv, x"
        )

    def test_no_output_tells_what_is_there_instead(self):
        found = execution(extra=("2DBox_US_1.npz",))
        assert judge(found, CASE).reason == f"no {CASE.name}.npz in outputs; other files in outputs: 2DBox_US_1.npz"
        found = execution(unusable="it is a symbolic link")
        verdict = judge(found, CASE)
        assert verdict.outcome is Outcome.NO_OUTPUT
        assert verdict.reason == f"{CASE.name}.npz in outputs is not usable: it is a symbolic link"

    def test_float_labels_are_noted(self, tmp_path):
        path = tmp_path / "x.npz"
        write_npz(path, {"segs": labels(CASE.name).astype(np.float32)})
        verdict = judge(execution(path), CASE)
        assert (verdict.outcome, verdict.reason) == (Outcome.OK, "float labels (float32)")


class TestFiles:
    """Real files, real faults."""

    @pytest.mark.parametrize(
        "arrays",
        [
            {"segs": np.zeros((SIDE, SIDE, 1), np.uint8)},
            {"segs": np.zeros((1, SIDE), np.uint8)},
            {"segs": np.zeros((SIDE, SIDE), np.complex64)},
            {"segs": np.full((SIDE, SIDE), np.nan)},
            {"gts": np.zeros((SIDE, SIDE), np.uint8)},
        ],
        ids=["extra axis", "broadcastable", "complex", "nan", "wrong key"],
    )
    def test_not_acceptable(self, tmp_path, arrays):
        path = tmp_path / "x.npz"
        write_npz(path, arrays)
        assert outcome(execution(path)) is Outcome.INVALID_OUTPUT

    def test_pickled_truncated_and_empty(self, tmp_path, good):
        pickled = tmp_path / "pickled.npz"
        np.savez(pickled, segs=np.array([{}], dtype=object))
        cut = tmp_path / "cut.npz"
        cut.write_bytes(good.read_bytes()[:-30])
        empty = tmp_path / "empty.npz"
        empty.touch()
        for path in (pickled, cut, empty):
            verdict = judge(execution(path), CASE)
            assert (verdict.outcome, verdict.prediction) == (Outcome.INVALID_OUTPUT, None)

    def test_a_hard_link(self, good):
        verdict = judge(execution(good, links=2), CASE)
        assert verdict.outcome is Outcome.INVALID_OUTPUT
        assert "2 hard links" in verdict.reason

    def test_a_file_larger_than_any_prediction_is_not_read(self, tmp_path):
        path = tmp_path / "huge.npz"
        path.touch()
        os.truncate(path, 1 << 40)
        verdict = judge(execution(path), CASE)
        assert verdict.outcome is Outcome.INVALID_OUTPUT
        assert verdict.reason.startswith("disk_limit")

    def test_a_volume(self, tmp_path):
        volume = case("3DBox_CT_0001")
        path = tmp_path / "x.npz"
        contract.write_prediction(path, labels(volume.name))
        assert judge(execution(path), volume).outcome is Outcome.OK
