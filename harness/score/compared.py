"""A prediction beside its reference, as the further metrics see them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.contract import Labels
from harness.protocol import Scoring
from harness.score.classes import ClassPairs, class_pairs, highest_label
from harness.score.contour import contour_nsd_of_classes
from harness.score.evaluate import ClassScores, score_classes
from harness.score.nsd import nsd_of_classes
from harness.score.surface import Spacing

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_CHUNK = 1 << 22


class ComparedCase:
    """What several metrics need of a case, each found out when first asked for.

    The classes that occur, up to the reference's highest, are in one order everywhere.

    Attributes:
        scoring: tolerance and gate.
        volume: whether the case is 3D.
        spacing_mm: voxel size along axes 0, 1, 2 as officially, in the order stored; 1 for an image.
        dsc: (C,) of the classes up to the reference's highest that occur in either.
        empty: how many of the classes up to the reference's highest are empty in both.
    """

    def __init__(
        self, prediction: Labels, reference: Labels, scoring: Scoring, volume: bool, classes: ClassScores
    ) -> None:
        """Arguments as `further.further_scores`."""
        count = highest_label(reference.array)
        if len(classes.labels) < count:  # too many for a list of all; those that occur can be scored
            prediction, reference = renumbered(prediction, reference)
            classes = score_classes(prediction, reference, replace(scoring, gate_dsc=math.inf), volume)
        self.scoring, self.volume = scoring, volume
        self.spacing_mm: Spacing = (1.0, 1.0, 1.0)
        if volume and reference.spacing_mm is not None:
            s0, s1, s2 = (float(s) for s in reference.spacing_mm)
            self.spacing_mm = (s0, s1, s2)
        occurs = ~np.isnan(classes.dsc)
        self.dsc: Floats = classes.dsc[occurs]
        self.empty = count - len(self.dsc)
        self._reference, self._prediction = reference.array, prediction.array
        self._official = classes.nsd[occurs]

    @property
    def turned_mm(self) -> Spacing:
        """The spacing in the array's order."""
        return self.spacing_mm[::-1]

    @cached_property
    def pairs(self) -> ClassPairs:
        """Both masks of each class that occurs."""
        return class_pairs(self._reference, self._prediction)

    @cached_property
    def extra(self) -> int:
        """How many labels of the prediction lie above the reference's highest."""
        labels, highest = self._prediction.reshape(-1), highest_label(self._reference)
        if not labels.size or labels.max() <= highest:
            return 0
        pieces = (labels[start : start + _CHUNK] for start in range(0, labels.size, _CHUNK))
        found = np.unique(np.concatenate([np.unique(piece[piece > highest]) for piece in pieces]))
        return int(np.count_nonzero(np.floor(found) == found)) if found.dtype.kind == "f" else len(found)

    @cached_property
    def official_nsd(self) -> Floats:
        """NSD of the same classes as `dsc`, as officially, whatever the gate."""
        return self._spaced_nsd(self.spacing_mm) if np.isnan(self._official).any() else self._official

    @cached_property
    def turned_nsd(self) -> Floats:
        """The same with the spacing in the array's order."""
        return self.official_nsd if self.turned_mm == self.spacing_mm else self._spaced_nsd(self.turned_mm)

    @cached_property
    def contour_nsd(self) -> Floats:
        """The same by contours; of an image only."""
        return contour_nsd_of_classes(self.pairs, self.scoring.tolerance_mm)[~self.pairs.empty]

    def _spaced_nsd(self, spacing_mm: Spacing) -> Floats:
        return nsd_of_classes(self.pairs, spacing_mm, self.scoring.tolerance_mm)[~self.pairs.empty]


def renumbered(prediction: Labels, reference: Labels) -> tuple[Labels, Labels]:
    """The labels above 0 that occur in either as 1, 2, ... in their order; all else as 0."""
    sides = [np.unique(side.array, return_inverse=True) for side in (prediction, reference)]
    values = [labels.tolist() for labels, _ in sides]  # Python's numbers, which compare across dtypes
    classes = sorted({v for labels in values for v in labels if v > 0 and v == int(v)})
    number = {value: place for place, value in enumerate(classes, start=1)}
    theirs, ours = (
        np.array([number.get(value, 0) for value in labels], dtype=np.int64)[places].reshape(side.array.shape)
        for labels, (_, places), side in zip(values, sides, (prediction, reference), strict=True)
    )
    return replace(prediction, array=theirs), replace(reference, array=ours)
