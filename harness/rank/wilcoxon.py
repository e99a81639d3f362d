"""Pairwise Wilcoxon signed-rank tests as R's ``wilcox.test(x, y, paired=TRUE, exact=FALSE)`` does them.

Pairs by case; differences of zero are dropped; equal absolute differences share the mid-rank; normal
approximation with variance corrected for ties and a continuity correction of 0.5.

Source: M. Hollander, D. A. Wolfe, Nonparametric Statistical Methods, section 3.1; R, help page of
``wilcox.test`` and ``p.adjust``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import ndtr

from harness.rank.order import FloatArray, IntArray, tie_bounds

Adjustment = Literal["none", "holm", "bh"]
ADJUSTMENTS: tuple[Adjustment, ...] = get_args(Adjustment)

#: Differences worked on at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class PairTests:
    """Tests of one unit for all ordered pairs of teams (i, j), i != j, sorted by i, then j.

    Attributes:
        i, j: (P,) positions of the teams.
        n: (P,) cases in which both have a value.
        n_nonzero: (P,) those in which they differ.
        v: (P,) R's statistic: sum of the ranks of the positive differences, value of i less value of j,
            whatever the metric's direction.
        p_i_better: (P,) one-sided: i is better than j.  1 where all differences are zero; NaN without
            a common case.
        p_i_better_adj: (P,) the same, adjusted over all ordered pairs of the unit (NaN not counted).
        p_two_sided: (P,) two-sided, not adjusted; NaN where all differences are zero.
    """

    i: IntArray
    j: IntArray
    n: IntArray
    n_nonzero: IntArray
    v: FloatArray
    p_i_better: FloatArray
    p_i_better_adj: FloatArray
    p_two_sided: FloatArray


def pair_tests(
    values: FloatArray, smaller_is_better: bool, adjustment: Adjustment = "holm", digits: int | None = None
) -> PairTests:
    """Test all pairs of teams on one task and metric.

    Args:
        values: (cases, teams), NaN where a team has no value.
        smaller_is_better: the metric's direction.
        adjustment: of the one-sided p-values.
        digits: decimals that differences are rounded to; None: not at all, as in R.
    """
    cases, teams = values.shape
    a, b = np.triu_indices(teams, k=1)
    columns = np.ascontiguousarray(values.T)
    n = np.empty(len(a), dtype=np.int64)
    nonzero = np.empty(len(a), dtype=np.int64)
    positive, negative, ties = (np.empty(len(a)) for _ in range(3))
    block = max(1, _BLOCK // max(1, cases))
    for start in range(0, len(a), block):
        part = slice(start, start + block)
        difference = columns[a[part]] - columns[b[part]]
        if digits is not None:
            difference = np.round(difference, digits)
        n[part] = (~np.isnan(difference)).sum(axis=1)
        low, high = tie_bounds(np.where(difference == 0, np.nan, np.abs(difference)))
        nonzero[part] = (~np.isnan(low)).sum(axis=1)
        middle = (low + high) / 2
        positive[part] = np.where(difference > 0, middle, 0.0).sum(axis=1)
        negative[part] = np.where(difference < 0, middle, 0.0).sum(axis=1)
        # Each of e equals adds e^2 - 1, together e^3 - e.
        ties[part] = np.where(np.isnan(low), 0.0, (high - low + 1) ** 2 - 1).sum(axis=1)
    # Both directions of a pair, in the order of (i, j).
    i, j = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((j, i))
    pair = np.concatenate([np.arange(len(a))] * 2)[order]
    v = np.concatenate([positive, negative])[order]
    better, two_sided = _p_values(v, nonzero[pair], ties[pair], smaller_is_better)
    better = np.where(n[pair] == 0, np.nan, better)
    return PairTests(i[order], j[order], n[pair], nonzero[pair], v, better, adjust(better, adjustment), two_sided)


def _p_values(v: FloatArray, n: IntArray, ties: FloatArray, smaller_is_better: bool) -> tuple[FloatArray, FloatArray]:
    m = n.astype(np.float64)
    centred = v - m * (m + 1) / 4
    deviation = np.sqrt(m * (m + 1) * (2 * m + 1) / 24 - ties / 48)
    some = n > 0
    scale = np.where(some, deviation, 1.0)
    toward = -centred if smaller_is_better else centred
    better = np.where(some, ndtr(-(toward - 0.5) / scale), 1.0)
    # R takes the smaller tail; |centred| is 0 or at least 0.5, so the correction never crosses the mean.
    z = (np.abs(centred) - np.where(centred == 0, 0.0, 0.5)) / scale
    two_sided = np.where(some, 2 * ndtr(-z), np.nan)
    return better, two_sided


def adjust(p: FloatArray, adjustment: Adjustment) -> FloatArray:
    """Adjusted p-values as R's ``p.adjust``; NaN stays NaN and is not counted."""
    result = p.copy()
    known = np.flatnonzero(~np.isnan(p))
    m = len(known)
    if adjustment == "none" or not m:
        return result
    order = known[np.argsort(p[known], kind="stable")]
    place = np.arange(1, m + 1)
    if adjustment == "holm":
        stepped = np.maximum.accumulate((m - place + 1) * p[order])
    else:
        stepped = np.minimum.accumulate((m / place * p[order])[::-1])[::-1]
    result[order] = np.minimum(stepped, 1.0)
    return result
