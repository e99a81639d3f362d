"""Medians and other quantiles of many samples at once, from draw counts instead of drawn values.

A sample is how often each case was drawn.  The values are sorted once; a sample's quantile is where its counts,
added up in that order, pass the place sought.  (R's type 7, numpy's "linear".)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.compiled import compiled
from harness.rank.order import FloatArray, IntArray


def weighted_quantile(values: FloatArray, counts: IntArray, share: float) -> FloatArray:
    """Quantiles over drawn cases.

    Args:
        values: (cases, teams), NaN where nothing counts.
        counts: (B, cases) how often each case was drawn.
        share: 0.5 for the median.

    Returns:
        (B, teams); NaN where no drawn case has a value.
    """
    order = np.argsort(values, axis=0, kind="stable").T  # NaN last
    known = (~np.isnan(values)).sum(axis=0)
    ordered = np.take_along_axis(values.T, order, axis=1)
    return _of_sorted(ordered, order.astype(np.int32), known, np.ascontiguousarray(counts, dtype=np.int64), share)


def copies_quantile(slope: FloatArray, level: FloatArray, counts: IntArray, share: float) -> FloatArray:
    """Quantiles where a case drawn k times is worth ``level + k * slope``, k times.

    Args:
        slope, level: (cases, teams) multiples of 0.5 from 0 upward, as those of ranks are; NaN where nothing counts.
        counts: (B, cases).
        share: 0.5 for the median.

    Returns:
        (B, teams); NaN where no drawn case has a value.
    """
    known = ~np.isnan(level)
    double_slope = np.where(known, 2 * slope, 0).astype(np.int64).T.copy()
    double_level = np.where(known, 2 * level, -1).astype(np.int64).T.copy()  # a level below 0 marks the gaps
    most = int(counts.max(initial=0))
    width = int(double_slope.max(initial=0)) * most + int(double_level.max(initial=0)) + 1
    counts = np.ascontiguousarray(counts, dtype=np.int64)
    return _of_copies(double_slope, double_level, counts, share, width)


@compiled
def _of_sorted(
    ordered: FloatArray, order: npt.NDArray[np.int32], known: IntArray, counts: IntArray, share: float
) -> FloatArray:
    """(teams, cases) sorted values and their cases, (teams,) how many are known -> (B, teams)."""
    samples, cases = counts.shape
    teams = len(known)
    result = np.full((samples, teams), np.nan)
    for sample in range(samples):
        drawn = counts[sample]
        of_all = drawn.sum()
        for team in range(teams):
            places = order[team]
            number = of_all
            for k in range(known[team], cases):
                number -= drawn[places[k]]
            if number == 0:
                continue
            position = (number - 1) * share
            low = int(np.floor(position))
            k = 0
            below = drawn[places[0]]
            while below <= low:
                k += 1
                below += drawn[places[k]]
            first = ordered[team, k]
            while below <= min(low + 1, number - 1):
                k += 1
                below += drawn[places[k]]
            result[sample, team] = first + (position - low) * (ordered[team, k] - first)
    return result


@compiled
def _of_copies(
    double_slope: IntArray, double_level: IntArray, counts: IntArray, share: float, width: int
) -> FloatArray:
    """(teams, cases) twice slope and level -> (B, teams); twice the ranks are counted in `width` cells."""
    samples, cases = counts.shape
    teams = len(double_slope)
    result = np.full((samples, teams), np.nan)
    cells = np.zeros(width, dtype=np.int64)
    drawn = np.empty(cases, dtype=np.int64)
    for sample in range(samples):
        different = 0
        for case in range(cases):
            if counts[sample, case] > 0:
                drawn[different] = case
                different += 1
        for team in range(teams):
            number = 0
            for case in drawn[:different]:
                if double_level[team, case] >= 0:
                    times = counts[sample, case]
                    cells[double_level[team, case] + times * double_slope[team, case]] += times
                    number += times
            if number == 0:
                continue
            position = (number - 1) * share
            low = int(np.floor(position))
            k = 0
            below = cells[0]
            while below <= low:
                k += 1
                below += cells[k]
            first = k / 2
            while below <= min(low + 1, number - 1):
                k += 1
                below += cells[k]
            result[sample, team] = first + (position - low) * (k / 2 - first)
            cells[:] = 0
    return result
