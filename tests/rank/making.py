"""Tables made of arrays, without files."""

from __future__ import annotations

import numpy as np

from harness.rank.repeats import combined, usual_rule
from harness.rank.table import Attempts, RankedMetric, Table, TaskTable

DSC = RankedMetric("dsc", "DSC", smaller_is_better=False, is_time=False, failure_value=0.0)
NSD = RankedMetric("nsd", "NSD", smaller_is_better=False, is_time=False, failure_value=0.0)
TIME = RankedMetric("runtime_s", "Runtime", smaller_is_better=True, is_time=True, failure_value=60.0)


def make_table(tasks, metrics=(DSC,), failed=None, undefined=None, variants=()):
    """A table of tasks {name: {column: (cases, teams) or (cases, teams, repeats)}}, teams A, B, C, ...

    Args:
        failed: task -> (cases, teams, repeats).
        undefined: task -> (cases,).
    """
    times = {metric.name for metric in metrics if metric.is_time}
    made = []
    teams = 0
    for name, columns in tasks.items():
        attempts = {column: np.atleast_3d(np.array(of, dtype=float)) for column, of in columns.items()}
        shape = np.broadcast_shapes(*(of.shape for of in attempts.values()))
        attempts = {column: np.broadcast_to(of, shape).copy() for column, of in attempts.items()}
        lost = np.zeros(shape, dtype=bool) if failed is None or name not in failed else np.array(failed[name])
        values = {column: combined(of, usual_rule(column in times)) for column, of in attempts.items()}
        out = np.zeros(shape[0], dtype=bool) if undefined is None else np.array(undefined[name])
        cases = tuple(f"{name}_{c:03d}" for c in range(shape[0]))
        made.append(TaskTable(name, cases, values, out, Attempts(attempts, lost, {})))
        teams = shape[1]
    letters = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:teams])
    return Table(letters, tuple(made), tuple(metrics), (), (), (), (), variants)


def draws_of(table, samples, seed=0):
    """One block of counts a task."""
    random = np.random.default_rng(seed)
    sizes = [len(task.cases) for task in table.tasks]
    return [[np.stack([np.bincount(random.integers(0, n, n), minlength=n) for _ in range(samples)])] for n in sizes]
