"""The noise of repeated attempts carried into the ranks.

The bootstrap is nested: cases are drawn as always, and then, for every copy of a drawn case and every
team, the team's attempts on it are drawn with replacement and combined again.  So a team whose runtime was
lucky in its repeats is ranked as it might have been.

Drawing at both levels is on the wide side: values combined from few attempts already scatter with the
attempts' noise, so that the plain bootstrap holds part of it (A. C. Davison, D. V. Hinkley, Bootstrap
Methods and their Application, 1997, section 3.8).  What a team's ranks gain in width here is an upper bound
of what more repeats would take away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.rank.bootstrap import bootstrap, rank_interval
from harness.rank.order import FloatArray, IntArray
from harness.rank.ranked import unit_of
from harness.rank.repeats import combined, usual_rule
from harness.rank.schemes import Scheme, Unit
from harness.rank.table import Attempts, RankedMetric, Table, TaskTable

#: Redraws of each case's attempts; fewer where memory forbids.
REDRAWS = 20
#: How many of them the copies of a case in one sample choose from where work grows with them (test-then-rank
#: sorts and sums them all); samples then take turns in which.  Else all.
_POOL_OF_TESTS = 4
#: Most attempts redrawn, and most draw counts held at once (64 MB).
_REDRAWN = 40_000_000
_COUNTS = 8_000_000


@dataclass(frozen=True)
class RepeatNoise:
    """What the scatter of repeated attempts does to the final ranks.

    Attributes:
        low, high: (teams,) 95 % interval of the final rank when cases are drawn.
        low_with, high_with: (teams,) the same when every drawn case's attempts are drawn too.
        median_spread: (teams,) median over the cases with two attempts or more of the range of the
            runtimes by their median; NaN without such a case, or where no runtime is ranked.
    """

    low: FloatArray
    high: FloatArray
    low_with: FloatArray
    high_with: FloatArray
    median_spread: FloatArray


def repeat_noise(
    table: Table,
    scheme: Scheme,
    fill: Mapping[str, float],
    weights: FloatArray,
    draws: Sequence[Iterable[IntArray]],
    full: FloatArray,
    seed: int,
) -> RepeatNoise | None:
    """Final-rank intervals with and without the attempts' noise, from the same draws of cases.

    Both are of the textbook bootstrap (mode ``distinct``).  A case's attempts are redrawn a limited number of
    times, of which each of its copies chooses one: with p to choose from, copies that meet in one overstate the
    noise's variance by 1 / p.

    Args:
        table: with its attempts.
        scheme: whose ranking it is.
        fill: values for rule ``fill``.
        weights: (units,) of the final score.
        draws: for each task the counts of its draws, (b, cases) block by block, the same blocks in all tasks.
        full: (units + 1, teams) ranks of the full data, the last the final ones.
        seed: of the attempts' draws.

    Returns:
        None where nothing was attempted twice.
    """
    if not any(task.attempts is not None and task.attempts.repeated for task in table.tasks):
        return None
    redraws = _redraws(table)
    pool = min(redraws, _POOL_OF_TESTS) if scheme.name == "test-then-rank" else redraws
    once = [[unit_of(scheme, task, m, fill) for m in table.metrics] for task in table.tasks]
    turns = [_noisy_units(table, scheme, fill, once, pool, seed, turn) for turn in range(redraws // pool)]
    choices = [np.random.default_rng([seed, 1, *task.name.encode()]) for task in table.tasks]
    most = max(1, _COUNTS // (pool * sum(len(task.cases) for task in table.tasks)))
    without, noisy = [], []
    for blocks in zip(*draws, strict=True):
        without.append(bootstrap(once, [iter([counts]) for counts in blocks], weights, full, scheme.ties).ranks[:, -1])
        for units, *parts in zip(turns, *(np.array_split(counts, len(turns)) for counts in blocks), strict=True):
            if len(parts[0]):
                nested = [_nested(part, pool, most, choice) for part, choice in zip(parts, choices, strict=True)]
                noisy.append(bootstrap(units, nested, weights, full, scheme.ties).ranks[:, -1])
    low, high = rank_interval(np.concatenate(without))
    low_with, high_with = rank_interval(np.concatenate(noisy))
    return RepeatNoise(low, high, low_with, high_with, median_spread(table))


def _redraws(table: Table) -> int:
    """How many redraws of every case's attempts fit into memory."""
    attempts = sum(task.attempts.failed.size for task in table.tasks if task.attempts is not None)
    return int(np.clip(_REDRAWN // attempts, _POOL_OF_TESTS, REDRAWS))


def _noisy_units(
    table: Table,
    scheme: Scheme,
    fill: Mapping[str, float],
    once: Sequence[Sequence[Unit]],
    pool: int,
    seed: int,
    turn: int,
) -> list[list[Unit]]:
    """Units over redraws of the cases, (cases * pool), copies of a case together."""
    units = []
    for task, plains in zip(table.tasks, once, strict=True):
        random = np.random.default_rng([seed, 2, turn, *task.name.encode()])
        again = redrawn(task, table.metrics, pool, random)
        units.append(
            [
                unit_of(scheme, again, metric, fill) if _varies(task, metric) else _of_cases(plain, pool)
                for metric, plain in zip(table.metrics, plains, strict=True)
            ]
        )
    return units


def redrawn(task: TaskTable, metrics: Sequence[RankedMetric], pool: int, random: np.random.Generator) -> TaskTable:
    """A task with every case `pool` times, each time with all teams' attempts drawn again and combined.

    An attempt is drawn whole, with all its metrics.  Cases come in their order, copies of one together.
    """
    cases = tuple(np.repeat(np.array(task.cases, dtype=object), pool))
    undefined = np.repeat(task.undefined, pool)
    attempts = task.attempts
    if attempts is None or not attempts.repeated:
        values = {m.name: np.repeat(task.values[m.name], pool, axis=0) for m in metrics}
        return TaskTable(task.name, cases, values, undefined, absent=task.absent)
    there = np.logical_or.reduce([~np.isnan(attempts.values[m.name]) for m in metrics])
    first = np.argsort(~there, axis=-1, kind="stable")  # attempts with a value come first
    number = np.repeat(there.sum(axis=-1), pool, axis=0)[..., None]
    drawn = (random.random((*number.shape[:2], there.shape[2])) * number).astype(np.int64)
    beyond = np.arange(there.shape[2]) >= number
    values = {}
    for metric in metrics:
        if not _varies(task, metric):
            values[metric.name] = np.repeat(task.values[metric.name], pool, axis=0)
            continue
        packed = np.repeat(np.take_along_axis(attempts.values[metric.name], first, axis=-1), pool, axis=0)
        again = np.where(beyond, np.nan, np.take_along_axis(packed, drawn, axis=-1))
        values[metric.name] = combined(again, usual_rule(metric.is_time))
    return TaskTable(task.name, cases, values, undefined, absent=task.absent)


def median_spread(table: Table) -> FloatArray:
    """(teams,) see `RepeatNoise.median_spread`; of the first runtime that is ranked."""
    times = [metric.name for metric in table.metrics if metric.is_time]
    spreads: list[list[float]] = [[] for _ in table.teams]
    for task in table.tasks:
        if not times or task.attempts is None or not task.attempts.repeated:
            continue
        runtimes = task.attempts.values[times[0]]
        middle = combined(runtimes, "median")
        several = ((~np.isnan(runtimes)).sum(axis=-1) > 1) & (middle > 0)
        extent = combined(runtimes, "max") - combined(runtimes, "min")
        for t, of_team in enumerate(spreads):
            of_team += list(extent[several[:, t], t] / middle[several[:, t], t])
    return np.array([np.median(of_team) if of_team else np.nan for of_team in spreads])


def repeats_frame(teams: Sequence[str], noise: RepeatNoise) -> pd.DataFrame:
    """``team,rank_low,rank_high,rank_low_with_repeats,rank_high_with_repeats,median_spread``."""
    return pd.DataFrame(
        {
            "team": list(teams),
            "rank_low": noise.low,
            "rank_high": noise.high,
            "rank_low_with_repeats": noise.low_with,
            "rank_high_with_repeats": noise.high_with,
            "median_spread": noise.median_spread,
        }
    )


def _of_cases(unit: Unit, pool: int) -> Unit:
    """A unit whose values are the same in all redraws, fed with counts of redraws."""

    def aggregates(counts: IntArray) -> FloatArray:
        return unit.aggregates(counts.reshape(len(counts), -1, pool).sum(axis=2))

    return Unit(aggregates, unit.smaller_is_better)


def _varies(task: TaskTable, metric: RankedMetric) -> bool:
    """Whether any two attempts of a team on a case differ in the metric."""
    attempts: Attempts | None = task.attempts
    if attempts is None or not attempts.repeated:
        return False
    values = attempts.values[metric.name]
    return bool((combined(values, "max") > combined(values, "min")).any())


def _nested(counts: IntArray, pool: int, most: int, random: np.random.Generator) -> Iterator[IntArray]:
    """Counts of cases -> counts of their redraws, at most `most` samples at once: every copy of a case chooses its own.

    (B, cases) -> (b, cases * pool), block by block.
    """
    for start in range(0, len(counts), most):
        part = counts[start : start + most]
        copies = np.repeat(np.arange(part.size), part.ravel())
        chosen = copies * pool + random.integers(0, pool, size=len(copies))
        yield np.bincount(chosen, minlength=part.size * pool).reshape(len(part), -1)
