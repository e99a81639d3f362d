"""Which team is significantly better than which, by metric: a matrix of task counts."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import FloatArray, ReportData
from harness.report.figures.matrix import draw_matrix
from harness.report.figures.style import Drawing, cut, drawing, plain_name, ranked_names

ALPHA = 0.05


def drawings(data: ReportData) -> list[Drawing]:
    """One matrix for each metric that was tested."""
    if data.wilcoxon is None:
        return []
    found = set(data.wilcoxon["metric"])
    made: list[Drawing] = []
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
                f"significance-{plain_name(metric)}",
                f"{label}: in how many tasks the row's team is significantly better than the column's",
                f"In {label} {head} (one-sided Wilcoxon signed-rank test, {_adjusted(data)} below {ALPHA:g}; "
                f"{tasks} {'task' if tasks == 1 else 'tasks'}).",
                f"Matrix of {len(data.teams)} by {len(data.teams)} teams with counts of tasks.",
                partial(draw_wins, data, wins, tasks),
                folded=bool(made),
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


def draw_wins(data: ReportData, wins: FloatArray, tasks: int) -> Figure:
    """Teams in order of rank on both sides; darker where more tasks speak for the row's team."""
    texts = [[f"{count:.0f}" if count > 0 else "" for count in row] for row in wins]
    return draw_matrix(
        wins, texts, ranked_names(data.teams, True), [str(n) for n in range(1, len(data.teams) + 1)],
        limits=(0, max(1, tasks)), below="Team, by the number at its row; no number: in no task",
    )  # fmt: skip


def _adjusted(data: ReportData) -> str:
    how = str(data.settings.get("p_adjust") or "")
    return {"holm": "p adjusted after Holm", "bh": "p adjusted after Benjamini and Hochberg", "none": "p"}.get(
        how, "adjusted p"
    )
