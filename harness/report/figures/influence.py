"""What the ranking hangs on: its agreement with itself when a modality is left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.report.data import ReportData
from harness.report.figures.style import BLUE, ORANGE, Drawing, cut, drawing, row_axes, safe_label


def drawings(data: ReportData) -> list[Drawing]:
    """One figure, a row a modality left out."""
    frame = _modalities(data)
    if frame is None:
        return []
    least = frame.iloc[0]
    leads = _first_names(data)
    other = [str(row["name"]) for _, row in frame.iterrows() if leads and set(row["winner"].split(";")) != leads]
    tail = (
        ""
        if not leads
        else f" Someone else comes first, or shares it, without {', '.join(cut(name) for name in other)}."
        if other
        else " Whichever is left out, first place stays as it is."
    )
    return [
        drawing(
            "influence",
            "The final ranking with one modality left out",
            f"Leaving {cut(str(least['name']))} out changes the ranking the most: tau {least['tau']:.3f}, "
            f"{least['changed']:.0f} ranks change.{tail}",
            f"Dot plots for {len(frame)} modalities: Kendall's tau with the full ranking, the largest shift of a rank.",
            lambda: draw_influence(data),
        )
    ]


def draw_influence(data: ReportData) -> Figure:
    """A row a modality, the most influential first: tau, and the largest shift of a rank."""
    frame = _modalities(data)
    assert frame is not None
    figure, (left, right) = row_axes([f"without {cut(str(name))}" for name in frame["name"]], 2)
    rows = np.arange(len(frame))
    tau, shift = frame["tau"].to_numpy(dtype=float), frame["largest_shift"].to_numpy(dtype=float)
    left.hlines(rows, tau, 1.0, color="#BBBBBB", linewidth=1.5, zorder=1)
    left.plot(tau, rows, linestyle="none", marker="o", color=BLUE, markersize=6.5)
    left.axvline(1.0, color="black", linewidth=0.8)
    left.set_xlim(min(0.9, float(tau.min()) - 0.03), 1.01)
    left.set_xlabel("Kendall's tau with the full ranking")
    left.locator_params(axis="x", nbins=6)
    right.hlines(rows, 0, shift, color="#BBBBBB", linewidth=1.5, zorder=1)
    right.plot(shift, rows, linestyle="none", marker="D", color=ORANGE, markeredgecolor="black", markersize=6)
    right.set_xlim(-0.15, max(1.0, float(np.nanmax(shift, initial=1.0))) * 1.08)
    right.locator_params(axis="x", nbins=6, integer=True)
    right.set_xlabel(safe_label("Largest shift of a team's rank"))
    return figure


def _modalities(data: ReportData) -> pd.DataFrame | None:
    """Rows of modalities with a tau, the smallest first."""
    frame = data.table("influence", kind="modality")
    frame = frame[np.isfinite(frame["tau"])] if frame is not None else None
    return None if frame is None or frame.empty else frame.sort_values(["tau", "name"], kind="stable")


def _first_names(data: ReportData) -> set[str]:
    ranks = {team: rank for team, (_, rank) in (data.ranking or {}).items() if np.isfinite(rank)}
    return {team for team, rank in ranks.items() if rank == min(ranks.values())}
