"""Dice similarity coefficient (DSC): twice the common voxels over the sum of both.

Source: Dice, "Measures of the amount of ecologic association between species", Ecology 26 (1945).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Overlap:
    """Voxel counts of one class.

    Attributes:
        gt, pred: voxels of the reference and of the prediction.
        both: voxels in common.
    """

    gt: int
    pred: int
    both: int


def overlap(gt: npt.NDArray[np.bool_], pred: npt.NDArray[np.bool_]) -> Overlap:
    """Count two masks of the same shape."""
    return Overlap(int(np.count_nonzero(gt)), int(np.count_nonzero(pred)), int(np.count_nonzero(gt & pred)))


def dice(counts: Overlap) -> float:
    """DSC of one class: 0 to 1, NaN where it is empty in both."""
    size = counts.gt + counts.pred
    return 2 * counts.both / size if size else float("nan")
