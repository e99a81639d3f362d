"""Colour cameras on skin and mucosa: dermoscopy and endoscopy."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, smooth_field
from harness.samples.scene import Field, Scene, label_objects, to_bytes
from harness.samples.shapes import curve, main_part, radius, relative_grid, soft_edge, stroke, wavy


def expose(rng: np.random.Generator, colour: Field, grain: float = 0.6) -> Field:
    """What a camera's sensor makes of a scene in 0..1: a little blur, noise that grows with light."""
    unit = min(colour.shape[:2])
    seen = blur(colour, (unit / 420, unit / 420, 0)) * 255
    return np.asarray(seen + grain * np.sqrt(np.maximum(seen, 9)) * rng.standard_normal(seen.shape) * 0.5)


def dermoscopy(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A pigmented lesion with network, uneven border, hairs across it and dark corners; one object."""
    grid = relative_grid(shape)
    unit = min(shape)
    middle = (shape[0] / unit / 2, shape[1] / unit / 2)

    skin = np.array([0.86, 0.66, 0.58]) * np.ones((*shape, 3))
    redness = smooth_field(rng, shape, 0.06 * unit)
    skin *= 1 + np.array([0.01, 0.03, 0.03]) * redness[..., None]
    skin *= (1 + 0.02 * smooth_field(rng, shape, 0.006 * unit))[..., None]

    centre = np.array(middle) + rng.normal(0, 0.03, 2)
    level = radius(grid, centre, rng.uniform(0.22, 0.3, 2), rng.uniform(0, np.pi))
    level = wavy(rng, level, 0.09, 0.07 * unit)
    lesion = main_part(level < 1)
    patches = smooth_field(rng, shape, 0.05 * unit)
    turns = [2 * np.pi * 26 * (axis + 0.006 * patches) for axis in grid]
    network = np.cos(turns[0]) * np.cos(turns[1])
    melanin = soft_edge(level, 0.24) * np.clip(0.85 + 0.28 * patches + 0.14 * network, 0.2, 1.8)
    # Beer and Lambert: melanin takes more of the short wavelengths.
    colour = skin * np.exp(-melanin[..., None] * np.array([0.62, 1.0, 1.1]))

    for _ in range(9):
        start = (rng.uniform(0, shape[0]), rng.uniform(0, shape[1]))
        path = curve(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1) * unit, 0.7)
        cover = stroke(shape, path, rng.uniform(0.004, 0.008) * unit)[..., None]
        colour = colour * (1 - 0.85 * cover) + np.array([0.16, 0.11, 0.09]) * 0.85 * cover
    corner = radius(grid, middle, (0.72, 0.72 * shape[1] / shape[0]))
    colour *= (1 - 0.75 * np.clip((corner - 0.9) / 0.25, 0, 1) ** 1.5)[..., None]
    return Scene(to_bytes(expose(rng, colour)), label_objects(shape, [lesion]))


def endoscopy(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A polyp in a colon, lit from the camera, with folds, vessels, wet highlights and a dark lumen; one object."""
    grid = relative_grid(shape)
    unit = min(shape)
    height, width = shape[0] / unit, shape[1] / unit
    side = rng.choice([-1.0, 1.0])
    lumen_at = (height / 2 - 0.12, width / 2 + side * 0.25)
    polyp_at = (height / 2 + 0.1 + rng.normal(0, 0.02), width / 2 - side * 0.12 + rng.normal(0, 0.02))

    # Relief of the wall: folds ring the lumen; the polyp is a dome upon it.
    from_lumen = radius(grid, lumen_at, (1.0, 1.0))
    relief = 0.035 * np.sin(2 * np.pi * 3.2 * np.sqrt(from_lumen) + smooth_field(rng, shape, 0.2 * unit))
    relief += 0.004 * smooth_field(rng, shape, 0.02 * unit)
    level = wavy(rng, radius(grid, polyp_at, (0.19, 0.23), rng.uniform(-0.5, 0.5)), 0.05, 0.08 * unit)
    polyp = main_part(level < 1)
    relief += 0.17 * np.sqrt(np.clip(1 - level**2, 0, 1))
    relief = blur(relief, 0.006 * unit)

    slope_y, slope_x = np.gradient(relief, 1 / unit)
    facing = 1 / np.sqrt(1 + slope_y**2 + slope_x**2)
    lamp = radius(grid, (height / 2, width / 2), (0.75, 0.75))
    light = facing * (1.12 - 0.55 * lamp**2) * np.clip(0.18 + 1.6 * from_lumen, 0, 1)

    mucosa = np.array([0.80, 0.42, 0.34]) * np.ones((*shape, 3))
    mucosa *= 1 + np.array([0.02, 0.06, 0.06]) * smooth_field(rng, shape, 0.04 * unit)[..., None]
    vessels = np.zeros(shape)
    for _ in range(12):
        start = (rng.uniform(0, shape[0]), rng.uniform(0, shape[1]))
        path = curve(rng, start, rng.uniform(0, 2 * np.pi), 0.45 * unit, 1.2)
        vessels = np.maximum(vessels, stroke(shape, path, 0.005 * unit))
    mucosa *= 1 - 0.28 * np.array([0.4, 1.0, 0.9]) * (vessels * ~polyp)[..., None]
    cover = soft_edge(level, 0.12)
    pits = 1 + 0.06 * smooth_field(rng, shape, 0.008 * unit)
    mucosa = mucosa * (1 - cover[..., None]) + np.array([0.90, 0.46, 0.40]) * (cover * pits)[..., None]
    colour = mucosa * light[..., None]

    # Wet tissue mirrors the lamp where it faces the camera.
    ripple = facing + 0.05 * smooth_field(rng, shape, 0.012 * unit)
    shine = np.clip((ripple - np.percentile(ripple, 98.6)) / 0.02, 0, 1) * (lamp < 0.75)
    colour = colour * (1 - shine[..., None]) + shine[..., None]
    frame = np.maximum(np.abs(grid[0] - height / 2) / height, np.abs(grid[1] - width / 2) / width)
    corner = np.abs(grid[0] - height / 2) / height + np.abs(grid[1] - width / 2) / width
    colour *= ((frame < 0.485) & (corner < 0.86))[..., None]
    return Scene(to_bytes(expose(rng, colour)), label_objects(shape, [polyp]))
