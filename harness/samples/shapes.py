"""Coordinates and outlines that scenes are drawn from.

Coordinates are physical or relative lengths of pixel centres, in array order: (y, x) or (z, y, x).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from harness.samples.noise import Sigma, smooth_field
from harness.samples.scene import Field, Mask

Grid = tuple[Field, ...]
Point = Sequence[float] | Field


def relative_grid(shape: tuple[int, int]) -> Grid:
    """Open (y, x) coordinates of a planar image in units of its shorter side, from the top left corner."""
    unit = min(shape)
    return ((np.arange(shape[0])[:, None] + 0.5) / unit, (np.arange(shape[1])[None, :] + 0.5) / unit)


def centred_grid(shape: tuple[int, int, int], spacing_zyx_mm: tuple[float, float, float]) -> Grid:
    """Open (z, y, x) coordinates of a volume in mm from its centre."""
    axes = [
        np.asarray((np.arange(n) - (n - 1) / 2) * step, dtype=np.float64)
        for n, step in zip(shape, spacing_zyx_mm, strict=True)
    ]
    return (axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])


def radius(grid: Grid, centre: Point, radii: Point, angle: float = 0.0) -> Field:
    """Distance from an ellipse's or ellipsoid's centre in units of its radii: 1 on the surface.

    `angle` (radians) turns the last two axes.
    """
    offsets = [axis - c for axis, c in zip(grid, centre, strict=True)]
    y, x = offsets[-2], offsets[-1]
    offsets[-2] = y * np.cos(angle) - x * np.sin(angle)
    offsets[-1] = y * np.sin(angle) + x * np.cos(angle)
    total = sum(((o / r) ** 2 for o, r in zip(offsets, radii, strict=True)), np.zeros(()))
    return np.asarray(np.sqrt(total), dtype=np.float64)


def wavy(rng: np.random.Generator, level: Field, amount: float, sigma_px: Sigma) -> Field:
    """A level function whose contours are no longer smooth: `amount` is the wave's size in radii."""
    return level + amount * smooth_field(rng, level.shape, sigma_px)


def main_part(mask: Mask) -> Mask:
    """The largest connected part, with its holes filled."""
    parts, count = ndimage.label(mask)
    if count > 1:
        mask = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled: Mask = ndimage.binary_fill_holes(mask)
    return filled


def soft_edge(level: Field, width: float) -> Field:
    """1 inside (level < 1), 0 outside, with a linear edge of a given width in level units."""
    return np.clip((1 - level) / width + 0.5, 0, 1)


def stroke(shape: tuple[int, int], points_px: Field, width_px: float | Field) -> Field:
    """Coverage (0..1) of a line through (n, 2) points in (y, x) pixels, its width constant or by point."""
    steps = np.hypot(*np.diff(points_px, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.linspace(0, along[-1], max(2, int(2 * along[-1])))
    y, x = (np.rint(np.interp(at, along, points_px[:, k])).astype(int) for k in (0, 1))
    width = np.interp(at, along, np.broadcast_to(np.asarray(width_px, dtype=np.float64), along.shape))
    inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    if not inside.any():
        return np.zeros(shape)
    local = np.zeros(shape)
    local[y[inside], x[inside]] = width[inside]
    distance, (iy, ix) = ndimage.distance_transform_edt(local == 0, return_indices=True)
    coverage: Field = np.clip(local[iy, ix] / 2 - distance + 0.5, 0, 1)
    return coverage


def curve(
    rng: np.random.Generator, start: tuple[float, float], heading: float, length: float, bend: float, knots: int = 40
) -> Field:
    """A random smooth path of (knots, 2) points: its heading does a random walk of size `bend` (radians)."""
    turns = np.cumsum(rng.standard_normal(knots)) * bend / np.sqrt(knots)
    step = length / knots
    y = start[0] + np.cumsum(np.sin(heading + turns)) * step
    x = start[1] + np.cumsum(np.cos(heading + turns)) * step
    return np.stack([y, x], axis=1)


def scatter_centres(
    rng: np.random.Generator, low: Sequence[float], high: Sequence[float], gap: float, wanted: int, tries: int = 400
) -> Field:
    """Up to `wanted` random points inside a box of coordinates, no two closer than `gap`."""
    candidates = rng.uniform(low, high, size=(tries, len(low)))
    chosen: list[Field] = []
    for point in candidates:
        if len(chosen) < wanted and all(np.linalg.norm(point - other) >= gap for other in chosen):
            chosen.append(point)
    return np.array(chosen).reshape(-1, len(low))
