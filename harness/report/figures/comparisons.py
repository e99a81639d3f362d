"""After the challenge: a successor against its predecessor, a reproduction against its original."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.report.data import ReportData
from harness.report.figures.style import (
    BLUE,
    ORANGE,
    Drawing,
    cut,
    drawing,
    legend_above,
    legend_columns,
    plain_name,
    row_axes,
    safe_label,
)
from harness.report.reading_analysis import is_true

ALL = "all"
ALPHA = 0.05
#: Pairs drawn; the table has all.
MOST_PAIRS = 12


def pairs(data: ReportData) -> list[tuple[str, str, str]]:
    """(kind, team, rival), successors first, in the file's order."""
    frame = data.table("comparisons")
    if frame is None:
        return []
    found = dict.fromkeys(zip(frame["kind"], frame["team"], frame["rival"], strict=True))
    return sorted(found, key=lambda pair: pair[0] != "successor")


def drawings(data: ReportData) -> list[Drawing]:
    """A figure a pair."""
    made = []
    for k, (kind, team, rival) in enumerate(pairs(data)[:MOST_PAIRS], 1):
        frame = data.table("comparisons", kind=kind, team=team, rival=rival)
        assert frame is not None
        metrics = _metrics(data, frame)
        if not metrics:
            continue
        copy = kind == "reproduction"
        title = (
            f"{cut(team)}, a reproduction of {cut(rival)}" if copy else f"{cut(team)} against {cut(rival)} before it"
        )
        made.append(
            drawing(
                f"{plain_name(kind)}-{k}",
                title,
                _equivalence(data, frame, team, rival) if copy else _progress(data, frame, team, rival),
                f"Intervals of the paired difference by task for {len(metrics)} metrics: {cut(team)} and {cut(rival)}.",
                partial(draw_pair, data, kind, team, rival),
            )
        )
    return made


def draw_pair(data: ReportData, kind: str, team: str, rival: str) -> Figure:
    """A panel a metric, a row a task, all tasks together last; filled where shown, hollow where not."""
    frame = data.table("comparisons", kind=kind, team=team, rival=rival)
    assert frame is not None
    metrics, copy = _metrics(data, frame), kind == "reproduction"
    known = dict.fromkeys(frame["task"])
    tasks = [*(task for task in data.tasks if task in known), *(t for t in known if t not in data.tasks and t != ALL)]
    tasks += [ALL] if ALL in known else []
    labels = (
        ["equivalent within the margin", "not shown to be", "margin"]
        if copy
        else [f"different (p below {ALPHA:g})", "not shown to be"]
    )
    figure, panels = row_axes(
        [cut(task) if task != ALL else "all tasks" for task in tasks], len(metrics),
        top_in=legend_columns(labels)[1] + 0.05, row_in=0.3,
    )  # fmt: skip
    for axes, metric in zip(panels, metrics, strict=True):
        mine = frame[frame["metric"] == metric].drop_duplicates("task").set_index("task")
        shown = _shown(mine, copy)
        for row, task in enumerate(tasks):
            if task not in mine.index or not np.isfinite(mine.loc[task, "difference"]):
                continue
            low, high, middle = (float(mine.loc[task, c]) for c in ("low", "high", "difference"))
            axes.plot([low, high], [row, row], color=BLUE, linewidth=2.2 if task == ALL else 1.5, zorder=2)
            axes.plot(
                [middle], [row], marker="D" if task == ALL else "o", markersize=6, markeredgecolor=BLUE,
                markerfacecolor=BLUE if shown[task] else "white", markeredgewidth=1.4, zorder=3,
            )  # fmt: skip
            margin = float(mine.loc[task, "margin"])
            if copy and np.isfinite(margin):
                axes.fill_betweenx([row - 0.42, row + 0.42], -margin, margin, color=ORANGE, alpha=0.25, linewidth=0)
        axes.axvline(0.0, color="black", linewidth=1.0, zorder=1)
        ends = mine[["low", "high", "difference"]].to_numpy(dtype=float)
        ends = np.concatenate([[0.0], ends[np.isfinite(ends)]])
        margin = float(np.nanmax(mine["margin"], initial=0.0)) if copy else 0.0
        low, high = min(float(ends.min()), -margin), max(float(ends.max()), margin)
        pad = max(1e-6, 0.08 * (high - low))
        axes.set_xlim(low - pad, high + pad)
        axes.locator_params(axis="x", nbins=4)
        axes.set_xlabel(safe_label(f"{cut(data.label(metric))}, difference"))
    looks = [(BLUE, "o"), ("white", "o")]
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=BLUE, marker=m, markerfacecolor=c, markeredgecolor=BLUE, markersize=6) for c, m in looks
    ]
    if copy:
        handles.append(Patch(facecolor=ORANGE, alpha=0.25))
    legend_above(figure, handles, labels)
    return figure


def _metrics(data: ReportData, frame: pd.DataFrame) -> list[str]:
    found = set(frame.loc[np.isfinite(frame["difference"]), "metric"])
    return [*(m for m in data.metrics if m in found), *sorted(found - set(data.metrics))][:4]


def _shown(mine: pd.DataFrame, copy: bool) -> dict[str, bool]:
    """Task -> whether equivalence, or for a successor a difference, is shown."""
    found = is_true(mine["equivalent"]) if copy else (mine["p"] < ALPHA).tolist()
    return dict(zip(mine.index, found, strict=True))


def _progress(data: ReportData, frame: pd.DataFrame, team: str, rival: str) -> str:
    parts = []
    for metric in _metrics(data, frame):
        mine = frame[(frame["metric"] == metric) & (frame["task"] != ALL) & np.isfinite(frame["difference"])]
        sign = -1 if data.smaller_is_better(metric) else 1
        better = int(((sign * mine["difference"] > 0) & (mine["p"] < ALPHA)).sum())
        worse = int(((sign * mine["difference"] < 0) & (mine["p"] < ALPHA)).sum())
        parts.append(
            f"in {data.label(metric)} significantly better in {better} and worse in {worse} of {len(mine)} tasks"
        )
    return f"{cut(team)} is, held against {cut(rival)} case by case, " + "; ".join(parts) + " (95 % intervals)."


def _equivalence(data: ReportData, frame: pd.DataFrame, team: str, rival: str) -> str:
    parts = []
    for metric in _metrics(data, frame):
        mine = frame[(frame["metric"] == metric) & np.isfinite(frame["difference"])]
        tasks, whole = mine[mine["task"] != ALL], mine[mine["task"] == ALL]
        text = f"in {data.label(metric)} in {sum(is_true(tasks['equivalent']))} of {len(tasks)} tasks"
        if len(whole):
            sure = is_true(whole["equivalent"])[0]
            text += (" and over all of them" if sure else " but not over all of them") if len(tasks) else ""
        parts.append(text)
    return (
        f"{cut(team)} is shown to be equivalent to {cut(rival)} "
        + "; ".join(parts)
        + " (two one-sided tests at 0.05: the 90 % interval lies within the margin)."
    )
