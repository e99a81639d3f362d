"""From results tables to a whole ranking: ``analyse(tables, settings) -> Ranking``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import UsageError
from harness.protocol import Protocol, load_protocol
from harness.rank.bootstrap import Bootstrap, Draws, block_size, bootstrap, given_draws, random_draws, read_resamples
from harness.rank.build import build_table, joined_rows
from harness.rank.missing import Rule, dropped_cases, prepared
from harness.rank.order import FloatArray, Ties, rank
from harness.rank.read import read_tables
from harness.rank.schemes import SCHEMES, BootMode, Scheme, Unit, final_ranks, final_scores, make_scheme
from harness.rank.table import LeftOut, Table
from harness.rank.wilcoxon import Adjustment, PairTests, pair_tests

#: The last unit of every bootstrap: the final ranking.
FINAL = "final"


@dataclass(frozen=True)
class Settings:
    """How to rank.  Every field is recorded in ``ranking.json``.

    Attributes:
        protocol: the challenge; None: the default one.
        scheme: the only scheme to compute; None: all, the protocol's first.
        aggregate: "mean", "median" or "q05"; None: the scheme's default.
        na: rule for missing values; None: the scheme's default.
        fill: metric -> value for missing values (implies rule ``fill``).
        ties: how equal ranks are shared, within cases and in the end.
        metrics: columns to rank; None: the protocol's.
        smaller_better: metrics where small is good, beside the protocol's.
        weights: metric -> weight in the final score; 1 where not named.
        columns: our column name -> the tables'.
        p_adjust: adjustment of one-sided p-values over all ordered pairs of a task and metric.
        wilcoxon_digits: decimals that differences are rounded to before the test; None: not rounded.
        bootstrap: number of samples, 0 for none; None: the protocol's.
        boot_mode: "distinct" (each draw a case of its own) or "challenger" (as challengeR 1.0.5).
        resamples: file of draws in place of random ones.
        seed: of the random draws.
        strict: a row that a team lacks is an error.
        allow_incomplete: harness faults leave their cases out instead of being refused.
    """

    protocol: Protocol | None = None
    scheme: str | None = None
    aggregate: str | None = None
    na: Rule | None = None
    fill: Mapping[str, float] = field(default_factory=dict)
    ties: Ties = "min"
    metrics: tuple[str, ...] | None = None
    smaller_better: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    p_adjust: Adjustment = "holm"
    wilcoxon_digits: int | None = None
    bootstrap: int | None = None
    boot_mode: BootMode = "distinct"
    resamples: Path | None = None
    seed: int = 0
    strict: bool = False
    allow_incomplete: bool = False


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


@dataclass(frozen=True)
class Ranking:
    """A ranking with all that tells how far to trust it.

    Attributes:
        table: what was ranked.
        rows: all rows of all tables as one results table, with the failure policy's values.
        settings: as given.
        protocol: as used.
        units: (task, metric), tasks in the table's order, metrics within.
        weights: (units,) in the final score.
        schemes: the chosen or default one first.
        summaries: metric -> (teams,) over all cases of all tasks: the mean, for a runtime the median.
        bootstrap: of the first scheme; None where none was asked for.
        tests: one a unit, on the values of the first scheme.
        warnings: what a reader should know.
    """

    table: Table
    rows: pd.DataFrame
    settings: Settings
    protocol: Protocol
    units: tuple[tuple[str, str], ...]
    weights: FloatArray
    schemes: tuple[SchemeRanks, ...]
    summaries: Mapping[str, FloatArray]
    bootstrap: Bootstrap | None
    tests: tuple[PairTests, ...]
    warnings: tuple[str, ...]

    @property
    def main(self) -> SchemeRanks:
        """The chosen or default scheme's ranks."""
        return self.schemes[0]


def analyse(tables: Sequence[str | Path], settings: Settings | None = None) -> Ranking:
    """Read, check, rank, resample and test.

    Args:
        tables: results tables or run folders.
        settings: None for the defaults.

    Raises:
        UsageError: the tables or settings do not make a ranking (`NotRankableError`: one team or case only).
    """
    settings = settings or Settings()
    protocol = settings.protocol or load_protocol()
    schemes = chosen_schemes(settings, protocol)
    long = read_tables(tables, protocol, settings.metrics, settings.columns)
    table = build_table(
        long,
        protocol,
        settings.smaller_better,
        strict=settings.strict,
        allow_incomplete=settings.allow_incomplete,
    )
    ranked = [metric.name for metric in table.metrics]
    for option, names in (("--fill", settings.fill), ("--weights", settings.weights)):
        if strange := sorted(set(names) - set(ranked)):
            raise UsageError(f"{option} names {strange[0]}, which is not ranked. Ranked: {', '.join(ranked)}.")
    weights = np.array([settings.weights.get(m.name, 1.0) for _ in table.tasks for m in table.metrics])
    if weights.min() < 0 or weights.max() == 0:
        raise UsageError("--weights must not be negative, and one must be above 0.")
    results = tuple(_rank_by(scheme, table, settings, weights) for scheme in schemes)
    values = _values(table, schemes[0], settings.fill)
    units = tuple((task.name, metric.name) for task in table.tasks for metric in table.metrics)
    return Ranking(
        table=table,
        rows=joined_rows(long, protocol),
        settings=settings,
        protocol=protocol,
        units=units,
        weights=weights,
        schemes=results,
        summaries=_summaries(table, values),
        bootstrap=_resampled(results[0], values, table, settings, protocol, weights),
        tests=tuple(
            pair_tests(unit, metric.smaller_is_better, settings.p_adjust, settings.wilcoxon_digits)
            for task in values
            for unit, metric in zip(task, table.metrics, strict=True)
        ),
        warnings=table.warnings + _unranked(results[0], table, units),
    )


def chosen_schemes(settings: Settings, protocol: Protocol) -> tuple[Scheme, ...]:
    """The schemes to compute, the main one first.

    Raises:
        UsageError: settings that contradict one another.
    """
    missing = settings.na or ("fill" if settings.fill else None)
    if settings.fill and missing != "fill":
        raise UsageError(f"--fill goes with --na fill, not with --na {missing}.")
    if settings.scheme is not None:
        return (make_scheme(settings.scheme, settings.aggregate, missing, settings.ties),)
    if settings.aggregate is not None:
        raise UsageError("--aggregate needs --scheme rank-then-aggregate or --scheme aggregate-then-rank.")
    if missing == "last":
        raise UsageError("--na last ranks within cases: it needs --scheme rank-then-aggregate.")
    names = [protocol.scheme, *(name for name in SCHEMES if name != protocol.scheme)]
    return tuple(make_scheme(name, None, missing, settings.ties) for name in names)


Values = list[list[FloatArray]]


def _values(table: Table, scheme: Scheme, fill: Mapping[str, float]) -> Values:
    """For each task, for each metric: (cases, teams) under the scheme's rule for missing values."""
    return [[prepared(task, metric, scheme.missing, fill) for metric in table.metrics] for task in table.tasks]


def _units(scheme: Scheme, values: Values, table: Table, mode: BootMode = "distinct") -> list[list[Unit]]:
    return [
        [scheme.unit(unit, m.smaller_is_better, mode) for unit, m in zip(task, table.metrics, strict=True)]
        for task in values
    ]


def _rank_by(scheme: Scheme, table: Table, settings: Settings, weights: FloatArray) -> SchemeRanks:
    aggregates, ranks = [], []
    for task, metrics in zip(table.tasks, _units(scheme, _values(table, scheme, settings.fill), table), strict=True):
        once = np.ones((1, len(task.cases)), dtype=np.int64)
        for unit in metrics:
            aggregate = unit.aggregates(once)[0]
            aggregates.append(aggregate)
            ranks.append(rank(aggregate, scheme.ties, unit.smaller_is_better))
    by_unit = np.stack(ranks)
    scores = final_scores(by_unit, weights)
    final = final_ranks(scores, scheme.ties)
    return SchemeRanks(scheme, np.stack(aggregates), by_unit, scores, final, dropped_cases(table, scheme.missing))


def _resampled(
    main: SchemeRanks,
    values: Values,
    table: Table,
    settings: Settings,
    protocol: Protocol,
    weights: FloatArray,
) -> Bootstrap | None:
    samples = protocol.bootstrap if settings.bootstrap is None else settings.bootstrap
    block = block_size(table.tasks)
    draws: list[Draws]
    if settings.resamples is not None:
        given = read_resamples(settings.resamples, table.tasks)
        draws = [given_draws(given[task.name], block) for task in table.tasks]
    elif samples == 0:
        return None
    else:
        draws = [random_draws(task, samples, settings.seed, block) for task in table.tasks]
    units = _units(main.scheme, values, table, settings.boot_mode)
    full = np.concatenate([main.ranks, main.final[None]])
    return bootstrap(units, draws, weights, full, main.scheme.ties)


def _summaries(table: Table, values: Values) -> dict[str, FloatArray]:
    """A team's mean over all cases, for runtimes the median; NaN for a team without any value."""
    summaries = {}
    for position, metric in enumerate(table.metrics):
        pooled = np.concatenate([task[position] for task in values])
        of_team = [column[~np.isnan(column)] for column in pooled.T]
        middle = np.median if metric.is_time else np.mean
        summaries[metric.name] = np.array([middle(column) if len(column) else np.nan for column in of_team])
    return summaries


def _unranked(main: SchemeRanks, table: Table, units: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    warnings = []
    for (task, metric), ranks in zip(units, main.ranks, strict=True):
        if np.isnan(ranks).all():
            warnings.append(f"no case of {task} is left for {metric}: the final score does without it.")
    for team, score in zip(table.teams, main.scores, strict=True):
        if np.isnan(score):
            warnings.append(f"{team} has no value at all in some task: it has no final score and comes last.")
    return tuple(warnings)
