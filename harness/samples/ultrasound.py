"""Ultrasound: a breast under a linear probe, with speckle, attenuation, shadows and enhancement."""

from __future__ import annotations

import numpy as np

from harness.samples.noise import blur, smooth_field, speckle_envelope
from harness.samples.scene import Field, Scene, grey_image, label_objects
from harness.samples.shapes import main_part, radius, relative_grid, wavy

#: What the display shows, from black to white.
DYNAMIC_RANGE_DB = 58.0
#: Display gain: below 0, so that bright tissue is not clipped to white.
GAIN_DB = -9.0
#: Loss over one image height that the depth gain does not make up for.
RESIDUAL_LOSS_DB = 9.0


def breast(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """A solid mass with a shadow behind it, and a cyst with enhancement behind it, as two objects."""
    grid = relative_grid(shape)
    unit = min(shape)
    depth, _ = grid
    width = shape[1] / unit

    # Layers, from the skin down: their echo strength in dB, with boundaries that undulate.
    surface = depth + 0.02 * smooth_field(rng, (1, shape[1]), (0, 0.12 * unit))
    echo = np.full(shape, -20.0)  # fat
    septa = np.abs(smooth_field(rng, shape, (0.03 * unit, 0.07 * unit)))
    echo[septa < 0.1] = -9.0
    gland = (surface > 0.28) & (surface < 0.72)
    echo[gland] = -10 + 2.5 * smooth_field(rng, shape, (0.02 * unit, 0.04 * unit))[gland]
    muscle = surface > 0.76
    fibres = smooth_field(rng, shape, (0.008 * unit, 0.12 * unit))
    echo[muscle] = -16 + 4 * fibres[muscle]
    echo[(surface > 0.74) & (surface < 0.76)] = -3.0
    echo[surface < 0.05] = -4.0
    loss = np.full(shape, RESIDUAL_LOSS_DB)

    side = rng.choice([0.0, 1.0])
    mass_x, cyst_x = (0.32, 0.72) if side else (0.7, 0.3)
    mass = _outline(rng, grid, (0.44, mass_x * width), (0.13, 0.17), 0.13, unit)
    cyst = _outline(rng, grid, (0.5, cyst_x * width), (0.085, 0.11), 0.03, unit)
    echo[mass] = -27 + 2.5 * smooth_field(rng, shape, 0.02 * unit)[mass]
    loss[mass] = 75.0
    echo[cyst] = -75.0
    loss[cyst] = -45.0  # the gain for depth assumes tissue, so fluid makes what lies behind brighter
    grain = radius(grid, (0.3, 0.5 * width), (0.008, 0.008))
    echo[grain < 1] = 2.0
    loss[grain < 1.6] = 700.0

    travelled = np.cumsum(loss, axis=0) / unit
    # Refraction spreads a shadow sideways as it goes down.
    shaded = echo - blur(travelled, (0, 0.006 * unit))
    amplitude = np.asarray(10 ** (shaded / 20))
    envelope = _focused_speckle(rng, amplitude, depth, unit)
    floor = 10 ** (-56 / 20) * np.abs(rng.standard_normal(shape))
    decibel = 20 * np.log10(envelope + floor + 1e-9)
    image = grey_image((decibel + GAIN_DB + DYNAMIC_RANGE_DB) / DYNAMIC_RANGE_DB * 255)
    return Scene(image, label_objects(shape, [mass, cyst]))


def _outline(
    rng: np.random.Generator,
    grid: tuple[Field, ...],
    centre: tuple[float, float],
    radii: tuple[float, float],
    rough: float,
    unit: int,
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    place = np.array(centre) + rng.normal(0, 0.015, 2)
    level = radius(grid, place, np.array(radii) * rng.uniform(0.85, 1.1, 2), rng.uniform(-0.25, 0.25))
    return main_part(wavy(rng, level, rough, 0.035 * unit) < 1)


def _focused_speckle(rng: np.random.Generator, amplitude: Field, depth: Field, unit: int) -> Field:
    """Speckle whose grain is narrow at the focus (mid depth) and wide near and far."""
    scale = unit / 320
    sharp = speckle_envelope(rng, amplitude, (0.8 * scale, 1.2 * scale))
    wide = speckle_envelope(rng, amplitude, (0.8 * scale, 2.4 * scale))
    share = np.clip(np.abs(depth - 0.45) / 0.5, 0, 1)
    return sharp * (1 - share) + wide * share
