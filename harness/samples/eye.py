"""The eye: a colour photograph of the fundus, and an optical coherence tomography section of the retina."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, smooth_field, speckle_envelope
from harness.samples.scene import Field, Mask, Scene, grey_image, label_objects, to_bytes
from harness.samples.shapes import curve, main_part, radius, relative_grid, scatter_centres, soft_edge, stroke, wavy


def fundus(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A fundus photograph with the optic disc and every bleeding and exudate as objects of their own."""
    grid = relative_grid(shape)
    unit = min(shape)
    middle = (shape[0] / unit / 2, shape[1] / unit / 2)
    field = radius(grid, middle, (0.49, 0.49))
    side = rng.choice([-1.0, 1.0])
    disc_at = (middle[0] + rng.normal(0, 0.015), middle[1] + side * 0.24)
    macula_at = (middle[0] + 0.02, middle[1] - side * 0.1)

    # Reflectance in red, green and blue.
    colour = np.array([0.72, 0.34, 0.13]) * np.ones((*shape, 3))
    choroid = smooth_field(rng, shape, 0.02 * unit) + smooth_field(rng, shape, 0.09 * unit)
    colour *= (1 + np.array([0.03, 0.07, 0.08]) * choroid[..., None]).clip(0.3)
    macula = np.exp(-((radius(grid, macula_at, (0.08, 0.08))) ** 2))
    colour *= 1 - macula[..., None] * np.array([0.2, 0.42, 0.45])

    disc_level = wavy(rng, radius(grid, disc_at, (0.085, 0.075)), 0.03, 0.04 * unit)
    disc = main_part(disc_level < 1)
    colour = _mix(colour, soft_edge(disc_level, 0.22), np.array([0.95, 0.72, 0.42]))
    cup = soft_edge(radius(grid, disc_at, (0.036, 0.034)), 0.5)
    colour = _mix(colour, cup, np.array([1.0, 0.88, 0.66]))

    colour *= 1 - 0.62 * np.array([0.45, 1.0, 0.8]) * _vessels(rng, shape, disc_at, side)[..., None]

    lesions: list[Mask] = []
    low, high = (middle[0] - 0.3, middle[1] - 0.3), (middle[0] + 0.3, middle[1] + 0.3)
    for count, place in enumerate(scatter_centres(rng, low, high, 0.11, 7)):
        if np.hypot(*(place - disc_at)) < 0.16:
            continue
        size = rng.uniform(0.016, 0.032)
        level = wavy(rng, radius(grid, place, (size, size * rng.uniform(0.7, 1.3))), 0.16, 0.012 * unit)
        lesions.append(main_part(level < 1))
        tint = np.array([0.36, 0.07, 0.05]) if count % 2 else np.array([0.95, 0.85, 0.45])
        colour = _mix(colour, 0.85 * soft_edge(level, 0.3), tint)

    lit = np.clip(1.05 - 0.35 * (field * 0.98) ** 2 + 0.04 * smooth_field(rng, shape, 0.3 * unit), 0, None)
    seen = blur(colour * lit[..., None], (unit / 500, unit / 500, 0)) * 235
    seen += rng.standard_normal(seen.shape) * np.sqrt(np.maximum(seen, 4)) * 0.35
    seen *= (field < 1)[..., None]
    return Scene(to_bytes(seen), label_objects(shape, [disc, *lesions]))


def _mix(colour: Field, share: Field, tint: Field) -> Field:
    return colour * (1 - share[..., None]) + tint * share[..., None]


def _vessels(rng: np.random.Generator, shape: tuple[int, int], disc: tuple[float, float], side: float) -> Field:
    """Coverage by vessels: four arcades that leave the disc, each with thinner branches."""
    unit = min(shape)
    total = np.zeros(shape)
    for up in (-1.0, 1.0):
        for kind in (0.0, 0.05):
            t = np.linspace(0, 1, 40)
            reach = 0.62 * t
            y = disc[0] + up * (0.3 + kind) * np.sin(1.9 * t) ** 0.9
            x = disc[1] - side * (reach - 0.1 * np.sin(3 * t)) + kind * rng.normal(0, 0.3) * t
            trunk = np.stack([y, x], axis=1) * unit
            total = np.maximum(total, stroke(shape, trunk, np.linspace(0.016, 0.005, 40) * unit))
            for knot in (8, 14, 20, 27):
                heading = np.arctan2(*(trunk[knot + 1] - trunk[knot])) + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0)
                path = curve(rng, (trunk[knot][0], trunk[knot][1]), heading, rng.uniform(0.15, 0.3) * unit, 0.8)
                total = np.maximum(total, stroke(shape, path, np.linspace(0.007, 0.002, 40) * unit))
    return total


#: Layers of the retina from the vitreous down, as (thickness relative to one another, reflectance): nerve
#: fibres, ganglion cells with the inner plexus, inner nuclei, outer plexus, outer nuclei, receptor ends.
RETINA = ((0.12, 0.80), (0.22, 0.52), (0.11, 0.26), (0.08, 0.50), (0.27, 0.20), (0.07, 0.72))
EPITHELIUM = 1.0


def oct_section(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A section through the macula with pockets of dark fluid as objects: within the retina and beneath it."""
    height, width = shape
    column = (np.arange(width) + 0.5) / width
    row = (np.arange(height) + 0.5)[:, None] / height
    wave = 0.012 * smooth_field(rng, (1, width), (0, width / 5))[0]
    bottom = 0.62 + 0.05 * (column - 0.5) ** 2 * 4 + wave
    thick = 0.27 * (1 - 0.5 * np.exp(-(((column - 0.5) / 0.1) ** 2)) + 0.1 * np.exp(-(((column - 0.5) / 0.26) ** 2)))

    # Subretinal fluid lifts the retina off its base; cysts swell it.
    lift_at = 0.5 + rng.choice([-1.0, 1.0]) * rng.uniform(0.16, 0.22)
    lift = 0.075 * np.clip(1 - ((column - lift_at) / rng.uniform(0.11, 0.14)) ** 2, 0, None)
    base = bottom - lift
    reflect = np.full(shape, 0.015)
    top = base - thick
    whole = sum(part for part, _ in RETINA)
    share = 0.0
    for part, strength in RETINA:
        upper = top + thick * share / whole
        share += part
        lower = top + thick * share / whole
        reflect[(row >= upper) & (row < lower)] = strength
    epithelium = (row >= bottom) & (row < bottom + 0.035)
    choroid = row >= bottom + 0.035
    reflect[epithelium] = EPITHELIUM
    texture = 0.5 + 0.3 * smooth_field(rng, shape, (0.02 * height, 0.02 * width))
    reflect = np.where(choroid, np.clip(texture, 0.05, 1) * np.exp(-(row - bottom) / 0.13), reflect)

    pockets: list[Mask] = [main_part((row >= base + 0.004) & (row < bottom))]
    unit_row, unit_column = row + np.zeros(shape), column[None, :] + np.zeros(shape)
    for offset in (-0.17, 0.0, 0.13):
        at = 0.5 + offset * np.sign(0.5 - lift_at) + rng.normal(0, 0.01)
        k = int(np.clip(at * width, 0, width - 1))
        centre = base[k] - thick[k] * rng.uniform(0.36, 0.46)
        radii = (thick[k] * rng.uniform(0.17, 0.24), rng.uniform(0.035, 0.05))
        level = wavy(rng, radius((unit_row, unit_column), (centre, at), radii), 0.05, 0.02 * width)
        pockets.append(main_part(level < 1))
    for pocket in pockets:
        reflect[pocket] = 0.02

    # Vessels on top cast shadows straight down; light also fades on its way.
    shadow = np.ones(width)
    for at in rng.uniform(0.05, 0.95, 5):
        shadow *= 1 - 0.55 * np.exp(-(((column - at) / 0.008) ** 2))
    depth = np.clip(row - top, 0, None)
    seen = blur(reflect * np.where(depth > 0.03, shadow, 1.0) * np.exp(-0.9 * depth), (0.7, 0.9))
    scale = min(shape) / 256
    envelope = speckle_envelope(rng, np.sqrt(seen), (0.55 * scale, 0.8 * scale))
    # Instruments average several scans and show the logarithm of intensity.
    second = speckle_envelope(rng, np.sqrt(seen), (0.55 * scale, 0.8 * scale))
    intensity = (envelope**2 + second**2) / 2 + 0.004 * rng.exponential(1.0, shape)
    decibel = 10 * np.log10(intensity + 1e-6)
    return Scene(grey_image((decibel + 27) / 29 * 255), label_objects(shape, pockets))
