"""Ranks within single cases: podium plots and ranking heatmaps.

Podium plot after Eugster, Hothorn and Leisch (2008), both as in challengeR (Wiesenfarth et al., 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.report.caseranks import CaseRanks, case_ranks, rank_counts
from harness.report.data import RUNTIME, FloatArray, ReportData
from harness.report.figures.matrix import draw_matrix
from harness.report.figures.style import (
    MANY_DOTS,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    legend_above,
    legend_columns,
    log_y,
    look,
    percent,
    place_axes,
    plain_name,
    ranked_names,
    safe_label,
)

#: Columns that a podium plot has room for, and places that it always shows.
_MOST_COLUMNS, _PLACES = 72, 3
#: Cases whose dots are joined by a line.
MOST_LINES = 240


def drawings(data: ReportData) -> list[Drawing]:
    """Podium plots, then ranking heatmaps, of each metric, where there are at least two teams."""
    if len(data.teams) < 2:
        return []
    found = {metric: case_ranks(data, metric) for metric in data.metrics}
    found = {metric: ranks for metric, ranks in found.items() if len(ranks.cases)}
    return [*_podiums(data, found), *_heatmaps(data, found)]


def _podiums(data: ReportData, ranks: Mapping[str, CaseRanks]) -> list[Drawing]:
    made: list[Drawing] = []
    for metric, found in ranks.items():
        wins = (found.ranks == 1).sum(axis=0)
        best = int(wins.argmax())
        places = shown_places(len(data.teams))
        label = data.label(metric)
        cases = len(found.cases)
        alone = int(((found.ranks == 1).sum(axis=1) == 1).sum())
        made.append(
            drawing(
                f"podium-{plain_name(metric)}",
                f"Podium of {label}: who takes which place in single cases",
                f"{cut(data.teams[best])} is first most often, in {wins[best]} of {cases} "
                f"{'case' if cases == 1 else 'cases'} ({percent(wins[best] / cases)}); {_shared(cases - alone)}. "
                "Each place has a column for each team, in the order of the legend; lines join the places of one case"
                + (f" (drawn for {MOST_LINES} cases, spread evenly)." if cases > MOST_LINES else "."),
                f"Podium plot: {label} of {cases} cases above the places 1 to {places}, and how often each of "
                f"{len(data.teams)} teams takes them.",
                partial(draw_podium, data, metric, found),
                folded=bool(made),
            )
        )
    return made


def _heatmaps(data: ReportData, ranks: Mapping[str, CaseRanks]) -> list[Drawing]:
    made: list[Drawing] = []
    for metric, found in ranks.items():
        counts = rank_counts(found)
        label, cases = data.label(metric), len(found.cases)
        same = [i for i in range(len(data.teams)) if counts[i].sum() and counts[i].argmax() == i]
        made.append(
            drawing(
                f"rank-heatmap-{plain_name(metric)}",
                f"{label}: in how many cases each team has each rank",
                f"A dark diagonal would mean that single cases agree with the final ranking: of "
                f"{len(data.teams)} teams {len(same)} {'has' if len(same) == 1 else 'have'} in {label} their own place "
                f"as the most frequent rank.",
                f"Heatmap of {len(data.teams)} teams by rank with the number of cases, {cases} in all.",
                partial(draw_heat, data, counts),
                folded=bool(made),
            )
        )
    return made


def shown_places(teams: int) -> int:
    """Places of the podium that there is room for."""
    return min(teams, max(_PLACES, _MOST_COLUMNS // teams))


def draw_podium(data: ReportData, metric: str, found: CaseRanks) -> Figure:
    """Above, a dot a case and team by place; below, how often each team takes the place."""
    teams = len(data.teams)
    places = shown_places(teams)
    names = [f"{place}  {cut(team)}" for place, team in enumerate(data.teams, 1)]
    legend_in = legend_columns(names, 7.0)[1] + 0.06
    height = legend_in + 4.75
    figure = Figure(figsize=(WIDTH_IN, height))
    above = place_axes(figure, 0.75, 1.75, WIDTH_IN - 0.9, 2.95)
    below = place_axes(figure, 0.75, 0.62, WIDTH_IN - 0.9, 0.98)
    pitch = teams + max(1.0, 0.12 * teams)
    _dots(above, found, places, pitch, metric == RUNTIME)
    above.set_ylabel(safe_label(cut(data.label(metric))) + (" (log)" if metric == RUNTIME else ""))
    above.set_xticks([])
    shares = rank_counts(found)[:, :places] / max(1, len(found.cases))
    for t in range(teams):
        colour, marker = look(t)
        below.bar(
            np.arange(places) * pitch + t, 100 * shares[t], width=0.86, color=colour, edgecolor="black", linewidth=0.3,
            hatch=_HATCHES[marker], gid=f"bars-{t + 1}",
        )  # fmt: skip
    below.set_ylabel("Cases (%)")
    each_in = (WIDTH_IN - 0.9) / (places * pitch)
    step = max(1, int(np.ceil(0.13 / each_in)))
    numbers = range(0, teams, step)
    below.set_xticks(
        [p * pitch + t for p in range(places) for t in numbers], labels=[str(t + 1) for t in numbers] * places,
        fontsize=min(7.0, 72 * each_in * step / 1.5),
    )  # fmt: skip
    for p in range(places):
        middle = p * pitch + (teams - 1) / 2
        below.text(
            middle, -0.36, f"place {p + 1}", transform=below.get_xaxis_transform(), ha="center", va="top", fontsize=8.5
        )
    for axes in (above, below):
        axes.set_xlim(-0.5 - 0.04 * pitch, (places - 1) * pitch + teams - 0.5 + 0.04 * pitch)
        axes.grid(axis="x", visible=False)
        for p in range(1, places):
            axes.axvline(p * pitch - 0.5 - (pitch - teams) / 2, color="#BBBBBB", linewidth=0.7)
        axes.tick_params(axis="x", length=0, pad=2)
    handles = [
        Patch(facecolor=look(t)[0], edgecolor="black", linewidth=0.3, hatch=_HATCHES[look(t)[1]]) for t in range(teams)
    ]
    legend_above(figure, handles, names, 7.0)
    return figure


_HATCHES = {"o": "", "s": "/////", "D": "xxxxx"}


def _dots(axes: Axes, found: CaseRanks, places: int, pitch: float, log: bool) -> None:
    values = np.where(found.values > 0, found.values, np.nan) if log else found.values
    case, team = np.nonzero((found.ranks <= places) & np.isfinite(values))
    x = (found.ranks[case, team] - 1) * pitch + team
    many = len(x) > MANY_DOTS
    lines = _lines(found, values, places, pitch)
    axes.add_collection(
        LineCollection(lines, colors="#444444", linewidths=0.5, alpha=0.13 if len(lines) > 60 else 0.4, zorder=1.5)
    )
    for t in range(values.shape[1]):
        mine = team == t
        colour, marker = look(t)
        axes.plot(
            x[mine], values[case[mine], t], linestyle="none", marker=marker, markersize=1.7 if many else 3.4,
            markerfacecolor=colour, markeredgecolor="black", markeredgewidth=0 if many else 0.3,
            alpha=0.55 if many else 0.9, zorder=2.2, gid=f"dots-{t + 1}",
        )  # fmt: skip
    if many:
        axes.set_rasterization_zorder(2.3)
    if log:
        seen = values[case, team]
        if len(seen):
            log_y(axes, float(seen.min()) / 1.2, float(seen.max()) * 1.2)


def _shared(cases: int) -> str:
    if not cases:
        return "nowhere is the first place shared"
    return f"in {cases} {'case' if cases == 1 else 'cases'} the first place is shared"


def _lines(found: CaseRanks, values: FloatArray, places: int, pitch: float) -> list[FloatArray]:
    """Paths of at most `MOST_LINES` cases over the places, each from best to worst."""
    chosen = np.unique(np.linspace(0, len(found.cases) - 1, MOST_LINES).round().astype(int))
    paths = []
    for n in chosen:
        order = np.lexsort((np.arange(values.shape[1]), found.ranks[n]))
        seen = [t for t in order if found.ranks[n, t] <= places and np.isfinite(values[n, t])]
        if len(seen) > 1:
            paths.append(np.array([((found.ranks[n, t] - 1) * pitch + t, values[n, t]) for t in seen]))
    return paths


def draw_heat(data: ReportData, counts: FloatArray) -> Figure:
    """Teams in order of rank, a column a rank; darker where more cases."""
    texts = [[f"{count:.0f}" if count else "" for count in row] for row in counts]
    return draw_matrix(
        counts, texts, ranked_names(data.teams, data.ranking is not None),
        [str(n) for n in range(1, len(data.teams) + 1)], limits=(0.0, max(1.0, float(counts.max()))),
        below="Rank within the case (equal teams share the best); cells: number of cases",
    )  # fmt: skip
