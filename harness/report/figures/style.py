"""What all figures share: colours, type, safe labels, and the way into SVG.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart with every common kind of
colour blindness; nothing is said by colour alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager, ft2font
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from harness.report.figures.compact import compact

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#8A8A8A"
#: Okabe and Ito's without their yellow, which a thin line in it would lose on white.
TEAM_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE, BLACK, GREY)
TEAM_MARKERS = ("o", "s", "D")

#: Above so many dots they are drawn as pixels inside the vector figure.
MANY_DOTS = 1500
#: Longest name in a figure, in characters; longer ones are cut with an ellipsis.
LONGEST_LABEL = 26
WIDTH_IN = 8.2
ROW_IN = 0.27
LABEL_PT = 9.0
#: Of the PNG files, and of dots drawn as pixels inside the SVG files.
DPI = 150

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
        svg, png: the files' bytes.
        folded: whether the page shows it only on demand.
    """

    name: str
    title: str
    sentence: str
    alt: str
    svg: bytes
    png: bytes
    folded: bool = False

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the PNG file, as its header states them."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and ours, whatever the user's own settings are, for drawing and saving."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def drawing(
    name: str, title: str, sentence: str, alt: str, draw: Callable[[], Figure], *, folded: bool = False
) -> Drawing:
    """Draw a figure in the house style and turn it into files; the same figure gives the same bytes."""
    svg, png = rendered(name, title, draw)
    return Drawing(name, title, sentence, alt, svg, png, folded)


def rendered(name: str, title: str, draw: Callable[[], Figure]) -> tuple[bytes, bytes]:
    """SVG and PNG of one figure object."""
    with house_style():
        figure = draw()
        matplotlib.rcParams["svg.hashsalt"] = name
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None, "Title": title})
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None, "Title": title},
                       pil_kwargs={"compress_level": 3})  # fmt: skip
    return compact(svg.getvalue()), png.getvalue()


def plain_name(text: str) -> str:
    """Text as part of a file name."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in text)[:40]


def percent(share: float) -> str:
    """A share in words; whole numbers stay whole, and nothing is rounded to none or to all."""
    value = 100 * share
    if 0 < value < 0.1:
        return "less than 0.1 %"
    if 99.9 < value < 100:
        return "more than 99.9 %"
    return f"{value:.0f} %" if float(value).is_integer() else f"{value:.1f} %"


def ink_on(colour: Any) -> str:
    """Black or white, whichever has the higher contrast with a colour of matplotlib's kinds (WCAG 2)."""
    parts = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(colour)]
    return "#111111" if 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] > 0.18 else "#FFFFFF"


def look(place: int) -> tuple[str, str]:
    """Colour and marker of the team at a place in the report's order: 24 different pairs."""
    return TEAM_COLOURS[place % len(TEAM_COLOURS)], TEAM_MARKERS[place // len(TEAM_COLOURS) % len(TEAM_MARKERS)]


# --------------------------------------------------------------------------- layout, by hand: a layout
# engine measures every artist at every drawing, which costs more than all the drawing


def width_in(texts: Iterable[str], size_pt: float) -> float:
    """Width of the longest of some texts, in inches; 0 without any."""
    return 1.04 * size_pt / 72 * max((text_width(safe_label(text)) for text in texts), default=0.0)


def fitted(text: str, room_in: float, size_pt: float) -> str:
    """A text cut so that it fits, with an ellipsis where something is missing."""
    if width_in([text], size_pt) <= room_in:
        return text
    kept = next((n for n in range(len(text) - 1, 0, -1) if width_in([f"{text[:n]}…"], size_pt) <= room_in), 0)
    return f"{text[:kept]}…"


def text_width(text: str) -> float:
    """Width of a line at a size of 1: the sum of its characters' advances, unhinted and without kerning."""
    return sum(map(_advance, text))


@lru_cache(maxsize=4096)
def _advance(char: str) -> float:
    font = _font()
    font.set_size(200, 72)
    return float(font.load_char(ord(char)).linearHoriAdvance) / 65536 / 200


def row_axes(
    labels: Sequence[str],
    panels: int = 1,
    *,
    top_in: float = 0.12,
    bottom_in: float = 0.55,
    right_in: float = 0.2,
    row_in: float = ROW_IN,
    gap_in: float = 0.25,
) -> tuple[Figure, list[Axes]]:
    """Axes side by side over common labelled rows; the margin is as wide as the longest label."""
    left_in = width_in(labels, LABEL_PT) + 0.2
    body_in = row_in * max(len(labels), 2)
    figure = Figure(figsize=(WIDTH_IN, top_in + body_in + bottom_in))
    each_in = (WIDTH_IN - left_in - right_in - gap_in * (panels - 1)) / panels
    made = []
    for i in range(panels):
        axes = place_axes(figure, left_in + i * (each_in + gap_in), bottom_in, each_in, body_in)
        team_rows(axes, labels, show=i == 0)
        made.append(axes)
    return figure, made


def grid_axes(
    labels: Sequence[str], titles: Sequence[str], *, row_in: float = 0.135, size_pt: float = 6.5, foot: str = ""
) -> tuple[Figure, list[Axes]]:
    """Small multiples, three abreast, over the same labelled rows; `foot` is the text below them all."""
    columns = min(3, len(titles))
    ranks = -(-len(titles) // columns)
    left_in, gap_in, head_in, feet_in = width_in(labels, size_pt) + 0.2, 0.14, 0.26, 0.26
    body_in = row_in * max(len(labels), 4)
    figure = Figure(figsize=(WIDTH_IN, ranks * (head_in + body_in + feet_in) + 0.3))
    each_in = (WIDTH_IN - left_in - 0.12 - gap_in * (columns - 1)) / columns
    made = []
    for i, title in enumerate(titles):
        row, column = divmod(i, columns)
        bottom_in = 0.3 + (ranks - 1 - row) * (head_in + body_in + feet_in) + feet_in
        axes = place_axes(figure, left_in + column * (each_in + gap_in), bottom_in, each_in, body_in)
        team_rows(axes, labels, show=column == 0, size_pt=size_pt)
        axes.tick_params(axis="x", labelsize=6.5, length=2, pad=1.5)
        axes.set_title(safe_label(cut(title)), fontsize=8, pad=3, loc="left")
        made.append(axes)
    figure.text(left_in / WIDTH_IN, 0.06 / figure.get_size_inches()[1], safe_label(foot), fontsize=8, va="bottom")
    return figure, made


def rank_ticks(axes: Axes, most: int, room_in: float, size_pt: float = 8.0) -> None:
    """Whole ranks along x, as many as there is room for, the first and steps of a round number from it."""
    fit = max(2, int(room_in / ((1.2 + 0.75 * len(str(most))) * size_pt / 72)))
    step = next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if most / step <= fit), most)
    ticks = [1, *range(step, most + 1, step)] if step > 1 else list(range(1, most + 1))
    if step == 2:
        ticks = list(range(1, most + 1, 2))
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks], fontsize=size_pt)


def place_axes(figure: Figure, left_in: float, bottom_in: float, wide_in: float, high_in: float) -> Axes:
    """Axes at a place given in inches from the figure's lower left corner."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left_in / width, bottom_in / height, wide_in / width, high_in / height))


def legend_columns(labels: Sequence[str], size_pt: float = 8.0, room_in: float = WIDTH_IN - 0.3) -> tuple[int, float]:
    """As many columns as a legend of these labels has room for, and the height it then needs in inches."""
    columns = max(1, min(len(labels), int(room_in / (width_in(labels, size_pt) + 4.2 * size_pt / 72))))
    return columns, -(-len(labels) // columns) * 1.55 * size_pt / 72 + 0.12


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], size_pt: float = 8.0) -> None:
    """A legend along the figure's upper edge, in columns as `legend_columns` counts them."""
    columns, _ = legend_columns(labels, size_pt)
    height = figure.get_size_inches()[1]
    figure.legend(
        handles, [safe_label(label) for label in labels], loc="upper left", ncols=columns, frameon=False,
        fontsize=size_pt, bbox_to_anchor=(0.1 / WIDTH_IN, 1 - 0.02 / height), borderaxespad=0.0, handlelength=1.6,
        handletextpad=0.6, columnspacing=1.2, labelspacing=0.35,
    )  # fmt: skip


def team_rows(axes: Axes, labels: Sequence[str], show: bool = True, size_pt: float = LABEL_PT) -> None:
    """One labelled row a team from top to bottom."""
    axes.set_ylim(len(labels) - 0.4, -0.6)
    names = [safe_label(name) for name in labels] if show else []
    if show:
        axes.set_yticks(range(len(labels)), labels=names, fontsize=size_pt)
    else:
        axes.set_yticks([])
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
def _font() -> ft2font.FT2Font:
    return ft2font.FT2Font(font_manager.findfont("DejaVu Sans"))


@cache
def _glyphs() -> frozenset[int]:
    known = frozenset(_font().get_charmap())
    return frozenset(code for code in known if code >= 32 and not 127 <= code < 160)


def log_x(axes: Axes, low: float, high: float, most: int = 9) -> None:
    """A logarithmic x axis with plain numbers at 1, 2 and 5 times powers of ten, at most so many of them."""
    ticks = _log_ticks(low, high, most)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, labels=[_plain(tick) for tick in ticks])
    axes.set_xticks([], minor=True)


def log_y(axes: Axes, low: float, high: float, most: int = 9) -> None:
    """The same for y."""
    ticks = _log_ticks(low, high, most)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, labels=[_plain(tick) for tick in ticks])
    axes.set_yticks([], minor=True)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 3.3 else (1.0, 2.0, 5.0) if decades > 1 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    ticks = [m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in steps]
    inside = [tick for tick in ticks if low <= tick <= high] or [math.sqrt(low * high)]
    return inside[:: -(-len(inside) // most)]


def _plain(tick: float) -> str:
    return f"{tick:,.0f}" if 1e4 <= tick < 1e7 else f"{tick:.3g}"


def golden_jitter(count: int) -> npt.NDArray[np.float64]:
    """Evenly spread offsets in [-0.5, 0.5), the same every time (additive recurrence)."""
    return np.asarray((np.arange(count) * 0.6180339887498949 + 0.5) % 1.0 - 0.5, dtype=np.float64)
