"""Which tasks rank the teams alike: a dendrogram and a network, as in challengeR (Wiesenfarth et al., 2021)."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import FloatArray, ReportData
from harness.report.figures.style import (
    BLUE,
    ORANGE,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    place_axes,
    row_axes,
    safe_label,
    width_in,
)
from harness.report.taskdistance import leaf_order, linkage_of, task_distances

_LEAST_TASKS = 3
_RADIUS_IN = 1.9


def drawings(data: ReportData) -> list[Drawing]:
    """Both figures, where ranks of at least three tasks are known."""
    tasks, distances = task_distances(data)
    if len(tasks) < _LEAST_TASKS:
        return []
    pairs = {
        (i, j): float(distances[i, j]) for i in range(len(tasks)) for j in range(i + 1, len(tasks))
    }  # fmt: skip
    near, far = min(pairs, key=lambda p: pairs[p]), max(pairs, key=lambda p: pairs[p])
    means = (distances.sum(axis=1)) / (len(tasks) - 1)
    apart = int(means.argmax())
    sentence = (
        f"{cut(tasks[near[0]])} and {cut(tasks[near[1]])} rank the teams most alike (distance {pairs[near]:.2f}), "
        f"{cut(tasks[far[0]])} and {cut(tasks[far[1]])} least (distance {pairs[far]:.2f})"
        if pairs[far] > pairs[near]
        else f"All tasks rank the teams equally alike (distance {pairs[near]:.2f})"
    )
    return [
        drawing(
            "task-dendrogram",
            "Tasks that rank the teams alike",
            f"{sentence}. Distance: Spearman's footrule between the rankings, mean over the metrics, from 0 (the same) "
            "to 1 (the largest possible); branches join at the mean distance of their tasks.",
            f"Dendrogram of {len(tasks)} tasks, average linkage.",
            lambda: draw_dendrogram(tasks, distances),
        ),
        drawing(
            "task-network",
            "Network of tasks",
            "The thicker and darker the line, the more alike two tasks rank the teams; the less alike half of the "
            f"pairs has none. On average {cut(tasks[apart])} lies farthest from the others (mean distance "
            f"{means[apart]:.2f}).",
            f"Network of {len(tasks)} tasks on a circle, in the dendrogram's order.",
            lambda: draw_network(tasks, distances),
        ),
    ]


def draw_dendrogram(tasks: tuple[str, ...], distances: FloatArray) -> Figure:
    """A row a task; branches meet at the mean distance (average linkage)."""
    links = linkage_of(distances)
    order = leaf_order(links)
    figure, (axes,) = row_axes([cut(tasks[i]) for i in order], bottom_in=0.55, row_in=0.3)
    place = {task: (0.0, float(row)) for row, task in enumerate(order)}
    for step, (one, other, height, _) in enumerate(links):
        (x1, y1), (x2, y2) = place[int(one)], place[int(other)]
        axes.plot([x1, height, height, x2], [y1, y1, y2, y2], color=BLUE, linewidth=1.6, solid_joinstyle="miter")
        place[len(tasks) + step] = (float(height), (y1 + y2) / 2)
    axes.set_xlim(0, max(0.05, 1.06 * float(links[-1][2])))
    axes.set_xlabel("Distance between the rankings (footrule, 0 to 1)")
    return figure


def draw_network(tasks: tuple[str, ...], distances: FloatArray) -> Figure:
    """Tasks on a circle, lines between the closer half of all pairs."""
    order = leaf_order(linkage_of(distances))
    radius_in = max(_RADIUS_IN, 0.26 * len(tasks) / math.pi)
    height = 2 * radius_in + 0.9
    figure = Figure(figsize=(WIDTH_IN, height))
    side = width_in([cut(task) for task in tasks], 9.0) + 0.35
    half_w = min(WIDTH_IN / 2, radius_in + side)
    axes = place_axes(figure, WIDTH_IN / 2 - half_w, 0.0, 2 * half_w, height)
    axes.set_xlim(-half_w, half_w)
    axes.set_ylim(-height / 2, height / 2)
    axes.axis("off")
    angle = {task: math.pi / 2 - 2 * math.pi * k / len(tasks) for k, task in enumerate(order)}
    spot = {task: (radius_in * math.cos(a), radius_in * math.sin(a)) for task, a in angle.items()}
    known = distances[np.triu_indices(len(tasks), 1)]
    low, middle = float(known.min()), float(np.median(known))
    for i in range(len(tasks)):
        for j in range(i + 1, len(tasks)):
            if distances[i, j] <= middle:
                closeness = 1 - (distances[i, j] - low) / (middle - low) if middle > low else 1.0
                axes.plot(
                    *zip(spot[i], spot[j], strict=True), color=BLUE, linewidth=0.6 + 4.4 * closeness,
                    alpha=0.25 + 0.6 * closeness, zorder=1, solid_capstyle="round",
                )  # fmt: skip
    for i, task in enumerate(tasks):
        x, y = spot[i]
        axes.plot([x], [y], marker="o", markersize=11, color=ORANGE, markeredgecolor="black", zorder=3)
        cos = math.cos(angle[i])
        side_of = "center" if abs(cos) < 0.05 else "left" if cos > 0 else "right"
        axes.text(
            x + 0.17 * cos, y + 0.2 * math.sin(angle[i]), safe_label(cut(task)), ha=side_of,
            va="center" if abs(math.sin(angle[i])) < 0.97 else "bottom" if y > 0 else "top", fontsize=9,
        )  # fmt: skip
    return figure
