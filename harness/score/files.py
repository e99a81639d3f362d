"""Scoring files: a prediction nobody vouches for against the organizer's reference."""

from __future__ import annotations

import math
from pathlib import Path

from harness import contract
from harness.errors import HarnessFault, InputError, PredictionError
from harness.protocol import Scoring
from harness.records import Outcome, Score
from harness.score.evaluate import ClassScores, rounded, score_classes

#: Part of every score's key: raised whenever a score could change for the same files.
SCORER_VERSION = "1"


def scorer_key(scoring: Scoring) -> str:
    """What determines a score besides the two files: the scorer's version and the protocol's settings."""
    return f"{SCORER_VERSION};tolerance={scoring.tolerance_mm!r};gate={scoring.gate_dsc!r};digits={scoring.digits}"


def score_files(case: str, prediction_path: str | Path, reference_path: str | Path, scoring: Scoring) -> Score:
    """Score one prediction file against its reference file.

    Args:
        case: the case's name, which says whether it is 3D.
        prediction_path: a submission's file; trusted in nothing.
        reference_path: the organizer's file; its name must start with ``3D`` for a 3D case too.
        scoring: tolerance, gate and the digits that values are rounded to.

    Returns:
        outcome ok with dsc and nsd, and the prediction's oddities as the reason; else bad_reference,
        no_output, invalid_output, or harness_fault where the host cannot read a file, with the reason
        and NaN for dsc and nsd.
    """
    return score_files_by_class(case, prediction_path, reference_path, scoring)[0]


def score_files_by_class(
    case: str, prediction_path: str | Path, reference_path: str | Path, scoring: Scoring
) -> tuple[Score, ClassScores | None]:
    """`score_files` with the scores of each class, not rounded; None where the outcome is not ok."""
    try:
        reference = contract.read_reference(reference_path)
        volume = contract.is_volume(case)
        if reference.array.ndim != (3 if volume else 2):
            fault = f"its shape {reference.array.shape} is not that of a {2 + volume}D case"
            raise InputError(reference_path, fault, f"Name it {case}.npz.")
        if not Path(prediction_path).is_file():
            return _failed(Outcome.NO_OUTPUT, f"{prediction_path}: no such file"), None
        prediction = contract.read_prediction(prediction_path, reference.array.shape)
    except InputError as error:
        return _failed(Outcome.BAD_REFERENCE, str(error)), None
    except PredictionError as error:
        return _failed(Outcome.INVALID_OUTPUT, str(error)), None
    except HarnessFault as error:
        return _failed(Outcome.HARNESS_FAULT, str(error)), None
    classes = score_classes(prediction, reference, scoring, volume)
    values = {"dsc": rounded(classes.mean_dsc, scoring.digits), "nsd": rounded(classes.mean_nsd, scoring.digits)}
    return Score(values, Outcome.OK, "; ".join(prediction.notes)), classes


def _failed(outcome: Outcome, reason: str) -> Score:
    return Score({"dsc": math.nan, "nsd": math.nan}, outcome, reason)
