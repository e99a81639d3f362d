"""DSC and NSD with defects of the official definitions corrected, all together or each by itself.

===============  ====================================================================================
``penalised``    a label of the prediction above the reference's highest is a class that scores 0
``skip``         a class empty in both is left out; undefined where none is left
``one``          a class empty in both counts 1; undefined where the reference has no class
``contour``      NSD of images by their contours (`harness.score.contour`)
``array_order``  NSD of volumes with the spacing, stored as (x, y, z), in the array's order (z, y, x)
``corrected``    penalised, skip, contour and array_order; 1 where neither side has a class
===============  ====================================================================================

All else is as officially.  The gate stays too: a variant's NSD is 0 where the DSC under the same rules does
not exceed it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.score.compared import ComparedCase, Floats


@dataclass(frozen=True)
class Rules:
    """What a variant does otherwise than the official evaluator.

    Attributes:
        penalised: labels above the reference's are classes that score 0.
        empty: what becomes of a class empty in both.
        contour: images are compared by their contours.
        array_order: a volume's spacing is put in the array's order.
        nothing: the score where there is no class to score.
    """

    penalised: bool = False
    empty: Literal["undefined", "skip", "one"] = "undefined"
    contour: bool = False
    array_order: bool = False
    nothing: float = math.nan


CORRECTED = Rules(penalised=True, empty="skip", contour=True, array_order=True, nothing=1.0)
VARIANTS = {
    "corrected": CORRECTED,
    "penalised": Rules(penalised=True),
    "skip": Rules(empty="skip"),
    "one": Rules(empty="one"),
    "contour": Rules(contour=True),
    "array_order": Rules(array_order=True),
}


def dsc_variant(case: ComparedCase, rules: Rules) -> float:
    """Mean DSC under the rules, NaN where it is undefined."""
    return mean_score(case, case.dsc, rules)


def nsd_variant(case: ComparedCase, rules: Rules) -> float:
    """Mean NSD under the rules; 0 where the gate is closed, NaN where its DSC is undefined but by official rules."""
    dsc = dsc_variant(case, rules)
    if math.isnan(dsc) and rules.empty != "undefined":
        return math.nan
    return mean_score(case, _class_nsd(case, rules), rules) if dsc > case.scoring.gate_dsc else 0.0


def mean_iou(case: ComparedCase) -> float:
    """Mean intersection over union (Jaccard index) of the classes of `CORRECTED`.

    Source: Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11 (1912).
    """
    return mean_score(case, case.dsc / (2 - case.dsc), CORRECTED)


def mean_score(case: ComparedCase, values: Floats, rules: Rules) -> float:
    """Mean over all classes that the rules count, of which `values` has those in `ComparedCase.dsc`."""
    if case.empty and rules.empty == "undefined":
        return math.nan
    ones = case.empty if rules.empty == "one" else 0
    classes = len(values) + ones + (case.extra if rules.penalised else 0)
    return float(np.sum(values) + ones) / classes if classes else rules.nothing


def _class_nsd(case: ComparedCase, rules: Rules) -> Floats:
    if rules.contour and not case.volume:
        return case.contour_nsd
    return case.turned_nsd if rules.array_order else case.official_nsd
