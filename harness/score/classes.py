"""The classes of a pair of label maps: how many voxels each has, and the box that holds it in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]
Extents = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, ...]

#: Entries of an empty class's box.
NO_BOX = -1
#: Labels are converted in pieces of about so many, so that temporary arrays stay in the cache.
_PIECE = 1 << 18
#: Planes are taken together in slabs where labels times planes exceed this.
_MAX_EXTENTS = 1 << 22
#: So many of an image's planes, which are single rows, always are.
_ROWS_OF_SLAB = 16
#: What the compiled loops take, smallest first.
_WORKING_DTYPES: tuple[np.dtype[np.unsignedinteger[Any]], ...] = tuple(map(np.dtype, ("u1", "u2", "u4")))


class GapsError(ValueError):
    """A reference whose highest label leaves some class empty, whatever the prediction."""


@dataclass(frozen=True)
class ClassPairs:
    """Classes 1..count of a reference and a prediction.

    Attributes:
        reference, prediction: label maps of the same shape and dtype (uint8, uint16 or uint32), C-contiguous.
            What cannot be a class may have become background.
        count: the reference's highest label; 0 where it has none.
        codes: (count, 2) labels that stand for each class in the reference and in the prediction; 0 where
            none can.
        voxels: (count, 3) voxels of each class in the reference, in the prediction, and in both.
        corners: (count, 6) int32, first and last + 1 along axes 0, 1 and 2 of the voxels of each class in either
            map; -1 where it is empty in both.  An image's rows are planes of one row here: axis 1 is of length 1.
        thickness: planes of a slab, the last of which may be thinner.
        extents: (count, slabs, 4) int32, the corners along axes 1 and 2 in each slab, all 0 where the class is
            empty in both there.
    """

    reference: Array
    prediction: Array
    count: int
    codes: Integers
    voxels: Integers
    corners: Extents
    thickness: int
    extents: Extents

    @property
    def empty(self) -> Mask:
        """(count,) which classes are empty in both maps."""
        empty: Mask = self.corners[:, 0] < 0
        return empty

    def box(self, label: int) -> Box | None:
        """The box of a class in either map; None where it is empty in both."""
        c = self.corners[label - 1].tolist()
        if c[0] < 0:
            return None
        sides = slice(c[0], c[1]), slice(c[2], c[3]), slice(c[4], c[5])
        return sides if self.reference.ndim == 3 else (sides[0], sides[2])

    def masks(self) -> Iterator[tuple[int, Mask, Mask]]:
        """Label and both masks, cut to the box, of each class that is not empty in both."""
        for label in range(1, self.count + 1):
            box = self.box(label)
            if box is not None:
                ours, theirs = self.codes[label - 1].tolist()
                yield label, self.reference[box] == (ours or -1), self.prediction[box] == (theirs or -1)


def highest_label(reference: Array) -> int:
    """The reference's highest whole label, 0 where none is above 0."""
    return max(0, int(np.floor(reference.max()))) if reference.size else 0


def must_leave_gaps(count: int, reference: Array) -> bool:
    """Whether there are more classes than reference and prediction together have voxels.

    Then some class is empty in both, whatever the prediction.
    """
    return count > 2 * reference.size


def class_pairs(reference: Array, prediction: Array) -> ClassPairs:
    """Find the classes of two label maps, their voxels and their boxes, in one pass over both.

    Args:
        reference, prediction: the same shape, (H, W) or (D, H, W); bool, integer or finite float.  A label
            counts for class i when numpy holds it equal to i.

    Raises:
        GapsError: classes past all reason (see `must_leave_gaps`).
    """
    from harness.score.kernels import count_labels  # loads numba

    # Counting tells the highest label too; where labels are small that saves a pass over the map.
    small = reference.dtype == np.uint8 and reference.size > 0xFF
    bound = 0xFF if small else highest_label(reference)
    if must_leave_gaps(bound, reference):
        raise GapsError(f"{bound} classes in {reference.size} voxels")
    codes = np.column_stack((_codes(reference.dtype, bound), _codes(prediction.dtype, bound)))
    highest = int(codes.max(initial=0))
    reference, prediction = _working(reference, prediction, highest)
    counts = np.zeros((3, highest + 1), dtype=np.int64)
    boxes = np.full((highest + 1, 6), NO_BOX, dtype=np.int32)
    thickness = 1 + (highest + 1) * len(reference) // _MAX_EXTENTS
    if reference.ndim == 2:
        thickness = max(thickness, _ROWS_OF_SLAB)
    extents = np.zeros((highest + 1, -(-len(reference) // thickness), 4), dtype=np.int32)
    if bound:
        maps = label_bytes(reference), label_bytes(prediction)
        count_labels(*maps, *strides(reference), highest, thickness, counts, boxes, extents)
    if highest > bound or (codes != np.arange(1, bound + 1)[:, None]).any():
        return _with_unlike_codes(reference, prediction, codes, counts, boxes, thickness)
    count = int(np.flatnonzero(counts[0]).max(initial=0))
    found = slice(1, count + 1)
    return ClassPairs(
        reference, prediction, count, codes[:count], counts[:, found].T, boxes[found], thickness, extents[found]
    )


def strides(labels: Array) -> tuple[int, int, int]:
    """Bytes of a label, rows of a plane, and voxels of a row, as the compiled loops take a label map."""
    return labels.itemsize, labels.shape[1] if labels.ndim == 3 else 1, labels.shape[-1]


def label_bytes(labels: Array) -> npt.NDArray[np.uint8]:
    """The bytes of a C-contiguous label map, read-only, as the compiled loops take it."""
    flat = labels.reshape(-1).view(np.uint8)
    flat.flags.writeable = False
    return flat


def _codes(dtype: np.dtype[Any], count: int) -> Integers:
    """Which whole number of a label map of this dtype numpy holds equal to class 1, 2, ... count; 0 for none.

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


def _with_unlike_codes(
    reference: Array, prediction: Array, codes: Integers, counts: Integers, boxes: Extents, thickness: int
) -> ClassPairs:
    """The classes where labels do not all stand for themselves: those of floats too short for them."""
    counts[:, 0] = 0
    voxels = np.column_stack((counts[0][codes[:, 0]], counts[1][codes[:, 1]], counts[2][codes[:, 0]]))
    corners = np.full((len(codes), 6), NO_BOX, dtype=np.int32)
    extents = np.zeros((len(codes), -(-len(reference) // thickness), 4), dtype=np.int32)
    pairs = ClassPairs(reference, prediction, len(codes), codes, voxels, corners, thickness, extents)
    for index, both in enumerate(codes):
        found = boxes[both[boxes[both, 0] >= 0]]
        if len(found):
            corners[index, ::2], corners[index, 1::2] = found[:, ::2].min(axis=0), found[:, 1::2].max(axis=0)
            extents[index, corners[index, 0] // thickness : (corners[index, 1] - 1) // thickness + 1] = corners[
                index, 2:
            ]
        if len(found) and both[0] != both[1]:
            box = pairs.box(index + 1)
            ours, theirs = both.tolist()
            common = (reference[box] == (ours or -1)) & (prediction[box] == (theirs or -1))
            voxels[index, 2] = np.count_nonzero(common)
    return pairs


def _working(reference: Array, prediction: Array, highest: int) -> tuple[Array, Array]:
    """Both label maps as the compiled loops take them: C-contiguous and of one dtype, not copied if they are."""
    ours, theirs = (a.view(np.uint8) if a.dtype.kind == "b" else a for a in (reference, prediction))
    if ours.dtype == theirs.dtype and ours.dtype in _WORKING_DTYPES:
        return np.ascontiguousarray(ours), np.ascontiguousarray(theirs)
    wide_enough = next(dtype for dtype in _WORKING_DTYPES if highest <= np.iinfo(dtype).max)
    return _whole(ours, highest, wide_enough), _whole(theirs, highest, wide_enough)


def _whole(labels: Array, highest: int, dtype: np.dtype[Any]) -> Array:
    """A C-contiguous label map of a dtype; fractions, and labels outside 1..highest that it can't hold, become 0."""
    if labels.dtype == dtype:
        return np.ascontiguousarray(labels)
    whole = np.empty(labels.shape, dtype=dtype)
    planes = max(1, _PIECE * len(labels) // max(1, labels.size))
    for start in range(0, len(labels), planes):
        piece = labels[start : start + planes]
        if labels.dtype.kind in "iu" and piece.max() <= np.iinfo(dtype).max and piece.min() >= 0:
            whole[start : start + planes] = piece
            continue
        keep = (piece >= 1) & (piece <= highest)
        if labels.dtype.kind == "f":
            keep &= np.floor(piece) == piece
        np.copyto(whole[start : start + planes], np.where(keep, piece, 0), casting="unsafe")
    return whole
