"""Groups of teams that the data do not separate, as critical-difference diagrams draw them.

Teams stand in order of their mean rank within cases.  A group is a longest run of neighbours in that order of whom no
two differ significantly; runs may overlap, and a team that differs from both neighbours is a group of its own.

=================  ==============================================================================================
``wilcoxon-holm``  two-sided signed-rank tests, Holm over all unordered pairs (A. Benavoli, G. Corani, F. Mangili,
                   Should we really use post-hoc tests based on mean-ranks?, JMLR 17, 2016, as in H. Ismail Fawaz
                   et al., Deep learning for time series classification: a review, 2019)
``nemenyi``        mean ranks at least the critical difference apart (J. Demsar, JMLR 7, 2006)
=================  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from harness.rank.friedman import Friedman
from harness.rank.order import BoolArray, FloatArray
from harness.rank.wilcoxon import ALPHA, PairTests, adjust

GroupMethod = Literal["wilcoxon-holm", "nemenyi"]
GROUP_METHODS: tuple[GroupMethod, ...] = get_args(GroupMethod)


@dataclass(frozen=True)
class Groups:
    """The groups of one unit by one method.

    Attributes:
        method: what separates two teams.
        members: for each group the positions of its teams, in order of mean rank; groups in that order too.
            Teams without a mean rank are in none.
        mean_ranks: (teams,), 1 the best.
    """

    method: GroupMethod
    members: tuple[tuple[int, ...], ...]
    mean_ranks: FloatArray


def groups(tests: PairTests, friedman: Friedman) -> tuple[Groups, ...]:
    """The groups of one unit, one for each of `GROUP_METHODS`.

    Args:
        tests: of all pairs of teams; one that cannot be tested (no difference at all) is not separated.
        friedman: on the same values.
    """
    mean_ranks = friedman.mean_ranks
    once = tests.i < tests.j
    i, j = tests.i[once], tests.j[once]
    significant = adjust(tests.p_two_sided[once], "holm") <= ALPHA
    tested = np.zeros((len(mean_ranks), len(mean_ranks)), dtype=bool)
    tested[i, j] = tested[j, i] = significant
    apart = np.abs(mean_ranks[:, None] - mean_ranks) >= friedman.critical_difference
    return tuple(
        Groups(method, _runs(mean_ranks, separated), mean_ranks)
        for method, separated in zip(GROUP_METHODS, (tested, apart), strict=True)
    )


def _runs(mean_ranks: FloatArray, separated: BoolArray) -> tuple[tuple[int, ...], ...]:
    """Longest runs in order of mean rank without a separated pair; `separated` is (teams, teams)."""
    order = [int(team) for team in np.argsort(mean_ranks, kind="stable") if not np.isnan(mean_ranks[team])]
    runs: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = max(reached, start + 1)  # within the run before nothing is separated
        while end < len(order) and not separated[order[end], order[start:end]].any():
            end += 1
        if end > reached:
            runs.append(tuple(order[start:end]))
            reached = end
    return tuple(runs)


def groups_frame(
    units: Sequence[tuple[str, str]], teams: Sequence[str], of_units: Sequence[tuple[Groups, ...]]
) -> pd.DataFrame:
    """All units' groups as a table, a row for each team in each group; groups are counted from 1.

    Args:
        units: (task, metric) of each.
        teams: their names.
        of_units: the groups, in the order of `units`.
    """
    rows = [
        (task, metric, of_method.method, number, teams[team], of_method.mean_ranks[team])
        for (task, metric), unit in zip(units, of_units, strict=True)
        for of_method in unit
        for number, members in enumerate(of_method.members, start=1)
        for team in members
    ]
    return pd.DataFrame(rows, columns=["task", "metric", "method", "group", "team", "mean_rank"])
