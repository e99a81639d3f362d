"""What a generator hands over, and the grey-value mappings of the challenge's preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """An image and the truth it was made from.

    Attributes:
        image: uint8, (H, W, 3) or (D, H, W).
        labels: uint8, (H, W) or (D, H, W), objects 1..N, 0 background.
        spacing_mm: voxel size as (x, y, z) for volumes, None for planar images.
    """

    image: Bytes
    labels: Bytes
    spacing_mm: tuple[float, float, float] | None = None


def to_bytes(values: Field) -> Bytes:
    """Grey values rounded and clipped to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def grey_image(values: Field) -> Bytes:
    """A planar grey image, (H, W) -> (H, W, 3) with three equal channels, as the challenge stores it."""
    return np.repeat(to_bytes(values)[:, :, None], 3, axis=2)


def window(hounsfield: Field, level_hu: float, width_hu: float) -> Bytes:
    """CT numbers seen through a window, rescaled to 0..255."""
    return to_bytes((hounsfield - (level_hu - width_hu / 2)) / width_hu * 255)


def stretch(values: Field, foreground: Mask | None = None) -> Field:
    """Clip to the 0.5 and 99.5 percentiles of the foreground (everything by default), rescale to 0..255."""
    low, high = np.percentile(values if foreground is None else values[foreground], [0.5, 99.5])
    scaled: Field = (np.clip(values, low, high) - low) / max(float(high - low), 1e-9) * 255
    return scaled


def label_objects(shape: tuple[int, ...], masks: list[Mask], least: int = 8) -> Bytes:
    """Number objects 1..N in the order given, later ones over earlier ones.

    An object of which fewer than `least` pixels stay visible is left out, so that the numbers have no gap.
    """
    owner = np.zeros(shape, dtype=np.int64)
    for number, mask in enumerate(masks, start=1):
        owner[mask] = number
    counts = np.bincount(owner.ravel(), minlength=len(masks) + 1)
    kept = np.flatnonzero(counts[1:] >= least) + 1
    numbers = np.zeros(len(masks) + 1, dtype=np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[owner]
