"""Cases that belong together (of one patient, one institution): which case is of which cluster."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UsageError
from harness.rank.bootstrap import Clusters
from harness.rank.read import CLUSTER, LongTable
from harness.rank.table import TaskTable, shorten


def cluster_labels(long: LongTable, tasks: Sequence[TaskTable], column: str) -> Clusters:
    """Clusters of all cases that are ranked.

    Args:
        long: read with this cluster column.
        tasks: the cases.
        column: its name in the tables, for messages.

    Raises:
        UsageError: a case without a cluster, or one that rows put into two.
    """
    known = long.frame.loc[long.frame[CLUSTER] != "", ["task", "case", CLUSTER]].drop_duplicates()
    double = known[known.duplicated(["task", "case"])]
    if len(double):
        first = double.iloc[0]
        raise UsageError(
            f"--cluster {column}: case {first['case']} is in two clusters ({first[CLUSTER]} and another). "
            "All rows of a case must name the same."
        )
    of_case = {(task, case): cluster for task, case, cluster in known.itertuples(index=False)}
    if lacking := [f"{t.name}/{c}" for t in tasks for c in t.cases if (t.name, c) not in of_case]:
        raise UsageError(
            f"--cluster {column}: {len(lacking)} cases have no cluster ({shorten(lacking)}). Fill the column."
        )
    return {task.name: [of_case[task.name, case] for case in task.cases] for task in tasks}


def lone_clusters(clusters: Clusters | None) -> tuple[str, ...]:
    """A warning for each task whose cases are all of one cluster."""
    return tuple(
        f"all cases of {task} are of one cluster: every bootstrap sample of it is the same."
        for task, labels in (clusters or {}).items()
        if len(set(labels)) == 1
    )
