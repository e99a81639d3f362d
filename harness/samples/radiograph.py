"""Chest radiograph and mammogram: what photons get through matter of varying thickness."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, poisson, power_law_field, smooth_field
from harness.samples.scene import Field, Mask, Scene, grey_image, label_objects, stretch
from harness.samples.shapes import curve, main_part, radius, relative_grid, stroke, wavy

#: Attenuation per cm: soft tissue at a chest's beam energy, and what bone adds to it.
SOFT_PER_CM, BONE_PER_CM = 0.2, 0.35
#: Density of an inflated lung relative to soft tissue.
LUNG_DENSITY = 0.26
#: At a mammography tube's low energy fat and gland differ.
FAT_PER_CM, GLAND_PER_CM, TUMOUR_PER_CM = 0.45, 0.80, 0.88


def detect(rng: np.random.Generator, depth: Field, photons: float, scatter: float, sigma_px: float) -> Field:
    """Optical depth as a detector sees it: transmission, scattered light, counts, logarithm."""
    through = np.exp(-depth)
    glare = blur(through, min(depth.shape) / 12)
    counts = poisson(rng, photons * blur((1 - scatter) * through + scatter * glare, sigma_px))
    return np.asarray(-np.log((counts + 1) / photons), dtype=np.float64)


def chest(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A frontal chest radiograph with right lung, left lung and heart as objects (right is on the left)."""
    grid = relative_grid(shape)
    unit = min(shape)
    y, x = grid
    middle = shape[1] / unit / 2
    jitter = rng.normal(0, 0.012, 8)

    # Thickness of soft tissue, in cm: the trunk, with the shoulders above.
    trunk = 21 * np.sqrt(np.clip(1 - ((x - middle) / 0.56) ** 2, 0, 1)) * np.clip(0.55 + 1.2 * y, 0, 1)
    soft = trunk + np.zeros(shape)

    lungs: list[Mask] = []
    for side, place, dome in ((-1, 0.235, 0.80), (1, 0.245, 0.83)):
        centre_x = middle + side * place
        level = radius(grid, (0.50 + jitter[0], centre_x + jitter[1]), (0.43, 0.185), angle=-side * 0.08)
        level = wavy(rng, level, 0.02, 0.06 * unit)
        diaphragm = dome + jitter[2] + 1.3 * (x - centre_x) ** 2
        lungs.append(main_part((level < 1) & (y < diaphragm)))
        air = 15 * np.sqrt(np.clip(1 - level**2, 0, 1)) * (y < diaphragm)
        soft -= (1 - LUNG_DENSITY) * np.minimum(air, 0.8 * soft)
    in_lung = lungs[0] | lungs[1]
    branches = np.exp(1.1 * power_law_field(rng, shape, 2.6))
    hilum = np.exp(-((np.abs(x - middle) - 0.1) ** 2 / 0.02 + (y - 0.45) ** 2 / 0.05))
    soft += np.where(in_lung, 0.25 * branches * (0.4 + 2.2 * hilum), 0)

    heart_level = radius(grid, (0.64 + jitter[3], middle + 0.055), (0.185, 0.155), angle=0.55)
    heart = main_part(wavy(rng, heart_level, 0.02, 0.06 * unit) < 1) & (y < 0.82)
    soft += 9 * np.sqrt(np.clip(1 - heart_level**2, 0, 1))
    soft += 3.5 * soft_band(np.abs(x - middle), 0.06) * (y < 0.9)

    bone = _ribs(rng, shape, middle) + 2.2 * soft_band(np.abs(x - middle), 0.035)
    depth = detect(rng, SOFT_PER_CM * soft + BONE_PER_CM * bone, photons=2500, scatter=0.35, sigma_px=unit / 500)
    labels = label_objects(shape, [lungs[0] & ~heart, lungs[1] & ~heart, heart])
    return Scene(grey_image(stretch(depth)), labels)


def soft_band(distance: Field, half_width: float) -> Field:
    """1 in the middle of a band, falling to 0 over its edge."""
    return np.asarray(1 / (1 + np.exp((distance - half_width) / (0.12 * half_width))), dtype=np.float64)


def _ribs(rng: np.random.Generator, shape: tuple[int, int], middle: float) -> Field:
    """Thickness of ribs and collar bones in cm."""
    unit = min(shape)
    bone = np.zeros(shape)
    reach = np.linspace(0.02, 0.44, 30)
    for side in (-1, 1):
        for top in 0.13 + 0.085 * np.arange(8) + rng.normal(0, 0.004):
            y = top + 0.16 * np.sin(reach / 0.44 * 2.4)
            path = np.stack([y, middle + side * reach], axis=1) * unit
            bone += 0.9 * blur(stroke(shape, path, 0.026 * unit), 0.004 * unit)
        collar = np.stack([0.12 - 0.1 * reach / 0.44, middle + side * (0.03 + reach)], axis=1) * unit
        bone += 0.9 * stroke(shape, collar, 0.028 * unit)
    return bone


def breast(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """An oblique mammogram with one or two masses as objects, in dense tissue that hides them partly."""
    grid = relative_grid(shape)
    unit = min(shape)
    y, x = grid
    outline = radius(grid, (0.52 * shape[0] / unit, 0.0), (0.46 * shape[0] / unit, 0.78 * shape[1] / unit))
    thickness = 5.0 * np.clip((1 - outline) / 0.1, 0, 1) ** 0.5  # compressed, thin only at its rim

    texture = power_law_field(rng, shape, 3.0)
    gland_shape = np.clip(1.25 - radius(grid, (0.52 * shape[0] / unit, 0.3), (0.3, 0.38)), 0, 1)
    gland = np.clip(0.12 + 0.6 * gland_shape + 0.17 * texture, 0.02, 0.95)

    masses: list[Mask] = []
    extra = np.zeros(shape)
    for centre, size in (((0.46, 0.34), 0.085), ((0.68, 0.26), 0.055)):
        place = (centre[0] + rng.normal(0, 0.02), centre[1] + rng.normal(0, 0.02))
        level = radius(grid, place, (size, size * rng.uniform(0.8, 1.2)), rng.uniform(0, np.pi))
        masses.append(main_part(wavy(rng, level, 0.09, 0.022 * unit) < 1))
        height = 1.9 * np.sqrt(np.clip(1 - np.minimum(level, 1) ** 2, 0, 1))
        extra += np.where(masses[-1], height + 0.35, 0)
        for heading in rng.uniform(0, 2 * np.pi, 9):  # spicules, which belong to no mask
            path = curve(rng, (place[0] * unit, place[1] * unit), heading, 2.0 * size * unit, 0.25)
            extra += 0.18 * stroke(shape, path, 1.0)
    shift = np.minimum(extra, thickness)
    depth = (FAT_PER_CM * (1 - gland) + GLAND_PER_CM * gland) * (thickness - shift) + TUMOUR_PER_CM * shift

    pectoral = (x * 1.7 + y < 0.46) & (outline < 1)
    depth = np.where(pectoral, depth + blur(pectoral.astype(float), 0.02 * unit) * 0.9, depth)
    for _ in range(12):  # a cluster of microcalcifications
        spot = radius(grid, (0.5 + rng.normal(0, 0.03), 0.5 + rng.normal(0, 0.03)), (0.004, 0.004))
        depth += 0.9 * (spot < 1)
    depth += 0.02 * smooth_field(rng, shape, 0.2 * unit)
    seen = detect(rng, depth, photons=6000, scatter=0.12, sigma_px=unit / 640)
    return Scene(grey_image(stretch(seen)), label_objects(shape, masses))
