"""Where the time goes: a stacked bar a submission, mean seconds of the 2D and of the 3D cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.costs import PARTS, CaseCost, mean_parts
from harness.report.figures import lettering
from harness.report.figures.lettering import Letters
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
    percent,
    row_axes,
    width_in,
)

NAME = "phases"
TITLE = "Where the time goes"
_SIZE_PT = 7.5
#: Bars longer than so many times the median one are drawn shortened.
_FAR = 4.0
#: Colour and hatch by part, in the order of `PARTS`: neighbours differ in both.
_LOOKS = dict(
    zip(
        PARTS,
        (
            (GREY, ""),
            (PURPLE, "////"),
            (YELLOW, ""),
            (BLACK, ""),
            (BLUE, ""),
            (ORANGE, "\\\\\\\\"),
            (GREEN, ""),
            (VERMILION, "----"),
            (SKY, "xxxx"),
        ),
        strict=True,
    )
)

#: Kind of cases -> team -> (cases, mean seconds by part).
Means = Mapping[str, Mapping[str, tuple[int, Mapping[str, float]]]]


def means_of(folded: Sequence[CaseCost]) -> Means:
    """Mean seconds by part of the kinds, 2D and 3D, that there are cases of."""
    found = {kind: mean_parts(folded, volume) for kind, volume in (("2D", False), ("3D", True))}
    return {kind: means for kind, means in found.items() if means}


def phases_drawing(means: Means, teams: Sequence[str], names: Sequence[str]) -> Drawing | None:
    """The figure; None where no attempt's wall time is known.

    Args:
        means: as `means_of` gives them.
        teams: in the order shown, from top to bottom.
        names: their labels.
    """
    if not means:
        return None
    kinds = " and of the ".join(means)
    alt = f"Stacked bars: mean seconds of the {kinds} cases by part, one row for each of {len(teams)} submissions."
    return drawing(NAME, TITLE, _sentence(means), alt, lambda: draw_phases(means, teams, names))


def draw_phases(means: Means, teams: Sequence[str], names: Sequence[str]) -> Figure:
    """A row a submission, a panel a kind of cases, a segment a part, the sum behind the bar."""
    present = [
        part for part in PARTS if any(part in mean for by_team in means.values() for _, mean in by_team.values())
    ]
    _, legend_in = legend_columns(present)
    figure, panels = row_axes(names, len(means), top_in=legend_in + 0.05, gap_in=0.4)
    for axes, (kind, by_team) in zip(panels, means.items(), strict=True):
        sums = {team: sum(mean.values()) for team, (_, mean) in by_team.items()}
        longest = _longest_drawn(list(sums.values()))
        scale = {team: min(1.0, longest / total) if total > 0 else 1.0 for team, total in sums.items()}
        left = np.zeros(len(teams))
        for part in present:
            widths = [by_team[team][1].get(part, 0.0) * scale[team] if team in by_team else 0.0 for team in teams]
            colour, hatch = _LOOKS[part]
            axes.barh(
                range(len(teams)), widths, left=left, height=0.7, color=colour, hatch=hatch, edgecolor="white",
                linewidth=0.4, label=part,
            )  # fmt: skip
            left += widths
        labels = {team: f"{_short(sums[team])} s{', shortened' if scale[team] < 1 else ''}" for team in sums}
        panel_in = axes.get_position().width * figure.get_size_inches()[0]
        # The axis ends where the label furthest out does.
        inches = {team: width_in([label], _SIZE_PT) + 0.1 for team, label in labels.items()}
        end = max(max(sums[team] * scale[team], 1e-9) / (1 - inches[team] / panel_in) for team in sums)
        axes.set_xlim(0, end)
        axes.locator_params(axis="x", nbins=5)
        pad = 0.05 / panel_in * end
        lettering.write(
            axes,
            [
                Letters(sums[team] * scale[team] + pad, i, labels[team], side="left")
                for i, team in enumerate(teams)
                if team in sums
            ],
            _SIZE_PT,
        )
        axes.set_xlabel(f"Mean seconds, {kind} cases")
    handles = [Patch(facecolor=_LOOKS[p][0], hatch=_LOOKS[p][1], edgecolor="white", linewidth=0.4) for p in present]
    legend_above(figure, handles, present)
    return figure


def _longest_drawn(sums: Sequence[float]) -> float:
    """Length beyond which bars are drawn shortened, their parts in proportion: one would flatten all the others."""
    if median(sums) <= 0:
        return max(sums)
    usual = [total for total in sums if total <= _FAR * median(sums)]
    return max(sums) if len(usual) == len(sums) else 1.25 * max(usual)


def _short(value: float) -> str:
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _sentence(means: Means) -> str:
    """Of each kind, the shortest and the longest bar with its largest part."""
    said = []
    for kind, by_team in means.items():
        sums = {team: sum(mean.values()) for team, (_, mean) in by_team.items()}
        order = sorted(sums, key=lambda team: (sums[team], team))
        ends = dict.fromkeys([order[0], order[-1]])
        words = [f"{cut(team)} takes {_short(sums[team])} s{_largest(by_team[team][1], sums[team])}" for team in ends]
        said.append(f"{kind} cases: {', '.join(words)}")
    cut_short = any(
        total > _longest_drawn(sums)
        for by_team in means.values()
        for sums in [[sum(mean.values()) for _, mean in by_team.values()]]
        for total in sums
    )
    note = " Bars far longer than the others are shortened, with their parts in proportion." if cut_short else ""
    return "; ".join(said) + f"; means over the cases that each finished.{note}"


def _largest(mean: Mapping[str, float], total: float) -> str:
    part = max(mean, key=lambda name: mean[name])
    return f" ({percent(round(mean[part] / total, 2))} of it {part})" if total > 0 else ""
