"""Many short texts at once: every glyph, or a longer text as a whole, is one outline stamped wherever it is wanted.

A matplotlib text is laid out, rasterised and written by itself, a millisecond each; a figure of a
thousand numbers would take seconds, and its file would grow with every number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from harness.report.figures.style import safe_label, text_width

#: Height of a DejaVu digit over the type's size: its middle lies at y.
_DIGIT_HEIGHT = 0.729
_SIDES = {"left": 0.0, "center": 0.5, "right": 1.0}
#: Longer texts are outlined whole: their letters would be more stamps than the outline has points.
_LONGEST_SPELLED = 5


@dataclass(frozen=True)
class Letters:
    """A text at a place.

    Attributes:
        x, y: in the axes' data; y is the middle of the digits.
        text: one line.
        colour: of the type.
        side: which part of the text lies at x: "left", "center" or "right".
    """

    x: float
    y: float
    text: str
    colour: str = "#111111"
    side: str = "center"


def write(axes: Axes, letters: Iterable[Letters], size_pt: float) -> None:
    """Write texts of one size into axes whose limits stay as they are from here on.

    Each artist carries what it stamps as the label ``letters:TEXT``.
    """
    entries = [entry for entry in letters if entry.text.strip()]
    if not entries:
        return
    size_in = size_pt / 72
    figure = axes.get_figure(root=True)
    assert figure is not None
    spots = axes.transData.transform([(entry.x, entry.y) for entry in entries]) / figure.dpi
    stamps: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for entry, (x_in, y_in) in zip(entries, spots, strict=True):
        text = safe_label(entry.text)
        left = x_in - _SIDES[entry.side] * text_width(text) * size_in
        base = y_in - _DIGIT_HEIGHT / 2 * size_in
        for start, part in _parts(text):
            stamps[part, entry.colour].append((left + start * size_in, base))
    for (part, colour), places in stamps.items():
        outline = _outline(part, size_in)
        stamp = PathCollection(
            [outline], offsets=places, offset_transform=figure.dpi_scale_trans,
            facecolors=colour, edgecolors="none", zorder=5, clip_on=False, label=f"letters:{part}",
        )  # fmt: skip
        stamp.set_transform(figure.dpi_scale_trans)
        axes.add_collection(stamp, autolim=False)


@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[tuple[float, str], ...]:
    """Pieces of a text that are stamped, with where they start in sizes of the type."""
    if len(text) > _LONGEST_SPELLED:
        return ((0.0, text),)
    return tuple((text_width(text[:i]), char) for i, char in enumerate(text) if char.strip())


@lru_cache(maxsize=4096)
def _outline(text: str, size: float) -> Path:
    """A text's outline with its origin at 0."""
    path = TextPath((0, 0), text, size=100, prop=FontProperties(family="DejaVu Sans"))
    return Path(np.asarray(path.vertices, dtype=np.float64) * (size / 100), path.codes)
