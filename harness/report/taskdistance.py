"""How unlike two tasks rank the teams: distances and their hierarchical clustering, pure."""

from __future__ import annotations

import numpy as np

from harness.report.data import FloatArray, ReportData


def task_distances(data: ReportData) -> tuple[tuple[str, ...], FloatArray]:
    """Tasks with ranks, and the (K, K) distances between their rankings.

    Distance: Spearman's footrule, the sum of the absolute differences of rank, over its largest possible
    value floor(T^2 / 2) (Diaconis and Graham 1977), in 0..1; mean over the metrics ranked in both
    tasks.  Teams without a rank in one of them are left out of the pair; pairs with no common ground are
    as far apart as can be.
    """
    if data.ranks is None or len(data.teams) < 2:
        return (), np.empty((0, 0))
    table = data.ranks.pivot_table(index=["metric", "task"], columns="team", values="rank", aggfunc="first")
    table = table.reindex(columns=list(data.teams))
    known = set(table.index.get_level_values("task"))
    tasks = tuple(task for task in data.tasks if task in known)
    sums, counts = np.zeros((len(tasks), len(tasks))), np.zeros((len(tasks), len(tasks)))
    for metric in dict.fromkeys(table.index.get_level_values("metric")):
        rows = table.loc[metric].reindex(list(tasks)).to_numpy(dtype=float)
        gap = np.abs(rows[:, None] - rows[None])
        common = np.isfinite(gap).sum(axis=2)
        largest = np.maximum(common**2 // 2, 1)
        sums += np.where(common > 1, np.nansum(gap, axis=2) / largest, 0.0)
        counts += common > 1
    distances = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    np.fill_diagonal(distances, 0.0)
    return tasks, np.minimum(distances, 1.0)


def linkage_of(distances: FloatArray) -> FloatArray:
    """(K - 1, 4) merges after scipy's `linkage`, average linkage."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    return np.asarray(linkage(squareform(distances, checks=False), method="average"), dtype=np.float64)


def leaf_order(links: FloatArray) -> list[int]:
    """Leaves so that no two branches of the tree cross."""
    from scipy.cluster.hierarchy import leaves_list

    return [int(leaf) for leaf in leaves_list(links)]
