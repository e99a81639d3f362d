"""How large the difference between two teams is, beside the p-value that says whether there is one.

Matched-pairs rank-biserial correlation (D. S. Kerby, The simple difference formula, Comprehensive Psychology 3,
2014): the sum of the signed-rank test's ranks in favour of a team less that against it, as a share of both; 1 where
it wins every case that differs.

Hodges-Lehmann shift: the median of the Walsh averages of the paired differences, with the interval that inverts the
signed-rank test (M. Hollander, D. A. Wolfe, Nonparametric Statistical Methods, sections 3.2 and 3.3).  The interval
runs between the averages at place q from both ends, q the test's critical value: from its exact distribution below
50 pairs, as R's ``wilcox.test(conf.int=TRUE)`` has it, from the normal approximation with continuity correction
elsewhere.  Differences of zero are kept, where R leaves them out: a case in which two teams are equal tells that the
shift is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import ndtri

from harness.rank.order import FloatArray, IntArray
from harness.rank.wilcoxon import EXACT_BELOW, null_cumulative

#: Level of the interval.
LEVEL = 0.95
#: Differences sorted at once.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Effects:
    """Effects of one unit for all pairs of teams i < j, sorted by i, then j.  Positive: i is better.

    Attributes:
        i, j: (P,) positions of the teams.
        n: (P,) cases in which both have a value.
        rank_biserial: (P,) from -1 to 1; NaN where all differences are zero.
        shift: (P,) in the metric's units; NaN without a common case.
        shift_low, shift_high: (P,) its 95 % interval; NaN below 6 cases, where no interval reaches that level.
    """

    i: IntArray
    j: IntArray
    n: IntArray
    rank_biserial: FloatArray
    shift: FloatArray
    shift_low: FloatArray
    shift_high: FloatArray


def effects(values: FloatArray, smaller_is_better: bool, digits: int | None = None) -> Effects:
    """Effects of all pairs of teams on one task and metric.

    Args:
        values: (cases, teams), NaN where a team has no value.
        smaller_is_better: the metric's direction.
        digits: decimals that differences are rounded to; None: not at all.
    """
    from harness.rank.signed_ranks import rank_sums  # loads the compiler
    from harness.rank.walsh import walsh_estimates

    values = -values if smaller_is_better else values
    cases, teams = values.shape
    i, j = np.triu_indices(teams, k=1)
    sums = rank_sums(values, np.ones((1, cases), dtype=np.int64), i, j, digits, rank_zeros=False)
    nonzero, doubled_v = sums.nonzero[:, 0], sums.doubled_v[:, 0]
    ranks = nonzero * (nonzero + 1) / 2
    favour = np.divide(doubled_v - ranks, ranks, out=np.full(len(i), np.nan), where=ranks > 0)
    known = sums.n[:, 0].astype(np.int64)
    numbers, where = np.unique(known, return_inverse=True)
    bounds = np.array([critical_place(int(n)) for n in numbers], dtype=np.int64)[where]
    columns = np.ascontiguousarray(values.T)
    estimates = np.empty((len(i), 3))
    block = max(1, _BLOCK // max(1, cases))
    for start in range(0, len(i), block):
        part = slice(start, start + block)
        differences = columns[i[part]] - columns[j[part]]
        if digits is not None:
            differences = np.round(differences, digits)
        estimates[part] = walsh_estimates(np.sort(differences, axis=1), known[part], bounds[part])
    return Effects(i, j, known, favour, *estimates.T)


@cache
def critical_place(n: int) -> int:
    """Which Walsh average of n differences, counted from 1 at either end, bounds the interval; 0: none does.

    The smallest q with P(V <= q) of at least half the error, as R's ``qsignrank``: the interval between the averages
    at q from both ends leaves out P(V <= q - 1) on either side, which is less.
    """
    tail = (1 - LEVEL) / 2
    if n < EXACT_BELOW:
        return int(np.searchsorted(null_cumulative()[n], tail))
    deviation = np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return int(np.ceil(n * (n + 1) / 4 + float(ndtri(tail)) * deviation - 0.5))


def effects_frame(units: Sequence[tuple[str, str]], teams: Sequence[str], of_units: Sequence[Effects]) -> pd.DataFrame:
    """All units' effects as a table.

    Args:
        units: (task, metric) of each.
        teams: their names.
        of_units: the effects, in the order of `units`.
    """
    names = np.array(teams, dtype=object)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "task": task,
                    "metric": metric,
                    "team_i": names[unit.i],
                    "team_j": names[unit.j],
                    "n": unit.n,
                    "rank_biserial": unit.rank_biserial,
                    "shift": unit.shift,
                    "shift_low": unit.shift_low,
                    "shift_high": unit.shift_high,
                }
            )
            for (task, metric), unit in zip(units, of_units, strict=True)
        ],
        ignore_index=True,
    )
