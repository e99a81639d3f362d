"""Who would win if: final ranks under other settings, as lines across schemes and as a matrix of all settings."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from harness.report.data import ReportData
from harness.report.figures import lettering
from harness.report.figures.lettering import Letters
from harness.report.figures.matrix import draw_matrix
from harness.report.figures.style import (
    ROW_IN,
    WIDTH_IN,
    Drawing,
    cut,
    drawing,
    fitted,
    ink_on,
    look,
    place_axes,
    ranked_names,
    safe_label,
    width_in,
)
from harness.report.settings_ranks import AS_RANKED, Setting, scheme_settings, settings_ranks, winners

#: Settings side by side in one figure.
_MOST_LINES, _MOST_CELLS = 9, 36
_LONGEST_SETTING = 38
_NAME_PT, _WIDEST_NAME_IN = 8.0, 2.2


def line_drawings(data: ReportData) -> list[Drawing]:
    """Ranks across schemes; nothing where there is one scheme or one team."""
    settings = [s for s in scheme_settings(data) if np.isfinite(s.ranks).any()][:_MOST_LINES]
    if len(settings) < 2 or len(data.teams) < 2:
        return []
    first = winners(data, settings[0].ranks)
    alike = [s for s in settings[1:] if winners(data, s.ranks) == first]
    spans = [np.ptp([s.ranks[t] for s in settings if np.isfinite(s.ranks[t])] or [0.0]) for t in range(len(data.teams))]
    widest = int(np.argmax(spans))
    names = " and ".join(cut(name) for name in first[:2]) + (" and others" if len(first) > 2 else "")
    tail = (
        f"{cut(data.teams[widest])} moves the most, over {spans[widest]:g} {'rank' if spans[widest] == 1 else 'ranks'}."
        if spans[widest]
        else "no team's rank moves."
    )
    return [
        drawing(
            "ranks-by-scheme",
            "Final ranks under other schemes",
            f"{names} {'comes' if len(first) == 1 else 'come'} first as ranked, and in {len(alike)} of "
            f"{len(settings) - 1} other {'scheme' if len(settings) == 2 else 'schemes'} too; {tail} Lines that run "
            "level stand for ranks that do not depend on the scheme; equal ranks are drawn below one another.",
            f"Line plot of the final ranks of {len(data.teams)} teams under {len(settings)} schemes.",
            lambda: draw_lines(data, settings),
        )
    ]


def matrix_drawings(data: ReportData) -> list[Drawing]:
    """Ranks under every setting, in as many matrices as are needed; nothing without the sensitivity table."""
    settings = [s for s in settings_ranks(data) if np.isfinite(s.ranks).any()]
    if len(settings) < 2 or settings[0].question != AS_RANKED:
        return []
    base, others = settings[0], settings[1:]
    first = winners(data, base.ranks)
    changed = [s for s in others if winners(data, s.ranks) != first]
    shifts = np.array([s.ranks - base.ranks for s in others])
    largest = np.nan_to_num(np.abs(shifts))
    row, column = np.unravel_index(int(largest.argmax()), largest.shape)
    who = "Nobody else comes first" if not changed else f"Someone else comes first, or shares it, in {len(changed)}"
    sentence = f"{who} {'in any' if not changed else ''} of {len(others)} other settings".replace("  ", " ")
    if largest[row, column]:
        sentence += (
            f"; the largest move is {cut(data.teams[column])}'s, from rank {base.ranks[column]:g} to "
            f"{others[row].ranks[column]:g} ({_setting(others[row])})"
        )
    made: list[Drawing] = []
    for start in range(0, len(others), _MOST_CELLS - 1):
        part = [base, *others[start : start + _MOST_CELLS - 1]]
        more = len(others) > _MOST_CELLS - 1
        made.append(
            drawing(
                f"sensitivity-{len(made) + 1}" if more else "sensitivity",
                "Final ranks under every setting" + (f", part {len(made) + 1}" if more else ""),
                f"{sentence}. Orange: a worse rank than as ranked, violet: a better one; frames: first.",
                f"Matrix of final ranks, {len(data.teams)} teams by {len(part)} settings.",
                partial(draw_settings, data, part),
            )
        )
    return made


def draw_lines(data: ReportData, settings: Sequence[Setting]) -> Figure:
    """A column a scheme, a line a team; teams of one rank lie below one another in the report's order."""
    teams = len(data.teams)
    sides = [_order(settings[0]), _order(settings[-1])]
    names = [fitted(name, _WIDEST_NAME_IN, _NAME_PT) for name in ranked_names(data.teams, False)]
    side_in = max(0.85, width_in(names, _NAME_PT) + 0.3)
    pitch_in = (WIDTH_IN - 2 * side_in - 0.2) / (len(settings) - 1)
    labels = [textwrap.wrap(cut(_scheme(s)), max(6, int(min(pitch_in, 1.6) / 0.075))) for s in settings]
    head_in = 0.14 * max(len(lines) for lines in labels) + 0.2
    height = head_in + ROW_IN * max(teams, 3) + 0.1
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = place_axes(figure, side_in, 0.1, WIDTH_IN - 2 * side_in, ROW_IN * max(teams, 3))
    axes.axis("off")
    axes.set_ylim(teams - 0.4, -0.6)
    edge = 0.1 / pitch_in
    axes.set_xlim(-edge, len(settings) - 1 + edge)
    places = np.full((teams, len(settings)), np.nan)
    for column, setting in enumerate(settings):
        for place, t in enumerate(_order(setting)):
            places[t, column] = place
    letters: list[Letters] = []
    for t in range(teams):
        colour, marker = look(t)
        axes.plot(
            range(len(settings)), places[t], color=colour, linewidth=1.6, zorder=2,
            linestyle={"o": "-", "s": (0, (4, 1.2)), "D": (0, (1.2, 1))}[marker], gid=f"team-{t + 1}",
        )  # fmt: skip
        axes.plot(
            range(len(settings)), places[t], linestyle="none", marker="s", markersize=11, markerfacecolor=colour,
            markeredgecolor="white", markeredgewidth=0.6, zorder=3,
        )  # fmt: skip
        letters += [
            Letters(column, places[t, column], f"{setting.ranks[t]:g}", ink_on(colour))
            for column, setting in enumerate(settings)
            if np.isfinite(places[t, column])
        ]
    lettering.write(axes, letters, 7.0)
    for (column, x, side), order in zip(((0, -0.13, "right"), (len(settings) - 1, 0.13, "left")), sides, strict=True):
        for place, t in enumerate(order):
            axes.text(
                column + x / pitch_in,
                place,
                safe_label(names[t]),
                ha=side,
                va="center",
                fontsize=_NAME_PT,
                clip_on=False,
            )
    for column, lines in enumerate(labels):
        axes.text(
            column, -0.6 - 0.1 / ROW_IN, "\n".join(safe_label(line) for line in lines), ha="center", va="bottom",
            fontsize=8, clip_on=False,
        )  # fmt: skip
    return figure


def draw_settings(data: ReportData, settings: Sequence[Setting]) -> Figure:
    """Teams by settings: the rank in the cell, its difference to the ranking shown as colour."""
    ranks = np.array([s.ranks for s in settings]).T
    shifts = settings[0].ranks[:, None] - ranks
    texts = [[f"{rank:g}" if np.isfinite(rank) else "" for rank in row] for row in ranks]
    best = np.nanmin(ranks, axis=0)
    frames = [(int(i), int(j)) for i, j in zip(*np.nonzero(ranks == best), strict=True)]
    reach = max(3.0, float(np.nanmax(np.abs(shifts))))
    return draw_matrix(
        shifts, texts, ranked_names(data.teams, data.ranking is not None), [_setting(s) for s in settings],
        colours="PuOr", limits=(-reach, reach), upright=True, frames=frames,
    )  # fmt: skip


def _order(setting: Setting) -> list[int]:
    known = np.flatnonzero(np.isfinite(setting.ranks))
    return [int(t) for t in known[np.argsort(setting.ranks[known], kind="stable")]]


def _setting(setting: Setting) -> str:
    label = setting.label
    return label if len(label) <= _LONGEST_SETTING else label[: _LONGEST_SETTING - 1] + "…"


def _scheme(setting: Setting) -> str:
    return f"{setting.name} (as ranked)" if setting.question == AS_RANKED else setting.name
