"""Which team is significantly better than which, by metric: a matrix of task counts."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from harness.report.data import FloatArray, ReportData
from harness.report.figures.style import WIDTH_IN, Drawing, cut, drawing, ranked_names, team_rows

ALPHA = 0.05


def drawings(data: ReportData) -> list[Drawing]:
    """One matrix for each metric that was tested."""
    if data.wilcoxon is None:
        return []
    found = set(data.wilcoxon["metric"])
    made = []
    for metric in [m for m in data.metrics if m in found]:
        wins = better_in(data, metric)
        tasks = int(data.wilcoxon.loc[data.wilcoxon["metric"] == metric, "task"].nunique())
        pairs = int((wins > 0).sum())
        best = int(np.nansum(wins, axis=1).argmax())
        rivals = len(data.teams) - 1
        if pairs:
            head = (
                f"{cut(data.teams[best])} is significantly better most often: "
                f"{int(np.nansum(wins[best]))} of {rivals * tasks} comparisons with its rivals over the tasks"
            )
        else:
            head = "no team is significantly better than another in any task"
        label = data.label(metric)
        made.append(
            drawing(
                f"significance-{_plain(metric)}",
                f"{label}: in how many tasks the row's team is significantly better than the column's",
                f"In {label} {head} (one-sided Wilcoxon signed-rank test, {_adjusted(data)} below {ALPHA:g}; "
                f"{tasks} {'task' if tasks == 1 else 'tasks'}).",
                f"Matrix of {len(data.teams)} by {len(data.teams)} teams with counts of tasks.",
                partial(draw_matrix, data, wins, tasks),
            )
        )
    return made


def better_in(data: ReportData, metric: str) -> FloatArray:
    """(T, T): number of tasks in which row's team is significantly better than column's; NaN: not compared."""
    assert data.wilcoxon is not None
    place = {team: i for i, team in enumerate(data.teams)}
    wins = np.full((len(place), len(place)), np.nan)
    mine = data.wilcoxon[(data.wilcoxon["metric"] == metric)]
    mine = mine[mine["team_i"].isin(place) & mine["team_j"].isin(place)]
    i, j = mine["team_i"].map(place).to_numpy(dtype=int), mine["team_j"].map(place).to_numpy(dtype=int)
    wins[i, j] = 0.0
    np.add.at(wins, (i, j), (mine["p_i_better_adj"] < ALPHA).to_numpy(dtype=float))
    np.fill_diagonal(wins, np.nan)
    return wins


def draw_matrix(data: ReportData, wins: FloatArray, tasks: int) -> Figure:
    """Teams in order of rank on both sides; darker where more tasks speak for the row's team."""
    teams = len(data.teams)
    figure = Figure(figsize=(WIDTH_IN, 4.0))
    axes = figure.add_axes((0.5, 0.1, 0.4, 0.8))
    team_rows(axes, ranked_names(data.teams, True))
    names_in = max(name.get_window_extent().width for name in axes.get_yticklabels()) / figure.dpi
    cell = min(0.5, (WIDTH_IN - names_in - 0.35) / teams)
    height = 0.75 + cell * teams
    figure.set_size_inches(WIDTH_IN, height)
    left = max(names_in + 0.2, 2.4)
    left = min(left, WIDTH_IN - 0.1 - cell * teams)
    axes.set_position((left / WIDTH_IN, 0.6 / height, cell * teams / WIDTH_IN, cell * teams / height))
    colours = colormaps["Blues"]
    axes.pcolormesh(
        np.arange(teams + 1) - 0.5, np.arange(teams + 1) - 0.5, np.ma.masked_invalid(wins), cmap=colours,
        vmin=0, vmax=max(1, tasks), edgecolors="white", linewidth=0.8,
    )  # fmt: skip
    for (i, j), count in np.ndenumerate(wins):
        if np.isfinite(count):
            ink = "white" if count > 0.6 * max(1, tasks) else ("#111111" if count else "#999999")
            axes.text(j, i, f"{count:.0f}", ha="center", va="center", fontsize=min(8.5, 34 * cell), color=ink)
    axes.set_ylim(teams - 0.5, -0.5)
    axes.set_xlim(-0.5, teams - 0.5)
    axes.set_xticks(range(teams), labels=[str(n) for n in range(1, teams + 1)], fontsize=8)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Team, by the number at its row")
    return figure


def _plain(text: str) -> str:
    """A metric's name as part of a file name."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in text)[:40]


def _adjusted(data: ReportData) -> str:
    how = str(data.settings.get("p_adjust") or "")
    return {"holm": "p adjusted after Holm", "bh": "p adjusted after Benjamini and Hochberg", "none": "p"}.get(
        how, "adjusted p"
    )
