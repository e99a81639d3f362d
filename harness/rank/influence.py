"""How much of the final ranking hangs on one task or on one case: each left out in turn.

Leaving a case out is a sample that draws every other case once, so that all leave-outs of a task are ranked
together, as bootstrap samples are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from harness.rank.order import FloatArray, kendall_tau_b, rank
from harness.rank.ranked import SchemeRanks, Units
from harness.rank.schemes import final_ranks, final_scores
from harness.rank.table import Table

#: Most cases that are listed.
MOST_CASES = 200
#: Most draw counts, and most ranks, in one array.
_COUNTS = 8_000_000


@dataclass(frozen=True)
class Influence:
    """What leaving one task or case out does to the final ranking.

    Attributes:
        kind: what is left out.
        name: of the task or case.
        task: where it lies.
        cases: how many cases that leaves out.
        tau: Kendall's tau-b with the full final ranking; NaN where one of them is all ties.
        winners: who comes first without it.
        changed: number of teams whose final rank changes.
        largest_shift: largest change of a team's final rank.
    """

    kind: Literal["modality", "case"]
    name: str
    task: str
    cases: int
    tau: float
    winners: tuple[str, ...]
    changed: int
    largest_shift: float


def influence(
    table: Table, units: Units, weights: FloatArray, full: SchemeRanks, most: int = MOST_CASES
) -> tuple[Influence, ...]:
    """Leave out each task, then each case.

    Args:
        table: what was ranked.
        units: for each task, for each metric, in mode ``distinct``.
        weights: (units,) of the final score.
        full: the ranking of the full data under the same scheme.
        most: number of cases that are kept.

    Returns:
        Every task in the table's order (none where there is one only); then the cases that change some final
        rank, most influential first: by the number of ranks changed, by the largest shift, by tau, by name.
    """
    tasks = _tasks_left_out(table, weights, full) if len(table.tasks) > 1 else []
    cases: list[Influence] = []
    for position in range(len(table.tasks)):
        cases += _cases_left_out(table, position, units, weights, full)
    cases.sort(key=lambda one: (-one.changed, -one.largest_shift, one.tau, one.task, one.name))
    return (*tasks, *cases[:most])


def influence_frame(influences: Sequence[Influence]) -> pd.DataFrame:
    """``kind,name,task,cases,tau,winner,changed,largest_shift``; several winners are joined by ``;``."""
    rows = [
        (one.kind, one.name, one.task, one.cases, one.tau, ";".join(one.winners), one.changed, one.largest_shift)
        for one in influences
    ]
    columns = ["kind", "name", "task", "cases", "tau", "winner", "changed", "largest_shift"]
    return pd.DataFrame(rows, columns=columns)


def _tasks_left_out(table: Table, weights: FloatArray, full: SchemeRanks) -> list[Influence]:
    of_unit = np.repeat(np.arange(len(table.tasks)), len(table.metrics))
    found = []
    for position, task in enumerate(table.tasks):
        stay = of_unit != position
        final = final_ranks(final_scores(full.ranks[stay], weights[stay]), full.scheme.ties)
        found += _compared(table, full.final, final[None], "modality", [task.name], task.name, len(task.cases))
    return found


def _cases_left_out(
    table: Table, position: int, units: Units, weights: FloatArray, full: SchemeRanks
) -> list[Influence]:
    """The task's cases that change some final rank."""
    task, own = table.tasks[position], units[position]
    n = len(task.cases)
    first = position * len(own)
    block = max(1, _COUNTS // max(n, full.ranks.size))
    found = []
    for start in range(0, n, block):
        size = min(block, n - start)
        ranks = np.broadcast_to(full.ranks, (size, *full.ranks.shape)).copy()
        if n == 1:  # nothing is left of the task
            ranks[:, first : first + len(own)] = np.nan
        else:
            counts = np.ones((size, n), dtype=np.int64)
            counts[np.arange(size), np.arange(start, start + size)] = 0
            for k, unit in enumerate(own):
                ranks[:, first + k] = rank(unit.aggregates(counts), full.scheme.ties, unit.smaller_is_better)
        final = final_ranks(final_scores(ranks, weights), full.scheme.ties)
        moved = np.flatnonzero((final != full.final).any(axis=1))
        names = [task.cases[start + i] for i in moved]
        found += _compared(table, full.final, final[moved], "case", names, task.name, 1)
    return found


def _compared(
    table: Table,
    full: FloatArray,
    finals: FloatArray,
    kind: Literal["modality", "case"],
    names: Sequence[str],
    task: str,
    cases: int,
) -> list[Influence]:
    """(leave-outs, teams) final ranks, each against the full data's."""
    shift = np.abs(finals - full)
    taus = kendall_tau_b(full, finals)
    return [
        Influence(
            kind,
            name,
            task,
            cases,
            float(tau),
            tuple(table.teams[t] for t in np.flatnonzero(final == final.min())),
            int((of > 0).sum()),
            float(of.max()),
        )
        for name, final, of, tau in zip(names, finals, shift, taus, strict=True)
    ]
