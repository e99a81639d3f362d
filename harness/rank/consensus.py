"""Consensus across tasks: one ranking of the teams from many.

==============  ===============================================================================================
``euclidean``   mean of the mid-ranks
``borda``       points: one for each team that comes strictly behind, summed over the rankings
``copeland``    wins, and half of the ties, against all other teams in all rankings
``kemeny``      the order with the smallest total distance to the rankings (`harness.rank.kemeny`)
==============  ===============================================================================================

The first three are those of challengeR 1.0.5, which calls the R package relations 0.6: there a ranking is
the relation "not behind", Borda's score the number of teams not behind (the complement of the points here)
and Copeland's the number of teams behind less those ahead, each summed over the rankings.  So Copeland's
order is always that of the mean mid-ranks, and *not* that of the majorities in pairs, as other books have it;
majorities in pairs are what Kemeny's order is about.  Euclidean and Borda part only where teams tie.

A team that a ranking leaves out comes last there, tied with the others left out.  (challengeR stops.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from harness.rank.order import FloatArray, Ties, rank, tie_bounds

Method = Literal["euclidean", "borda", "copeland", "kemeny"]
METHODS: tuple[Method, ...] = get_args(Method)
#: The consensus of all units, among those of single metrics.
ALL = "all"


@dataclass(frozen=True)
class Consensus:
    """One consensus ranking.

    Attributes:
        method: one of `METHODS`.
        metric: whose task rankings it joins, or `ALL`.
        scores: (teams,) mean mid-rank, points, or wins; for ``kemeny`` the objective, the same for all.  NaN
            where there was no ranking to join.
        ranks: (teams,)
        bound: of ``kemeny``: no order has a smaller objective; equal to it where the order is proven optimal.
            None for others.
        unique: of ``kemeny``: whether no other order without ties is as good; None where not known.
    """

    method: Method
    metric: str
    scores: FloatArray
    ranks: FloatArray
    bound: float | None = None
    unique: bool | None = None


def consensus_rankings(
    ranks: FloatArray,
    units: Sequence[tuple[str, str]],
    teams: Sequence[str],
    weights: FloatArray | None = None,
    ties: Ties = "min",
    limit_s: float = 20.0,
) -> tuple[Consensus, ...]:
    """All methods for each metric and for all units together.

    Args:
        ranks: (units, teams) of one scheme; NaN: not ranked.  A unit that ranks nobody does not count.
        units: (task, metric) of each.
        teams: names, in the order of the columns; among equally good Kemeny orders the mean mid-rank decides,
            then the name.
        weights: (units,) of the final score; None: 1 each.
        ties: how equal scores share their rank.
        limit_s: seconds for a Kemeny order of more teams than can be solved outright.

    Returns:
        Methods in order, within each the metrics in order of `units`, `ALL` last.
    """
    weight = np.ones(len(units)) if weights is None else weights
    metrics = list(dict.fromkeys(metric for _, metric in units))
    chosen = [(name, np.array([metric == name for _, metric in units])) for name in metrics]
    chosen.append((ALL, np.ones(len(units), dtype=bool)))
    return tuple(
        consensus(method, name, ranks[rows], weight[rows], teams, ties, limit_s)
        for method in METHODS
        for name, rows in chosen
    )


def consensus(
    method: Method,
    metric: str,
    ranks: FloatArray,
    weights: FloatArray,
    teams: Sequence[str],
    ties: Ties = "min",
    limit_s: float = 20.0,
) -> Consensus:
    """One method's consensus of rankings: (units, teams), (units,) -> `Consensus`."""
    from harness.rank.kemeny import kemeny  # loads the compiler

    counted = ~np.isnan(ranks).all(axis=1)
    if not counted.any():
        nothing = np.full(len(teams), np.nan)
        return Consensus(method, metric, nothing, nothing)
    ranks, weights = ranks[counted], weights[counted]
    if not weights.any():  # a metric that does not count in the final score still has a consensus of its own
        weights = np.ones(len(weights))
    middle = rank(ranks, "average", missing="last")
    mean = weights @ middle / weights.sum()
    if method == "euclidean":
        return Consensus(method, metric, mean, rank(mean, ties))
    if method == "borda":
        points = weights @ (len(teams) - tie_bounds(middle)[1])
        return Consensus(method, metric, points, rank(points, ties, smaller_is_better=False))
    if method == "copeland":
        wins = weights @ (len(teams) - middle)
        return Consensus(method, metric, wins, rank(wins, ties, smaller_is_better=False))
    before = middle[:, :, None] < middle[:, None, :]
    ahead = np.einsum("u,uij->ij", weights, before)
    tied = np.einsum("u,uij->ij", weights, ~before & ~before.transpose(0, 2, 1))
    precedence = np.lexsort((np.array(teams), rank(mean)))
    best = kemeny(ahead, tied, precedence, limit_s)
    scores = np.full(len(teams), best.objective)
    return Consensus(method, metric, scores, rank(best.ranks, ties), best.bound, best.unique)


def consensus_frame(rankings: Sequence[Consensus], teams: Sequence[str]) -> pd.DataFrame:
    """``method,metric,team,score,rank``: rankings in order, in each the best team first, equals by name."""
    rows = [
        (ranking.method, ranking.metric, teams[t], ranking.scores[t], ranking.ranks[t])
        for ranking in rankings
        for t in np.lexsort((np.array(teams), ranking.ranks))
    ]
    return pd.DataFrame(rows, columns=["method", "metric", "team", "score", "rank"])
