"""CT: an upper abdomen with contrast in the portal phase, organs that touch, seen through a soft-tissue window."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, smooth_field
from harness.samples.scene import Field, Mask, Scene, label_objects, window
from harness.samples.shapes import centred_grid, main_part, radius, wavy

FIELD_OF_VIEW_MM = 360.0
SLICE_MM = 5.0
WINDOW_LEVEL_HU, WINDOW_WIDTH_HU = 40.0, 400.0

#: Organ: centre (z, y, x) and radii in mm from the middle of the body, CT number in HU.  x grows towards
#: the patient's left, y towards the back.  Later organs displace earlier ones.
ORGANS: tuple[tuple[str, tuple[float, float, float], tuple[float, float, float], float], ...] = (
    ("liver", (5, -18, -62), (62, 68, 84), 108),
    ("stomach", (8, -36, 62), (42, 36, 48), 32),
    ("spleen", (6, 28, 104), (40, 42, 28), 122),
    ("right kidney", (-18, 46, -66), (46, 27, 25), 178),
    ("left kidney", (-8, 48, 62), (46, 27, 25), 182),
    ("gallbladder", (-12, -58, -42), (22, 20, 14), 8),
    ("aorta", (0, 28, 12), (1e6, 11, 11), 165),
)


def abdomen(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene:
    """A CT volume with liver, stomach, spleen, kidneys, gallbladder and aorta as objects."""
    pixel = FIELD_OF_VIEW_MM / shape[2]
    grid = centred_grid(shape, (SLICE_MM, pixel, pixel))
    long_wave = (22 / SLICE_MM, 22 / pixel, 22 / pixel)

    body = radius(grid[1:], (0, 0), (122, 168)) + np.zeros(shape)
    hounsfield = np.full(shape, -1000.0)
    hounsfield[body < 1] = -102
    hounsfield[body < 0.88] = 55
    cavity = body < 0.78
    hounsfield[cavity] = -96
    loops = smooth_field(rng, shape, (9 / SLICE_MM, 9 / pixel, 9 / pixel))
    hounsfield[cavity & (loops > 0.6)] = 42  # bowel, not an object
    _add_spine(hounsfield, grid)

    masks: list[Mask] = []
    for name, centre, radii, number in ORGANS:
        centre_mm = np.array(centre) + rng.normal(0, 3.0, 3)
        radii_mm = np.array(radii) * rng.uniform(0.93, 1.07, 3)
        tube = name == "aorta"
        level = wavy(rng, radius(grid, centre_mm, radii_mm), 0.0 if tube else 0.07, long_wave)
        mask = main_part((level < 1) & (cavity | tube))
        masks.append(mask)
        hounsfield[mask] = number
        _add_interior(rng, name, hounsfield, mask, level, grid, centre_mm, radii_mm, pixel)

    sharp = blur(hounsfield, (0.45, 1.2 / pixel, 1.2 / pixel))
    # Fewer photons get through the middle of the body, so noise is higher there.
    grain = smooth_field(rng, shape, (0.3, 0.6, 0.6))
    noisy = sharp + 13.0 * (0.6 + np.clip(1 - body, 0, 1)) * grain
    image = window(noisy, WINDOW_LEVEL_HU, WINDOW_WIDTH_HU)
    return Scene(image, label_objects(shape, masks), (pixel, pixel, SLICE_MM))


def _add_spine(hounsfield: Field, grid: tuple[Field, ...]) -> None:
    vertebra = radius(grid[1:], (66, 0), (20, 25)) + np.zeros(hounsfield.shape)
    hounsfield[vertebra < 1] = 520
    disc = np.cos(2 * np.pi * grid[0] / 34.0) + np.zeros(hounsfield.shape) > 0.75
    hounsfield[(vertebra < 0.84) & ~disc] = 230
    hounsfield[(vertebra < 0.92) & disc] = 80
    canal = radius(grid[1:], (93, 0), (9, 10)) + np.zeros(hounsfield.shape)
    hounsfield[(canal < 1.6)] = 480
    hounsfield[(canal < 1)] = 25


def _add_interior(
    rng: np.random.Generator,
    name: str,
    hounsfield: Field,
    mask: Mask,
    level: Field,
    grid: tuple[Field, ...],
    centre_mm: Field,
    radii_mm: Field,
    pixel: float,
) -> None:
    """What makes an organ uneven: vessels in the liver, cortex and medulla, gas above the stomach's fluid."""
    if name == "liver":
        vessels = np.abs(smooth_field(rng, mask.shape, (10 / SLICE_MM, 10 / pixel, 10 / pixel)))
        hounsfield[mask & (vessels < 0.05)] = 165
    elif "kidney" in name:
        hounsfield[mask & (level < 0.62)] = 140
        hounsfield[mask & (level < 0.3)] = 20
    elif name == "stomach":
        hounsfield[mask & (level > 0.9)] = 75
        gas = grid[1] < centre_mm[1] - 0.55 * radii_mm[1]
        hounsfield[mask & (level < 0.9) & gas] = -950
