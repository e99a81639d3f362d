"""challengeR 1.0.5 told again in slow plain Python: the peer that our ranking must equal on its own semantics.

Nothing here comes from `harness`, and nothing is vectorised.  The names in brackets are the functions of
challengeR whose behaviour a function repeats, or of base R.

What is peculiar to challengeR, and kept here:

- Rows that a team lacks are inserted as missing *within a task*; a team without any row of a task is no
  candidate there under any rule, and gets no rank (as.challenge: ``expand`` and ``complete`` on one task).
- A missing value in a ranking, of cases or of aggregates, is ranked last for ties "min" and "average" only
  (rankNA2); for "max" it stays missing, and the mean of ranks leaves it out.
- A case drawn k times is k rows of every team under one name: ranks within the case are over all copies, while
  a paired test looks up the first row of each name (bootstrap.ranked.list: ``merge``; Decision: ``match``).
- A team that lacks a row in one sample is left out of *all* samples (quickmerge.list: ``intersect``).
- A task of one case is not resampled (bootstrap.ranked.list).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Rows = list[tuple[str, str, float | None]]
"""Team, case, value; None is NA."""
Ranked = dict[str, tuple[float, float]]
"""Team -> aggregate and rank."""


@dataclass(frozen=True)
class Challenge:
    """What as.challenge makes of a table: task -> rows."""

    tasks: dict[str, Rows]
    small_better: bool


def as_challenge(
    table: Sequence[tuple[str, str, str, float | None]], small_better: bool, na_treat: float | str | None = None
) -> Challenge:
    """(task, case, team, value) rows, completed within each task; NA replaced by a number or left out ("na.rm")."""
    tasks: dict[str, Rows] = {}
    for task in sorted({row[0] for row in table}):
        given = {(team, case): value for t, case, team, value in table if t == task}
        rows: Rows = []
        for team in sorted({team for team, _ in given}):
            for case in sorted({case for _, case in given}):
                value = given.get((team, case))
                if value is None and isinstance(na_treat, float):
                    value = na_treat
                if value is not None or na_treat != "na.rm":
                    rows.append((team, case, value))
        tasks[task] = rows
    return Challenge(tasks, small_better)


# --------------------------------------------------------------------------- base R


def r_rank(x: Sequence[float], ties: str) -> list[float]:
    """rank(x, ties.method)"""
    ranks = []
    for value in x:
        below = sum(other < value for other in x)
        equal = sum(other == value for other in x)
        ranks.append({"min": below + 1.0, "max": float(below + equal), "average": below + (equal + 1) / 2}[ties])
    return ranks


def r_quantile(x: Sequence[float], share: float) -> float:
    """quantile(x, share), type 7"""
    ordered = sorted(x)
    at = (len(ordered) - 1) * share
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def r_mean(x: Sequence[float]) -> float:
    """mean(x)"""
    return math.fsum(x) / len(x)


def r_kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """cor(a, b, method = "kendall"): tau-b; NaN where one side is all ties"""

    def sign(x: float) -> int:
        return (x > 0) - (x < 0)

    pairs = [(sign(a[i] - a[j]), sign(b[i] - b[j])) for i in range(len(a)) for j in range(len(a))]
    size = math.sqrt(sum(abs(p) for p, _ in pairs)) * math.sqrt(sum(abs(q) for _, q in pairs))
    return sum(p * q for p, q in pairs) / size if size else math.nan


def r_wilcoxon(x: Sequence[float], y: Sequence[float], alternative: str) -> float:
    """wilcox.test(x, y, alternative, paired = TRUE, exact = FALSE)$p.value"""
    differences = [p - q for p, q in zip(x, y, strict=True) if p != q]
    n = len(differences)
    if n == 0:
        return math.nan if alternative == "two.sided" else 1.0
    ranks = r_rank([abs(d) for d in differences], "average")
    v = math.fsum(r for r, d in zip(ranks, differences, strict=True) if d > 0)
    tied = sum(ranks.count(r) ** 3 - ranks.count(r) for r in set(ranks))
    z = v - n * (n + 1) / 4
    sigma = math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - tied / 48)
    correction = {"two.sided": math.copysign(0.5, z) if z else 0.0, "greater": 0.5, "less": -0.5}[alternative]
    z = (z - correction) / sigma
    lower, upper = (math.erfc(-z / math.sqrt(2)) / 2, math.erfc(z / math.sqrt(2)) / 2)
    return {"two.sided": 2 * min(lower, upper), "greater": upper, "less": lower}[alternative]


def r_p_adjust(p: Sequence[float], method: str) -> list[float]:
    """p.adjust(p, method): "none", "holm", "BH"; NaN is not counted"""
    known = [k for k in range(len(p)) if not math.isnan(p[k])]
    adjusted = list(p)
    if method == "none":
        return adjusted
    m = len(known)
    ordered = sorted(known, key=lambda k: p[k])
    for place, k in enumerate(ordered, start=1):
        if method == "holm":
            adjusted[k] = min(1.0, max((m - q) * p[ordered[q]] for q in range(place)))
        else:
            adjusted[k] = min(1.0, min(m / (q + 1) * p[ordered[q]] for q in range(place - 1, m)))
    return adjusted


# --------------------------------------------------------------------------- challengeR


def rank_na(x: Sequence[float | None], ties: str, small_better: bool) -> list[float | None]:
    """[rankNA2]"""
    known = [value if small_better else -value for value in x if value is not None]
    ranks = iter(r_rank(known, ties))
    result: list[float | None] = [None if value is None else next(ranks) for value in x]
    missing = result.count(None)
    if missing:
        worst = max((r for r in result if r is not None), default=0.0)
        last = {"min": worst + 1, "average": worst + sum(range(1, missing + 1)) / missing, "max": None}[ties]
        result = [last if r is None else r for r in result]
    return result


def _ranked(aggregates: dict[str, float], ties: str, small_better: bool) -> Ranked:
    """[rank.aggregated.list, rank.aggregatedRanks.list]"""
    ranks = rank_na(list(aggregates.values()), ties, small_better)
    return {team: (value, rank) for (team, value), rank in zip(aggregates.items(), ranks, strict=True) if rank}


def _aggregated(
    pairs: Sequence[tuple[str, float | None]], function: Callable[[list[float]], float]
) -> dict[str, float]:
    """[Aggregate.list with na.treat = "na.rm"]"""
    teams = sorted({team for team, value in pairs if value is not None})
    return {team: function([v for t, v in pairs if t == team and v is not None]) for team in teams}


Scheme = Callable[[Rows, bool], Ranked]
"""Rows of a task and whether small is better -> ranks."""


def aggregate_then_rank(function: Callable[[list[float]], float], ties: str) -> Scheme:
    """[aggregateThenRank]"""
    return lambda rows, small: _ranked(_aggregated([(t, v) for t, _, v in rows], function), ties, small)


def rank_then_aggregate(function: Callable[[list[float]], float], ties: str) -> Scheme:
    """[rankThenAggregate]"""

    def ranked(rows: Rows, small_better: bool) -> Ranked:
        of_cases: list[tuple[str, float | None]] = []
        for case in sorted({case for _, case, _ in rows}):
            part = [(team, value) for team, c, value in rows if c == case]
            ranks = rank_na([value for _, value in part], ties, small_better)
            of_cases += [(team, rank) for (team, _), rank in zip(part, ranks, strict=True)]
        return _ranked(_aggregated(of_cases, function), ties, True)

    return ranked


def decisions(
    rows: Rows, small_better: bool, adjustment: str = "none", alpha: float = 0.05
) -> dict[tuple[str, str], tuple[float, bool]]:
    """For ordered pairs of teams the p-value that the first is better, and whether it is below alpha adjusted.
    [decision.challenge, Decision]"""
    rows = [row for row in rows if row[2] is not None]
    teams = sorted({team for team, _, _ in rows})
    pairs = [(a, b) for a in teams for b in teams if a != b]
    p = []
    for a, b in pairs:
        first: dict[str, dict[str, float]] = {a: {}, b: {}}
        for team, case, value in rows:
            if team in first and value is not None:
                first[team].setdefault(case, value)
        common = [case for case in first[b] if case in first[a]]
        x, y = [first[a][case] for case in common], [first[b][case] for case in common]
        p.append(r_wilcoxon(x, y, "less" if small_better else "greater"))
    significant = [q <= alpha for q in r_p_adjust(p, adjustment)]
    return dict(zip(pairs, zip(p, significant, strict=True), strict=True))


def test_then_rank(adjustment: str, ties: str) -> Scheme:
    """[testThenRank, significance]"""

    def ranked(rows: Rows, small_better: bool) -> Ranked:
        made = decisions(rows, small_better, adjustment)
        teams = sorted({team for team, _, value in rows if value is not None})
        share = {a: sum(made[a, b][1] for b in teams if b != a) / (len(teams) - 1) for a in teams}
        return _ranked(share, ties, False)

    return ranked


test_then_rank.__test__ = False  # type: ignore[attr-defined]  # not for pytest to collect

FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "mean": r_mean,
    "median": statistics.median,
    "q05": lambda x: round(r_quantile(x, 0.05), 12),  # else the last bit of 0.05 decides between equals
}


def ranking(challenge: Challenge, scheme: Scheme) -> dict[str, Ranked]:
    """Task -> ranks of the full data."""
    return {task: scheme(rows, challenge.small_better) for task, rows in challenge.tasks.items()}


def bootstrapped(
    challenge: Challenge, scheme: Scheme, cases: dict[str, list[str]], draws: dict[str, list[list[int]]]
) -> tuple[dict[str, list[Ranked]], dict[str, list[float]]]:
    """[bootstrap.ranked.list, kendall.bootstrap.list] with draws given as positions into each task's cases.

    Returns:
        Task -> every sample's ranks of the teams that are there in all of them; task -> tau with the full data.
    """
    full = ranking(challenge, scheme)
    samples, taus = {}, {}
    for task, rows in challenge.tasks.items():
        if len({case for _, case, _ in rows}) == 1:
            continue
        made = []
        for draw in draws[task]:
            merged = [(team, case, value) for k in draw for team, case, value in rows if case == cases[task][k]]
            made.append(scheme(merged, challenge.small_better))
        stay = [team for team in made[0] if all(team in sample for sample in made)]
        samples[task] = [{team: sample[team] for team in stay} for sample in made]
        taus[task] = [
            r_kendall([sample[team][1] for team in stay], [full[task][team][1] for team in stay])
            for sample in samples[task]
        ]
    return samples, taus


def consensus(full: dict[str, Ranked], method: str) -> dict[str, float]:
    """The consensus' mid-ranks, smallest best; all tasks must rank the same teams.
    [consensus.ranked.list; relations: as.relation, relation_scores, relation_consensus]"""
    teams = sorted(next(iter(full.values())))
    total = dict.fromkeys(teams, 0.0)
    for ranked in full.values():
        for team in teams:
            not_behind = sum(ranked[other][1] <= ranked[team][1] for other in teams)
            not_ahead = sum(ranked[team][1] <= ranked[other][1] for other in teams)
            total[team] += {
                "euclidean": (len(teams) + 1 + not_behind - not_ahead) / 2,
                "borda": not_behind,
                "copeland": not_behind - not_ahead,
            }[method]
    if method == "euclidean":
        return {team: score / len(full) for team, score in total.items()}
    return dict(zip(teams, r_rank([total[team] for team in teams], "average"), strict=True))
