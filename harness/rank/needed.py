"""How many cases would separate two neighbours of a ranking.

For a unit: the number at which the one-sided Wilcoxon signed-rank test at level 0.05 finds the team ahead
better with probability 0.8, after G. E. Noether, Sample size determination for some common nonparametric
tests, Journal of the American Statistical Association 82, 1987:

    n = (z_0.95 + z_0.80)^2 / (3 (p - 1/2)^2)

where p is the probability that the sum of two cases' differences is positive.  It is estimated by the share
of positive sums among all pairs of cases (Walsh averages of two different cases), ties counted half.
Differences of zero leave the test, so p is that of the others, and n is divided by their share.

For the final ranking there is no paired difference.  There the mean difference of the final scores in the
bootstrap's samples is held against its deviation, which is taken to shrink with the square root of the number
of cases, the mix of tasks as it is; the test is one-sided and normal.  Scores are means of ranks, whose
deviation shrinks in steps: an order of magnitude, not a plan.

It cannot be told where the team ahead is not ahead pair by pair (a mean can hang on few cases), and where
there is no difference at all.  An estimate from few cases is as uncertain as their result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from harness.rank.order import FloatArray
from harness.rank.ranked import SchemeRanks, Values
from harness.rank.schemes import final_scores
from harness.rank.table import Table
from harness.rank.wilcoxon import PairTests

ALPHA = 0.05
POWER = 0.8
#: What a standard normal statistic must exceed on average.
_Z = float(ndtri(1 - ALPHA) + ndtri(POWER))


@dataclass(frozen=True)
class Neighbours:
    """Two teams that follow one another in a unit's ranking.

    Attributes:
        unit: position of the unit; the number of units: the final ranking.
        team, rival: positions of the teams, the one ahead (equal ones: by name) first.
        cases: in which both have a value; for the final ranking all.
        separated: whether the one-sided test at 0.05 finds the first better in these cases.
        cases_needed: at which it would with probability 0.8; None: cannot be told.
    """

    unit: int
    team: int
    rival: int
    cases: int
    separated: bool
    cases_needed: int | None


def cases_needed(
    table: Table,
    main: SchemeRanks,
    values: Values,
    tests: Sequence[PairTests],
    weights: FloatArray,
    sampled: npt.NDArray[np.float32] | None,
) -> tuple[Neighbours, ...]:
    """All neighbours of all units, then of the final ranking.

    Args:
        table: what was ranked.
        main: its ranking.
        values: for each task, for each metric, under the main scheme's rule for missing values.
        tests: one a unit, on the same values.
        weights: (units,) of the final score.
        sampled: (B, units + 1, teams) the bootstrap's ranks; None: nothing is told of the final ranking.
    """
    found = []
    columns = [column for task in values for column in task]
    directions = [metric.smaller_is_better for _ in table.tasks for metric in table.metrics]
    for u, (column, smaller, of_unit) in enumerate(zip(columns, directions, tests, strict=True)):
        for team, rival in _in_order(main.ranks[u]):
            difference = column[:, team] - column[:, rival]
            difference = difference[~np.isnan(difference)] * (-1.0 if smaller else 1.0)
            p = of_unit.p_i_better[(of_unit.i == team) & (of_unit.j == rival)]
            found.append(Neighbours(u, team, rival, len(difference), bool((p < ALPHA).any()), noether(difference)))
    if sampled is not None:
        scores = final_scores(sampled[:, :-1].astype(np.float64), weights)
        cases = sum(len(task.cases) for task in table.tasks)
        for team, rival in _in_order(np.where(np.isnan(main.scores), np.nan, main.final)):
            ahead = scores[:, rival] - scores[:, team]
            gap = float(main.scores[rival] - main.scores[team])
            found.append(_by_scores(len(columns), team, rival, cases, gap, ahead))
    return tuple(found)


def noether(difference: FloatArray) -> int | None:
    """Number of cases at which the one-sided signed-rank test has power 0.8.

    Args:
        difference: (n,) paired differences, positive where the team ahead is better.

    Returns:
        None where it cannot be told: fewer than two differences, or the team ahead is not ahead.
    """
    nonzero = difference[difference != 0]
    if len(nonzero) < 2:
        return None
    gain = walsh_share(nonzero) - 0.5
    if gain <= 0:
        return None
    return math.ceil(_Z**2 / (3 * gain**2) * len(difference) / len(nonzero))


def walsh_share(difference: FloatArray) -> float:
    """Share of the pairs of two different entries whose sum is positive, a sum of zero counted half."""
    ordered = np.sort(difference)
    n = len(ordered)
    above = n - np.searchsorted(ordered, -ordered, side="right")
    below = np.searchsorted(ordered, -ordered, side="left")
    # Each entry meets all, itself too: that sum has the entry's own sign.  With ties halved the share is
    # (above - below) / 2 away from a half.
    lead = (above - below).sum() - np.sign(ordered).sum()
    return float(0.5 + lead / (2 * n * (n - 1)))


def _in_order(ranks: FloatArray) -> list[tuple[int, int]]:
    """Teams that follow one another, by rank and position; those without a rank are left out."""
    order = [int(t) for t in np.argsort(ranks, kind="stable") if not math.isnan(ranks[t])]
    return list(pairwise(order))


def _by_scores(unit: int, team: int, rival: int, cases: int, gap: float, sampled: FloatArray) -> Neighbours:
    """From the final scores' difference, rival less team, and the same in the bootstrap's samples."""
    lead, deviation = float(np.mean(sampled)), float(np.std(sampled))
    if not (gap > 0 and lead > 0):
        return Neighbours(unit, team, rival, cases, False, None)
    if deviation == 0:
        return Neighbours(unit, team, rival, cases, True, None)
    z = lead / deviation
    return Neighbours(unit, team, rival, cases, z > float(ndtri(1 - ALPHA)), math.ceil(cases * (_Z / z) ** 2))


def needed_frame(names: Sequence[str], teams: Sequence[str], neighbours: Sequence[Neighbours]) -> pd.DataFrame:
    """``unit,team,rival,cases,separated,cases_needed``.

    Args:
        names: of the units, the last ``final``.
        teams: by position.
        neighbours: what `cases_needed` gave.
    """
    rows = [
        (names[one.unit], teams[one.team], teams[one.rival], one.cases, one.separated, one.cases_needed)
        for one in neighbours
    ]
    frame = pd.DataFrame(rows, columns=["unit", "team", "rival", "cases", "separated", "cases_needed"])
    return frame.astype({"cases_needed": "Int64"})
