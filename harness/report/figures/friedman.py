"""Critical-difference diagrams after Demsar (Journal of Machine Learning Research 7, 2006), a panel a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from harness.report.data import ReportData
from harness.report.figures import lettering
from harness.report.figures.lettering import Letters
from harness.report.figures.style import (
    BLUE,
    ORANGE,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    fitted,
    place_axes,
    plain_name,
    width_in,
)

Line = list[tuple[float, float]]

_NAME_PT, _NAME_IN = 6.3, 0.118
_BAR_IN = 0.075
#: Space of a panel above its axis (title, length of the critical difference, figures) and below its names.
_HEAD_IN, _FEET_IN = 0.62, 0.16


@dataclass(frozen=True)
class Diagram:
    """One panel.

    Attributes:
        task: its name.
        ranks: team -> mean rank, the best first.
        groups: lowest and highest mean rank of each group of teams that are not told apart, longest runs only.
        difference: the critical difference of mean ranks, NaN where unknown.
    """

    task: str
    ranks: dict[str, float]
    groups: tuple[tuple[float, float], ...]
    difference: float


def drawings(data: ReportData) -> list[Drawing]:
    """A figure for each metric."""
    made: list[Drawing] = []
    for metric in data.metrics:
        panels = diagrams(data, metric)
        if not panels:
            continue
        shared = {panel.task: leaders(panel) for panel in panels}
        alone = sum(count == 1 for count in shared.values())
        widest, least = max(shared, key=lambda task: shared[task]), min(shared, key=lambda task: shared[task])
        label = data.label(metric)
        tail = (
            f"the leading group is largest in {cut(widest)} ({shared[widest]} teams) and smallest in {cut(least)} "
            f"({shared[least]})"
            if shared[widest] > shared[least]
            else f"the leading group has {shared[widest]} {'team' if shared[widest] == 1 else 'teams'} in every task"
        )
        made.append(
            drawing(
                f"critical-difference-{plain_name(metric)}",
                f"{label}: mean ranks and groups that are not told apart",
                f"Bars join teams whose mean ranks over the cases differ by less than the critical difference of "
                f"Nemenyi's test at 0.05: {tail}"
                + (f"; the best team stands alone in {alone} of {len(panels)} tasks." if alone else "."),
                f"Critical-difference diagrams in {label} for {len(panels)} tasks.",
                partial(draw_diagrams, panels),
                folded=bool(made),
            )
        )
    return made


def diagrams(data: ReportData, metric: str) -> list[Diagram]:
    """Panels of a metric in the report's order of tasks."""
    frame = data.table("groups", metric=metric, method="nemenyi")
    if frame is None:
        return []
    tests = data.table("friedman", metric=metric)
    made = []
    for task in [*data.tasks, *sorted(set(frame["task"]) - set(data.tasks))]:
        mine = frame[(frame["task"] == task) & np.isfinite(frame["mean_rank"])]
        if mine.empty:
            continue
        ranks = mine.drop_duplicates("team").set_index("team")["mean_rank"].sort_values(kind="stable")
        spans = mine.groupby("group")["mean_rank"].agg(["min", "max"]).itertuples(index=False)
        made.append(
            Diagram(
                task,
                {str(team): float(rank) for team, rank in ranks.items()},
                tuple(sorted((float(low), float(high)) for low, high in spans)),
                _difference(tests, task),
            )
        )
    return made


def draw_diagrams(panels: list[Diagram]) -> Figure:
    """Panels two abreast; names left and right of the axis, the best on the left."""
    columns = 2 if len(panels) > 1 else 1
    names = {team for panel in panels for team in panel.ranks}
    half = max(-(-len(panel.ranks) // 2) for panel in panels)
    bars = max(sum(high > low for low, high in panel.groups) for panel in panels)
    panel_in = _HEAD_IN + 0.1 + _BAR_IN * bars + _NAME_IN * half + _FEET_IN
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDTH_IN, rows * panel_in + 0.05))
    each_in = WIDTH_IN / columns
    side_in = min(width_in([cut(name) for name in names], _NAME_PT) + 0.16, 0.34 * each_in)
    last = max(2.0, *(np.ceil(max(panel.ranks.values())) for panel in panels))
    height = rows * panel_in + 0.05
    axes = place_axes(figure, 0.0, 0.0, WIDTH_IN, height)
    axes.set_xlim(0, WIDTH_IN)
    axes.set_ylim(0, height)
    axes.axis("off")
    pens = _Pens()
    for i, panel in enumerate(panels):
        row, column = divmod(i, columns)
        corner = (column * each_in, height - row * panel_in)
        _draw_panel(panel, corner, (side_in, each_in - side_in), float(last), bars, pens)
    for lines, colour, width in ((pens.thin, "#555555", 0.55), (pens.axis, "black", 0.9), (pens.bars, BLUE, 2.6),
                                 (pens.difference, ORANGE, 2.2)):  # fmt: skip
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, capstyle="butt"), autolim=False)
    lettering.write(axes, pens.names, _NAME_PT)
    lettering.write(axes, pens.titles, 8.5)
    return figure


@dataclass
class _Pens:
    """What the panels draw, collected so that each kind is one artist.

    Attributes:
        thin, axis, bars, difference: lines of elbows, of the axis, of the groups, of the critical difference.
        names, titles: texts.
    """

    thin: list[Line] = field(default_factory=list)
    axis: list[Line] = field(default_factory=list)
    bars: list[Line] = field(default_factory=list)
    difference: list[Line] = field(default_factory=list)
    names: list[Letters] = field(default_factory=list)
    titles: list[Letters] = field(default_factory=list)


def _draw_panel(
    panel: Diagram, corner: tuple[float, float], span: tuple[float, float], last: float, bars: int, pens: _Pens
) -> None:
    """Put a panel's lines and texts to the others; lengths in inches, `corner` its upper left one."""
    left, right = corner[0] + span[0], corner[0] + span[1]
    top = corner[1] - _HEAD_IN

    def x_of(rank: float) -> float:
        return left + (rank - 1) / (last - 1) * (right - left)

    pens.titles.append(Letters(corner[0] + 0.1, corner[1] - 0.11, cut(panel.task), side="left"))
    pens.axis.append([(left, top), (right, top)])
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100) if (last - 1) / step <= 9), 1000)
    for rank in [1, *range(step if step > 1 else 2, int(last) + 1, step)]:
        pens.axis.append([(x_of(rank), top), (x_of(rank), top + 0.045)])
        pens.names.append(Letters(x_of(rank), top + 0.11, str(rank)))
    if np.isfinite(panel.difference) and panel.difference <= last - 1:
        end, level = x_of(1 + panel.difference), top + 0.26
        pens.difference.append([(left, level), (end, level)])
        pens.axis += [[(x, level - 0.04), (x, level + 0.04)] for x in (left, end)]
        pens.names.append(Letters(left, level + 0.12, f"critical difference {panel.difference:.2f}", side="left"))
    wide = [(low, high) for low, high in panel.groups if high > low]
    for level, (low, high) in enumerate(wide):
        y = top - 0.09 - _BAR_IN * level
        pens.bars.append([(x_of(low) - 0.03, y), (x_of(high) + 0.03, y)])
    teams = list(panel.ranks.items())
    half = -(-len(teams) // 2)
    for i, (team, rank) in enumerate(teams):
        at_left = i < half
        y = top - 0.17 - _BAR_IN * bars - _NAME_IN * (i if at_left else len(teams) - 1 - i)
        edge = left - 0.05 if at_left else right + 0.05
        pens.thin.append([(x_of(rank), top), (x_of(rank), y), (edge, y)])
        x = edge - 0.03 if at_left else edge + 0.03
        pens.names.append(
            Letters(x, y, fitted(cut(team), span[0] - 0.1, _NAME_PT), side="right" if at_left else "left")
        )


def leaders(panel: Diagram) -> int:
    """Number of teams that are not told apart from the best one, itself included."""
    best = min(panel.ranks.values())
    reach = max([high for low, high in panel.groups if low <= best], default=best)
    return sum(rank <= reach for rank in panel.ranks.values())


def _difference(tests: pd.DataFrame | None, task: str) -> float:
    if tests is None:
        return float("nan")
    mine = tests.loc[tests["task"] == task, "critical_difference"]
    return float(mine.iloc[0]) if len(mine) else float("nan")
