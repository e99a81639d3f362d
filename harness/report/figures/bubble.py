"""Accuracy against runtime, as in the competition's paper: runtime across, DSC up, NSD as the bubble's area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.data import RUNTIME, ReportData
from harness.report.figures.style import (
    ROW_IN,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    log_x,
    look,
    safe_label,
)
from harness.report.summary import summarise

#: Area of a bubble at NSD 1, in points squared.
FULL_AREA = 700.0
_LEAST_AREA = 12.0
_NUMBER_PT = 7.0
_LEFT_IN = 0.75


@dataclass(frozen=True)
class Spot:
    """A team's bubble: median runtime, mean DSC, mean NSD (NaN where unknown)."""

    team: str
    runtime_s: float
    dsc: float
    nsd: float


def drawings(data: ReportData) -> list[Drawing]:
    """Bubble plots of all cases and, where there are both, of the 2D and of the 3D ones."""
    made = [_drawing(data, None)]
    if data.scores["volume"].nunique() == 2:
        made += [_drawing(data, False), _drawing(data, True)]
    return [found for found in made if found is not None]


def _drawing(data: ReportData, volume: bool | None) -> Drawing | None:
    """One bubble plot; None where runtime and DSC are known of no team."""
    shown = _shown(data, volume)
    if not shown:
        return None
    kind = {None: "", False: "-2d", True: "-3d"}[volume]
    cases = {None: "", False: " of the 2D cases", True: " of the 3D cases"}[volume]
    fastest = min(shown, key=lambda team: team.runtime_s)
    best = max(shown, key=lambda team: team.dsc)
    if fastest is best:
        sentence = f"{cut(best.team)} is both the most accurate and the fastest"
    else:
        ratio = best.runtime_s / fastest.runtime_s
        sentence = (
            f"{cut(best.team)} is the most accurate (mean DSC {best.dsc:.3f}) and takes {ratio:.1f} times as "
            f"long as the fastest, {cut(fastest.team)} (mean DSC {fastest.dsc:.3f})"
        )
    return drawing(
        f"accuracy-runtime{kind}",
        f"Accuracy against runtime{cases}",
        f"{sentence}: the upper left corner is the place to be. A larger bubble has a higher mean NSD.",
        f"Bubble plot of {len(shown)} teams: median runtime{cases} on a logarithmic axis, mean DSC, mean NSD as area.",
        lambda: draw_bubbles(data, volume),
    )


def draw_bubbles(data: ReportData, volume: bool | None = None) -> Figure:
    """One bubble a team, numbered in order of rank, names beside the plot."""
    shown = _shown(data, volume)
    legend_in = 0.9 + ROW_IN * 0.72 * len(shown)
    height = max(4.4, legend_in + 1.5)
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = figure.add_axes((_LEFT_IN / WIDTH_IN, 0.6 / height, 4.9 / WIDTH_IN, (height - 0.8) / height))
    _limits(axes, shown)
    place = {team: i for i, team in enumerate(data.teams)}
    for team in sorted(shown, key=lambda team: -_area(team.nsd)):
        colour, marker = look(place[team.team])
        axes.scatter(
            [team.runtime_s], [team.dsc], s=_area(team.nsd), c=colour, marker=marker, alpha=0.7,
            linewidths=0.8, edgecolors="black", zorder=3, gid=f"bubble-{place[team.team] + 1}",
        )  # fmt: skip
    axes.set_xlabel("Median runtime (s, logarithmic)")
    axes.set_ylabel("Mean DSC")
    _legends(figure, axes, [(team.team, place[team.team]) for team in shown])
    widest_in = max(legend.get_window_extent().width for legend in figure.legends) / figure.dpi
    room = min(4.9, WIDTH_IN - _LEFT_IN - 0.25 - widest_in)
    axes.set_position((_LEFT_IN / WIDTH_IN, 0.6 / height, room / WIDTH_IN, (height - 0.8) / height))
    _numbers(axes, [(team, place[team.team] + 1) for team in shown])
    return figure


def _shown(data: ReportData, volume: bool | None) -> list[Spot]:
    if RUNTIME not in data.metrics or "dsc" not in data.metrics:
        return []
    if volume is None:
        spots = [Spot(line.team, line.runtime_s, line.dsc, line.nsd) for line in summarise(data)]
    else:
        mine = data.scores[data.scores["volume"] == volume].groupby("team")
        runtime, dsc = mine[RUNTIME].median(), mine["dsc"].mean()
        nsd = mine["nsd"].mean() if "nsd" in data.metrics else dsc * math.nan
        spots = [Spot(t, float(runtime[t]), float(dsc[t]), float(nsd[t])) for t in data.teams if t in runtime.index]
    return [spot for spot in spots if 0 < spot.runtime_s < math.inf and math.isfinite(spot.dsc)]


def _area(nsd: float) -> float:
    return max(_LEAST_AREA, FULL_AREA * nsd) if math.isfinite(nsd) else _LEAST_AREA


def _limits(axes: Axes, shown: list[Spot]) -> None:
    log = np.log10([team.runtime_s for team in shown])
    pad = max(0.12 * float(np.ptp(log)), 0.15)
    log_x(axes, 10 ** (log.min() - pad), 10 ** (log.max() + pad))
    dsc = np.array([team.dsc for team in shown])
    pad = max(0.12 * float(np.ptp(dsc)), 0.02)
    axes.set_ylim(dsc.min() - pad, dsc.max() + pad)


def _numbers(axes: Axes, teams: list[tuple[Spot, int]]) -> None:
    """Write each team's number at its bubble's middle, or beside it with a line where that is taken."""
    leader = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 4, "shrinkB": 0}
    scale = 72.0 / axes.figure.dpi
    taken: list[tuple[float, float]] = []
    for team, number in teams:
        x, y = axes.transData.transform((team.runtime_s, team.dsc)) * scale
        spots = [(0.0, 0.0)]
        for reach in range(12, 90, 6):
            spots += [(reach * math.cos(a * math.pi / 8), reach * math.sin(a * math.pi / 8)) for a in range(16)]
        free = ((dx, dy) for dx, dy in spots if all(abs(x + dx - u) > 13 or abs(y + dy - v) > 9 for u, v in taken))
        dx, dy = next(free, (0.0, 0.0))
        taken.append((x + dx, y + dy))
        axes.annotate(
            str(number), (team.runtime_s, team.dsc), (dx, dy), textcoords="offset points", ha="center", va="center",
            fontsize=_NUMBER_PT, zorder=5, annotation_clip=False,
            arrowprops=leader if (dx, dy) != (0, 0) else None,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "#FFFFFFCC", "edgecolor": "none"},
        )  # fmt: skip


def _legends(figure: Figure, axes: Axes, teams: list[tuple[str, int]]) -> None:
    def handle(colour: str, marker: str, area: float) -> Line2D:
        return Line2D(
            [], [], linestyle="none", marker=marker, markersize=math.sqrt(area), markerfacecolor=colour,
            markeredgecolor="black", markeredgewidth=0.6, alpha=0.8,
        )  # fmt: skip

    figure.legend(
        [handle(*look(place), 40.0) for _, place in teams],
        [safe_label(f"{place + 1}  {cut(name)}") for name, place in teams],
        loc="upper left", bbox_to_anchor=(1.02, 1.04), bbox_transform=axes.transAxes, frameon=False, fontsize=8,
        labelspacing=0.45, title="Team", alignment="left",
    )  # fmt: skip
    sizes = (0.25, 0.5, 1.0)
    figure.legend(
        [handle("#DDDDDD", "o", _area(size)) for size in sizes], [f"{size:g}" for size in sizes], loc="lower left",
        bbox_to_anchor=(1.02, -0.03), bbox_transform=axes.transAxes, frameon=False, fontsize=8, title="Mean NSD",
        alignment="left", ncols=3, handletextpad=0.9, columnspacing=2.0,
    )  # fmt: skip
