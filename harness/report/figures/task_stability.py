"""The bootstrap's figures by task and metric: violins of Kendall's tau, and blobs of the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from harness.report.data import FINAL_UNIT, Bootstrap, FloatArray, ReportData
from harness.report.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    SKY,
    VERMILION,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    grid_axes,
    percent,
    plain_name,
    rank_ticks,
    ranked_names,
    row_axes,
    safe_label,
)

#: Area of a blob that holds every sample, in points squared.
FULL_AREA = 62.0
_HALF_VIOLIN = 0.42
#: Panels of metrics that the figure of tau has room for.
_MOST_PANELS = 4


def drawings(data: ReportData) -> list[Drawing]:
    """Violins of tau, and for each metric the blobs of every task."""
    boot = data.bootstrap
    if boot is None:
        return []
    made = []
    taus = {unit: tau[np.isfinite(tau)] for unit, tau in zip(boot.units, boot.tau.T, strict=True)}
    medians = {unit: float(np.median(tau)) for unit, tau in taus.items() if unit != FINAL_UNIT and len(tau)}
    if medians:
        least, most = min(medians, key=lambda u: medians[u]), max(medians, key=lambda u: medians[u])
        made.append(
            drawing(
                "tau-units",
                "Kendall's tau by task and metric",
                f"The order is least settled in {_unit(data, least)} (median tau {medians[least]:.3f})"
                + (
                    f" and most in {_unit(data, most)} ({medians[most]:.3f})."
                    if medians[most] > medians[least]
                    else "; no task's order is more settled."
                )
                + " Each metric has a scale of its own.",
                f"Violin plots of Kendall's tau for {len(medians)} tasks and metrics, with medians and quartiles.",
                partial(draw_tau_units, data),
            )
        )
    for metric in _metrics(data, boot):
        tasks = [task for task in data.tasks if f"{task}/{metric}" in boot.units]
        shares = {task: _unique_winner(boot, f"{task}/{metric}") for task in tasks}
        known = {task: found for task, found in shares.items() if found is not None}
        if not known:
            continue
        clear = max(known, key=lambda task: known[task][1])
        open_ = min(known, key=lambda task: known[task][1])
        sentence = (
            f"In {data.label(metric)} the first place is clearest in {cut(clear)}: {cut(known[clear][0])} has it in "
            f"{percent(known[clear][1])} of the samples"
        )
        if known[open_][1] < known[clear][1]:
            sentence += (
                f"; it is most open in {cut(open_)}, where no team has it in more than {percent(known[open_][1])}"
            )
        made.append(
            drawing(
                f"rank-stability-{plain_name(metric)}",
                f"{data.label(metric)}: ranks within each task over the bootstrap samples",
                f"{sentence}.",
                f"Blob plots of ranks in {data.label(metric)}, a panel for each of {len(known)} tasks.",
                partial(draw_task_blobs, data, metric, list(known)),
                folded=True,
            )
        )
    return made


def draw_tau_units(data: ReportData) -> Figure:
    """A panel a metric, a row a task: density of tau, quartiles and median."""
    boot = data.bootstrap
    assert boot is not None
    metrics = _metrics(data, boot)
    tasks = [task for task in data.tasks if any(f"{task}/{metric}" in boot.units for metric in metrics)]
    figure, panels = row_axes([cut(task) for task in tasks], len(metrics), top_in=0.35, row_in=0.34)
    for axes, metric in zip(panels, metrics, strict=True):
        rows = []
        for task in tasks:
            tau = boot.tau[:, boot.units.index(f"{task}/{metric}")] if f"{task}/{metric}" in boot.units else np.empty(0)
            rows.append(tau[np.isfinite(tau)])
        violins(axes, rows)
        lowest = min([0.9, *(float(row.min()) for row in rows if len(row))])
        axes.set_xlim(max(-1.03, lowest - 0.05 * (1 - lowest) - 0.01), 1.0 + 0.03 * (1 - lowest) + 0.002)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(safe_label(cut(data.label(metric))), fontsize=9, loc="left")
        axes.set_xlabel("Kendall's tau")
    return figure


def violins(axes: Axes, rows: Sequence[FloatArray]) -> None:
    """A violin a row (Gaussian kernel, Silverman's bandwidth, cut at the extremes), quartiles, median.

    The median points carry the artist id ``medians``, in the order of the rows that have values.
    """
    shapes, medians, places, quartiles = [], [], [], []
    for i, row in enumerate(rows):
        if not len(row):
            continue
        left, median, right = np.percentile(row, (25, 50, 75))
        medians.append(median)
        places.append(i)
        quartiles.append((i, left, right))
        spread = float(row.std())
        if spread > 1e-9:
            grid = np.linspace(row.min(), row.max(), 80)
            bandwidth = 0.9 * min(spread, (right - left) / 1.34 or spread) * len(row) ** -0.2
            values, counts = np.unique(row, return_counts=True)
            density = np.exp(-0.5 * ((grid[:, None] - values) / bandwidth) ** 2) @ counts
            half = _HALF_VIOLIN * density / density.max()
            shapes.append(np.column_stack([np.r_[grid, grid[::-1]], np.r_[i - half, (i + half)[::-1]]]))
    axes.add_collection(PolyCollection(shapes, facecolor=SKY, edgecolor=BLUE, linewidth=0.7, zorder=2))
    for i, left, right in quartiles:
        axes.plot([left, right], [i, i], color=BLACK, linewidth=2.4, solid_capstyle="butt", zorder=3)
    axes.plot(
        medians, places, linestyle="none", marker="o", markersize=5, markerfacecolor=ORANGE, markeredgecolor=BLACK,
        markeredgewidth=0.7, zorder=4, gid="medians",
    )  # fmt: skip


def draw_task_blobs(data: ReportData, metric: str, tasks: Sequence[str]) -> Figure:
    """A panel a task, a row a team, a column a rank; the blob's area is the share of samples."""
    boot = data.bootstrap
    assert boot is not None
    teams = [team for team in data.teams if team in boot.teams]
    columns = [boot.teams.index(team) for team in teams]
    names = ranked_names(data.teams, data.ranking is not None)
    labels = [names[data.teams.index(team)] for team in teams]
    figure, panels = grid_axes(labels, tasks, foot="Rank (area: share of the samples, cross: median)")
    area = min(FULL_AREA, 4 * FULL_AREA * (12 / max(12, len(teams))) ** 2)
    for axes, task in zip(panels, tasks, strict=True):
        ranks = boot.ranks[:, boot.units.index(f"{task}/{metric}"), columns]
        x, y, share, medians = [], [], [], []
        for i, mine in enumerate(ranks.T):
            mine = mine[np.isfinite(mine)]
            values, counts = np.unique(mine, return_counts=True)
            x += values.tolist()
            y += [i] * len(values)
            share += (counts / max(1, len(mine))).tolist()
            medians.append(np.median(mine) if len(mine) else np.nan)
        _blobs(axes, np.array(x), np.array(y), area * np.array(share))
        axes.plot(
            medians, range(len(teams)), linestyle="none", marker="x", color=VERMILION, markersize=3.2,
            markeredgewidth=1.0, zorder=4,
        )  # fmt: skip
        axes.set_xlim(0.3, max(len(teams), max(x, default=1.0)) + 0.7)
        rank_ticks(axes, len(teams), axes.get_position().width * WIDTH_IN, 6.5)
    return figure


def _blobs(axes: Axes, x: FloatArray, y: FloatArray, areas: FloatArray) -> None:
    """Discs of these areas in points squared, to the next quarter of a point in width: few shapes, used often."""
    widths = np.maximum(1, np.round(4 * np.sqrt(areas))) / 4
    for width in np.unique(widths):
        mine = widths == width
        axes.plot(
            x[mine], y[mine], linestyle="none", marker="o", markersize=width, markerfacecolor=SKY, markeredgecolor=BLUE,
            markeredgewidth=0.4, zorder=2, label="blobs",
        )  # fmt: skip


def _metrics(data: ReportData, boot: Bootstrap) -> list[str]:
    """Metrics of the samples, in the report's order."""
    found = dict.fromkeys(unit.rpartition("/")[2] for unit in boot.units if "/" in unit)
    known = [metric for metric in data.metrics if metric in found]
    return [*known, *(metric for metric in found if metric not in known)][:_MOST_PANELS]


def _unique_winner(boot: Bootstrap, unit: str) -> tuple[str, float] | None:
    """The team that most often has the best rank of a unit, and its share of the samples."""
    ranks = boot.ranks[:, boot.units.index(unit), :]
    ranks = np.where(np.isnan(ranks), np.inf, ranks)
    best = ranks.min(axis=1, keepdims=True)
    if not np.isfinite(best).any():
        return None
    won = ((ranks == best) & np.isfinite(best)).mean(axis=0)
    return boot.teams[int(won.argmax())], float(won.max())


def _unit(data: ReportData, unit: str) -> str:
    """``task/metric`` in words."""
    task, slash, metric = unit.rpartition("/")
    return f"{cut(task)}, {cut(data.label(metric))}" if slash else cut(unit)
