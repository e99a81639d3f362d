"""From results tables to a whole ranking: ``analyse(tables, settings) -> Ranking``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import UsageError
from harness.protocol import Protocol, load_protocol
from harness.rank.bootstrap import Bootstrap, Clusters, Resampling, bootstrap, read_resamples
from harness.rank.build import build_table, joined_rows
from harness.rank.clusters import cluster_labels, lone_clusters
from harness.rank.missing import Rule
from harness.rank.order import FloatArray, Ties
from harness.rank.ranked import SchemeRanks, Values, rank_table, units_of, values_under
from harness.rank.read import read_tables
from harness.rank.schemes import SCHEMES, BootMode, Scheme, make_scheme
from harness.rank.table import Table
from harness.rank.wilcoxon import Adjustment, Method, PairTests, Zeros, pair_tests

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
        p_adjust: adjustment of one-sided p-values over all ordered pairs of a task and metric; None: "none" in
            scheme ``test-then-rank``, "holm" in the tests reported.
        wilcoxon_digits: decimals that differences are rounded to before the test; None: not rounded.
        wilcoxon_method: "normal", or "exact" below 50 pairs without ties.
        zeros: what the test does with differences of zero: "wilcox" (drops them) or "pratt".
        bootstrap: number of samples, 0 for none; None: the protocol's.
        boot_mode: "distinct" (each draw a case of its own) or "challenger" (as challengeR 1.0.5).
        resamples: file of draws in place of random ones.
        seed: of the random draws.
        cluster: column whose equal entries are cases drawn together; None: each case by itself.
        baseline: team that the report measures others against; None: the report's own choice.
        successors: (team, predecessor) to compare.
        reproductions: (team, original) to test for equivalence.
        margins: metric -> margin of that equivalence, in its units.
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
    p_adjust: Adjustment | None = None
    wilcoxon_digits: int | None = None
    wilcoxon_method: Method = "normal"
    zeros: Zeros = "wilcox"
    bootstrap: int | None = None
    boot_mode: BootMode = "distinct"
    resamples: Path | None = None
    seed: int = 0
    cluster: str | None = None
    baseline: str | None = None
    successors: tuple[tuple[str, str], ...] = ()
    reproductions: tuple[tuple[str, str], ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    allow_incomplete: bool = False


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
        values: for each task, for each metric: (cases, teams) under the first scheme's rule for missing values.
        summaries: metric -> (teams,) over all cases of all tasks: the mean, for a runtime the median.
        resampling: how the bootstrap's samples were drawn; None where none was asked for.
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
    values: Values
    summaries: Mapping[str, FloatArray]
    resampling: Resampling | None
    bootstrap: Bootstrap | None
    tests: tuple[PairTests, ...]
    warnings: tuple[str, ...]

    @property
    def main(self) -> SchemeRanks:
        """The chosen or default scheme's ranks."""
        return self.schemes[0]

    @property
    def unit_names(self) -> list[str]:
        """``task/metric`` of every unit, then ``final``."""
        return [*(f"{task}/{metric}" for task, metric in self.units), FINAL]


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
    long = read_tables(tables, protocol, settings.metrics, settings.columns, settings.cluster)
    table = build_table(
        long,
        protocol,
        settings.smaller_better,
        strict=settings.strict,
        allow_incomplete=settings.allow_incomplete,
    )
    weights = _weights(table, settings)
    clusters = None if settings.cluster is None else cluster_labels(long, table.tasks, settings.cluster)
    results = tuple(rank_table(table, scheme, weights, settings.fill) for scheme in schemes)
    main = results[0]
    values = values_under(table, main.scheme, settings.fill)
    units = tuple((task.name, metric.name) for task in table.tasks for metric in table.metrics)
    resampling = _resampling(table, settings, protocol, clusters)
    return Ranking(
        table=table,
        rows=joined_rows(long, protocol),
        settings=settings,
        protocol=protocol,
        units=units,
        weights=weights,
        schemes=results,
        values=values,
        summaries=_summaries(table, values),
        resampling=resampling,
        bootstrap=None if resampling is None else _resampled(main, values, table, settings, resampling, weights),
        tests=tuple(
            pair_tests(
                unit,
                metric.smaller_is_better,
                settings.p_adjust or "holm",
                settings.wilcoxon_digits,
                settings.wilcoxon_method,
                settings.zeros,
            )
            for task in values
            for unit, metric in zip(task, table.metrics, strict=True)
        ),
        warnings=table.warnings + _unranked(main, table, units) + lone_clusters(clusters),
    )


def _weights(table: Table, settings: Settings) -> FloatArray:
    """Weight of every unit in the final score.

    Raises:
        UsageError: options that name what is not ranked; weights that leave nothing.
    """
    ranked = [metric.name for metric in table.metrics]
    options = (("--fill", settings.fill), ("--weights", settings.weights), ("--margin", settings.margins))
    for option, names in options:
        if strange := sorted(set(names) - set(ranked)):
            raise UsageError(f"{option} names {strange[0]}, which is not ranked. Ranked: {', '.join(ranked)}.")
    if settings.baseline is not None and settings.baseline not in table.teams:
        raise UsageError(f"--baseline {settings.baseline}: no such team. Teams: {', '.join(table.teams)}.")
    weights = np.array([settings.weights.get(m.name, 1.0) for _ in table.tasks for m in table.metrics])
    if weights.min() < 0 or weights.max() == 0:
        raise UsageError("--weights must not be negative, and one must be above 0.")
    return weights


def chosen_schemes(settings: Settings, protocol: Protocol) -> tuple[Scheme, ...]:
    """The schemes to compute, the main one first.

    Raises:
        UsageError: settings that contradict one another.
    """
    missing = settings.na or ("fill" if settings.fill else None)
    if settings.fill and missing != "fill":
        raise UsageError(f"--fill goes with --na fill, not with --na {missing}.")
    if settings.scheme is not None:
        return (_scheme(settings.scheme, settings.aggregate, missing, settings),)
    if settings.aggregate is not None:
        raise UsageError("--aggregate needs --scheme rank-then-aggregate or --scheme aggregate-then-rank.")
    if missing == "last":
        raise UsageError("--na last ranks within cases: it needs --scheme rank-then-aggregate.")
    names = [protocol.scheme, *(name for name in SCHEMES if name != protocol.scheme)]
    return tuple(_scheme(name, None, missing, settings) for name in names)


def _scheme(name: str, aggregate: str | None, missing: Rule | None, settings: Settings) -> Scheme:
    return make_scheme(
        name,
        aggregate,
        missing,
        settings.ties,
        adjustment=settings.p_adjust,
        digits=settings.wilcoxon_digits,
        method=settings.wilcoxon_method,
        zeros=settings.zeros,
    )


def _resampled(
    main: SchemeRanks, values: Values, table: Table, settings: Settings, resampling: Resampling, weights: FloatArray
) -> Bootstrap:
    units = units_of(main.scheme, values, table, settings.boot_mode)
    return bootstrap(units, resampling.draws(), weights, main.with_final, main.scheme.ties)


def _resampling(table: Table, settings: Settings, protocol: Protocol, clusters: Clusters | None) -> Resampling | None:
    """How samples are drawn; None where none was asked for."""
    samples = protocol.bootstrap if settings.bootstrap is None else settings.bootstrap
    if settings.resamples is not None:
        given = read_resamples(settings.resamples, table.tasks, clusters)
        return Resampling(table.tasks, len(next(iter(given.values()))), clusters=clusters, given=given)
    if samples == 0:
        return None
    return Resampling(table.tasks, samples, settings.seed, clusters)


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
