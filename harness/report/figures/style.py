"""What all figures share: colours, type, safe labels, and the way into SVG.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart with every common kind of
colour blindness; nothing is said by colour alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager, ft2font
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
TEAM_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, YELLOW, GREY)
TEAM_MARKERS = ("o", "s", "D")

#: Above so many dots they are drawn as pixels inside the vector figure.
MANY_DOTS = 1500
#: Longest name in a figure, in characters; longer ones are cut with an ellipsis.
LONGEST_LABEL = 26
WIDTH_IN = 8.2
ROW_IN = 0.27

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "ytick.left": False,
    "hatch.linewidth": 0.5,
    "svg.fonttype": "path",
    "text.usetex": False,
    "text.parse_math": False,  # a dollar sign in a team's name is a dollar sign
}


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    Attributes:
        name: file name without ending.
        title: what it is.
        sentence: what to see in it.
        alt: what it shows, for those who cannot see it.
        svg: the file's bytes.
    """

    name: str
    title: str
    sentence: str
    alt: str
    svg: bytes


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's own settings are, for drawing and saving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def drawing(name: str, title: str, sentence: str, alt: str, draw: Callable[[], Figure]) -> Drawing:
    """Draw a figure in the house style and turn it into SVG; the same figure gives the same bytes."""
    with house_style():
        figure = draw()
        matplotlib.rcParams["svg.hashsalt"] = name
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", dpi=160, metadata={"Date": None, "Title": title})
    return Drawing(name, title, sentence, alt, buffer.getvalue())


def rows_figure(rows: int, extra_in: float = 1.0, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure whose height grows with its rows, with axes side by side."""
    figure = Figure(figsize=(WIDTH_IN, extra_in + ROW_IN * max(rows, 2)), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, list(axes)


def team_rows(axes: Axes, labels: Sequence[str], show: bool = True) -> None:
    """One labelled row a team from top to bottom."""
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)))
    axes.set_yticklabels([safe_label(name) for name in labels] if show else [])
    axes.grid(axis="y", visible=False)


def ranked_names(teams: Sequence[str], ranked: bool) -> list[str]:
    """Teams as they stand in figures, in order of rank: numbered by their place in this order."""
    return [f"{cut(team)}  {place}" for place, team in enumerate(teams, 1)] if ranked else [cut(team) for team in teams]


def cut(text: str) -> str:
    """A name shortened for a figure."""
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def safe_label(text: str) -> str:
    """Text with what the font lacks (control characters, emoji) replaced by a box."""
    return "".join(char if ord(char) in _glyphs() else "□" for char in text)


@cache
def _glyphs() -> frozenset[int]:
    path = font_manager.findfont("DejaVu Sans")
    known = frozenset(ft2font.FT2Font(path).get_charmap())
    return frozenset(code for code in known if code >= 32 and not 127 <= code < 160)


def log_x(axes: Axes, low: float, high: float) -> None:
    """A logarithmic x axis with plain numbers at 1, 2 and 5 times powers of ten, at most nine of them."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 3.3 else (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    ticks = [m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in steps]
    inside = [tick for tick in ticks if low <= tick <= high] or [math.sqrt(low * high)]
    inside = inside[:: -(-len(inside) // 9)]
    axes.set_xticks(inside, labels=[f"{tick:,.0f}" if 1e4 <= tick < 1e7 else f"{tick:.3g}" for tick in inside])
    axes.set_xticks([], minor=True)


def golden_jitter(count: int) -> npt.NDArray[np.float64]:
    """Evenly spread offsets in [-0.5, 0.5), the same every time (additive recurrence)."""
    return np.asarray((np.arange(count) * 0.6180339887498949 + 0.5) % 1.0 - 0.5, dtype=np.float64)
