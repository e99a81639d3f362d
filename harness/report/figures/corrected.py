"""Official against corrected scores, side by side, where the results table has both."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.data import SCORES, FloatArray, ReportData
from harness.report.figures.style import (
    BLUE,
    ORANGE,
    Drawing,
    cut,
    drawing,
    legend_above,
    legend_columns,
    ranked_names,
    row_axes,
)
from harness.report.settings_ranks import settings_ranks

SUFFIX = "_corrected"


def corrected_metrics(data: ReportData) -> list[str]:
    """Official metrics that the results table holds corrected values of as well."""
    return [metric for metric in SCORES if metric in data.metrics and metric + SUFFIX in data.corrected]


def corrected_means(data: ReportData, metric: str) -> FloatArray:
    """(T, 2): mean official and mean corrected score over the cases that have both."""
    both = data.scores[["team", "case", metric]].merge(data.corrected, on=["team", "case"])
    both = both.dropna(subset=[metric, metric + SUFFIX]).groupby("team")[[metric, metric + SUFFIX]].mean()
    return both.reindex(list(data.teams)).to_numpy(dtype=np.float64)


def corrected_ranks(data: ReportData) -> FloatArray | None:
    """(T,) final ranks by the corrected scores; None where the ranking does not tell."""
    found = [s for s in settings_ranks(data) if (s.question, s.name) == ("scores", "corrected")]
    return found[0].ranks if found else None


def final_ranks(data: ReportData) -> FloatArray:
    """(T,) final ranks as ranked, NaN where unknown."""
    return np.array([(data.ranking or {}).get(team, (math.nan, math.nan))[1] for team in data.teams])


def drawings(data: ReportData) -> list[Drawing]:
    """One figure, a panel a metric."""
    metrics = corrected_metrics(data)
    if not metrics:
        return []
    means = {metric: corrected_means(data, metric) for metric in metrics}
    parts = []
    for metric in metrics:
        change = means[metric][:, 1] - means[metric][:, 0]
        if np.isfinite(change).any():
            t = int(np.nanargmax(np.abs(change)))
            parts.append(f"in {data.label(metric)} {cut(data.teams[t])}'s mean changes the most, by {change[t]:+.3f}")
    if not parts:
        return []
    ranks = corrected_ranks(data)
    tail = ""
    if ranks is not None:
        moved = int((np.nan_to_num(ranks - final_ranks(data)) != 0).sum())
        tail = f" By the corrected scores {moved} of {len(data.teams)} final ranks would differ."
    sentence = "; ".join(parts)
    return [
        drawing(
            "official-corrected",
            "Official and corrected scores",
            f"{sentence[0].upper()}{sentence[1:]}.{tail}",
            f"Dot plots of official and corrected means for {len(data.teams)} teams.",
            lambda: draw_corrected(data),
        )
    ]


def draw_corrected(data: ReportData) -> Figure:
    """A row a team: official mean, corrected mean, a line between."""
    metrics = corrected_metrics(data)
    labels = ["official", "corrected"]
    names = ranked_names(data.teams, data.ranking is not None)
    figure, panels = row_axes(names, len(metrics), top_in=legend_columns(labels)[1])
    for axes, metric in zip(panels, metrics, strict=True):
        means = corrected_means(data, metric)
        rows = np.arange(len(means))
        axes.hlines(rows, means[:, 0], means[:, 1], color="#777777", linewidth=1.4, zorder=2)
        axes.plot(means[:, 0], rows, linestyle="none", marker="o", markersize=6, color=BLUE, markeredgecolor="white")
        axes.plot(
            means[:, 1], rows, linestyle="none", marker="D", markersize=5.5, color=ORANGE, markeredgecolor="black",
            markeredgewidth=0.6,
        )  # fmt: skip
        axes.set_xlabel(f"Mean {data.label(metric)}")
        axes.locator_params(axis="x", nbins=6)
    handles = [
        Line2D([], [], linestyle="none", marker="o", color=BLUE, markersize=6, markeredgecolor="white"),
        Line2D([], [], linestyle="none", marker="D", color=ORANGE, markersize=5.5, markeredgecolor="black"),
    ]
    legend_above(figure, handles, labels)
    return figure
