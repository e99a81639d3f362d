"""Chosen teams against the baseline, task by task, as in the competition's paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.data import RUNTIME, SCORES, FloatArray, ReportData
from harness.report.figures.style import (
    Drawing,
    cut,
    drawing,
    legend_above,
    legend_columns,
    log_x,
    look,
    row_axes,
    safe_label,
)
from harness.report.summary import task_values

_TOP = 3
#: Teams that one row has room for.
_MOST = 8
_SHAPES = ("o", "s", "D", "^", "v", "P", "X", "*")


def chosen_teams(data: ReportData) -> list[str]:
    """The first three and those named as successor or reproduction, or as what they go back to; not the baseline."""
    named: list[str] = []
    for key in ("successors", "reproductions"):
        named += _names(data.settings.get(key))
    others = [team for team in data.teams if team != data.baseline()]
    return [team for place, team in enumerate(others) if place < _TOP or team in named][:_MOST]


def drawings(data: ReportData) -> list[Drawing]:
    """Differences of DSC and NSD and ratios of runtime by task; nothing without a baseline."""
    base, teams, metrics = data.baseline(), chosen_teams(data), _metrics(data)
    if base is None or not teams or not metrics:
        return []
    gains = against(data, metrics[0], base, teams)
    known = np.isfinite(gains)
    if not known.any():
        return []
    smaller = data.smaller_is_better(metrics[0])
    better = (gains < 1 if metrics[0] == RUNTIME else (gains < 0 if smaller else gains > 0)) & known
    ahead = better.sum(axis=1)
    best = int(ahead.argmax())
    kind = "faster than it" if metrics[0] == RUNTIME else f"ahead of it in {data.label(metrics[0])}"
    return [
        drawing(
            "against-baseline",
            f"Chosen teams against {cut(base)}, task by task",
            f"The line is {cut(base)}; of {len(teams)} {'team' if len(teams) == 1 else 'teams'} {cut(teams[best])} is "
            f"{'most often ' if len(teams) > 1 else ''}{kind}: in {ahead[best]} of {int(known[best].sum())} tasks. "
            "Right of the line is better in DSC and NSD, left of it is faster.",
            f"Dot plots by task: differences of mean DSC and NSD to {cut(base)}, and ratios of mean runtime, for "
            f"{len(teams)} teams.",
            lambda: draw_against(data, base, teams),
        )
    ]


def against(data: ReportData, metric: str, base: str, teams: Sequence[str]) -> FloatArray:
    """(teams, tasks): ratio of the mean runtimes, or difference of the means, to the baseline's."""
    values = task_values(data, metric)
    mine, other = values.loc[list(teams)].to_numpy(dtype=float), values.loc[base].to_numpy(dtype=float)
    if metric == RUNTIME:
        known = (other > 0) & (mine > 0)
        return np.asarray(np.divide(mine, other, out=np.full_like(mine, math.nan), where=known), dtype=np.float64)
    return np.asarray(mine - other, dtype=np.float64)


def draw_against(data: ReportData, base: str, teams: Sequence[str]) -> Figure:
    """A panel a metric, a row a task, a marker a team."""
    metrics = _metrics(data)
    labels = [f"{data.teams.index(team) + 1}  {cut(team)}" for team in teams]
    row_in = max(0.3, 0.085 * len(teams) + 0.1)
    legend_in = legend_columns(labels)[1]
    figure, panels = row_axes([cut(task) for task in data.tasks], len(metrics), top_in=legend_in + 0.1, row_in=row_in)
    offsets = np.linspace(-0.32, 0.32, len(teams)) if len(teams) > 1 else np.zeros(1)
    handles = [
        Line2D([], [], linestyle="none", marker=_SHAPES[i], markersize=5.5, markerfacecolor=look(i)[0],
               markeredgecolor="black", markeredgewidth=0.6)
        for i in range(len(teams))
    ]  # fmt: skip
    for axes, metric in zip(panels, metrics, strict=True):
        gains = against(data, metric, base, teams)
        ratio = metric == RUNTIME
        for i, mine in enumerate(gains):
            axes.plot(
                mine, np.arange(len(data.tasks)) + offsets[i], linestyle="none", marker=_SHAPES[i], markersize=5,
                markerfacecolor=look(i)[0], markeredgecolor="black", markeredgewidth=0.5, zorder=3,
            )  # fmt: skip
        axes.axvline(1.0 if ratio else 0.0, color="black", linewidth=1.1, zorder=2)
        for row in range(1, len(data.tasks)):
            axes.axhline(row - 0.5, color="#DDDDDD", linewidth=0.6)
        seen = gains[np.isfinite(gains)]
        if ratio:
            low, high = min(0.9, float(seen.min(initial=1.0))), max(1.1, float(seen.max(initial=1.0)))
            log_x(axes, low / 1.15, high * 1.15, most=5)
            axes.set_xlabel("Mean runtime, ratio (log)")
        else:
            low, high = float(seen.min(initial=0.0)), float(seen.max(initial=0.0))
            pad = max(0.01, 0.08 * (high - low))
            axes.set_xlim(low - pad, high + pad)
            axes.locator_params(axis="x", nbins=5)
            axes.set_xlabel(safe_label(f"Mean {cut(data.label(metric))}, difference"))
    legend_above(figure, handles, labels)
    return figure


def _metrics(data: ReportData) -> list[str]:
    return [metric for metric in (*SCORES, RUNTIME) if metric in data.metrics]


def _names(setting: object) -> list[str]:
    """Every text in a setting of pairs, in whatever form JSON keeps them."""
    if isinstance(setting, str):
        return setting.split("=")
    if isinstance(setting, dict):
        return [name for key, value in setting.items() for name in (*_names(key), *_names(value))]
    return [name for item in setting for name in _names(item)] if isinstance(setting, list) else []
