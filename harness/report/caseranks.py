"""Ranks of the teams within each case, from the results table alone: pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.report.data import FloatArray, ReportData

#: Decimals by which values within a case are compared, as the ranking compares them.
_DIGITS = 10


@dataclass(frozen=True)
class CaseRanks:
    """One metric over all cases that have it.

    Attributes:
        cases: N cases as (task, case).
        values: (N, T) values, teams in the report's order, NaN where a team has none.
        ranks: (N, T) 1 + number of better teams (equal ones share the best rank), NaN without value.
    """

    cases: tuple[tuple[str, str], ...]
    values: FloatArray
    ranks: FloatArray


def case_ranks(data: ReportData, metric: str) -> CaseRanks:
    """Rank the teams within every case.  (N, T) with N = 0 where the metric has no values."""
    mine = data.scores.dropna(subset=[metric])
    table = mine.pivot(index=["task", "case"], columns="team", values=metric).reindex(columns=list(data.teams))
    values = table.to_numpy(dtype=np.float64)
    key = np.round(values if data.smaller_is_better(metric) else -values, _DIGITS)
    ranks = 1.0 + (key[:, None, :] < key[:, :, None]).sum(axis=2)
    cases = tuple((str(task), str(case)) for task, case in table.index)
    return CaseRanks(cases, values, np.where(np.isnan(values), np.nan, ranks))


def rank_counts(found: CaseRanks) -> FloatArray:
    """(T, T): number of cases in which the row's team has the column's rank."""
    teams = found.ranks.shape[1]
    counts = np.zeros((teams, teams))
    case, team = np.nonzero(np.isfinite(found.ranks))
    np.add.at(counts, (team, found.ranks[case, team].astype(int) - 1), 1)
    return counts
