"""Pairwise Wilcoxon signed-rank tests as R's ``wilcox.test(x, y, paired=TRUE, exact=FALSE)`` does them.

Pairs by case; differences of zero are dropped; equal absolute differences share the mid-rank; normal approximation
with variance corrected for ties and a continuity correction of 0.5.  On request the exact distribution where R would
take it, and Pratt's rule, by which zeros take part in the ranking before they are dropped.

Sources: M. Hollander, D. A. Wolfe, Nonparametric Statistical Methods, section 3.1; J. W. Pratt, Remarks on zeros and
ties in the Wilcoxon signed rank procedures, JASA 54 (1959); E. E. Cureton, The normal approximation to the
signed-rank sampling distribution when zero differences are present, JASA 62 (1967); R, help pages of ``wilcox.test``
and ``p.adjust``; challengeR 1.0.5 for the shares of rivals beaten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from harness.rank.order import FloatArray, IntArray

if TYPE_CHECKING:
    from harness.rank.signed_ranks import RankSums

Adjustment = Literal["none", "holm", "bh"]
ADJUSTMENTS: tuple[Adjustment, ...] = get_args(Adjustment)
Method = Literal["normal", "exact"]
METHODS: tuple[Method, ...] = get_args(Method)
Zeros = Literal["wilcox", "pratt"]
ZEROS: tuple[Zeros, ...] = get_args(Zeros)

#: Level of significance.
ALPHA = 0.05
#: R takes the exact distribution below this number of pairs.
EXACT_BELOW = 50
#: R's ``pnorm`` gives 0 from here on, where probabilities leave the range of normal doubles.
_UNDERFLOW_Z = -37.5193
#: One-sided p-values of resamples worked on at once.
_BLOCK = 1_000_000


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
    values: FloatArray,
    smaller_is_better: bool,
    adjustment: Adjustment = "holm",
    digits: int | None = None,
    method: Method = "normal",
    zeros: Zeros = "wilcox",
) -> PairTests:
    """Test all pairs of teams on one task and metric.

    Args:
        values: (cases, teams), NaN where a team has no value.
        smaller_is_better: the metric's direction.
        adjustment: of the one-sided p-values.
        digits: decimals that differences are rounded to; None: not at all, as in R.
        method: "exact" takes the exact distribution for pairs of teams with fewer than 50 cases, no ties and no
            zeros, as R does; the normal approximation elsewhere.
        zeros: "wilcox" drops differences of zero; "pratt" drops them after ranking.
    """
    cases, teams = values.shape
    once = np.ones((1, cases), dtype=np.int64)
    a, b = np.triu_indices(teams, k=1)
    sums = _sums(values, once, digits, zeros)
    a_better, b_better, two_sided = (p[:, 0] for p in _p_values(sums, smaller_is_better, method, zeros))
    # Both directions of a pair, in the order of (i, j).
    i, j = np.concatenate([a, b]), np.concatenate([b, a])
    order = np.lexsort((j, i))
    pair = np.concatenate([np.arange(len(a))] * 2)[order]
    v = sums.doubled_v[:, 0] / 2
    better = np.concatenate([a_better, b_better])[order]
    return PairTests(
        i=i[order],
        j=j[order],
        n=sums.n[pair, 0].astype(np.int64),
        n_nonzero=sums.nonzero[pair, 0].astype(np.int64),
        v=np.concatenate([v, _rank_total(sums, zeros)[:, 0] - v])[order],
        p_i_better=better,
        p_i_better_adj=adjust(better, adjustment),
        p_two_sided=two_sided[pair],
    )


def shares_beaten(
    values: FloatArray,
    counts: IntArray,
    smaller_is_better: bool,
    adjustment: Adjustment = "none",
    digits: int | None = None,
    method: Method = "normal",
    zeros: Zeros = "wilcox",
) -> FloatArray:
    """For each team the share of its rivals that it beats significantly, for many resamples of the cases.

    One-sided tests at `ALPHA`, adjusted over all ordered pairs.  Rivals are the other teams that have a value in
    the resample; one without a case in common is not beaten.

    Args:
        values: (cases, teams), NaN where a team has no value.
        counts: (B, cases) how often each case was drawn; k draws are k pairs of equal difference.
        smaller_is_better: the metric's direction.
        adjustment, digits, method, zeros: as in `pair_tests`.

    Returns:
        (B, teams); NaN for a team without a value.
    """
    teams = values.shape[1]
    a, b = np.triu_indices(teams, k=1)
    rivals_of = (np.eye(teams)[a], np.eye(teams)[b])
    known = (~np.isnan(values)).astype(np.float64)
    shares = []
    block = max(1, _BLOCK // max(1, 2 * len(a)))
    for start in range(0, len(counts), block):
        drawn = counts[start : start + block]
        sums = _sums(values, drawn, digits, zeros)
        a_better, b_better, _ = _p_values(sums, smaller_is_better, method, zeros, two_sided=False)
        p = adjust(np.concatenate([a_better, b_better]).T, adjustment)
        significant = (p <= ALPHA).astype(np.float64)
        beaten = significant[:, : len(a)] @ rivals_of[0] + significant[:, len(a) :] @ rivals_of[1]
        present = (drawn > 0).astype(np.float64) @ known > 0
        rivals = np.maximum(1, present.sum(axis=1, keepdims=True) - 1)
        shares.append(np.where(present, beaten / rivals, np.nan))
    return np.concatenate(shares)


def _sums(values: FloatArray, counts: IntArray, digits: int | None, zeros: Zeros) -> RankSums:
    from harness.rank.signed_ranks import rank_sums  # loads the compiler

    i, j = np.triu_indices(values.shape[1], k=1)
    return rank_sums(values, counts, i, j, digits, rank_zeros=zeros == "pratt")


def _rank_total(sums: RankSums, zeros: Zeros) -> FloatArray:
    """Sum of all ranks that are not dropped."""
    n = sums.n if zeros == "pratt" else sums.nonzero
    dropped = n - sums.nonzero
    total: FloatArray = (n * (n + 1) - dropped * (dropped + 1)) / 2
    return total


def _p_values(
    sums: RankSums, smaller_is_better: bool, method: Method, zeros: Zeros, two_sided: bool = True
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One-sided p-values that the first team of each pair is the better one, and that the second is; two-sided ones.

    The only place where sums become p-values, so that no resample is judged otherwise than the table itself.
    """
    n = sums.n if zeros == "pratt" else sums.nonzero
    dropped = n - sums.nonzero
    total = _rank_total(sums, zeros)
    v = sums.doubled_v / 2
    centred = v - total / 2
    variance = (n * (n + 1) * (2 * n + 1) - dropped * (dropped + 1) * (2 * dropped + 1)) / 24 - sums.ties / 48
    some = sums.nonzero > 0
    deviation = np.sqrt(np.where(some, variance, 1.0))
    above, below = _tail((0.5 - centred) / deviation), _tail((0.5 + centred) / deviation)
    # R takes the smaller tail; |centred| is 0 or at least 0.5, so the correction never crosses the mean.
    size = np.abs(centred)
    both = 2 * _tail((np.where(size == 0, 0.0, 0.5) - size) / deviation) if two_sided else size
    if method == "exact":
        exact = some & (sums.n < EXACT_BELOW) & (sums.ties == 0) & (sums.nonzero == sums.n)
        cumulative = null_cumulative()
        row, least, most = n[exact].astype(np.int64), (total - v)[exact].astype(np.int64), v[exact].astype(np.int64)
        above[exact], below[exact] = cumulative[row, least], cumulative[row, most]
        both[exact] = np.minimum(1.0, 2 * cumulative[row, np.minimum(least, most)])
    impossible = np.where(sums.n > 0, 1.0, np.nan)
    above, below = np.where(some, above, impossible), np.where(some, below, impossible)
    first, second = (below, above) if smaller_is_better else (above, below)
    return first, second, np.where(some, both, np.nan)


def _tail(z: FloatArray) -> FloatArray:
    """Probability below z of the standard normal distribution, as far down as R's ``pnorm`` goes."""
    return np.where(z > _UNDERFLOW_Z, ndtr(z), 0.0)


@cache
def null_cumulative() -> FloatArray:
    """Exact null distribution of V: entry [n, v] is P(V <= v) for n pairs without ties (R's ``psignrank``).

    (50, 1226).  The numbers of sign patterns are whole numbers up to 2^49, so that each entry is exact.
    """
    most = (EXACT_BELOW - 1) * EXACT_BELOW // 2
    ways = np.zeros((EXACT_BELOW, most + 1), dtype=np.int64)
    ways[0, 0] = 1
    for n in range(1, EXACT_BELOW):
        ways[n] = ways[n - 1]
        ways[n, n:] += ways[n - 1, : most + 1 - n]
    cumulative: FloatArray = np.cumsum(ways, axis=1) / 2.0 ** np.arange(EXACT_BELOW)[:, None]
    return cumulative


def adjust(p: FloatArray, adjustment: Adjustment) -> FloatArray:
    """Adjusted p-values as R's ``p.adjust``, along the last axis; NaN stays NaN and is not counted."""
    if adjustment == "none":
        return p.copy()
    order = np.argsort(p, axis=-1)  # NaN last
    ordered = np.take_along_axis(p, order, axis=-1)
    m = (~np.isnan(p)).sum(axis=-1, keepdims=True)
    place = np.arange(1, p.shape[-1] + 1)
    stepped: npt.NDArray[Any]
    if adjustment == "holm":
        stepped = np.maximum.accumulate((m - place + 1) * ordered, axis=-1)
    else:
        stepped = np.fmin.accumulate((m / place * ordered)[..., ::-1], axis=-1)[..., ::-1]
    result = np.empty_like(p)
    np.put_along_axis(result, order, np.minimum(stepped, 1.0), axis=-1)
    return result
