"""Repeated attempts of a team on a case: how they become one value."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from harness.rank.order import FloatArray, IntArray
from harness.rank.table import Table, TaskTable

RepeatRule = Literal["median", "mean", "first", "min", "max"]


def usual_rule(is_time: bool) -> RepeatRule:
    """How repeats are combined: the median of runtimes, the mean of scores."""
    return "median" if is_time else "mean"


def combined(values: FloatArray, rule: RepeatRule) -> FloatArray:
    """Repeats as one value: (..., R), NaN without a value -> (...); NaN where none has a value.

    The order of the repeats decides nothing but in rule ``first``, and equal repeats are kept to the last bit.
    """
    if rule == "first" or values.shape[-1] == 1:
        return values[..., 0].copy()
    ordered = np.sort(values, axis=-1)  # NaN last
    number = (~np.isnan(ordered)).sum(axis=-1)
    lowest, highest = ordered[..., 0], _at(ordered, np.maximum(number - 1, 0))
    if rule == "min":
        return lowest.copy()
    if rule == "max":
        return highest
    if rule == "median":
        return (_at(ordered, np.maximum(number - 1, 0) // 2) + _at(ordered, number // 2 * (number > 0))) / 2
    mean = np.nansum(ordered, axis=-1) / np.maximum(number, 1)
    return np.where(lowest == highest, lowest, np.where(number > 0, mean, np.nan))


def _at(ordered: FloatArray, position: IntArray) -> FloatArray:
    taken: FloatArray = np.take_along_axis(ordered, position[..., None], axis=-1)[..., 0]
    return taken


def with_repeat_rule(table: Table, times: RepeatRule, scores: RepeatRule) -> Table:
    """The table with its attempts combined by other rules."""
    by_name = {metric.name: times if metric.is_time else scores for metric in table.metrics}

    def other(task: TaskTable) -> TaskTable:
        if task.attempts is None or not task.attempts.repeated:
            return task
        again = {
            name: combined(task.attempts.values[name], rule)
            for name, rule in by_name.items()
            if rule != usual_rule(name in {m.name for m in table.metrics if m.is_time})
        }
        return replace(task, values={**task.values, **again})

    return replace(table, tasks=tuple(other(task) for task in table.tasks))
