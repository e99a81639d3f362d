"""Cells under three microscopes: stained in bright field, live in phase contrast, nuclei in fluorescence."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, poisson, smooth_field
from harness.samples.scene import Field, Mask, Scene, grey_image, label_objects, stretch, to_bytes
from harness.samples.shapes import main_part, radius, relative_grid, scatter_centres, wavy

#: Optical density in red, green and blue of the two common stains (Ruifrok and Johnston 2001).
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])


def _cells(
    rng: np.random.Generator, shape: tuple[int, int], size: float, gap: float, wanted: int, rough: float
) -> tuple[list[Mask], list[Field]]:
    """Outlines of cells and their level functions; cells may touch, and none covers another."""
    grid = relative_grid(shape)
    unit = min(shape)
    high = (shape[0] / unit, shape[1] / unit)
    masks: list[Mask] = []
    levels: list[Field] = []
    taken = np.zeros(shape, dtype=bool)
    for centre in scatter_centres(rng, (0.03, 0.03), (high[0] - 0.03, high[1] - 0.03), gap, wanted):
        radii = size * rng.uniform(0.75, 1.25, 2)
        level = wavy(rng, radius(grid, centre, radii, rng.uniform(0, np.pi)), rough, 0.6 * size * unit)
        free = (level < 1) & ~taken
        if not free.any():
            continue
        mask = main_part(free) & ~taken
        taken |= mask
        masks.append(mask)
        levels.append(level)
    return masks, levels


def brightfield(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Nuclei in a tissue section stained with haematoxylin and eosin."""
    unit = min(shape)
    masks, levels = _cells(rng, shape, size=0.036, gap=0.085, wanted=42, rough=0.1)
    eosin = np.clip(0.32 + 0.13 * smooth_field(rng, shape, (0.012 * unit, 0.05 * unit)), 0.02, None)
    gaps = smooth_field(rng, shape, 0.06 * unit) > 1.4
    eosin = np.where(gaps, 0.03, eosin)
    blue = np.zeros(shape)
    for mask, level in zip(masks, levels, strict=True):
        grain = 1 + 0.22 * smooth_field(rng, shape, 0.006 * unit)
        shade = rng.uniform(0.75, 1.15) * (0.8 + 0.25 * np.clip(level, 0, 1))
        blue = np.where(mask, shade * grain, blue)
        eosin = np.where(mask, 0.15, eosin)
    density = blur(blue, unit / 420)[..., None] * HAEMATOXYLIN + blur(eosin, unit / 420)[..., None] * EOSIN
    seen = poisson(rng, 900 * np.exp(-np.clip(density, 0, None))) / 900 * 242
    return Scene(to_bytes(seen), label_objects(shape, masks))


def phase_contrast(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Living cells: optical path becomes grey, with the halo and the shade-off that the phase ring brings."""
    unit = min(shape)
    masks, levels = _cells(rng, shape, size=0.075, gap=0.16, wanted=16, rough=0.12)
    path = 0.03 * smooth_field(rng, shape, 0.01 * unit)
    for mask, level in zip(masks, levels, strict=True):
        dome = np.sqrt(np.clip(1.02 - level**2, 0, None))
        organelles = 0.16 * smooth_field(rng, shape, 0.007 * unit)
        path = np.where(mask, 0.55 + 0.45 * dome + organelles, path)
        nucleus = radius(relative_grid(shape), _centre(mask, unit), (0.026, 0.03))
        path = path + 0.3 * (nucleus < 1) * mask
    # A phase ring subtracts a blurred copy of the object: bright halo outside, shade-off inside.
    seen = -(path - 0.85 * blur(path, 0.022 * unit)) + 0.08 * smooth_field(rng, shape, 0.25 * unit)
    seen = blur(seen, unit / 420) + 0.035 * rng.standard_normal(shape)
    return Scene(grey_image(40 + 0.7 * stretch(seen)), label_objects(shape, masks))


def _centre(mask: Mask, unit: int) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return (float(y.mean() + 0.5) / unit, float(x.mean() + 0.5) / unit)


def fluorescence(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Nuclei with a DNA dye: bright on black, of unequal brightness, few photons, light from out of focus."""
    unit = min(shape)
    masks, levels = _cells(rng, shape, size=0.045, gap=0.088, wanted=32, rough=0.06)
    light = np.zeros(shape)
    for mask, level in zip(masks, levels, strict=True):
        chromatin = np.clip(1 + 0.2 * smooth_field(rng, shape, 0.008 * unit), 0.3, None)
        light = np.where(mask, rng.uniform(0.3, 1.0) * chromatin * (1.05 - 0.35 * np.clip(level, 0, 1)), light)
    haze = 0.2 * blur(light, 0.05 * unit) + 0.02
    counts = poisson(rng, 110 * (blur(light, 1.2 * unit / 320) + haze) + 4)
    return Scene(grey_image(stretch(counts)), label_objects(shape, masks))
