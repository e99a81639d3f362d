"""How far the final ranking depends on which cases happened to be in the test set: the bootstrap's figures.

Blob plot and stacked frequencies after challengeR (Wiesenfarth et al., Scientific Reports 11, 2021).
"""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from harness.report.data import FINAL_UNIT, ReportData
from harness.report.figures import lettering
from harness.report.figures.lettering import Letters
from harness.report.figures.style import (
    BLACK,
    BLUE,
    SKY,
    VERMILION,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    ink_on,
    legend_above,
    legend_columns,
    percent,
    place_axes,
    rank_ticks,
    ranked_names,
    row_axes,
)
from harness.report.summary import rank_interval, rank_shares

#: Area of a blob that holds every sample, in points squared.
FULL_AREA = 260.0
#: Least share of the samples that gets its rank written into its segment.
_LEAST_WRITTEN = 0.035


def drawings(data: ReportData) -> list[Drawing]:
    """Blob plot and stacked frequencies of final ranks, histogram of the final tau."""
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
        made.append(
            drawing(
                "rank-frequencies",
                "How often each team got each final rank",
                _stack_sentence(data),
                f"Stacked bars: share of {samples} bootstrap samples by final rank, a bar for each of "
                f"{len(data.teams)} teams.",
                lambda: draw_stack(data),
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
    return made


def draw_blobs(data: ReportData) -> Figure:
    """A row a team, a column a rank; the blob's area is the share of samples."""
    shares = rank_shares(data)
    assert shares is not None
    figure, (axes,) = row_axes(ranked_names(data.teams, data.ranking is not None))
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
    axes.set_ylim(len(data.teams) - 0.3, -0.7)
    axes.set_xlim(0.4, max(len(data.teams), float(max(shares.columns))) + 0.6)
    rank_ticks(axes, len(data.teams), 5.0)
    axes.set_xlabel("Final rank (area: share of samples, cross: median, line: 95 % interval)")
    return figure


def draw_stack(data: ReportData) -> Figure:
    """A bar a team, a segment a rank, the best ranks first and darkest, with the rank where it fits."""
    shares = rank_shares(data)
    assert shares is not None
    ranks = [float(rank) for rank in shares.columns]
    last = max(len(data.teams), 2)
    colours = [colormaps["cividis"](min(1.0, (rank - 1) / (last - 1))) for rank in ranks]
    shown = sorted({1, *np.linspace(1, last, min(last, 7)).round().astype(int).tolist()})
    labels = [f"rank {rank}" for rank in shown]
    names = ranked_names(data.teams, data.ranking is not None)
    figure, (axes,) = row_axes(names, top_in=legend_columns(labels)[1])
    left = np.zeros(len(data.teams))
    letters = []
    for rank, colour, share in zip(ranks, colours, shares.to_numpy().T, strict=True):
        seen = np.flatnonzero(share)
        bars = [Rectangle((100 * left[i], i - 0.39), 100 * share[i], 0.78) for i in seen]
        axes.add_collection(
            PatchCollection(bars, facecolor=[colour], edgecolor="white", linewidth=0.4, gid=f"rank-{rank:g}")
        )
        written = seen[share[seen] >= _LEAST_WRITTEN]
        letters += [Letters(100 * (left[i] + share[i] / 2), i, f"{rank:g}", ink_on(colour)) for i in written]
        left += share
    axes.set_xlim(0, 100)
    lettering.write(axes, letters, 7.5)
    axes.set_xlabel("Share of the bootstrap samples (%)")
    handles = [Patch(facecolor=colormaps["cividis"]((rank - 1) / (last - 1)), edgecolor="white") for rank in shown]
    legend_above(figure, handles, labels)
    return figure


def draw_tau(data: ReportData) -> Figure:
    """Histogram of the final ranking's tau, one bin for each value where there are few."""
    assert data.bootstrap is not None
    tau = data.bootstrap.tau[:, data.bootstrap.units.index(FINAL_UNIT)]
    tau = tau[np.isfinite(tau)]
    median = float(np.median(tau))
    labels = [f"median {median:.3f}"]
    figure = Figure(figsize=(WIDTH_IN, 2.7))
    axes = place_axes(figure, 0.75, 0.5, WIDTH_IN - 0.95, 2.1 - legend_columns(labels)[1])
    values, counts = np.unique(np.round(tau, 9), return_counts=True)
    if len(values) <= 30:
        gap = float(np.diff(values).min()) if len(values) > 1 else 0.1
        axes.bar(values, counts, width=0.8 * min(gap, 0.1), color=SKY, edgecolor=BLUE, linewidth=0.6)
    else:
        axes.hist(tau, bins=np.linspace(values[0], 1.0, 41).tolist(), color=SKY, edgecolor=BLUE, linewidth=0.6)
    line = axes.axvline(median, color=VERMILION, linewidth=1.6, linestyle="--")
    axes.set_xlim(min(float(values[0]) - 0.06, 0.75), 1.04)
    axes.set_xlabel("Kendall's tau")
    axes.set_ylabel("Samples")
    legend_above(figure, [line], labels)
    return figure


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
        f"{cut(winner)} comes first in {percent(shares[winner])} of {samples} samples in which the cases are drawn "
        f"anew; {tail}"
    )


def _stack_sentence(data: ReportData) -> str:
    shares = rank_shares(data)
    assert shares is not None
    most = shares.max(axis=1)
    known = most[most > 0]
    sure, unsure = str(known.idxmax()), str(known.idxmin())
    half = int((known > 0.5).sum())
    gets = "team gets" if len(known) == 1 else "teams get"
    head = f"{half} of {len(known)} {gets} one rank in more than half of the samples"
    if known[sure] == known[unsure]:
        return f"{head}; the most frequent rank of each team has a share of {percent(float(known[sure]))}."
    return (
        f"{head}; the surest place is {cut(sure)}'s (rank {shares.loc[sure].idxmax():g} in "
        f"{percent(float(known[sure]))}), the least sure {cut(unsure)}'s (no rank in more than "
        f"{percent(float(known[unsure]))})."
    )
