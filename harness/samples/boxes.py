"""Box prompts from a reference, as the challenge made them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from harness.samples.scene import Bytes

#: How far each side in x and y may lie outside the object, in pixels.
MAX_SHIFT_PX = 5


def boxes_of(labels: Bytes, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Boxes (N, 4) or (N, 6) of the objects 1..N, minima then maxima in x, y(, z) order.

    A coordinate is the index of an object's first or last pixel.  Sides in x and y are moved outwards
    by 0 to 5 pixels and clipped to 0 and the image's size (not to the last index: so does the published
    code); z_min and z_max are the object's first and last slice.
    """
    rows = []
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is None:
            raise ValueError(f"label {number} is missing below {int(labels.max())}")
        shift = rng.integers(0, MAX_SHIFT_PX + 1, size=4)
        rows_y, columns_x = place[-2], place[-1]
        height, width = labels.shape[-2:]
        low = [max(0, columns_x.start - shift[0]), max(0, rows_y.start - shift[1])]
        high = [min(width, columns_x.stop - 1 + shift[2]), min(height, rows_y.stop - 1 + shift[3])]
        if labels.ndim == 3:
            low.append(place[0].start)
            high.append(place[0].stop - 1)
        rows.append(low + high)
    return np.array(rows, dtype=np.int64).reshape(len(rows), 2 * labels.ndim)
