"""Order: ranks with ties, comparison that no last bit decides, and agreement between two rankings."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Ties = Literal["min", "average", "max", "dense"]
TIES: tuple[Ties, ...] = get_args(Ties)

#: Decimals that aggregates, and values ranked within a case, are compared at.
DIGITS = 10
#: Moves the half-way points of rounding off the short decimals on which means of scores do fall (sums
#: of 4-decimal scores over 128 cases end in a 5 at the 11th): two equal sums whose last bits differ
#: would otherwise round apart.
_NUDGE = 0.0318


def comparable(values: FloatArray) -> FloatArray:
    """Values as they are compared: rounded to `DIGITS` decimals, in units of the last one."""
    result: FloatArray = np.floor(values * 10.0**DIGITS + (0.5 + _NUDGE))
    return result


def tie_bounds(values: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest rank that each value shares with its equals, along the last axis.

    1 is the smallest value.  Their mean is the mid-rank, and high - low + 1 the number of equals.
    NaN has none (NaN).
    """
    order, ordered, first = _groups(values)
    n = values.shape[-1]
    position = np.arange(n)
    low = np.maximum.accumulate(np.where(first, position, 0), axis=-1)
    last = np.ones_like(first)
    last[..., :-1] = first[..., 1:]
    high = np.minimum.accumulate(np.where(last, position, n)[..., ::-1], axis=-1)[..., ::-1]
    return _scatter(order, ordered, low + 1), _scatter(order, ordered, high + 1)


def rank(
    values: FloatArray, ties: Ties = "min", smaller_is_better: bool = True, missing: Literal["keep", "last"] = "keep"
) -> FloatArray:
    """Ranks along the last axis, 1 the best, after rounding (`comparable`).

    Args:
        values: (..., T).
        missing: NaN stays NaN ("keep"), or comes after all others ("last"): with m missing, the
            largest rank + 1 (`min`, `dense`), + (m + 1) / 2 (`average`) or + m (`max`).
    """
    slope, level = copy_ranks(values, ties, smaller_is_better, missing)
    return slope + level


def copy_ranks(
    values: FloatArray, ties: Ties, smaller_is_better: bool, missing: Literal["keep", "last"]
) -> tuple[FloatArray, FloatArray]:
    """Ranks when every value is there k times, as ``slope * k + level``; k = 1 is the usual rank.

    With k copies, s better values become k s, and a group of e equals k e: the lowest rank of the
    group is k s + 1, its highest k (s + e), its middle the mean of both.
    """
    keys = comparable(values if smaller_is_better else -values)
    absent = np.isnan(keys)
    if ties == "dense":
        order, ordered, first = _groups(keys)
        level = _scatter(order, ordered, np.cumsum(first, axis=-1))
        slope = np.where(absent, np.nan, 0.0)
    else:
        low, high = tie_bounds(keys)
        if ties == "min":
            slope, level = low - 1, np.where(absent, np.nan, 1.0)
        elif ties == "max":
            slope, level = high, np.where(absent, np.nan, 0.0)
        else:
            slope, level = (low - 1 + high) / 2, np.where(absent, np.nan, 0.5)
    if missing == "last" and absent.any():
        m = absent.sum(axis=-1, keepdims=True)
        # The worst observed value has the largest slope and level; counting starts from 0 without one.
        worst_slope = np.max(np.where(absent, 0.0, slope), axis=-1, keepdims=True)
        worst_level = np.max(np.where(absent, 0.0, level), axis=-1, keepdims=True)
        more_slope, more_level = {
            "min": (0.0 * m, 1.0 + 0.0 * m),
            "dense": (0.0 * m, 1.0 + 0.0 * m),
            "average": (m / 2, 0.5 + 0.0 * m),
            "max": (1.0 * m, 0.0 * m),
        }[ties]
        slope = np.where(absent, worst_slope + more_slope, slope)
        level = np.where(absent, worst_level + more_level, level)
    return slope, level


def kendall_tau_b(reference: FloatArray, samples: FloatArray) -> FloatArray:
    """Kendall's tau-b between one ranking and each of many.

    Args:
        reference: (T,).
        samples: (B, T).

    Returns:
        (B,); NaN where one side is all ties.  Teams that one side does not rank (NaN) are left out.
    """
    i, j = np.triu_indices(len(reference), k=1)
    ahead = _sign(reference[i] - reference[j])
    result = np.empty(len(samples))
    block = max(1, 4_000_000 // max(1, len(i)))
    for start in range(0, len(samples), block):
        part = samples[start : start + block]
        difference = part[:, i] - part[:, j]
        known = (~np.isnan(difference)).astype(np.float32)
        sign = _sign(difference)
        concordance = (sign @ ahead).astype(np.float64)
        untied_reference = (known @ np.abs(ahead)).astype(np.float64)
        untied_sample = (np.abs(sign) @ (~np.isnan(reference[i] - reference[j])).astype(np.float32)).astype(np.float64)
        pairs = np.sqrt(untied_reference * untied_sample)
        result[start : start + block] = np.divide(concordance, pairs, out=np.full(len(part), np.nan), where=pairs > 0)
    return result


def _sign(difference: FloatArray) -> npt.NDArray[np.float32]:
    """-1, 0, 1 (NaN gives 0).  float32 holds the counts of up to 5,000 teams' pairs exactly."""
    return (difference > 0).astype(np.float32) - (difference < 0).astype(np.float32)


def _groups(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any], BoolArray]:
    """Sorting order, sorted values, and where a value differs from the one before it."""
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    first = np.ones(values.shape, dtype=bool)
    first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    return order, ordered, first


def _scatter(order: npt.NDArray[np.intp], ordered: npt.NDArray[Any], ranks: npt.NDArray[Any]) -> FloatArray:
    """Ranks of sorted values back in the values' own order; NaN where the value is NaN."""
    result = np.empty(ordered.shape)
    np.put_along_axis(result, order, np.where(np.isnan(ordered), np.nan, ranks), axis=-1)
    return result
