"""Dice similarity coefficient (DSC): twice the common voxels over the sum of both.

Source: Dice, "Measures of the amount of ecologic association between species", Ecology 26 (1945).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def dice(voxels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """DSC of classes: 0 to 1, NaN where one is empty in both label maps.

    Args:
        voxels: (C, 3) voxels of each class in the reference, in the prediction, and in both.
    """
    size = voxels[:, 0] + voxels[:, 1]
    dsc = np.full(len(voxels), np.nan)
    np.divide(2 * voxels[:, 2], size, out=dsc, where=size > 0)
    return dsc
