"""A table ranked by one scheme: every unit, the final score, the final rank.  No resampling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.rank.missing import dropped_cases, prepared
from harness.rank.order import FloatArray, IntArray, rank
from harness.rank.schemes import BootMode, Scheme, Unit, final_ranks, final_scores
from harness.rank.table import LeftOut, RankedMetric, Table, TaskTable

#: For each task, for each metric: (cases, teams).
Values = list[list[FloatArray]]
#: For each task, for each metric.
Units = list[list[Unit]]


@dataclass(frozen=True)
class SchemeRanks:
    """What one scheme makes of the table.

    Attributes:
        scheme: with its settings.
        aggregates: (units, teams); NaN for a team without a value.
        ranks: (units, teams).
        scores: (teams,) weighted mean of the ranks; NaN where a unit does not rank the team.
        final: (teams,) ranks of the scores.
        dropped: cases that its rule for missing values took out for all teams.
    """

    scheme: Scheme
    aggregates: FloatArray
    ranks: FloatArray
    scores: FloatArray
    final: FloatArray
    dropped: tuple[LeftOut, ...]

    @property
    def with_final(self) -> FloatArray:
        """(units + 1, teams) ranks, the final ones last, as the bootstrap has them."""
        return np.concatenate([self.ranks, self.final[None]])


def values_under(table: Table, scheme: Scheme, fill: Mapping[str, float]) -> Values:
    """Every unit's values under the scheme's rule for missing values, NaN where nothing counts.

    Raises:
        UsageError: a gap must be filled and there is no value to fill it with.
    """
    return [[prepared(task, metric, scheme.missing, fill) for metric in table.metrics] for task in table.tasks]


def units_of(scheme: Scheme, values: Values, table: Table, mode: BootMode = "distinct") -> Units:
    """Every unit under the scheme, of what `values_under` gave."""
    return [
        [_unit(scheme, task, of, m.smaller_is_better, mode) for of, m in zip(metrics, table.metrics, strict=True)]
        for task, metrics in zip(table.tasks, values, strict=True)
    ]


def unit_of(scheme: Scheme, task: TaskTable, metric: RankedMetric, fill: Mapping[str, float]) -> Unit:
    """One unit under the scheme, in mode ``distinct``.

    Raises:
        UsageError: a gap must be filled and there is no value to fill it with.
    """
    values = prepared(task, metric, scheme.missing, fill)
    return _unit(scheme, task, values, metric.smaller_is_better, "distinct")


def _unit(scheme: Scheme, task: TaskTable, values: FloatArray, smaller_is_better: bool, mode: BootMode) -> Unit:
    """A team that is no candidate in the task is not ranked last in its cases either."""
    if scheme.missing != "last" or task.absent is None:
        return scheme.unit(values, smaller_is_better, mode)
    candidates = np.flatnonzero(~task.absent)
    inner = scheme.unit(values[:, candidates], smaller_is_better, mode)

    def aggregates(counts: IntArray) -> FloatArray:
        of_all = np.full((len(counts), values.shape[1]), np.nan)
        of_all[:, candidates] = inner.aggregates(counts)
        return of_all

    return Unit(aggregates, inner.smaller_is_better)


def rank_unit(unit: Unit, cases: int, scheme: Scheme) -> tuple[FloatArray, FloatArray]:
    """Aggregates and ranks of the full data: (teams,) each."""
    aggregate = unit.aggregates(np.ones((1, cases), dtype=np.int64))[0]
    return aggregate, rank(aggregate, scheme.ties, unit.smaller_is_better)


def rank_table(table: Table, scheme: Scheme, weights: FloatArray, fill: Mapping[str, float]) -> SchemeRanks:
    """Rank a table.

    Args:
        table: what to rank.
        scheme: how.
        weights: (units,) in the final score.
        fill: values for rule ``fill``.

    Raises:
        UsageError: a gap must be filled and there is no value to fill it with.
    """
    units = units_of(scheme, values_under(table, scheme, fill), table)
    each = [
        rank_unit(unit, len(task.cases), scheme)
        for task, metrics in zip(table.tasks, units, strict=True)
        for unit in metrics
    ]
    ranks = np.stack([of for _, of in each])
    scores = final_scores(ranks, weights)
    aggregates = np.stack([of for of, _ in each])
    final = final_ranks(scores, scheme.ties)
    return SchemeRanks(scheme, aggregates, ranks, scores, final, dropped_cases(table, scheme.missing))
