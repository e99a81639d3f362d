"""Ranking schemes: from one task's values of one metric to an aggregate and a rank a team.

A `Unit` does this for many samples of the cases at once.  A sample is how often each case was drawn;
the full data is the sample that drew every case once, so that both go the same way.

=========================  ================================================================
``cvpr24``                 mean over the cases, ranked
``aggregate-then-rank``    mean, median or quantile over the cases, ranked
``rank-then-aggregate``    teams ranked within each case, mean or median of these ranks, ranked
``test-then-rank``         share of the rivals significantly beaten, ranked
=========================  ================================================================

The final score is the (weighted) mean of all units' ranks, and is ranked in turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from harness.errors import UsageError
from harness.rank.missing import RULES, Rule
from harness.rank.order import FloatArray, IntArray, Ties, copy_ranks, rank
from harness.rank.wilcoxon import Adjustment, Method, Zeros, shares_beaten

BootMode = Literal["distinct", "challenger"]
BOOT_MODES: tuple[BootMode, ...] = get_args(BootMode)


@dataclass(frozen=True)
class Unit:
    """One task and metric under one scheme.

    Attributes:
        aggregates: (B, cases) draw counts -> (B, teams) aggregates; NaN for a team without a value.
        smaller_is_better: the aggregates' direction.
    """

    aggregates: Callable[[IntArray], FloatArray]
    smaller_is_better: bool


@dataclass(frozen=True)
class Scheme:
    """A ranking scheme with its settings.

    Attributes:
        name: one of `SCHEMES`.
        aggregate: "mean", "median", or a quantile as "q05" (percent); "share" where teams are tested.
        missing: the rule for missing values.
        ties: how equal ranks are shared, within cases and in the end.
        adjustment: of the p-values over all ordered pairs of a task and metric; for schemes that test, as are the
            following.
        digits: decimals that differences are rounded to before the test; None: not rounded.
        method: the test's null distribution.
        zeros: what the test does with differences of zero.
    """

    name: str
    aggregate: str
    missing: Rule
    ties: Ties
    adjustment: Adjustment = "none"
    digits: int | None = None
    method: Method = "normal"
    zeros: Zeros = "wilcox"

    def unit(self, values: FloatArray, smaller_is_better: bool, mode: BootMode = "distinct") -> Unit:
        """One task's values of one metric, (cases, teams) with NaN where nothing counts, as a `Unit`."""
        return _KINDS[self.name].build(self, values, smaller_is_better, mode)


@dataclass(frozen=True)
class _Kind:
    """What a scheme's name stands for."""

    aggregates: str
    """Pattern of the aggregates it takes, the default first."""
    rules: tuple[Rule, ...]
    """Rules for missing values it takes, the default first."""
    build: Callable[[Scheme, FloatArray, bool, BootMode], Unit]


def make_scheme(
    name: str,
    aggregate: str | None = None,
    missing: Rule | None = None,
    ties: Ties = "min",
    *,
    adjustment: Adjustment | None = None,
    digits: int | None = None,
    method: Method = "normal",
    zeros: Zeros = "wilcox",
) -> Scheme:
    """A scheme by name, with its own defaults for what is None.

    What concerns tests is taken by every scheme, and used by those that test.

    Raises:
        UsageError: unknown name, or settings that the scheme does not take.
    """
    if name not in _KINDS:
        raise UsageError(f"no scheme named {name!r}. Known: {', '.join(SCHEMES)}.")
    kind = _KINDS[name]
    aggregate = aggregate or kind.aggregates.split("|")[0]
    if not re.fullmatch(kind.aggregates, aggregate):
        takes = kind.aggregates.replace("|", ", ").replace(r"q\d\d", "q01 to q99")
        other = " Take --scheme aggregate-then-rank." if name != "aggregate-then-rank" else ""
        raise UsageError(f"scheme {name} takes --aggregate {takes}, not {aggregate}.{other}")
    missing = missing or kind.rules[0]
    if missing not in kind.rules:
        raise UsageError(
            f"scheme {name} takes --na {', '.join(kind.rules)}, not {missing}"
            + (", which ranks within cases: take --scheme rank-then-aggregate." if missing == "last" else ".")
        )
    return Scheme(name, aggregate, missing, ties, adjustment or "none", digits, method, zeros)


def final_scores(ranks: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean of the units' ranks: (..., units, teams), (units,) -> (..., teams).

    A unit that ranks nobody (all its cases left) does not count; a team without a rank in a unit that
    does count has no score (NaN).
    """
    counted = ~np.isnan(ranks).all(axis=-1, keepdims=True)
    weight = weights[:, None] * counted
    total = weight.sum(axis=-2)
    score = np.where(weight > 0, ranks * weight, 0.0).sum(axis=-2)
    mean: FloatArray = np.divide(score, total, out=np.full(score.shape, np.nan), where=total > 0)
    return mean


def final_ranks(scores: FloatArray, ties: Ties) -> FloatArray:
    """Ranks of final scores, smaller better; teams without a score come last."""
    return rank(scores, ties, missing="last")


# --------------------------------------------------------------------------- how schemes aggregate


def _aggregate_then_rank(scheme: Scheme, values: FloatArray, smaller_is_better: bool, mode: BootMode) -> Unit:
    """Copies of a case are as many cases, whatever the mode."""
    share = _share(scheme.aggregate)
    if share is None:
        return Unit(lambda counts: weighted_mean(values, counts), smaller_is_better)
    from harness.rank.quantiles import weighted_quantile  # loads the compiler

    return Unit(lambda counts: weighted_quantile(values, counts, share), smaller_is_better)


def _rank_then_aggregate(scheme: Scheme, values: FloatArray, smaller_is_better: bool, mode: BootMode) -> Unit:
    """Ranks within a case do not depend on the sample in mode `distinct`; in `challenger` a case drawn
    k times is one case with k copies of every team, each of which counts."""
    slope, level = copy_ranks(values, scheme.ties, smaller_is_better, "last" if scheme.missing == "last" else "keep")
    share = _share(scheme.aggregate)
    if share is None:
        if mode == "distinct":
            ranks = slope + level
            return Unit(lambda counts: weighted_mean(ranks, counts), True)
        return Unit(lambda counts: weighted_mean(level, counts, slope), True)
    from harness.rank.quantiles import copies_quantile, weighted_quantile  # loads the compiler

    if mode == "distinct":
        ranks = slope + level
        return Unit(lambda counts: weighted_quantile(ranks, counts, share), True)
    return Unit(lambda counts: copies_quantile(slope, level, counts, share), True)


def _test_then_rank(scheme: Scheme, values: FloatArray, smaller_is_better: bool, mode: BootMode) -> Unit:
    """In mode `distinct` a case drawn k times is k pairs of equal difference; in `challenger` it is one."""

    def aggregates(counts: IntArray) -> FloatArray:
        drawn = np.minimum(counts, 1) if mode == "challenger" else counts
        settings = (scheme.adjustment, scheme.digits, scheme.method, scheme.zeros)
        return shares_beaten(values, drawn, smaller_is_better, *settings)

    return Unit(aggregates, False)


def _share(aggregate: str) -> float | None:
    """The quantile that an aggregate's name means; None for the mean."""
    return {"mean": None, "median": 0.5}.get(aggregate, int(aggregate[1:]) / 100 if aggregate[0] == "q" else None)


def weighted_mean(values: FloatArray, counts: IntArray, slope: FloatArray | None = None) -> FloatArray:
    """Means over drawn cases as matrix products.

    Args:
        values: (cases, teams), NaN where nothing counts.
        counts: (B, cases).
        slope: added to a case's value for every time it was drawn: its k copies are each worth
            ``values + k * slope``.

    Returns:
        (B, teams); NaN where no drawn case has a value.
    """
    # Equal teams are computed once: a matrix product may sum two equal columns in different order.
    stacked = values if slope is None else np.concatenate([values, slope])
    columns, inverse = _distinct_columns(stacked)
    values = values[:, columns]
    known = ~np.isnan(values)
    weights = counts.astype(np.float64)
    total = weights @ np.where(known, values, 0.0)
    if slope is not None:
        total += weights**2 @ np.where(known, slope[:, columns], 0.0)
    number = weights.sum(axis=1, keepdims=True) if known.all() else weights @ known.astype(np.float64)
    number = np.broadcast_to(number, total.shape)
    mean: FloatArray = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    of_all: FloatArray = mean[:, inverse]
    return of_all


def _distinct_columns(values: FloatArray) -> tuple[list[int], list[int]]:
    """Columns that differ, and for every column which of these it equals."""
    seen: dict[bytes, int] = {}
    columns: list[int] = []
    inverse: list[int] = []
    for j in range(values.shape[1]):
        key = values[:, j].tobytes()
        if key not in seen:
            seen[key] = len(columns)
            columns.append(j)
        inverse.append(seen[key])
    return columns, inverse


_OF_VALUES: tuple[Rule, ...] = ("drop-case", "fill", "drop")
_KINDS = {
    "cvpr24": _Kind("mean", _OF_VALUES, _aggregate_then_rank),
    "rank-then-aggregate": _Kind("mean|median", ("last", "drop-case", "fill", "drop"), _rank_then_aggregate),
    "aggregate-then-rank": _Kind(r"mean|median|q\d\d", _OF_VALUES, _aggregate_then_rank),
    "test-then-rank": _Kind("share", _OF_VALUES, _test_then_rank),
}
SCHEMES = tuple(_KINDS)
assert {rule for kind in _KINDS.values() for rule in kind.rules} == set(RULES)
