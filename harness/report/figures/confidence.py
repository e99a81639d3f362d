"""What the data can tell apart: confidence sets of ranks, and what repeated timings do to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.data import FINAL_UNIT, FloatArray, ReportData
from harness.report.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    SKY,
    Drawing,
    drawing,
    legend_above,
    legend_columns,
    rank_ticks,
    ranked_names,
    row_axes,
)


def drawings(data: ReportData) -> list[Drawing]:
    """Confidence sets of the final ranks, and intervals with and without repeats, as far as they are there."""
    made = []
    sets = by_team(data, data.table("confidence", unit=FINAL_UNIT), ("rank", "low", "high", "declared"))
    if sets is not None:
        low, high, declared = sets[:, 1], sets[:, 2], sets[:, 3]
        sure = int((low == high).sum())
        shared = int(sum((declared == rank).sum() for rank in set(declared.tolist()) if (declared == rank).sum() > 1))
        known = int(np.isfinite(low).sum())
        could = int((low == np.nanmin(low)).sum())
        made.append(
            drawing(
                "confidence-sets",
                "Confidence sets of the final ranks",
                f"With 95 % confidence all true ranks lie in their sets at once: {could} of {known} teams could be "
                f"first, {sure} {'has' if sure == 1 else 'have'} a set of one rank only, and {shared} "
                f"{'shares' if shared == 1 else 'share'} a declared rank with another.",
                f"Intervals of the final rank for {known} teams, with the rank and the declared rank.",
                lambda: draw_sets(data, sets),
            )
        )
    repeats = by_team(data, data.table("repeats"), _REPEAT_COLUMNS)
    if repeats is not None:
        wider = int(((repeats[:, 2] < repeats[:, 0]) | (repeats[:, 3] > repeats[:, 1])).sum())
        known = int(np.isfinite(repeats[:, 0]).sum())
        made.append(
            drawing(
                "repeats",
                "Ranks with the noise of the runtime in them",
                f"Drawing the repeated measurements anew within each case as well widens the interval of the rank for "
                f"{wider} of {known} {'team' if known == 1 else 'teams'}.",
                f"Pairs of intervals of the final rank for {known} teams, without and with repeats.",
                lambda: draw_repeats(data, repeats),
            )
        )
    return made


_REPEAT_COLUMNS = ("rank_low", "rank_high", "rank_low_with_repeats", "rank_high_with_repeats")


def by_team(data: ReportData, frame: pd.DataFrame | None, columns: Sequence[str]) -> FloatArray | None:
    """(T, columns) in the report's order, NaN for teams without a row; None where no team has one."""
    if frame is None:
        return None
    rows = frame.drop_duplicates("team").set_index("team").reindex(list(data.teams))
    values = rows[list(columns)].to_numpy(dtype=np.float64)
    return values if np.isfinite(values).all(axis=1).any() else None


def draw_sets(data: ReportData, sets: FloatArray) -> Figure:
    """A row a team: bar from the lowest to the highest rank, point at the rank, declared rank beside it."""
    labels = ["95 % confidence set", "rank", "declared rank: teams that the data do not separate share it"]
    legend_in = legend_columns(labels)[1]
    figure, (axes,) = row_axes(ranked_names(data.teams, data.ranking is not None), top_in=legend_in)
    for i, (rank, low, high, declared) in enumerate(sets):
        if np.isfinite(low):
            axes.plot([low - 0.28, high + 0.28], [i, i], color=SKY, linewidth=8, solid_capstyle="butt", zorder=2)
            axes.plot([declared], [i], marker="D", color=ORANGE, markeredgecolor=BLACK, markersize=7.5, zorder=3)
            axes.plot([rank], [i], marker="o", color=BLUE, markersize=4, markeredgecolor="white", zorder=4)
    _rank_axis(data, axes, float(np.nanmax(sets)))
    axes.set_xlabel("Final rank")
    handles = [
        Line2D([], [], color=SKY, linewidth=6),
        Line2D([], [], linestyle="none", marker="o", color=BLUE, markersize=5),
        Line2D([], [], linestyle="none", marker="D", color=ORANGE, markeredgecolor=BLACK, markersize=7),
    ]
    legend_above(figure, handles, labels)
    return figure


def draw_repeats(data: ReportData, repeats: FloatArray) -> Figure:
    """A row a team: its interval without repeats above, with repeats below."""
    labels = ["cases drawn anew", "cases and repeats drawn anew"]
    figure, (axes,) = row_axes(
        ranked_names(data.teams, data.ranking is not None), top_in=legend_columns(labels)[1]
    )  # fmt: skip
    looks: tuple[tuple[float, str, Any], ...] = ((-0.16, BLUE, "-"), (0.16, ORANGE, (0, (2.2, 0.7))))
    for i, row in enumerate(repeats):
        for k, (shift, colour, style) in enumerate(looks):
            low, high = row[2 * k : 2 * k + 2]
            axes.plot([low - 0.2, high + 0.2], [i + shift] * 2, color=colour, linewidth=4, linestyle=style,
                      solid_capstyle="butt", dash_capstyle="butt")  # fmt: skip
    _rank_axis(data, axes, float(np.nanmax(repeats)))
    axes.set_xlabel("Final rank, middle 95 % of the samples")
    legend_above(figure, [Line2D([], [], color=c, linestyle=s, linewidth=4) for _, c, s in looks], labels)
    return figure


def _rank_axis(data: ReportData, axes: Axes, last: float) -> None:
    axes.set_xlim(0.4, max(len(data.teams), last) + 0.6)
    rank_ticks(axes, len(data.teams), 5.0)
