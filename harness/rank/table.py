"""The dense table that everything else works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.rank.order import BoolArray, FloatArray
from harness.rank.read import Source
from harness.rank.variants import VariantColumn


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
        drop_case: whether a case whose reference lacks a class judges nobody in it; no runtime ever does.
    """

    name: str
    label: str
    smaller_is_better: bool
    is_time: bool
    failure_value: float | None
    drop_case: bool = True

    @property
    def drops_cases(self) -> bool:
        """Whether rule ``drop-case`` takes cases out of this metric."""
        return self.drop_case and not self.is_time


@dataclass(frozen=True)
class Attempts:
    """What a task's values were combined from.  R is the largest number of repeats of any case and team.

    Attributes:
        values: column -> (cases, teams, R), in order of the repeats' numbers, after the failure policy; NaN
            without a value and beyond a case's last repeat.  The columns are those of `TaskTable.values`.
        failed: (cases, teams, R) which of them the failure policy charged.
        undefined: column -> (cases,) whether some team ended ok without a value in it, for columns that
            drop cases and that anyone filled.
    """

    values: Mapping[str, FloatArray]
    failed: BoolArray
    undefined: Mapping[str, BoolArray]

    @property
    def repeated(self) -> bool:
        """Whether any case was attempted more than once by a team."""
        return bool(self.failed.shape[2] > 1)


@dataclass(frozen=True)
class TaskTable:
    """One task's values.

    Attributes:
        name: the task.
        cases: its cases, sorted by name.
        values: column -> (cases, teams), NaN where there is no value, repeats combined.  The ranked metrics
            are there, and `Table.variants` of them.
        undefined: (cases,) whether some team ended ok without a score: the reference has an empty class.
        attempts: what the values were combined from; None where that is not known.
        absent: (teams,) who has no row at all in the task; None: nobody.
    """

    name: str
    cases: tuple[str, ...]
    values: Mapping[str, FloatArray]
    undefined: BoolArray
    attempts: Attempts | None = None
    absent: BoolArray | None = None


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
        variants: columns that could have been ranked in a metric's place.
    """

    teams: tuple[str, ...]
    tasks: tuple[TaskTable, ...]
    metrics: tuple[RankedMetric, ...]
    missing: tuple[MissingRow, ...]
    left_out: tuple[LeftOut, ...]
    sources: tuple[Source, ...]
    warnings: tuple[str, ...]
    variants: tuple[VariantColumn, ...] = ()


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
