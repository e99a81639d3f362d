"""How far the ranking depends on which cases happened to be in the test set: the bootstrap's figures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import FINAL_UNIT, ReportData
from harness.report.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    SKY,
    VERMILION,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    ranked_names,
    rows_figure,
    team_rows,
)
from harness.report.summary import rank_interval, rank_shares

#: Area of a blob that holds every sample, in points squared.
FULL_AREA = 260.0


def drawings(data: ReportData) -> list[Drawing]:
    """Blob plot of final ranks, histogram of the final tau, and tau by task and metric."""
    boot = data.bootstrap
    if boot is None:
        return []
    made = []
    samples = len(boot.tau)
    if rank_shares(data) is not None:
        made.append(
            drawing(
                "rank-stability",
                "Final ranks over the bootstrap samples",
                _blob_sentence(data, samples),
                f"Blob plot: share of {samples} bootstrap samples by team and final rank, median, 95 % interval.",
                lambda: draw_blobs(data),
            )
        )
    if FINAL_UNIT in boot.units and np.isfinite(final := boot.tau[:, boot.units.index(FINAL_UNIT)]).any():
        tau = final[np.isfinite(final)]
        same = int((tau > 1 - 1e-9).sum())
        lost = samples - len(tau)
        made.append(
            drawing(
                "tau-final",
                "Kendall's tau between each sample's final ranking and the ranking shown",
                f"{same} of {samples} samples give exactly this order (tau 1); the median tau is {np.median(tau):.3f}, "
                f"and 95 % of the samples reach {np.percentile(tau, 5):.3f} or more."
                + (f" In {lost} samples tau is undefined, because all teams tie." if lost else ""),
                "Histogram of Kendall's tau over the bootstrap samples.",
                lambda: draw_tau(data),
            )
        )
    units = [u for u in boot.units if u != FINAL_UNIT and np.isfinite(boot.tau[:, boot.units.index(u)]).any()]
    if units:
        medians = {u: float(np.nanmedian(boot.tau[:, boot.units.index(u)])) for u in units}
        least = min(medians, key=lambda unit: medians[unit])
        made.append(
            drawing(
                "tau-units",
                "Kendall's tau by task and metric",
                f"The order is least settled in {_unit(data, least)} (median tau {medians[least]:.3f}). Point: median, "
                "thick line: middle half of the samples, thin line: middle 95 %.",
                f"Intervals of Kendall's tau for {len(units)} tasks and metrics.",
                lambda: draw_tau_units(data),
            )
        )
    return made


def draw_blobs(data: ReportData) -> Figure:
    """A row a team, a column a rank; the blob's area is the share of samples."""
    shares = rank_shares(data)
    assert shares is not None
    figure, (axes,) = rows_figure(len(data.teams), 1.1)
    row, column = np.nonzero(shares.to_numpy() > 0)
    axes.scatter(
        shares.columns.to_numpy(dtype=float)[column], row, s=FULL_AREA * shares.to_numpy()[row, column],
        c=SKY, edgecolors=BLUE, linewidths=0.6, zorder=2, gid="blobs",
    )  # fmt: skip
    for i, team in enumerate(data.teams):
        assert data.bootstrap is not None
        ranks = data.bootstrap.final_ranks(team)
        if ranks is None or not np.isfinite(ranks).any():
            continue
        low, high = rank_interval(data, team)
        axes.plot([low, high], [i, i], color=BLACK, linewidth=1.1, zorder=3, solid_capstyle="butt")
        axes.plot(
            [np.nanmedian(ranks)], [i], marker="x", color=VERMILION, markersize=5.5, markeredgewidth=1.8, zorder=4
        )
    team_rows(axes, ranked_names(data.teams, data.ranking is not None))
    axes.set_ylim(len(data.teams) - 0.3, -0.7)
    axes.set_xlim(0.4, max(len(data.teams), float(max(shares.columns))) + 0.6)
    axes.set_xticks(range(1, len(data.teams) + 1))
    axes.set_xlabel("Final rank (area: share of samples, cross: median, line: 95 % interval)")
    return figure


def draw_tau(data: ReportData) -> Figure:
    """Histogram of the final ranking's tau, one bin for each value where there are few."""
    assert data.bootstrap is not None
    tau = data.bootstrap.tau[:, data.bootstrap.units.index(FINAL_UNIT)]
    tau = tau[np.isfinite(tau)]
    figure = Figure(figsize=(WIDTH_IN, 2.6), layout="constrained")
    axes = figure.subplots()
    values, counts = np.unique(np.round(tau, 9), return_counts=True)
    if len(values) <= 30:
        gap = float(np.diff(values).min()) if len(values) > 1 else 0.1
        axes.bar(values, counts, width=0.8 * min(gap, 0.1), color=SKY, edgecolor=BLUE, linewidth=0.6)
    else:
        axes.hist(tau, bins=np.linspace(values[0], 1.0, 41).tolist(), color=SKY, edgecolor=BLUE, linewidth=0.6)
    median = float(np.median(tau))
    axes.axvline(median, color=VERMILION, linewidth=1.6, linestyle="--", label=f"median {median:.3f}")
    axes.set_xlim(min(float(values[0]) - 0.06, 0.75), 1.04)
    axes.set_xlabel("Kendall's tau")
    axes.set_ylabel("Samples")
    axes.legend(frameon=False, loc="upper left")
    return figure


def draw_tau_units(data: ReportData) -> Figure:
    """A row a task and metric: median, quartiles and 95 % interval of tau."""
    boot = data.bootstrap
    assert boot is not None
    units = [unit for unit in boot.units if unit != FINAL_UNIT]
    figure, (axes,) = rows_figure(len(units), 0.9)
    lowest = 0.9
    for i, unit in enumerate(units):
        tau = boot.tau[:, boot.units.index(unit)]
        tau = tau[np.isfinite(tau)]
        if not len(tau):
            continue
        low, left, median, right, high = np.percentile(tau, (2.5, 25, 50, 75, 97.5))
        axes.plot([low, high], [i, i], color=BLUE, linewidth=1.0)
        axes.plot([left, right], [i, i], color=BLUE, linewidth=4.0, solid_capstyle="butt")
        axes.plot([median], [i], marker="o", color=ORANGE, markeredgecolor=BLACK, markersize=5, markeredgewidth=0.7)
        lowest = min(lowest, float(low))
    team_rows(axes, [_unit(data, unit) for unit in units])
    axes.set_xlim(lowest - 0.05, 1.03)
    axes.set_xlabel("Kendall's tau")
    return figure


def _unit(data: ReportData, unit: str) -> str:
    """``task/metric`` in words."""
    task, slash, metric = unit.rpartition("/")
    return f"{cut(task)}, {cut(data.label(metric))}" if slash else cut(unit)


def _blob_sentence(data: ReportData, samples: int) -> str:
    shares = {team: data.bootstrap.share_won(team) or 0.0 for team in data.teams} if data.bootstrap else {}
    winner = max(shares, key=lambda team: shares[team])
    width = {team: high - low for team in data.teams for low, high in [rank_interval(data, team)] if high == high}
    widest = max(width, key=lambda team: width[team])
    tail = (
        f"{cut(widest)}'s 95 % interval is the widest: {width[widest] + 1:g} neighbouring ranks."
        if width[widest]
        else "no team's 95 % interval spans more than one rank."
    )
    return (
        f"{cut(winner)} comes first in {100 * shares[winner]:.1f} % of {samples} samples in which the cases are drawn "
        f"anew; {tail}"
    )
