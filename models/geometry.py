"""From images and boxes to what the networks take in, and from their logits back to masks.

The published algorithms agree in the frame: the image is resized so that its longer side is S, scaled to
[0, 1] by its own minimum and maximum, and then filled up with zeros to the right and below.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: How far a slice's box reaches beyond the previous slice's mask, in pixels of the square.
MARGIN = 3


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the longer one has become `side`."""
    scale = side / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def fitted(image: Array, side: int, interpolation: int = cv2.INTER_AREA) -> Array:
    """An image or mask (H, W[, 3]), uint8, resized so that its longer side is `side`."""
    height, width = fitted_size(*image.shape[:2], side)
    return cv2.resize(image, (width, height), interpolation=interpolation)


def network_input(image: Array, side: int, interpolation: int = cv2.INTER_AREA) -> FloatArray:
    """(H, W, 3), or a grey slice (H, W), uint8 -> (1, 3, side, side) in [0, 1]."""
    small = fitted(image, side, interpolation)
    low, high = int(small.min()), int(small.max())
    # In double precision, as the published code; rounded once at the end.
    unit = ((small - np.uint8(low)) / max(high - low, 1e-8)).astype(np.float32)
    square = np.zeros((1, 3, side, side), dtype=np.float32)
    square[0, :, : small.shape[0], : small.shape[1]] = unit if unit.ndim == 2 else unit.transpose(2, 0, 1)
    return square


def box_in_square(box: Array, shape: tuple[int, int], side: int) -> FloatArray:
    """A box (4,) of an image of this shape in whole pixels of the square, rounded down."""
    ratio = side / max(shape)
    return np.array([int(value * ratio) for value in box.tolist()], dtype=np.float32)


def box_of_mask(mask: Array, label: int, side: int) -> FloatArray | None:
    """The box (4,) in the square around a slice's mask, for the next slice; None where nothing is left of it.

    The mask is shrunk as an image whose object has the value `label`: the published code does so with the
    object's own number, so that a higher number lets thinner parts survive.

    Args:
        mask: (H, W) of 0 and 1, uint8.
        label: 1 to 255.
        side: of the square.
    """
    small = fitted(mask * np.uint8(label), side)
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    if not len(rows):
        return None
    low_x, high_x = max(0, columns[0] - MARGIN), min(side, columns[-1] + MARGIN)
    low_y, high_y = max(0, rows[0] - MARGIN), min(side, rows[-1] + MARGIN)
    return np.array([low_x, low_y, high_x, high_y], dtype=np.float32)


def slice_range(box: Array, depth: int) -> tuple[int, int, int]:
    """First, middle and last slice of a box (6,), both ends within the volume and included."""
    first, last = int(box[2]), int(box[5])
    middle = int((last - first) / 2 + first)
    return max(0, first), middle, min(last, depth - 1)
