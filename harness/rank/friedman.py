"""Friedman's test: do the teams of a task differ at all, and from which distance between mean ranks on.

Teams are ranked within each case, ties at mid-rank; chi-squared is corrected for ties.  Kendall's W is chi-squared as
a share of its largest possible value: 1 where all cases rank the teams alike.  The Nemenyi critical difference is the
distance of two mean ranks that is significant at 0.05 among all pairs.

Sources: M. Friedman, JASA 32 (1937); M. G. Kendall, B. Babington Smith, The problem of m rankings, Annals of
Mathematical Statistics 10 (1939); J. Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 7
(2006), for the critical difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from harness.rank.order import FloatArray, rank, tie_bounds
from harness.rank.wilcoxon import ALPHA


@dataclass(frozen=True)
class Friedman:
    """The test of one unit, on the cases in which every team that takes part has a value.

    Attributes:
        n: number of these cases.
        teams: number of teams that take part: those with a value in some case.
        chi2: the statistic; NaN without a case, with one team, or where every case is tied throughout, as are:
        p: probability of a statistic at least as large where teams do not differ, with `df` degrees of freedom.
        kendall_w: agreement of the cases, 0 to 1.
        critical_difference: of two mean ranks at 0.05; NaN without a case or with one team.
        mean_ranks: (all teams,), 1 the best; NaN for a team that does not take part, or without a case.
    """

    n: int
    teams: int
    chi2: float
    p: float
    kendall_w: float
    critical_difference: float
    mean_ranks: FloatArray

    @property
    def df(self) -> int:
        """Degrees of freedom."""
        return max(0, self.teams - 1)


def friedman(values: FloatArray, smaller_is_better: bool) -> Friedman:
    """Test one task and metric.

    Args:
        values: (cases, teams), NaN where a team has no value.
        smaller_is_better: the metric's direction.
    """
    present = ~np.isnan(values).all(axis=0)
    complete = values[:, present]
    complete = complete[~np.isnan(complete).any(axis=1)]
    n, k = complete.shape
    mean_ranks = np.full(values.shape[1], np.nan)
    if n == 0 or k < 2:
        return Friedman(n, k, np.nan, np.nan, np.nan, np.nan, mean_ranks)
    ranks = rank(complete, "average", smaller_is_better)
    mean_ranks[present] = ranks.mean(axis=0)
    low, high = tie_bounds(ranks)
    ties = float(((high - low + 1) ** 2 - 1).sum())  # each of e equals adds e^2 - 1, together e^3 - e
    spread = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    scale = n * k * (k + 1) - ties / (k - 1)
    if scale <= 0:  # tied throughout
        return Friedman(n, k, np.nan, np.nan, np.nan, critical_difference(n, k), mean_ranks)
    chi2 = 12 * spread / scale
    p = float(chdtrc(k - 1, chi2))
    return Friedman(n, k, chi2, p, chi2 / (n * (k - 1)), critical_difference(n, k), mean_ranks)


def critical_difference(cases: int, teams: int) -> float:
    """Nemenyi's critical difference of mean ranks at `ALPHA`."""
    return _studentized_range(teams) * float(np.sqrt(teams * (teams + 1) / (12 * cases)))


@cache
def _studentized_range(teams: int) -> float:
    """Quantile of the range of that many standard normal variables."""
    from scipy.stats import studentized_range  # takes half a second to load

    return float(studentized_range.ppf(1 - ALPHA, teams, np.inf))


def friedman_frame(units: Sequence[tuple[str, str]], of_units: Sequence[Friedman]) -> pd.DataFrame:
    """All units' tests as a table.

    Args:
        units: (task, metric) of each.
        of_units: the tests, in the order of `units`.
    """
    rows = [
        (task, metric, f.n, f.teams, f.chi2, f.df, f.p, f.kendall_w, f.critical_difference)
        for (task, metric), f in zip(units, of_units, strict=True)
    ]
    columns = ["task", "metric", "n", "teams", "chi2", "df", "p", "kendall_w", "critical_difference"]
    return pd.DataFrame(rows, columns=columns)
