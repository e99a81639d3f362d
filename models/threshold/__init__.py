"""Otsu's threshold inside the box, the largest part on the side that the box is about, holes filled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from models.regions import Array, Mask, Region, paint


def segment(imgs: Array, boxes: Array) -> Array:
    """Labels by thresholding each box on its own.

    Args:
        imgs: uint8, (H, W, 3) where boxes has 4 columns, (D, H, W) where it has 6.
        boxes: (N, 4) or (N, 6).
    """
    planar = boxes.shape[1] == 4
    # The sum of three channels is their mean without rounding.
    grey = imgs.sum(axis=2, dtype=np.uint16) if planar else imgs

    def object_in(region: Region) -> Mask:
        return foreground(grey[region])

    return paint(boxes, grey.shape, object_in)


def otsu(values: Array) -> int | None:
    """The threshold t that parts values <= t from values > t with the greatest variance between them.

    Otsu, IEEE Transactions on Systems, Man and Cybernetics 9 (1979).  Of equal thresholds the lowest.

    Args:
        values: unsigned integers, of any shape.

    Returns:
        None where all values are the same, so that nothing can be parted.
    """
    histogram = np.bincount(values.ravel())
    below = np.cumsum(histogram)
    total = int(below[-1])
    mass = np.cumsum(histogram * np.arange(len(histogram)))
    weight = below * (total - below)
    parts = np.flatnonzero(weight)
    if not len(parts):
        return None
    moment = below[parts] / total * mass[-1] - mass[parts]
    return int(parts[np.argmax(moment**2 / weight[parts])])


def foreground(values: Array) -> Mask:
    """The object in a box's pixels.

    Which side of the threshold is the object: the one that fills more of the middle than of the rim,
    for a box's rim is mostly background.  Never empty: without contrast it is the whole box.

    Args:
        values: unsigned integers, (h, w) or (d, h, w).
    """
    threshold = otsu(values)
    if threshold is None:
        return np.ones(values.shape, dtype=bool)
    bright = values > threshold
    middle = tuple(slice(n // 4, n - n // 4) for n in values.shape)
    rim = np.ones(values.shape, dtype=bool)
    # Rim means the sides in x and y: an object's first and last slices are often its own still.
    rim[..., 1:-1, 1:-1] = False
    mask = bright if bright[middle].mean() >= bright[rim].mean() else ~bright
    return largest_part(mask)


def largest_part(mask: Mask) -> Mask:
    """The largest connected part of a mask that isn't empty, with its holes filled.

    Neighbours share a side.  A volume's holes are filled slice by slice: a cavity in its first slice is
    open to the outside only because the box ends there.
    """
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    part: Mask = parts == np.argmax(sizes)
    if part.ndim == 2:
        return np.asarray(ndimage.binary_fill_holes(part))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in part])
