"""Dot-and-box plots of DSC and NSD, a dot a case, teams in order of rank."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import SCORES, FloatArray, ReportData
from harness.report.figures.boxes import dots_and_boxes
from harness.report.figures.style import BLUE, GREEN, Drawing, cut, drawing, ranked_names, row_axes


def drawings(data: ReportData) -> list[Drawing]:
    """One figure for the 2D cases and one for the 3D cases, where there are scores of them."""
    made = []
    for volume, dimension in ((False, "2D"), (True, "3D")):
        metrics = [m for m in SCORES if m in data.metrics and any(len(v) for v in _values(data, m, volume))]
        if metrics:
            title = f"{' and '.join(data.label(m) for m in metrics)} of the {dimension} cases"
            alt = f"Dot-and-box plots: {title}, one row for each of {len(data.teams)} teams."
            sentence = _sentence(data, metrics[0], volume, dimension)
            made.append(
                drawing(f"dots-{dimension.lower()}", title, sentence, alt, partial(draw_dots, data, metrics, volume))
            )
    return made


def draw_dots(data: ReportData, metrics: list[str], volume: bool) -> Figure:
    """One row a team, one column a metric, a dot a case."""
    figure, columns = row_axes(ranked_names(data.teams, data.ranking is not None), len(metrics))
    for i, (axes, metric) in enumerate(zip(columns, metrics, strict=True)):
        dots_and_boxes(axes, _values(data, metric, volume), GREEN if i else BLUE)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(data.label(metric))
    return figure


def _values(data: ReportData, metric: str, volume: bool) -> list[FloatArray]:
    mine = data.scores[data.scores["volume"] == volume].dropna(subset=[metric])
    by_team = {team: group[metric].to_numpy(dtype=np.float64) for team, group in mine.groupby("team")}
    return [by_team.get(team, np.empty(0)) for team in data.teams]


def _sentence(data: ReportData, metric: str, volume: bool, dimension: str) -> str:
    values = _values(data, metric, volume)
    rows = {team: row for team, row in zip(data.teams, values, strict=True) if len(row)}
    medians = {team: float(np.median(row)) for team, row in rows.items()}
    spread = {team: float(np.subtract(*np.percentile(row, (75, 25)))) for team, row in rows.items()}
    best = max(medians, key=lambda team: medians[team])
    widest = max(spread, key=lambda team: spread[team])
    failed = bool(data.scores.loc[data.scores["volume"] == volume, "failed"].any())
    cases = max(len(row) for row in rows.values())
    return (
        f"Over {cases} {dimension} {'case' if cases == 1 else 'cases'} {cut(best)} has the highest median "
        f"{data.label(metric)} ({medians[best]:.3f}); {cut(widest)} varies most from case to case (quartiles "
        f"{spread[widest]:.3f} apart)."
        + (" A failed attempt counts with the value that the failure policy gives it." if failed else "")
    )
