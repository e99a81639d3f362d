"""From images and boxes to what the networks take in, and from their logits back to masks.

The published algorithms agree in the frame: the image is resized so that its longer side is S, scaled to
[0, 1] by its own minimum and maximum, and then filled up with zeros to the right and below.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

AREA, LINEAR = cv2.INTER_AREA, cv2.INTER_LINEAR
#: How far a slice's box reaches beyond the previous slice's mask, in pixels of the square.
MARGIN = 3


class Placed(NamedTuple):
    """A mask by the rectangle that holds all of it.

    Attributes:
        top: row of the rectangle's upper edge.
        left: column of its left edge.
        mask: (h, w), True somewhere in it.
    """

    top: int
    left: int
    mask: Mask

    @property
    def region(self) -> tuple[slice, slice]:
        """The rectangle as an index."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


# --------------------------------------------------------------------------- images


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the longer one has become `side`; at least one pixel."""
    scale = side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def fitted(image: Array, side: int, interpolation: int = AREA) -> Array:
    """An image or mask (H, W[, 3]), uint8 or uint16, resized so that its longer side is `side`."""
    height, width = fitted_size(*image.shape[:2], side)
    return cv2.resize(image, (width, height), interpolation=interpolation)


def network_input(image: Array, side: int, interpolation: int = AREA) -> FloatArray:
    """(H, W, 3), or a grey slice (H, W), uint8 -> (1, 3, side, side) in [0, 1]."""
    small = fitted(image, side, interpolation)
    low, high = int(small.min()), int(small.max())
    # In double precision, as the published code; rounded once at the end.
    unit = ((small - np.uint8(low)) / max(high - low, 1e-8)).astype(np.float32)
    square = np.zeros((1, 3, side, side), dtype=np.float32)
    square[0, :, : small.shape[0], : small.shape[1]] = unit if unit.ndim == 2 else unit.transpose(2, 0, 1)
    return square


# --------------------------------------------------------------------------- boxes


def box_in_square(box: Array, shape: tuple[int, int], side: int) -> FloatArray:
    """A box (4,) of an image of this shape in whole pixels of the square, rounded down."""
    ratio = side / max(shape)
    return np.array([int(value * ratio) for value in box.tolist()], dtype=np.float32)


def exact_box_in_square(box: Array, shape: tuple[int, int], side: int) -> FloatArray:
    """A box (4,) scaled to the square and not rounded, less the half pixel that the prompt encoder adds."""
    return (np.asarray(box, dtype=np.float32) / np.float32(max(shape)) * side - 0.5).astype(np.float32)


def box_of_mask(mask: Array, label: np.uint8 | np.uint16, side: int, margin: int = MARGIN) -> FloatArray | None:
    """The box (4,) in the square around a slice's mask, for the next slice; None where nothing is left of it.

    The mask is shrunk as an image whose object has the value `label`: the published code does so with the
    object's own number, so that a higher number lets thinner parts survive.

    Args:
        mask: (H, W) of 0 and 1, uint8.
        label: the value, in the type of the image that is shrunk; 0 leaves nothing.
        side: of the square.
        margin: how far the box reaches beyond the mask.
    """
    small = fitted(np.multiply(mask, label, dtype=label.dtype), side)
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    if not len(rows):
        return None
    low_x, high_x = max(0, columns[0] - margin), min(side, columns[-1] + margin)
    low_y, high_y = max(0, rows[0] - margin), min(side, rows[-1] + margin)
    return np.array([low_x, low_y, high_x, high_y], dtype=np.float32)


def slice_range(box: Array, depth: int, last_included: bool = True) -> tuple[int, int, int]:
    """First, middle and last slice of a box (6,) within a volume; all of them belong to it.

    The middle slice belongs to a box even where z_min = z_max and the last one does not.

    Args:
        box: x_min, y_min, z_min, x_max, y_max, z_max.
        depth: of the volume.
        last_included: whether slice z_max is the box's last, or the one before.
    """
    low, high = int(box[2]), int(box[5])
    middle = min(int((high - low) / 2 + low), depth - 1)
    last = min(high if last_included else high - 1, depth - 1)
    return min(max(0, low), middle), middle, max(middle, last)


# --------------------------------------------------------------------------- masks


def mask_of_logits(logits: FloatArray, shape: tuple[int, int], side: int) -> Placed | None:
    """Where an object's logits are positive at the image's size; None where nowhere.

    Bilinear interpolation is positive only where one of its four neighbours is.  So only the part of the image
    that such pixels reach is computed.

    Args:
        logits: (256, 256) over the whole square.
        shape: (H, W) of the image.
        side: of the square.  Above 256 the logits are brought to it first, which is not the same as one step.
    """
    height, width = fitted_size(*shape, side)
    if side != len(logits):
        part = _enlarged(logits, (side, side), reach=2)
        if part is None:
            return None
        logits, top, left = part
        logits, size = logits[: max(0, height - top), : max(0, width - left)], (height, width)
    else:
        logits, top, left, size = logits[:height, :width], 0, 0, (height, width)
    found = _enlarged(logits, shape, at=(top, left), of=size)
    if found is None:
        return None
    values, top, left = found
    positive = values > 0
    return Placed(top, left, positive) if positive.any() else None


def _enlarged(
    values: FloatArray,
    shape: tuple[int, int],
    at: tuple[int, int] = (0, 0),
    of: tuple[int, int] | None = None,
    reach: int = 0,
) -> tuple[FloatArray, int, int] | None:
    """The part of a bilinearly resized map that its positive values reach, and that part's first row and column.

    Args:
        values: (h, w), a part of the map that holds its positive values and their neighbours.
        shape: (H, W) of the whole map afterwards.
        at: where in the map the part begins.
        of: size of the whole map, by default the part's.
        reach: so many of the map's rows and columns more on every side.
    """
    size = values.shape if of is None else of
    positive = values > 0
    rows, columns = np.flatnonzero(positive.any(axis=1)), np.flatnonzero(positive.any(axis=0))
    if not len(rows):
        return None
    kept = []
    for found, offset, n_in, n_out in zip((rows, columns), at, size, shape, strict=True):
        lower, upper, weight = _taps(n_in, n_out)
        begin = int(np.searchsorted(upper, found[0] + offset - reach))
        end = int(np.searchsorted(lower, found[-1] + offset + reach, side="right"))
        kept.append((lower[begin:end] - offset, upper[begin:end] - offset, weight[begin:end], begin))
    (low_y, high_y, part_y, top), (low_x, high_x, part_x, left) = kept
    if not (len(low_y) and len(low_x)):
        return None
    first_row = int(low_y[0])
    band = values[first_row : int(high_y[-1]) + 1]
    wide = band[:, low_x] * (1 - part_x) + band[:, high_x] * part_x
    part_y = part_y[:, None]
    return wide[low_y - first_row] * (1 - part_y) + wide[high_y - first_row] * part_y, top, left


@lru_cache(maxsize=32)
def _taps(n_in: int, n_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
    """For each output pixel its two input pixels and the second one's weight; pixels are areas, not points.

    In single precision, as torch and OpenCV do it.
    """
    centre = np.float32(n_in / n_out) * (np.arange(n_out, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    centre = np.maximum(centre, np.float32(0))
    lower = np.minimum(centre.astype(np.intp), n_in - 1)
    upper = np.minimum(lower + 1, n_in - 1)
    return lower, upper, (centre - lower.astype(np.float32)).astype(np.float32)
