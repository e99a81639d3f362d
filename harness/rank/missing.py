"""The rules for missing values: what a team is charged where it has no value.

==============  =================================================================================
``drop-case``   a case whose reference has an empty class leaves its task for all teams in the
                scores that say nothing there (`RankedMetric.drop_case`); every other gap gets the
                failure policy's value
``last``        the team is ranked after all others in that case (only where cases are ranked)
``fill``        a value given for the metric, else the failure policy's
``drop``        the row is left out: the team is judged by its other cases
==============  =================================================================================

A team without a single row in a task is no candidate there under challengeR's rules (``last``, ``fill``,
``drop``): it has no rank in the task.  Under ``drop-case`` it is charged like any other that did not deliver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from harness.errors import UsageError
from harness.rank.order import FloatArray
from harness.rank.table import LeftOut, RankedMetric, Table, TaskTable

Rule = Literal["drop-case", "last", "fill", "drop"]
RULES: tuple[Rule, ...] = get_args(Rule)


def prepared(task: TaskTable, metric: RankedMetric, rule: Rule, fill: Mapping[str, float]) -> FloatArray:
    """A task's values of one metric under a rule: (cases, teams), NaN where the rule leaves a gap.

    Raises:
        UsageError: a gap must be filled and there is no value to fill it with.
    """
    values = task.values[metric.name]
    if rule in ("last", "drop"):
        return values
    out = task.undefined if rule == "drop-case" and metric.drops_cases else np.zeros(len(values), dtype=bool)
    gaps = np.isnan(values) & ~out[:, None]
    if rule == "fill" and task.absent is not None:
        gaps &= ~task.absent
    charge = fill.get(metric.name, metric.failure_value) if rule == "fill" else metric.failure_value
    if gaps.any() and charge is None:
        raise UsageError(
            f"{int(gaps.sum())} values of {metric.name} are missing in task {task.name}, and no failure policy names "
            f"a value for it. Give --fill {metric.name}=VALUE, or another rule with --na."
        )
    filled = np.where(gaps, np.nan if charge is None else charge, values)
    return np.where(out[:, None], np.nan, filled)


def dropped_cases(table: Table, rule: Rule) -> tuple[LeftOut, ...]:
    """The cases that ``drop-case`` takes out of the scores; none under other rules."""
    scores = tuple(metric.name for metric in table.metrics if metric.drops_cases)
    if rule != "drop-case" or not scores:
        return ()
    return tuple(
        LeftOut(task.name, case, scores, "undefined")
        for task in table.tasks
        for case, undefined in zip(task.cases, task.undefined, strict=True)
        if undefined
    )
