"""The dense table that everything else works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.rank.order import BoolArray, FloatArray
from harness.rank.read import Source


class NotRankableError(UsageError):
    """The table is sound, but there is nothing to compare: one team only, or one case only."""


@dataclass(frozen=True)
class RankedMetric:
    """One column that is ranked.

    Attributes:
        name: the column.
        label: its name in figures.
        smaller_is_better: its direction.
        is_time: a runtime: repeats are combined by their median, not their mean, and an undefined
            score does not touch it.
        failure_value: what a missing attempt is charged under the failure policy; None: no policy.
    """

    name: str
    label: str
    smaller_is_better: bool
    is_time: bool
    failure_value: float | None


@dataclass(frozen=True)
class TaskTable:
    """One task's values.

    Attributes:
        name: the task.
        cases: its cases, sorted by name.
        values: metric -> (cases, teams), NaN where there is no value.
        undefined: (cases,) whether some team ended ok without a score: the reference has an empty class.
    """

    name: str
    cases: tuple[str, ...]
    values: Mapping[str, FloatArray]
    undefined: BoolArray


@dataclass(frozen=True)
class MissingRow:
    """A row that a team lacks although another team has the case."""

    team: str
    task: str
    case: str


@dataclass(frozen=True)
class LeftOut:
    """A case that left its task for all teams.

    Attributes:
        task, case: which.
        metrics: in which metrics.
        reason: "bad_reference", "harness_fault" or "undefined" (a class that the reference lacks).
    """

    task: str
    case: str
    metrics: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Table:
    """Everything that is ranked.

    Attributes:
        teams: sorted by name.
        tasks: the protocol's in its order, then others by name.
        metrics: what is ranked, in the order asked for.
        missing: rows inserted as missing.
        left_out: cases out for all teams and metrics.
        sources: the files read.
        warnings: what a reader of the ranking should know.
    """

    teams: tuple[str, ...]
    tasks: tuple[TaskTable, ...]
    metrics: tuple[RankedMetric, ...]
    missing: tuple[MissingRow, ...]
    left_out: tuple[LeftOut, ...]
    sources: tuple[Source, ...]
    warnings: tuple[str, ...]


def describe_missing(missing: Sequence[MissingRow]) -> str:
    """Missing rows in a sentence: how many each team lacks, with the first cases by name."""
    by_team: dict[str, list[str]] = {}
    for row in missing:
        by_team.setdefault(row.team, []).append(f"{row.task}/{row.case}")
    parts = [f"{team} lacks {len(cases)} ({shorten(cases)})" for team, cases in by_team.items()]
    return f"{len(missing)} rows are missing: {'; '.join(parts)}"


def shorten(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
