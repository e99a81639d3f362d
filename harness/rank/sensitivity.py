"""Who would win if the ranking had been made otherwise: one choice changed at a time, no resampling.

==================  ==============================================================================
question            settings
==================  ==============================================================================
``as ranked``       the ranking itself
``scheme``          every other scheme, with its own rule for missing values
``aggregate``       medians and the 5 % quantile in place of means
``weights``         each metric's ranks counted twice
``metrics``         each metric alone, and each left out
``failure policy``  failed attempts left out, or charged the worst value that anyone reached in the task
``tolerance``       another tolerance's column in the metric's place (``nsd_1mm``)
``scores``          another reading's columns in the metrics' place (``dsc_corrected``)
``ties``            the other ways to share a rank
``missing values``  the other rules that the scheme takes
``repeats``         the first attempt alone; the fastest, slowest or mean runtime in place of the median
==================  ==============================================================================

A setting that cannot matter (no failed attempt, nothing missing, no repeats, no such column) is not
asked about; one that cannot be carried out (no value to fill a gap with) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.errors import UsageError
from harness.rank.missing import RULES, Rule
from harness.rank.order import TIES, FloatArray, kendall_tau_b, rank
from harness.rank.ranked import rank_unit, unit_of
from harness.rank.repeats import RepeatRule, combined, usual_rule, with_repeat_rule
from harness.rank.schemes import SCHEMES, Scheme, final_ranks, final_scores, make_scheme
from harness.rank.table import RankedMetric, Table, TaskTable

#: Aggregates other than the mean that are asked about.
_AGGREGATES = (
    ("rank-then-aggregate", "median"),
    ("aggregate-then-rank", "median"),
    ("aggregate-then-rank", "q05"),
)
_REPEATS: tuple[tuple[str, RepeatRule | None, RepeatRule | None], ...] = (
    ("first repeat", "first", "first"),
    ("fastest", "min", None),
    ("slowest", "max", None),
    ("mean of repeats", "mean", None),
)


@dataclass(frozen=True)
class Setting:
    """The final ranking under one changed choice.

    Attributes:
        question: which choice.
        setting: what it is changed to.
        scores: (teams,) final scores.
        final: (teams,) final ranks.
        tau: Kendall's tau-b with the final ranking as ranked; NaN where one of them is all ties.
    """

    question: str
    setting: str
    scores: FloatArray
    final: FloatArray
    tau: float


@dataclass(frozen=True)
class _Changed:
    """A setting before it is ranked."""

    question: str
    setting: str
    table: Table
    scheme: Scheme
    weights: FloatArray


def sensitivity(
    table: Table, main: Scheme, weights: FloatArray, fill: Mapping[str, float], na: Rule | None = None
) -> tuple[Setting, ...]:
    """Rank under every setting, the ranking as it is first.

    Args:
        table: what was ranked.
        main: the scheme as ranked.
        weights: (units,) of the final score.
        fill: values for rule ``fill``.
        na: the rule for missing values that was asked for; None: each scheme's own.
    """
    ranker = _Ranker(fill)
    settings: list[Setting] = []
    as_ranked: FloatArray | None = None
    for changed in _settings(table, main, weights, na):
        try:
            scores, final = ranker.final(changed)
        except UsageError:  # a gap that nothing fills under this rule
            continue
        as_ranked = final if as_ranked is None else as_ranked
        tau = float(kendall_tau_b(as_ranked, final[None])[0])
        settings.append(Setting(changed.question, changed.setting, scores, final, tau))
    return tuple(settings)


def sensitivity_frame(teams: Sequence[str], settings: Sequence[Setting]) -> pd.DataFrame:
    """``question,setting,team,score,rank,tau``: settings in order, within one the best team first."""
    rows = [
        (s.question, s.setting, teams[t], s.scores[t], s.final[t], s.tau)
        for s in settings
        for t in np.argsort(s.final, kind="stable")
    ]
    return pd.DataFrame(rows, columns=["question", "setting", "team", "score", "rank", "tau"])


class _Ranker:
    """Ranks tables that share most of their arrays: no unit is worked out twice."""

    def __init__(self, fill: Mapping[str, float]) -> None:
        self._fill = fill
        self._known: dict[tuple[object, ...], tuple[FloatArray, bool]] = {}
        self._kept: list[TaskTable] = []  # arrays are told apart by their ids: none may go while these count

    def final(self, changed: _Changed) -> tuple[FloatArray, FloatArray]:
        """Scores and ranks, (teams,) each."""
        ranks = []
        for task in changed.table.tasks:
            self._kept.append(task)
            for metric in changed.table.metrics:
                aggregate, smaller = self._unit(task, metric, changed.scheme)
                ranks.append(rank(aggregate, changed.scheme.ties, smaller))
        scores = final_scores(np.stack(ranks), changed.weights)
        return scores, final_ranks(scores, changed.scheme.ties)

    def _unit(self, task: TaskTable, metric: RankedMetric, scheme: Scheme) -> tuple[FloatArray, bool]:
        """Aggregates of a unit, and their direction."""
        if scheme.name != "rank-then-aggregate":  # ties are shared after aggregating
            scheme = replace(scheme, ties="min")
        key = (scheme, task.name, metric, id(task.values[metric.name]), id(task.undefined))
        if key not in self._known:
            unit = unit_of(scheme, task, metric, self._fill)
            self._known[key] = (rank_unit(unit, len(task.cases), scheme)[0], unit.smaller_is_better)
        return self._known[key]


def _settings(table: Table, main: Scheme, weights: FloatArray, na: Rule | None) -> Iterator[_Changed]:
    def changed(question: str, setting: str, **other: object) -> _Changed:
        usual = _Changed(question, setting, table, main, weights)
        return replace(usual, **other)  # type: ignore[arg-type]

    yield changed("as ranked", main.name)
    for name, aggregate in (*((name, None) for name in SCHEMES), *_AGGREGATES):
        scheme = _other_scheme(main, name, aggregate, na)
        if scheme is not None and (scheme.name, scheme.aggregate) != (main.name, main.aggregate):
            question, setting = ("scheme", name) if aggregate is None else ("aggregate", f"{name} {aggregate}")
            yield changed(question, setting, scheme=scheme)
    of_unit = np.tile([metric.name for metric in table.metrics], len(table.tasks))
    names = [metric.name for metric in table.metrics if len(table.metrics) > 1]
    for name in names:
        yield changed("weights", f"{name} twice", weights=np.where(of_unit == name, 2 * weights, weights))
    for name in names:
        yield changed("metrics", f"{name} alone", weights=np.where(of_unit == name, 1.0, 0.0))
    for name in names if len(names) > 2 else []:
        yield changed("metrics", f"without {name}", weights=np.where(of_unit == name, 0.0, weights))
    if any(task.attempts is not None and task.attempts.failed.any() for task in table.tasks):
        drop = replace(main, missing="drop") if _takes(main, "drop") else main
        yield changed("failure policy", "failures left out", table=_without_failures(table, main), scheme=drop)
        yield changed("failure policy", "failures as the worst observed", table=_with_worst(table))
    for question, setting, columns in _readings(table):
        yield changed(question, setting, table=_with_columns(table, columns))
    for ties in TIES:
        if ties != main.ties:
            yield changed("ties", ties, scheme=replace(main, ties=ties))
    if any(np.isnan(task.values[m.name]).any() for task in table.tasks for m in table.metrics):
        for rule in RULES:
            if rule != main.missing and _takes(main, rule):
                yield changed("missing values", rule, scheme=replace(main, missing=rule))
    if any(task.attempts is not None and task.attempts.repeated for task in table.tasks):
        for setting, times, scores in _REPEATS:
            rules = (times or usual_rule(True), scores or usual_rule(False))
            yield changed("repeats", setting, table=with_repeat_rule(table, *rules))


def _other_scheme(main: Scheme, name: str, aggregate: str | None, na: Rule | None) -> Scheme | None:
    """A scheme with the main one's ties and tests; None where it takes no such rule for missing values."""
    try:
        other = make_scheme(name, aggregate, na, main.ties)
    except UsageError:
        return None
    return replace(main, name=other.name, aggregate=other.aggregate, missing=other.missing)


def _takes(scheme: Scheme, rule: Rule) -> bool:
    try:
        make_scheme(scheme.name, scheme.aggregate, rule)
    except UsageError:
        return False
    return True


def _without_failures(table: Table, main: Scheme) -> Table:
    """Failed attempts as if they had not been made; cases that left for all teams stay out."""

    def other(task: TaskTable) -> TaskTable:
        if task.attempts is None or not task.attempts.failed.any():
            return task
        values = dict(task.values)
        for metric in table.metrics:
            left = np.where(task.attempts.failed, np.nan, task.attempts.values[metric.name])
            values[metric.name] = combined(left, usual_rule(metric.is_time))
        return replace(task, values=values)

    def blank(task: TaskTable) -> TaskTable:
        out = {
            m.name: np.where(task.undefined[:, None], np.nan, task.values[m.name])
            for m in table.metrics
            if m.drops_cases and main.missing == "drop-case" and task.undefined.any()
        }
        return replace(task, values={**task.values, **out})

    return replace(table, tasks=tuple(blank(other(task)) for task in table.tasks))


def _with_worst(table: Table) -> Table:
    """Failed attempts charged with the worst value that an attempt which did not fail has in the task.

    Where all failed, the policy's values stay.
    """

    def other(task: TaskTable) -> TaskTable:
        if task.attempts is None or not task.attempts.failed.any():
            return task
        values = dict(task.values)
        for metric in table.metrics:
            given = task.attempts.values[metric.name]
            reached = given[~task.attempts.failed & ~np.isnan(given)]
            if len(reached):
                worst = reached.max() if metric.smaller_is_better else reached.min()
                charged = np.where(task.attempts.failed, worst, given)
                values[metric.name] = combined(charged, usual_rule(metric.is_time))
        return replace(task, values=values)

    return replace(table, tasks=tuple(other(task) for task in table.tasks))


def _readings(table: Table) -> list[tuple[str, str, dict[str, str]]]:
    """Question, setting, and metric -> column that takes its place; tolerances by size, then readings by name."""
    grouped: dict[tuple[float, str], dict[str, str]] = {}
    for variant in table.variants:
        size = np.inf if variant.tolerance_mm is None else variant.tolerance_mm
        grouped.setdefault((size, variant.reading), {})[variant.metric] = variant.column
    return [
        ("tolerance", f"{size:g} mm", columns) if size < np.inf else ("scores", reading.replace("_", " "), columns)
        for (size, reading), columns in sorted(grouped.items())
    ]


def _with_columns(table: Table, columns: Mapping[str, str]) -> Table:
    """Other columns in the metrics' place, with their own say about cases that leave."""
    drops = {variant.column: variant.drop_case for variant in table.variants}
    metrics = tuple(
        replace(metric, drop_case=drops[columns[metric.name]]) if metric.name in columns else metric
        for metric in table.metrics
    )

    def other(task: TaskTable) -> TaskTable:
        values = {**task.values, **{name: task.values[column] for name, column in columns.items()}}
        undefined = task.undefined
        told = task.attempts.undefined if task.attempts is not None else {}
        for column in columns.values():
            if drops[column] and column in told and (told[column] & ~undefined).any():
                undefined = undefined | told[column]
        return replace(task, values=values, undefined=undefined)

    return replace(table, metrics=metrics, tasks=tuple(other(task) for task in table.tasks))
