"""Which pixels a box prompt covers, and painting objects into one label map.

In the published data a coordinate is the *index* of an object's first or last pixel, moved outwards in
x and y by up to five pixels and clipped to the image's size; z_min and z_max are the first and last
slice that hold the object.  So a box covers both its ends on every axis, an end at or beyond the
image's size means the last index, and z_min = z_max is one slice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Region = tuple[slice, ...]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


def region_of(box: Array, shape: tuple[int, ...]) -> Region:
    """The pixels of a box as slices in array order, at least one pixel on every axis.

    Args:
        box: (4,) or (6,), minima then maxima in x, y(, z) order; floats go to the nearest index.
        shape: (H, W) or (D, H, W).
    """
    axes = len(shape)
    last_index = np.array(shape) - 1
    ends = np.floor(np.asarray(box, dtype=np.float64).reshape(2, axes)[:, ::-1] + 0.5)
    first, last = np.clip(ends, 0, last_index).astype(int)
    return tuple(slice(int(a), max(int(a), int(b)) + 1) for a, b in zip(first, last, strict=True))


def paint(boxes: Array, shape: tuple[int, ...], mask_of: Callable[[Region], Mask | bool]) -> Array:
    """A label map with object i in box i, later objects over earlier ones.

    Args:
        boxes: (N, 4) or (N, 6).
        shape: (H, W) or (D, H, W).
        mask_of: the object within a box's region, an array of the region's shape (or True for all).
    """
    labels = np.zeros(shape, dtype=np.min_scalar_type(len(boxes)))
    for number, box in enumerate(boxes, start=1):
        region = region_of(box, shape)
        labels[region][mask_of(region)] = number
    return labels
