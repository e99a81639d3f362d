"""The ellipse (2D) or ellipsoid (3D) that touches every side of the box."""

from __future__ import annotations

import numpy as np

from models.regions import Array, Mask, Region, paint


def segment(imgs: Array, boxes: Array) -> Array:
    """Labels of the inscribed ellipses or ellipsoids.

    Args:
        imgs: (H, W, 3) where boxes has 4 columns, (D, H, W) where it has 6.
        boxes: (N, 4) or (N, 6).
    """
    shape = imgs.shape[: boxes.shape[1] // 2]
    return paint(boxes, shape, inscribed)


def inscribed(region: Region) -> Mask:
    """Pixels whose centre lies in the ellipse inscribed in a region, borders of its pixels included."""
    total = np.zeros((1,) * len(region))
    for axis, part in enumerate(region):
        count = part.stop - part.start
        offset = (np.arange(count) - (count - 1) / 2) / (count / 2)
        total = total + np.expand_dims(offset**2, [other for other in range(len(region)) if other != axis])
    return np.asarray(total <= 1.0)
