"""How much better: matched-pairs rank-biserial correlations between all teams, mean over the tasks."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import FloatArray, ReportData
from harness.report.figures.matrix import draw_matrix
from harness.report.figures.style import Drawing, cut, drawing, plain_name, ranked_names


def drawings(data: ReportData) -> list[Drawing]:
    """A matrix for each metric."""
    made: list[Drawing] = []
    for metric in data.metrics:
        effects = mean_effects(data, metric)
        if effects is None:
            continue
        i, j = np.unravel_index(int(np.nanargmax(effects)), effects.shape)
        label = data.label(metric)
        largest = float(effects[i, j])
        made.append(
            drawing(
                f"effects-{plain_name(metric)}",
                f"{label}: how consistently the row's team is better than the column's",
                (
                    f"The largest effect is {cut(data.teams[i])}'s over {cut(data.teams[j])}: {largest:.2f}. "
                    if largest > 0
                    else "No team is better than another. "
                )
                + "Rank-biserial correlation, mean over the tasks: 1 where the row's team is better in every case, 0 "
                "where wins and losses weigh the same, -1 where it is worse in every case.",
                f"Matrix of {len(data.teams)} by {len(data.teams)} teams with effect sizes in {label}.",
                partial(draw_effects, data, effects),
                folded=bool(made),
            )
        )
    return made


def mean_effects(data: ReportData, metric: str) -> FloatArray | None:
    """(T, T) mean over the tasks of the row's effect over the column's, NaN where unknown; None without any."""
    frame = data.table("effects", metric=metric)
    if frame is None:
        return None
    place = {team: i for i, team in enumerate(data.teams)}
    mine = frame[frame["team_i"].isin(place) & frame["team_j"].isin(place) & np.isfinite(frame["rank_biserial"])]
    if mine.empty:
        return None
    i, j = mine["team_i"].map(place).to_numpy(dtype=int), mine["team_j"].map(place).to_numpy(dtype=int)
    effect = mine["rank_biserial"].to_numpy(dtype=np.float64)
    sums, counts = np.zeros((len(place), len(place))), np.zeros((len(place), len(place)))
    for one, other, sign in ((i, j, 1.0), (j, i, -1.0)):
        np.add.at(sums, (one, other), sign * effect)
        np.add.at(counts, (one, other), 1)
    with np.errstate(invalid="ignore"):
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def draw_effects(data: ReportData, effects: FloatArray) -> Figure:
    """Teams in order of rank on both sides: violet where the row's team is better, orange where it is worse."""
    texts = [[_short(value) for value in row] for row in effects]
    return draw_matrix(
        effects, texts, ranked_names(data.teams, True), [str(n) for n in range(1, len(data.teams) + 1)],
        colours="PuOr", limits=(-1.0, 1.0), below="Team, by the number at its row",
    )  # fmt: skip


def _short(value: float) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{abs(value):.2f}"
    short = {"0.00": "0", "1.00": "1"}.get(text, text.removeprefix("0"))
    return ("−" if value < 0 and short != "0" else "") + short
