"""Scoring files: a prediction nobody vouches for against the organizer's reference."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from harness import contract
from harness.errors import HarnessFault, InputError, PredictionError
from harness.protocol import Scoring
from harness.records import Outcome, Score

if TYPE_CHECKING:
    from harness.score.evaluate import ClassScores

#: Part of every score's key: raised whenever a score could change for the same files.
SCORER_VERSION = "1"


def scorer_key(scoring: Scoring) -> str:
    """What determines a score besides the two files: the scorer's version and the protocol's settings."""
    key = f"{SCORER_VERSION};tolerance={scoring.tolerance_mm!r};gate={scoring.gate_dsc!r};digits={scoring.digits}"
    return f"{key};also={','.join(sorted(set(scoring.also)))}" if scoring.also else key


def score_files(case: str, prediction_path: str | Path, reference_path: str | Path, scoring: Scoring) -> Score:
    """Score one prediction file against its reference file.

    Args:
        case: the case's name, which says whether it is 3D.
        prediction_path: a submission's file; trusted in nothing.
        reference_path: the organizer's file; its name must start with ``3D`` for a 3D case too.
        scoring: tolerance, gate, further metrics and the digits that values are rounded to.

    Returns:
        outcome ok with dsc, nsd and the further metrics, and the prediction's oddities as the reason; else
        bad_reference, no_output, invalid_output, or harness_fault where the host cannot read a file, with the
        reason and NaN for every metric.
    """
    return score_files_by_class(case, prediction_path, reference_path, scoring)[0]


def score_files_by_class(
    case: str, prediction_path: str | Path, reference_path: str | Path, scoring: Scoring
) -> tuple[Score, ClassScores | None]:
    """`score_files` with the scores of each class, not rounded; None where the outcome is not ok."""
    from harness.score.evaluate import rounded, score_classes  # compiled code: slow to load
    from harness.score.further import further_scores

    nothing = dict.fromkeys(("dsc", "nsd", *scoring.also), math.nan)
    try:
        reference = contract.read_reference(reference_path)
        volume = contract.is_volume(case)
        if reference.array.ndim != (3 if volume else 2):
            fault = f"its shape {reference.array.shape} is not that of a {2 + volume}D case"
            raise InputError(reference_path, fault, f"Name it {case}.npz.")
        if not Path(prediction_path).is_file():
            return Score(nothing, Outcome.NO_OUTPUT, f"{prediction_path}: no such file"), None
        prediction = contract.read_prediction(prediction_path, reference.array.shape)
    except InputError as error:
        return Score(nothing, Outcome.BAD_REFERENCE, str(error)), None
    except PredictionError as error:
        return Score(nothing, Outcome.INVALID_OUTPUT, str(error)), None
    except HarnessFault as error:
        return Score(nothing, Outcome.HARNESS_FAULT, str(error)), None
    classes = score_classes(prediction, reference, scoring, volume)
    values = {"dsc": classes.mean_dsc, "nsd": classes.mean_nsd}
    values |= further_scores(prediction, reference, scoring, volume, classes)
    values = {name: rounded(value, scoring.digits) for name, value in values.items()}
    return Score(values, Outcome.OK, "; ".join(prediction.notes)), classes
