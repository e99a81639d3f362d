"""Kemeny's consensus: the order of the teams that disagrees least with all given rankings.

The objective is the sum, over the rankings, of Kendall's distance with penalty 1/2: a pair of teams that a
ranking orders the other way costs 1, a pair that it ties costs 1/2 whatever the order.  With this penalty
an order without ties is never worse than one with ties, so that only such orders are searched.

1. Teams fall into groups such that each team of a group is preferred by a majority to all teams of later
   groups.  Every optimal order keeps the groups' order (the extended Condorcet criterion).
2. A group of up to `MOST_TEAMS` teams is solved by dynamic programming over its subsets.
3. A larger one by integer programming (HiGHS), where cycles of three teams are forbidden as they turn up.
   When time runs out the best order found is given with a proven lower bound.

Sources: J. G. Kemeny, Mathematics without numbers, Daedalus 88, 1959; R. Fagin, R. Kumar, M. Mahdian,
D. Sivakumar, E. Vee, Comparing partial rankings, SIAM J. Discrete Math. 20, 2006 (ties); M. Truchon, An
extension of the Condorcet criterion and Kemeny orders, 1998; M. Grötschel, M. Jünger, G. Reinelt, A cutting
plane algorithm for the linear ordering problem, Operations Research 32, 1984.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.compiled import compiled
from harness.rank.order import FloatArray, IntArray

#: Largest group for which all subsets are gone through: 2^23 of them, 64 MB.
MOST_TEAMS = 23
#: Relative difference below which two objectives, or the two sides of a pair, count as equal.
_EQUAL = 1e-9
#: Cycles that are forbidden in one go.
_MOST_CUTS = 20_000


@dataclass(frozen=True)
class Kemeny:
    """An order that disagrees least.

    Attributes:
        order: (T,) teams from the first to the last.
        ranks: (T,) each team's first place among the teams that share its rank, from 1.  Teams next to each
            other share it when as many prefer the one as the other, for all pairs of them: in whatever
            order they come, the objective is the same.
        objective: total distance to the rankings.
        bound: no order can have less; the objective itself where the order is proven optimal.
        unique: whether no other order without ties is as good; None where that is not known.
    """

    order: IntArray
    ranks: FloatArray
    objective: float
    bound: float
    unique: bool | None


def kemeny(ahead: FloatArray, tied: FloatArray, precedence: IntArray, limit_s: float = 20.0) -> Kemeny:
    """Find the order with the smallest total distance.

    Args:
        ahead: (T, T) weight of the rankings that have team i strictly before team j.
        tied: (T, T) weight of those that tie them.
        precedence: (T,) the teams in the order that decides among equally good ones: of all optimal orders the
            one whose first team comes first here, then whose second, and so on.  Only teams that share a rank
            and genuine cycles are decided by it.  (In a group of more than `MOST_TEAMS` it decides merely
            between neighbours that as many prefer one way as the other.)
        limit_s: seconds for all groups that need integer programming.
    """
    ends = time.monotonic() + limit_s
    ahead = ahead[np.ix_(precedence, precedence)]
    slack = _EQUAL * max(1.0, float(ahead.max(initial=0.0)))
    margin = ahead - ahead.T
    of_ties = float(np.triu(tied, 1).sum()) / 2
    order: list[int] = []
    bound = of_ties
    known: list[bool | None] = []
    for group in _groups(margin, slack):
        solved = _solved if len(group) <= MOST_TEAMS else _programmed
        part, least, single = solved(ahead[np.ix_(group, group)], slack, ends)
        bound += least + float(ahead[group][:, order].sum())
        order += [int(group[k]) for k in part]
        known.append(single)
    places = np.array(order, dtype=np.int64)
    objective = _disagreement(ahead, places) + of_ties
    if bound > objective - slack * len(order) ** 2:  # but for rounding
        bound = objective
    ranks = np.empty(len(order))
    ranks[precedence[places]] = _shared_ranks(margin[np.ix_(places, places)], slack)
    unique = False if False in known else None if None in known else True
    return Kemeny(precedence[places], ranks, objective, bound, unique)


def _disagreement(ahead: FloatArray, order: IntArray) -> float:
    """Weight of all pairs that rankings order the other way."""
    return float(np.tril(ahead[np.ix_(order, order)], -1).sum())


def _groups(margin: FloatArray, slack: float) -> list[IntArray]:
    """Teams that no majority parts, best group first: strong components of "at least as many prefer"."""
    from scipy.sparse.csgraph import connected_components

    number, labels = connected_components(margin >= -slack, directed=True, connection="strong")
    groups = [np.flatnonzero(labels == k) for k in range(number)]
    return sorted(groups, key=lambda group: -int((margin[group[0]] > slack)[labels != labels[group[0]]].sum()))


def _shared_ranks(margin: FloatArray, slack: float) -> FloatArray:
    """First places of runs in which no pair has a majority: (T, T) margins in order -> (T,)."""
    ranks = np.empty(len(margin))
    first = 0
    for place in range(len(margin)):
        if (np.abs(margin[place, first:place]) > slack).any():
            first = place
        ranks[place] = first + 1
    return ranks


def _solved(ahead: FloatArray, slack: float, ends: float) -> tuple[list[int], float, bool | None]:
    """The first of the optimal orders, their disagreement, and whether there is only one."""
    n = len(ahead)
    half = n // 2
    low, high = _subset_sums(ahead[:half]), _subset_sums(ahead[half:])
    least = _least_of_subsets(low, high, half)
    order: list[int] = []
    left, unique = (1 << n) - 1, True
    while left:
        best = [
            team
            for team in range(n)
            if left >> team & 1
            and low[left & ((1 << half) - 1), team] + high[left >> half, team] + least[left ^ (1 << team)]
            <= least[left] + slack
        ]
        unique = unique and len(best) == 1
        order.append(best[0])
        left ^= 1 << best[0]
    return order, float(least[-1]), unique


def _subset_sums(ahead: FloatArray) -> FloatArray:
    """Sums of rows over all subsets of the rows: (r, T) -> (2^r, T)."""
    sums = np.zeros((1, ahead.shape[1]))
    for row in ahead:
        sums = np.concatenate([sums, sums + row])
    return sums


@compiled
def _least_of_subsets(low: FloatArray, high: FloatArray, half: int) -> FloatArray:
    """Least disagreement within every subset of the teams: (2^T,).

    The team that comes first of a subset disagrees with all that have another of it ahead of that team;
    ``low`` and ``high`` hold these sums for the first ``half`` teams and the others.
    """
    teams = low.shape[1]
    mask = (1 << half) - 1
    least = np.zeros(1 << teams)
    for subset in range(1, 1 << teams):
        below = low[subset & mask]
        above = high[subset >> half]
        best = np.inf
        for team in range(teams):
            if subset >> team & 1:
                best = min(best, below[team] + above[team] + least[subset ^ (1 << team)])
        least[subset] = best
    return least


# --------------------------------------------------------------------------- groups too large for subsets


def _programmed(ahead: FloatArray, slack: float, ends: float) -> tuple[list[int], float, bool | None]:
    """The best order found, a lower bound of the disagreement, and False where another one is as good.

    Variable p is 1 when the first team of pair p comes before the second.  Cycles i, j, k are forbidden by
    0 <= x_ij + x_jk - x_ik <= 1, at first for fractions of pairs, then for whole ones.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    n = len(ahead)
    i, j = np.triu_indices(n, k=1)
    price = ahead[j, i] - ahead[i, j]
    fixed = float(ahead[i, j].sum())
    best = _improved(ahead, np.argsort(ahead.sum(axis=0) - ahead.sum(axis=1), kind="stable"))
    bound = float(np.minimum(ahead, ahead.T)[i, j].sum())
    cuts = np.empty((0, 3), dtype=np.int64)
    whole = False
    while bound < _disagreement(ahead, best) - slack and (left := ends - time.monotonic()) > 0:
        rows = np.repeat(np.arange(len(cuts)), 3)
        signs = np.tile([1.0, 1.0, -1.0], len(cuts))
        matrix = csr_array((signs, (rows, cuts.ravel())), shape=(len(cuts), len(i)))
        answer = milp(
            price,
            integrality=np.full(len(i), int(whole)),
            bounds=Bounds(0, 1),
            constraints=[LinearConstraint(matrix, 0, 1)] if len(cuts) else [],
            options={"time_limit": left, "mip_rel_gap": 0.0},
        )
        if answer.x is None or (not whole and answer.status != 0):
            break
        proven = answer.mip_dual_bound if whole else answer.fun
        bound = max(bound, _next_possible(fixed + float(proven), ahead))
        before = np.zeros((n, n))
        before[i, j], before[j, i] = answer.x, 1 - answer.x
        found = _improved(ahead, np.argsort(-before.sum(axis=1), kind="stable"))
        if _disagreement(ahead, found) < _disagreement(ahead, best) - slack:
            best = found
        new = _cycles(before)
        if len(new):
            cuts = np.concatenate([cuts, new])
        elif whole:
            break
        else:
            whole = True
    order = _settled(ahead, best, slack)
    margin = np.abs(ahead - ahead.T)[order[:-1], order[1:]]
    return order.tolist(), min(bound, _disagreement(ahead, order)), False if (margin <= slack).any() else None


def _next_possible(bound: float, ahead: FloatArray) -> float:
    """A bound raised to the next whole number where all weights are whole."""
    return float(np.ceil(bound - 1e-6)) if (ahead == np.round(ahead)).all() else bound


def _cycles(before: FloatArray) -> IntArray:
    """The three pairs of the most violated cycles: (N, 3) variables' numbers."""
    n = len(before)
    number = np.zeros((n, n), dtype=np.int64)
    number[np.triu_indices(n, k=1)] = np.arange(n * (n - 1) // 2)
    found, excess = [], []
    for first in range(n - 2):
        # around[j, k] = x_first,j + x_jk - x_first,k for first < j < k
        around = before[first, :, None] + before - before[first, None, :]
        over = np.maximum(around - 1, -around)
        over[np.tril_indices(n)] = 0
        over[: first + 1] = 0
        j, k = np.nonzero(over > 1e-6)
        found.append(np.stack([number[first, j], number[j, k], number[first, k]], axis=1))
        excess.append(over[j, k])
    most = np.argsort(-np.concatenate(excess), kind="stable")[:_MOST_CUTS] if found else np.empty(0, np.int64)
    cycles: IntArray = np.concatenate(found)[most]
    return cycles


def _improved(ahead: FloatArray, order: npt.NDArray[np.intp]) -> IntArray:
    """Teams are moved to better places one by one until no such move helps."""
    places = order.astype(np.int64)
    better = True
    while better:
        better = False
        for team in range(len(places)):
            others = places[places != team]
            now = int(np.flatnonzero(places == team)[0])
            # At place p, teams before it disagree with those that have it ahead, teams after it with the others.
            cost = np.concatenate([[0.0], np.cumsum(ahead[team, others] - ahead[others, team])])
            to = int(np.argmin(cost))
            if cost[to] < cost[now] - _EQUAL * max(1.0, float(np.abs(cost).max())):
                places = np.insert(others, to, team)
                better = True
    return places


def _settled(ahead: FloatArray, order: IntArray, slack: float) -> IntArray:
    """Neighbours whom as many prefer one way as the other in the order of their numbers."""
    order = order.copy()
    for _ in order:
        for k in range(len(order) - 1):
            a, b = order[k], order[k + 1]
            if a > b and abs(ahead[a, b] - ahead[b, a]) <= slack:
                order[k], order[k + 1] = b, a
    return order
