"""Scoring files: whose fault a broken one is, batches that survive killed workers, and the failure policy."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import HarnessFault
from harness.protocol import load_protocol
from harness.records import FAILURES, Outcome
from harness.score import batch, files
from harness.score.batch import Job, Scored, pooled, score_many
from harness.score.evaluate import score_prediction
from harness.score.files import score_files, scorer_key
from harness.score.policy import apply_policy


@pytest.fixture
def score(folders, official):
    preds, gts = folders
    return lambda case, scoring=official: score_files(case, preds / f"{case}.npz", gts / f"{case}.npz", scoring)


@pytest.mark.parametrize("case", ["2DBox_US_0001", "3DBox_CT_0001"])
def test_values_are_rounded_as_the_protocol_says(case, write_case, score, official, folders):
    from harness.contract import read_prediction, read_reference

    write_case(case)
    found = score(case)
    reference = read_reference(folders[1] / f"{case}.npz")
    prediction = read_prediction(folders[0] / f"{case}.npz", reference.array.shape)
    exact = score_prediction(prediction, reference, official, volume=case.startswith("3D"))
    assert found.outcome is Outcome.OK
    assert found.values == {name: round(value, 4) for name, value in exact.items()}
    assert score(case, replace(official, digits=17)).values == exact
    assert exact != found.values


def test_official_spacing_order_is_the_stored_one(write_case, score):
    gt = np.zeros((12, 12, 12), dtype=np.uint8)
    gt[3:9, 3:9, 3:9] = 1
    shifted = np.roll(gt, 2, axis=0)
    write_case("3DBox_CT_0001", shifted, gts=gt, spacing=np.array([0.5, 1.0, 5.0]))
    write_case("3DBox_CT_0002", shifted, gts=gt, spacing=np.array([5.0, 1.0, 0.5]))
    assert score("3DBox_CT_0001").values["nsd"] == 1.0
    assert score("3DBox_CT_0002").values["nsd"] < 1.0


def test_float_predictions_are_scored_and_noted(write_case, score):
    write_case("2DBox_US_0001", np.full((24, 24), 1.0, dtype=np.float32))
    assert score("2DBox_US_0001").reason == "float labels (float32)"


GOOD = np.zeros((24, 24), dtype=np.uint8)
BAD_PREDICTIONS = {
    "another shape": np.zeros((24, 25), dtype=np.uint8),
    "a shape that broadcasts": np.ones((1, 24), dtype=np.uint8),
    "complex": GOOD.astype(np.complex64),
    "text": GOOD.astype("U1"),
    "structured": np.zeros((24, 24), dtype=[("a", "u1")]),
    "NaN": np.full((24, 24), np.nan),
    "infinity": np.full((24, 24), np.inf, dtype=np.float16),
    "pickled": GOOD.astype(object),
}


@pytest.mark.parametrize("kind", BAD_PREDICTIONS)
def test_unacceptable_predictions_are_invalid_output(kind, write_case, score, folders):
    write_case("2DBox_US_0001", BAD_PREDICTIONS[kind])
    found = score("2DBox_US_0001")
    assert found.outcome is Outcome.INVALID_OUTPUT
    assert str(folders[0]) in found.reason
    assert all(math.isnan(value) for value in found.values.values())


def test_damaged_and_missing_predictions(write_case, score, folders):
    write_case("2DBox_US_0001", None)
    assert score("2DBox_US_0001").outcome is Outcome.NO_OUTPUT
    path = folders[0] / "2DBox_US_0001.npz"
    path.mkdir()
    assert score("2DBox_US_0001").outcome is Outcome.NO_OUTPUT
    path.rmdir()
    path.write_bytes(b"PK nothing")
    assert score("2DBox_US_0001").outcome is Outcome.INVALID_OUTPUT
    np.savez(path, wrong_key=GOOD)
    found = score("2DBox_US_0001")
    assert found.outcome is Outcome.INVALID_OUTPUT
    assert "segs" in found.reason


@pytest.mark.parametrize(
    ("case", "arrays"),
    [
        ("2DBox_US_0001", {"wrong_key": GOOD}),
        ("2DBox_US_0001", {"gts": GOOD[None]}),
        ("3DBox_CT_0001", {"gts": GOOD[None]}),
        ("3DBox_CT_0001", {"gts": GOOD[None], "spacing": np.array([1.0, 0.0, 1.0])}),
        ("2DBox_US_0001", {"gts": GOOD.astype(object)}),
    ],
)
def test_broken_references_charge_nobody(case, arrays, write_case, score, folders):
    write_case(case, None, **arrays)
    found = score(case)
    assert found.outcome is Outcome.BAD_REFERENCE
    assert str(folders[1]) in found.reason


def test_missing_reference_and_one_of_another_dimension(write_case, folders, official):
    preds, gts = folders
    assert score_files("2DBox_US_0009", preds / "x.npz", gts / "x.npz", official).outcome is Outcome.BAD_REFERENCE
    write_case("2DBox_US_0001")
    found = score_files("3DBox_CT_0001", preds / "x.npz", gts / "2DBox_US_0001.npz", official)
    assert found.outcome is Outcome.BAD_REFERENCE


def test_a_host_that_cannot_read_charges_nobody(write_case, score, monkeypatch):
    def fail(*_):
        raise HarnessFault("no memory")

    write_case("2DBox_US_0001")
    monkeypatch.setattr(files.contract, "read_prediction", fail)
    assert score("2DBox_US_0001").outcome is Outcome.HARNESS_FAULT


def test_key_names_everything_that_moves_a_score(official):
    others = [replace(official, tolerance_mm=1.0), replace(official, gate_dsc=0.0), replace(official, digits=5)]
    others += [replace(official, also=("pq",)), replace(official, also=("pq", "f1"))]
    assert len({scorer_key(scoring) for scoring in [official, *others]}) == 6
    assert scorer_key(others[-1]) == scorer_key(replace(official, also=("f1", "pq", "f1")))
    assert files.SCORER_VERSION in scorer_key(official)


def test_further_metrics_beside_the_official_ones(write_case, score, official):
    write_case("3DBox_CT_0001")
    found = score("3DBox_CT_0001", replace(official, also=("nsd_corrected", "hd95_mm")))
    assert list(found.values) == ["dsc", "nsd", "nsd_corrected", "hd95_mm"]
    assert {name: found.values[name] for name in ("dsc", "nsd")} == score("3DBox_CT_0001").values
    assert all(value == round(value, 4) for value in found.values.values())
    write_case("2DBox_US_0001", None)
    failed = score("2DBox_US_0001", replace(official, also=("pq",)))
    assert list(failed.values) == ["dsc", "nsd", "pq"]
    assert all(math.isnan(value) for value in failed.values.values())


# ------------------------------------------------------------------ batches


@pytest.fixture
def jobs(write_case, folders):
    """Eight cases, the fourth prediction broken, the sixth reference broken."""
    preds, gts = folders
    names = [f"2DBox_US_{i:04d}" for i in range(8)]
    for name in names:
        write_case(name)
    (preds / f"{names[3]}.npz").write_bytes(b"broken")
    (gts / f"{names[5]}.npz").write_bytes(b"broken")
    return [Job(name, preds / f"{name}.npz", gts / f"{name}.npz") for name in names]


def outcomes(results):
    return {scored.job.case: scored.score.outcome for scored in results}


def test_workers_give_what_one_process_gives(jobs, official):
    alone = list(score_many(jobs, official))
    together = list(score_many(jobs, official, workers=2))
    assert len(together) == len(jobs)
    values = {scored.job.case: repr(scored.score) for scored in alone}
    assert {scored.job.case: repr(scored.score) for scored in together} == values
    expected = dict.fromkeys((job.case for job in jobs), Outcome.OK)
    expected[jobs[3].case] = Outcome.INVALID_OUTPUT
    expected[jobs[5].case] = Outcome.BAD_REFERENCE
    assert outcomes(alone) == expected


def killed_on_two(job, scoring):
    if job.case.endswith("0002"):
        os.kill(os.getpid(), signal.SIGKILL)
    return batch.score_job(job, scoring)


def test_a_killed_worker_costs_only_what_killed_it(jobs, official):
    """A case so large that the kernel kills its worker: every other row is there, each once."""
    results = list(pooled(jobs, official, 2, killed_on_two))
    assert len(results) == len(jobs)
    found = outcomes(results)
    assert [case for case, outcome in found.items() if outcome is Outcome.HARNESS_FAULT] == [jobs[2].case]
    assert sum(outcome is Outcome.OK for outcome in found.values()) == 5


def test_an_unforeseen_error_is_a_fault_of_that_row(jobs, official, monkeypatch):
    def fail(*_):
        raise RuntimeError("never seen before")

    monkeypatch.setattr(batch, "score_files_by_class", fail)
    found = batch.score_job(jobs[0], official)
    assert isinstance(found, Scored)
    assert found.score.outcome is Outcome.HARNESS_FAULT
    assert "never seen before" in found.score.reason


# ------------------------------------------------------------------ failure policy


ROW = {"team": "a", "case": "c", "dsc": 0.9, "nsd": math.nan, "runtime_s": 7.0, "wall_s": 7.0}


@pytest.mark.parametrize("outcome", sorted(FAILURES))
def test_failures_get_the_protocols_values(outcome):
    filled = apply_policy(ROW | {"outcome": outcome.value}, load_protocol(), time_limit_s=60.0)
    assert (filled["dsc"], filled["nsd"], filled["runtime_s"], filled["wall_s"]) == (0.0, 0.0, 60.0, 7.0)


@pytest.mark.parametrize("outcome", [Outcome.HARNESS_FAULT, Outcome.BAD_REFERENCE])
def test_rows_that_nobody_is_charged_for_get_no_values(outcome):
    filled = apply_policy(ROW | {"outcome": outcome}, load_protocol(), time_limit_s=60.0)
    assert all(math.isnan(filled[name]) for name in ("dsc", "nsd", "runtime_s"))
    assert filled["wall_s"] == 7.0


def test_ok_rows_are_left_alone():
    row = ROW | {"outcome": "ok"}
    assert repr(apply_policy(row, load_protocol(), 60.0)) == repr(row)
    assert repr(row) == repr(ROW | {"outcome": "ok"})


def test_a_distance_that_is_not_there_has_no_failure_value():
    filled = apply_policy(ROW | {"outcome": "crash", "hd95_mm": 3.0}, load_protocol(), 60.0)
    assert math.isnan(filled["hd95_mm"])
    assert filled["nsd_corrected"] == 0.0


def test_an_unknown_outcome_is_an_error():
    with pytest.raises(ValueError, match="fine"):
        apply_policy(ROW | {"outcome": "fine"}, load_protocol(), 60.0)
