"""Scores of a prediction, as the official evaluator computes them (docs/scoring.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.contract import Labels
from harness.protocol import Scoring
from harness.score.classes import ClassPairs, GapsError, class_pairs
from harness.score.dsc import dice
from harness.score.nsd import nsd_of_classes, transformed_nsd
from harness.score.surface import Spacing

#: From so many digits on a double is not rounded: they tell any two apart.
FULL_DIGITS = 17

#: How near a rounding boundary a value, in units of the last digit kept, has its sum made in the official
#: order.  Orders of summation differ by less than 1e-10 of that unit at four digits.
_TIE = 1e-7


@dataclass(frozen=True)
class ClassScores:
    """Scores of a case's classes, one entry each, and their means.

    Attributes:
        labels: (C,) int64, 1..the reference's highest label; none where that leaves gaps for certain.
        dsc: (C,) float64; NaN where a class is empty in both.
        nsd: (C,) float64; all NaN where the gate was closed.
        mean_dsc: NaN where a class is empty in both or there is no class.
        mean_nsd: 0.0 where the gate was closed.
    """

    labels: npt.NDArray[np.int64]
    dsc: npt.NDArray[np.float64]
    nsd: npt.NDArray[np.float64]
    mean_dsc: float
    mean_nsd: float


def score_prediction(prediction: Labels, reference: Labels, scoring: Scoring, volume: bool) -> dict[str, float]:
    """DSC and NSD of a prediction, not rounded.

    Args:
        prediction, reference: the same shape, (H, W), or (D, H, W) with the reference's spacing.
        scoring: tolerance and gate; its digits do not round here.
        volume: whether the case is 3D.

    Returns:
        ``dsc``: the mean over classes 1..max(reference), NaN where one is empty in both or none is there.
        ``nsd``: likewise, 0.0 where dsc does not exceed the gate.
    """
    scores = score_classes(prediction, reference, scoring, volume)
    return {"dsc": scores.mean_dsc, "nsd": scores.mean_nsd}


def rounded(value: float, digits: int) -> float:
    """A score as tables hold it: numpy's rounding to so many decimals, none from 17 on."""
    return value if digits >= FULL_DIGITS else float(np.round(value, digits))


def score_classes(prediction: Labels, reference: Labels, scoring: Scoring, volume: bool) -> ClassScores:
    """`score_prediction` with the scores of each class."""
    spacing = _spacing(reference, volume)
    if prediction.array.shape != reference.array.shape or reference.array.ndim != (3 if volume else 2):
        raise ValueError(f"shapes {prediction.array.shape} and {reference.array.shape} of a {2 + volume}D case")
    try:
        pairs = class_pairs(reference.array, prediction.array)
    except GapsError:
        none = np.empty(0)
        return ClassScores(none.astype(np.int64), none, none, math.nan, 0.0)
    dsc = dice(pairs.voxels)
    mean_dsc = _mean(dsc)
    nsd, mean_nsd = np.full(pairs.count, np.nan), 0.0
    if mean_dsc > scoring.gate_dsc:
        nsd, mean_nsd = _nsd(pairs, spacing, scoring)
    return ClassScores(np.arange(1, pairs.count + 1), dsc, nsd, mean_dsc, mean_nsd)


def _spacing(reference: Labels, volume: bool) -> Spacing:
    """Voxel size along array axes 0, 1, 2: as stored, whatever order that is; 1 mm for images."""
    if not volume:
        return (1.0, 1.0, 1.0)
    if reference.spacing_mm is None:
        raise ValueError("a 3D reference needs its spacing")
    s0, s1, s2 = (float(s) for s in reference.spacing_mm)
    return (s0, s1, s2)


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.mean(values)) if values.size else math.nan


def _nsd(pairs: ClassPairs, spacing: Spacing, scoring: Scoring) -> tuple[npt.NDArray[np.float64], float]:
    """NSD of every class and its mean, where no class is empty in both."""
    nsd = nsd_of_classes(pairs, spacing, scoring.tolerance_mm)
    mean = _mean(nsd)
    if _near_tie(mean, scoring.digits):
        # A last bit decides how this mean is rounded, and it depends on the order of summation.
        for label, gt, pred in pairs.masks():
            if 0 < nsd[label - 1] < 1:
                nsd[label - 1] = transformed_nsd(gt, pred, spacing, scoring.tolerance_mm)
        mean = _mean(nsd)
    return nsd, mean


def _near_tie(value: float, digits: int) -> bool:
    """Whether rounding to so many digits could go either way."""
    if math.isnan(value) or digits > 9:
        return False
    scaled = value * 10.0**digits
    return abs(scaled - math.floor(scaled) - 0.5) < _TIE
