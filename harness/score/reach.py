"""Which grid offsets are shorter than a tolerance, column by column.

A column holds the offsets that agree along the first two axes.  Lengths are rounded as scipy's Euclidean
transform rounds them, since it gives the official distances; rounding keeps their order, so that those in
reach are an interval of each column.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Offsets nearer to the tolerance than this share of it count as lying at it: rounding errors of the
#: transform's distances are below 1e-14 of it.
_EDGE = 1e-9


@dataclass(frozen=True)
class Reach:
    """The offsets by which an element can be near.

    Attributes:
        radius: the largest offset along the first two axes.
        columns: (n, 3) int64: a column's offsets along the first two axes, and the largest offset along the
            last that is surely in reach.  The last is falling, and the nearest columns stand first.
        torn: (m, 5) int64: columns with offsets that are at the tolerance but for rounding: the two offsets,
            then the largest along the last axis that is surely in reach (-1 where none is), that is in
            reach as rounded, and that is at the tolerance at all.  None where rounding puts all of them
            on one side; then ``columns`` has judged them.
    """

    radius: tuple[int, int]
    columns: Integers
    torn: Integers


def reach_of(spacing_mm: tuple[float, float, float], tolerance_mm: float, shape: tuple[int, int, int]) -> Reach:
    """The offsets in reach.

    Args:
        spacing_mm: length of a step along each axis.
        tolerance_mm: at least 0.
        shape: the largest offsets that occur along each axis.
    """
    ends = (min(n, reach_along_axis(s, tolerance_mm, n) + 1) for s, n in zip(spacing_mm, shape, strict=True))
    return _reach(spacing_mm, tolerance_mm, tuple(ends))


@lru_cache(maxsize=32)
def _reach(spacing_mm: tuple[float, ...], tolerance_mm: float, shape: tuple[int, ...]) -> Reach:
    """`reach_of` a shape that ends soon after the offsets in reach, so that few are asked for."""
    radius = [reach_along_axis(s, tolerance_mm, n) for s, n in zip(spacing_mm, shape, strict=True)]
    first, second = np.meshgrid(*(np.arange(-r, r + 1) for r in radius[:2]), indexing="ij")
    first, second = first.reshape(-1), second.reshape(-1)
    with np.errstate(over="ignore"):
        aside = (first * spacing_mm[0]) ** 2 + (second * spacing_mm[1]) ** 2
        surely, rounded, barely = (
            _largest_step(aside, spacing_mm[2], shape[2], limit_mm, strictly)
            for limit_mm, strictly in (
                (tolerance_mm * (1 - _EDGE), True),
                (tolerance_mm, False),
                (tolerance_mm * (1 + _EDGE), False),
            )
        )
    steps, torn = rounded, np.empty((0, 5), dtype=np.int64)
    if (surely < rounded).any() and (rounded < barely).any():
        steps, at = surely, surely < barely
        torn = np.column_stack((first, second, surely, rounded, barely))[at]
    columns = np.column_stack((first, second, steps))[np.lexsort((aside, -steps))]
    reach = Reach((radius[0], radius[1]), np.ascontiguousarray(columns[columns[:, 2] >= 0]), torn)
    reach.columns.setflags(write=False)
    reach.torn.setflags(write=False)
    return reach


def reach_along_axis(spacing_mm: float, tolerance_mm: float, highest: int) -> int:
    """The largest offset along one axis that is in reach or at the tolerance, at most ``highest``."""
    return int(min(tolerance_mm * (1 + _EDGE) / spacing_mm, highest))


def _largest_step(aside: Floats, spacing_mm: float, highest: int, limit_mm: float, strictly: bool) -> Integers:
    """The largest step along the last axis by which each column stays within a limit, -1 where none does.

    Args:
        aside: squared length of the column's offset along the other axes.
        highest: no step larger than this is asked for.
        strictly: whether the limit itself is too long.
    """

    def within(steps: Integers) -> npt.NDArray[np.bool_]:
        length = np.sqrt(aside + (steps * spacing_mm) ** 2)
        return length < limit_mm if strictly else length <= limit_mm

    low = np.full(aside.shape, -1, dtype=np.int64)
    high = np.full(aside.shape, highest + 1, dtype=np.int64)
    while (high - low > 1).any():
        middle = (low + high) >> 1
        inside = within(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low
