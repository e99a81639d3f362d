"""From a long frame to the dense table: checks, failure policy, repeats, missing rows.

Each step works on the one before: refuse what cannot be ranked, leave out the cases that no team may be
charged for, apply the failure policy, combine repeats, list what a team lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.errors import UsageError
from harness.protocol import Protocol
from harness.rank.order import FloatArray
from harness.rank.read import LongTable, Source
from harness.rank.repeats import combined, usual_rule
from harness.rank.table import (
    Attempts,
    LeftOut,
    MissingRow,
    NotRankableError,
    RankedMetric,
    Table,
    TaskTable,
    describe_missing,
    shorten,
)
from harness.rank.variants import VariantColumn, variant_columns
from harness.records import FAILURES, Outcome

_FAILED = frozenset(str(outcome) for outcome in FAILURES)
#: What names a value, apart from repeats.
_KEY = ["team", "task", "case"]


def build_table(
    long: LongTable,
    protocol: Protocol,
    smaller_better: Sequence[str] = (),
    *,
    strict: bool = False,
    allow_incomplete: bool = False,
) -> Table:
    """Check a long table and make it dense.

    Args:
        long: what `read_tables` gave.
        protocol: directions, failure policy, order of the tasks.
        smaller_better: metrics where small is good, beside those that the protocol says so of.
        strict: a row that a team lacks is an error.
        allow_incomplete: harness faults leave their cases out instead of being refused.

    Raises:
        UsageError: duplicate rows, unscored metrics, harness faults, missing rows when `strict`.
        NotRankableError: one team, or one case.
    """
    frame = long.frame
    warnings = list(long.warnings)
    metrics = _ranked_metrics(long, protocol, smaller_better, warnings)
    _refuse_duplicates(frame, long.sources)
    _refuse_unscored(frame, long)
    teams = tuple(sorted(frame["team"].unique()))
    if len(teams) < 2:
        raise NotRankableError(
            f"{_files(long)}: only one team ({teams[0]}). A ranking needs two: give further results tables."
        )
    frame, left_out = _leave_out(frame, tuple(m.name for m in metrics), allow_incomplete, long)
    _apply_policy(frame, protocol, warnings)
    variants = variant_columns(frame.columns, (m.name for m in metrics), protocol.metrics)
    tasks, missing = _dense(frame, teams, protocol, metrics, variants)
    cases = sum(len(task.cases) for task in tasks)
    if cases < 2:
        what = "no case is left" if cases == 0 else f"only one case ({tasks[0].cases[0]})"
        raise NotRankableError(f"{_files(long)}: {what}. A ranking needs at least two cases.")
    if missing and strict:
        raise UsageError(f"{_files(long)}: {describe_missing(missing)}. Complete the table, or leave out --strict.")
    warnings += _oddities(tasks, metrics)
    return Table(teams, tasks, metrics, missing, left_out, long.sources, tuple(warnings), variants)


def joined_rows(long: LongTable, protocol: Protocol) -> pd.DataFrame:
    """All rows of all tables as one results table (`harness.results.COLUMNS`), with the failure policy's values."""
    frame = long.frame.copy()
    _apply_policy(frame, protocol, [])
    return frame.rename(columns={"task": "modality"}).drop(columns=["source", "time_limit_s"])


def _files(long: LongTable) -> str:
    return shorten([str(source.path) for source in long.sources], 2)


def _ranked_metrics(
    long: LongTable, protocol: Protocol, smaller_better: Sequence[str], warnings: list[str]
) -> tuple[RankedMetric, ...]:
    if strange := sorted(set(smaller_better) - set(long.metrics)):
        raise UsageError(
            f"--smaller-better names {', '.join(strange)}, which is not ranked. Ranked: {', '.join(long.metrics)}."
        )
    limit = max(source.time_limit_s for source in long.sources)
    metrics = []
    for name in long.metrics:
        known = protocol.metrics.get(name)
        if known is None:
            if name not in smaller_better:
                warnings.append(
                    f"{name} is not a metric of protocol {protocol.name}: larger values count as better "
                    f"(else: --smaller-better {name})."
                )
            metrics.append(RankedMetric(name, name, name in smaller_better, False, None))
        else:
            smaller = known.smaller_is_better or name in smaller_better
            is_time = known.on_failure == "time_limit"
            charge = known.failure_value(limit)
            charged = None if np.isnan(charge) else charge
            metrics.append(RankedMetric(name, known.label, smaller, is_time, charged, known.drop_case))
    return tuple(metrics)


def _refuse_duplicates(frame: pd.DataFrame, sources: Sequence[Source]) -> None:
    double = frame.duplicated([*_KEY, "repeat"], keep=False)
    if not double.any():
        return
    rows = frame[double]
    first = rows.iloc[0]
    same = rows[(rows[[*_KEY, "repeat"]] == first[[*_KEY, "repeat"]]).all(axis=1)]
    where = " and ".join(dict.fromkeys(str(sources[i].path) for i in same["source"]))
    groups = rows.groupby([*_KEY, "repeat"], sort=False).ngroups
    raise UsageError(
        f"{where}: duplicate rows: team {first['team']}, case {first['case']}, repeat {first['repeat']} is there "
        f"{len(same)} times ({groups} such rows in all). Keep one of them, or number them in a column 'repeat'."
    )


def _refuse_unscored(frame: pd.DataFrame, long: LongTable) -> None:
    """A metric without any value where values are due means that a stage was left out, not that all failed."""
    due = ~frame["outcome"].isin([*_FAILED, Outcome.HARNESS_FAULT, Outcome.BAD_REFERENCE])
    for index, source in enumerate(long.sources):
        rows = frame[due & (frame["source"] == index)]
        for metric in long.metrics:
            if len(rows) and rows[metric].isna().all():
                raise UsageError(
                    f"{source.path}: column {metric!r} has no value in any of {len(rows)} rows that should have one: "
                    "the table was not scored or measured. Score it first (evaluate.py --score-only, or harness import "
                    "--scores), or rank other columns with --metrics."
                )


def _leave_out(
    frame: pd.DataFrame, metrics: tuple[str, ...], allow_incomplete: bool, long: LongTable
) -> tuple[pd.DataFrame, tuple[LeftOut, ...]]:
    """Cases that no team may be charged for leave their task for all teams."""
    faults = frame[frame["outcome"] == Outcome.HARNESS_FAULT]
    if len(faults) and not allow_incomplete:
        first = faults.iloc[0]
        raise UsageError(
            f"{_files(long)}: {len(faults)} attempts ended in a harness fault (first: team {first['team']}, case "
            f"{first['case']}) and are undecided. Run the same command again, which tries them again, or rank "
            "with --allow-incomplete, which leaves these cases out for all teams."
        )
    frame = frame[frame["outcome"] != Outcome.HARNESS_FAULT]
    decided = set(frame[_KEY].itertuples(index=False, name=None))
    undecided = [key[1:] for key in faults[_KEY].itertuples(index=False, name=None) if key not in decided]
    broken = frame.loc[frame["outcome"] == Outcome.BAD_REFERENCE, ["task", "case"]]
    reasons = dict.fromkeys(undecided, str(Outcome.HARNESS_FAULT))
    reasons |= dict.fromkeys(broken.itertuples(index=False, name=None), str(Outcome.BAD_REFERENCE))
    if reasons:
        out = pd.MultiIndex.from_frame(frame[["task", "case"]]).isin(list(reasons))
        frame = frame[~out]
    left_out = (LeftOut(task, case, metrics, reason) for (task, case), reason in sorted(reasons.items()))
    return frame.copy(), tuple(left_out)


def _apply_policy(frame: pd.DataFrame, protocol: Protocol, warnings: list[str]) -> None:
    """Failed attempts get the policy's values, in place; doing it twice changes nothing."""
    failed = frame["outcome"].isin(_FAILED).to_numpy()
    if not failed.any():
        return
    others = variant_columns(frame.columns, protocol.metrics, protocol.metrics)
    policy = {v.column: protocol.metrics[v.metric] for v in others} | protocol.metrics
    changed = 0
    for name, metric in policy.items():
        if name not in frame:
            continue
        old = frame.loc[failed, name].to_numpy(dtype=float)
        new = np.array([metric.failure_value(limit) for limit in frame.loc[failed, "time_limit_s"]])
        changed = max(changed, int(np.sum(~np.isnan(old) & (old != new))))
        frame.loc[failed, name] = new
    if changed:
        warnings.append(
            f"{changed} failed attempts carried other values than the failure policy's; they count as the policy says."
        )


def _dense(
    frame: pd.DataFrame,
    teams: tuple[str, ...],
    protocol: Protocol,
    metrics: tuple[RankedMetric, ...],
    variants: tuple[VariantColumn, ...],
) -> tuple[tuple[TaskTable, ...], tuple[MissingRow, ...]]:
    """Spread the rows over (cases, teams, repeats), combine repeats, find what is missing."""
    times = {m.name for m in metrics if m.is_time}
    times |= {v.column for v in variants if v.metric in times}
    columns = [*(m.name for m in metrics), *(v.column for v in variants)]
    # An empty value tells of a reference without the class where the metric is undefined there.
    official = [m.name for m in metrics if m.drops_cases]
    ranked = (name for name in protocol.ranked if protocol.metrics[name].drop_case)
    official += [name for name in ranked if name not in columns and name in frame]
    telling = {*official, *(v.column for v in variants if v.drop_case)} - times
    telling = {name for name in telling if frame[name].notna().any()}  # others were never computed
    frame = frame.assign(nth=0, failed=frame["outcome"].isin(_FAILED), ok=frame["outcome"] == Outcome.OK)
    if frame.duplicated(_KEY).any():
        frame = frame.sort_values("repeat", kind="stable")
        frame["nth"] = frame.groupby(_KEY, sort=False).cumcount()
    known = {task: position for position, task in enumerate(dict.fromkeys(protocol.tasks.values()))}
    team_code = {team: code for code, team in enumerate(teams)}
    tasks, missing = [], []
    for name in sorted(frame["task"].unique(), key=lambda task: (known.get(task, len(known)), task)):
        part = frame[frame["task"] == name]
        cases = tuple(sorted(part["case"].unique()))
        case_code = {case: code for code, case in enumerate(cases)}
        nth = part["nth"].to_numpy()
        at = (part["case"].map(case_code).to_numpy(), part["team"].map(team_code).to_numpy(), nth)
        shape = (len(cases), len(teams), int(nth.max()) + 1)
        there, failed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        there[at] = True
        failed[at] = part["failed"].to_numpy()
        ok = part["ok"].to_numpy()
        values = {}
        for column in columns:
            values[column] = np.full(shape, np.nan)
            values[column][at] = part[column].to_numpy(dtype=float)
        no_reference = np.zeros(len(cases), dtype=bool)
        undefined = {column: no_reference.copy() for column in telling}
        for column, of in undefined.items():
            of[at[0][ok & part[column].isna().to_numpy()]] = True
            if column in official:
                no_reference |= of
        folded = {name: combined(of, usual_rule(name in times)) for name, of in values.items()}
        attempts = Attempts(values, failed, undefined)
        absent = np.ones(len(teams), dtype=bool)
        absent[at[1]] = False
        tasks.append(TaskTable(str(name), cases, folded, no_reference, attempts, absent if absent.any() else None))
        missing += [MissingRow(teams[t], str(name), cases[c]) for t, c in np.argwhere(~there.any(axis=2).T)]
    return tuple(tasks), tuple(sorted(missing, key=lambda row: (row.team, row.task, row.case)))


def _oddities(tasks: Sequence[TaskTable], metrics: Sequence[RankedMetric]) -> list[str]:
    """What makes ranks meaningless without making them impossible."""
    found = []
    if single := [task.name for task in tasks if len(task.cases) == 1]:
        found.append(f"one case only in {shorten(single)}: ranks there rest on it alone, and every sample is the same.")
    for metric in metrics:
        constant = [task.name for task in tasks if _is_constant(task.values[metric.name])]
        if constant:
            found.append(f"{metric.name} is constant in {shorten(constant)}: it separates no teams there.")
    return found


def _is_constant(values: FloatArray) -> bool:
    known = values[~np.isnan(values)]
    return known.size > 0 and bool((known == known[0]).all())
