"""NSD of images by their contours: the share of two contours that lies near the other one.

A contour element sits at a corner where four pixels meet.  Which of the four belong to the mask is its code,
a number from 0 to 15; all but 0 (none) and 15 (all) carry contour, whose length is that of the line which
marching squares would draw there.  The official figure takes an image for a volume one voxel thick instead, so
that every pixel carries surface on its front and back, and the whole of a mask counts, not its outline.

Source: Nikolov et al., arXiv:1809.04430, in two dimensions as the package surface-distance-based-measures has it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.compiled import compiled
from harness.score.classes import ClassPairs, class_pairs

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

#: Length in pixels of each code's contour, (16,): one or three pixels cut a corner, two side by side draw a
#: straight line, two across from one another cut two corners.
LENGTHS = np.full(16, math.sqrt(0.5))
LENGTHS[[3, 5, 10, 12]] = 1.0
LENGTHS[[6, 9]] = math.sqrt(2)
LENGTHS[[0, 15]] = 0.0
LENGTHS.setflags(write=False)


def contour_nsd(gt: Mask, pred: Mask, tolerance_px: float) -> float:
    """Contour NSD of one class from its masks, (H, W); else as `contour_nsd_of_classes`."""
    if not gt.any():
        return 0.0 if pred.any() else math.nan
    return float(contour_nsd_of_classes(class_pairs(gt, pred), tolerance_px)[0])


def contour_nsd_of_classes(pairs: ClassPairs, tolerance_px: float) -> Floats:
    """Contour NSD of each class of an image; what lies outside the image is background.

    Args:
        pairs: of images.
        tolerance_px: in pixels, at least 0.

    Returns:
        (C,) 0 to 1; 0.0 where one map lacks the class, NaN where both do.
    """
    nsd = np.where(pairs.empty, math.nan, 0.0)
    present = np.flatnonzero((pairs.voxels[:, :2] > 0).all(axis=1))
    total, near = np.zeros((2, len(present), 16), dtype=np.int64)
    rows_and_columns = np.ascontiguousarray(pairs.corners[present][:, [0, 1, 4, 5]])
    maps = pairs.reference, pairs.prediction
    _count_elements(*maps, pairs.codes[present], rows_and_columns, _offsets(tolerance_px), total, near)
    nsd[present] = (near @ LENGTHS) / (total @ LENGTHS)
    return nsd


def corner_codes(mask: npt.NDArray[Any]) -> Bytes:
    """Which pixels or voxels around each corner of a mask's own belong to it.

    Args:
        mask: (H, W) or (D, H, W).

    Returns:
        one longer on every axis.  The last pixel around a corner has bit 1, the one before it along the last
        axis 2, before that along the next axis 4, and so on, as the peer package numbers them.
    """
    codes = np.zeros([n + 1 for n in mask.shape], dtype=np.uint8)
    codes[tuple(slice(0, -1) for _ in mask.shape)] = mask
    for axis in reversed(range(mask.ndim)):
        # The number of pixels seen so far: their bits move up to make room for as many before them.
        bits = 1 << (mask.ndim - 1 - axis)
        higher = np.left_shift(codes[(slice(None),) * axis + (slice(0, -1),)], bits)
        codes[(slice(None),) * axis + (slice(1, None),)] |= higher
    return codes


@lru_cache(maxsize=8)
def _offsets(tolerance_px: float) -> Integers:
    """Steps on the grid no longer than the tolerance, (n, 2), the shortest first."""
    reach = int(tolerance_px)
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    squared = (steps**2).sum(axis=1)
    order = np.argsort(squared, kind="stable")
    return np.ascontiguousarray(steps[order][squared[order] <= tolerance_px**2])


@compiled
def _count_elements(
    reference: Array,
    prediction: Array,
    labels: Integers,
    boxes: npt.NDArray[np.int32],
    offsets: Integers,
    total: Integers,
    near: Integers,
) -> None:
    """Count both contours' elements by code, (n, 16): all of them, and those with one of the other at any offset.

    Args:
        labels: (n, 2) each class's labels in the reference and in the prediction.
        boxes: (n, 4) its first and last + 1 row and column.
        total, near: zeros, to be filled.
    """
    for n in range(len(labels)):
        top, left = boxes[n, 0], boxes[n, 2]
        height, width = boxes[n, 1] - top, boxes[n, 3] - left
        # Rows of whole words: most words hold the code 0 or 15 alone, and are passed over at once. They are
        # signed, since numba compares unsigned ones with a number as floats.
        codes = np.zeros((2, height + 1, (width + 8) // 8 * 8), dtype=np.uint8)
        _fill_codes(reference, labels[n, 0], top, left, height, width, codes[0])
        _fill_codes(prediction, labels[n, 1], top, left, height, width, codes[1])
        for side in range(2):
            other = codes[1 - side]
            for i in range(height + 1):
                words = codes[side, i].view(np.int64)
                for word in range(len(words)):
                    if words[word] == 0 or words[word] == 0x0F0F0F0F0F0F0F0F:
                        continue
                    for j in range(8 * word, 8 * word + 8):
                        code = codes[side, i, j]
                        if code != 0 and code != 15:
                            total[n, code] += 1
                            near[n, code] += _has_near(other, i, j, offsets)


@compiled
def _fill_codes(labels: Array, label: int, top: int, left: int, height: int, width: int, codes: Bytes) -> None:
    """`corner_codes` of one label's mask in a box."""
    above, here = np.zeros(width + 2, dtype=np.uint8), np.zeros(width + 2, dtype=np.uint8)
    for i in range(height + 1):
        if i < height:
            for j in range(width):
                here[j + 1] = labels[top + i, left + j] == label
        else:
            here[:] = 0
        for j in range(width + 1):
            codes[i, j] = above[j] << 3 | above[j + 1] << 2 | here[j] << 1 | here[j + 1]
        above, here = here, above


@compiled
def _has_near(codes: Bytes, i: int, j: int, offsets: Integers) -> bool:
    """Whether an element lies at any of the offsets from a corner."""
    for k in range(len(offsets)):
        y, x = i + offsets[k, 0], j + offsets[k, 1]
        if 0 <= y < codes.shape[0] and 0 <= x < codes.shape[1] and codes[y, x] != 0 and codes[y, x] != 15:
            return True
    return False
