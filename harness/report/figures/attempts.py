"""How attempts ended and what they used: stacked outcomes, memory and CPU time by team."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.report.data import FloatArray, ReportData
from harness.report.figures.boxes import dots_and_boxes
from harness.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    Drawing,
    cut,
    drawing,
    legend_above,
    legend_columns,
    log_x,
    ranked_names,
    row_axes,
)
from harness.report.summary import outcome_counts

GIB = 1 << 30
#: Colour and hatch by status: neighbours differ in both.
_LOOKS = {
    "ok": (GREEN, ""),
    "ok, flagged": ("#9FDCC8", "||||"),
    "timeout": (ORANGE, "////"),
    "oom": (VERMILION, ""),
    "crash": (PURPLE, "xxxx"),
    "invalid_output": (SKY, "\\\\\\\\"),
    "no_output": (YELLOW, "----"),
    "bad_reference": (GREY, "++++"),
    "harness_fault": (BLACK, ""),
}


def outcome_drawing(data: ReportData) -> Drawing:
    """Stacked bars of outcomes."""
    counts = pd.DataFrame(outcome_counts(data)).T
    failures = counts[[status for status in counts if not str(status).startswith("ok")]]
    by_team, by_kind = failures.sum(axis=1), failures.sum(axis=0)
    total, failed = int(counts.to_numpy().sum()), int(failures.to_numpy().sum())
    if failed:
        sentence = (
            f"{failed} of {total} attempts did not end ok, most often {cut(str(by_kind.idxmax()))} "
            f"({int(by_kind.max())}); {cut(str(by_team.idxmax()))} has the most ({int(by_team.max())})."
        )
    else:
        sentence = f"All {total} attempts ended ok."
    alt = f"Stacked bars: share of attempts by outcome for {len(data.teams)} teams; the counts are in the table below."
    return drawing("outcomes", "Outcomes by team", sentence, alt, lambda: draw_outcomes(data))


def draw_outcomes(data: ReportData) -> Figure:
    """A bar a team, a segment an outcome, with its count where it fits."""
    counts = outcome_counts(data)
    present = [s for s in counts[data.teams[0]] if any(counts[team][s] for team in data.teams)]
    labels = [cut(status) for status in present]
    _, legend_in = legend_columns(labels)
    figure, (axes,) = row_axes(ranked_names(data.teams, data.ranking is not None), top_in=legend_in)
    left = np.zeros(len(data.teams))
    totals = np.array([max(1, sum(counts[team].values())) for team in data.teams])
    handles = []
    for status in present:
        colour, hatch = _LOOKS.get(status, (GREY, "oo"))
        widths = np.array([counts[team][status] for team in data.teams]) / totals * 100
        bars = axes.barh(
            range(len(data.teams)), widths, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.4,
        )  # fmt: skip
        handles.append(bars.patches[0])
        for i, team in enumerate(data.teams):
            if widths[i] >= 1.5 + 1.2 * len(str(counts[team][status])):
                axes.text(
                    left[i] + widths[i] / 2, i, str(counts[team][status]), ha="center", va="center", fontsize=7.5,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": "#FFFFFFDD", "edgecolor": "none"},
                )  # fmt: skip
        left += widths
    axes.set_xlim(0, 100)
    axes.set_xlabel("Share of attempts (%), with counts")
    legend_above(figure, handles, labels)
    return figure


def resource_drawing(data: ReportData) -> Drawing | None:
    """Peak memory and CPU time by team; None where neither was measured."""
    columns = _resource_columns(data)
    if not columns:
        return None
    parts = []
    if "peak_bytes" in columns:
        peak = data.attempts.groupby("team")["peak_bytes"].max()
        team = str(peak.idxmax())
        limit = data.limit("memory_bytes")
        of = f" of the {limit / GIB:.3g} GiB allowed" if limit else ""
        parts.append(f"{cut(team)} came nearest to the memory limit with {peak[team] / GIB:.2f} GiB{of}")
    if "cpu_s" in columns:
        cpu = data.attempts.groupby("team")["cpu_s"].median()
        team = str(cpu.idxmax())
        parts.append(f"{cut(team)} used the most CPU time, {cpu[team]:.3g} s in the median")
    title = "Peak memory and CPU time of each attempt"
    alt = f"Dot-and-box plots of peak memory and CPU seconds, one row for each of {len(data.teams)} teams."
    return drawing("resources", title, "; ".join(parts) + ".", alt, lambda: draw_resources(data))


def draw_resources(data: ReportData) -> Figure:
    """A row a team; memory against its limit, CPU seconds on a logarithmic axis."""
    columns = _resource_columns(data)
    figure, all_axes = row_axes(ranked_names(data.teams, data.ranking is not None), len(columns))
    for axes, column in zip(all_axes, columns, strict=True):
        memory = column == "peak_bytes"
        rows = [row / GIB if memory else row[row > 0] for row in _values(data, column)]
        dots_and_boxes(axes, rows, BLUE if memory else ORANGE)
        if memory:
            limit = data.limit("memory_bytes")
            if limit:
                axes.axvline(limit / GIB, color=VERMILION, linestyle="--", linewidth=1.2, gid="memory-limit")
            highest = max((float(row.max()) for row in rows if len(row)), default=1.0)
            axes.set_xlim(0, 1.05 * max(highest, limit / GIB if limit else 0.0))
        else:
            seen = np.concatenate(rows)
            log_x(axes, float(seen.min()) / 1.3, float(seen.max()) * 1.3)
        axes.set_xlabel("Peak memory (GiB; dashed: the limit)" if memory else "CPU time (s, logarithmic)")
    return figure


def _resource_columns(data: ReportData) -> list[str]:
    return [c for c in ("peak_bytes", "cpu_s") if (data.attempts[c] > 0).any()]


def _values(data: ReportData, column: str) -> list[FloatArray]:
    found = data.attempts.dropna(subset=[column]).groupby("team")[column]
    by_team = {team: values.to_numpy(dtype=np.float64) for team, values in found}
    return [by_team.get(team, np.empty(0)) for team in data.teams]
