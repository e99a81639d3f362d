"""The classes of a pair of label maps, each cut to the box that holds it in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class ClassPairs:
    """Classes 1..count of a reference and a prediction.

    Attributes:
        reference, prediction: label maps of the same shape, integers.
        count: the reference's highest label; 0 where it has none.
        codes: the number that stands for class i in `prediction` is ``codes[i - 1]``.
        boxes: box of class i, ``boxes[i - 1]``; None where it is empty in both.
    """

    reference: Array
    prediction: Array
    count: int
    codes: npt.NDArray[np.int64]
    boxes: list[Box | None]

    def masks(self) -> Iterator[tuple[int, Mask, Mask]]:
        """Label and both masks, cut to the box, of each class that is not empty in both."""
        for index, box in enumerate(self.boxes):
            if box is not None:
                yield index + 1, self.reference[box] == index + 1, self.prediction[box] == int(self.codes[index])


def highest_label(reference: Array) -> int:
    """The reference's highest whole label, 0 where none is above 0."""
    return max(0, int(np.floor(reference.max()))) if reference.size else 0


def must_leave_gaps(count: int, reference: Array) -> bool:
    """Whether there are more classes than reference and prediction together have voxels.

    Then some class is empty in both, whatever the prediction.
    """
    return count > 2 * reference.size


def class_pairs(reference: Array, prediction: Array) -> ClassPairs:
    """Find the classes of two label maps and their boxes, in one pass over each.

    Args:
        reference, prediction: the same shape; bool, integer or finite float.  A label counts for class
            i when numpy holds it equal to i.

    Raises:
        ValueError: classes past all reason (see `must_leave_gaps`).
    """
    from scipy import ndimage  # slow to import

    count = highest_label(reference)
    if must_leave_gaps(count, reference):
        raise ValueError(f"{count} classes in {reference.size} voxels")
    codes = _codes(prediction.dtype, count)
    reference = _whole(reference, count)
    prediction = _whole(prediction, int(codes.max(initial=0)))
    if not count:
        return ClassPairs(reference, prediction, 0, codes, [])
    ours = ndimage.find_objects(reference, count)
    theirs = ndimage.find_objects(prediction, max(1, int(codes.max())))
    boxes = [_union(ours[i], theirs[code - 1] if code else None) for i, code in enumerate(codes)]
    return ClassPairs(reference, prediction, count, codes, boxes)


def _codes(dtype: np.dtype[Any], count: int) -> npt.NDArray[np.int64]:
    """Which whole number of a prediction of this dtype numpy holds equal to class 1, 2, ... count; 0 for none.

    That is the class itself, but for floats too short to hold it: 2049 as float16 is 2048.
    """
    codes = np.arange(1, count + 1, dtype=np.int64)
    if dtype.kind != "f":
        return codes
    with np.errstate(over="ignore"):
        rounded = codes.astype(dtype)
    finite = np.isfinite(rounded)
    codes[~finite] = 0
    codes[finite] = rounded[finite].astype(np.int64)
    return codes


def _whole(labels: Array, highest: int) -> Array:
    """Label map as integers: fractions and labels outside 1..highest become background where they must."""
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.dtype.kind != "f":
        return labels
    whole = np.zeros(labels.shape, dtype=np.min_scalar_type(highest))
    source, target = np.ravel(labels), whole.reshape(-1)
    for start in range(0, source.size, _CHUNK):
        piece = source[start : start + _CHUNK]
        keep = (piece >= 1) & (piece <= highest) & (np.floor(piece) == piece)
        target[start : start + _CHUNK][keep] = piece[keep].astype(whole.dtype)
    return whole


def _union(a: Box | None, b: Box | None) -> Box | None:
    if a is None or b is None:
        return a or b
    return tuple(slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
