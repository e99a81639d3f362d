"""Bounding boxes of every text in a figure, matplotlib's own and the stamped ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from harness.report.figures import lettering, style
from harness.report.figures.lettering import Letters


@dataclass
class Caught:
    """Figures as they were drawn, by name, and what was stamped into them."""

    figures: dict[str, Figure] = field(default_factory=dict)
    letters: list[tuple[Axes, Letters, float]] = field(default_factory=list)

    def boxes(self, name: str) -> list[tuple[str, Bbox]]:
        """Every visible text of a figure with its box in pixels."""
        figure = self.figures[name]
        found = [(text.get_text(), box) for text in texts_of(figure) for box in [extent(text)]]
        for axes, entry, size_pt in self.letters:
            if axes.get_figure(root=True) is figure and entry.text.strip():
                found.append((entry.text, stamped(axes, entry, size_pt)))
        return found


@contextmanager
def caught(patch: pytest.MonkeyPatch) -> Iterator[Caught]:
    """Draw figures without writing them, and keep them."""
    kept = Caught()
    write = lettering.write

    def rendered(name: str, title: str, draw: Any) -> tuple[bytes, bytes]:
        with style.house_style():
            figure = draw()
            figure.draw_without_rendering()
        kept.figures[name] = figure
        return b"<svg/>", bytes(24)

    def remember(axes: Axes, letters: Iterable[Letters], size_pt: float) -> None:
        listed = list(letters)
        kept.letters += [(axes, entry, size_pt) for entry in listed]
        write(axes, listed, size_pt)

    with patch.context() as context:
        context.setattr(style, "rendered", rendered)
        context.setattr(lettering, "write", remember)
        yield kept


def texts_of(figure: Figure) -> list[Text]:
    """Texts that are drawn: of axes, ticks within the limits, legends."""
    ticks = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks() + axis.get_minor_ticks()
        for label in (tick.label1, tick.label2)
    }
    drawn = {
        id(label)
        for axes in figure.axes
        if axes.axison
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis._update_ticks()  # type: ignore[attr-defined]
        for label in (tick.label1, tick.label2)
    }
    off = {id(label) for axes in figure.axes if not axes.axison for label in (axes.xaxis.label, axes.yaxis.label)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in off
        and (id(text) not in ticks or id(text) in drawn)
    ]  # fmt: skip


def extent(text: Text) -> Bbox:
    """A text's box without the line that an annotation may have."""
    return Text.get_window_extent(text) if isinstance(text, Annotation) else text.get_window_extent()


def stamped(axes: Axes, entry: Letters, size_pt: float) -> Bbox:
    """Box of a stamped text, from its advances and the height of a digit."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    x, y = axes.transData.transform((entry.x, entry.y))
    size = size_pt / 72 * figure.dpi
    width = style.text_width(style.safe_label(entry.text)) * size
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[entry.side] * width
    return Bbox.from_bounds(left, y - 0.365 * size, width, 0.73 * size)


def shrunk(box: Bbox, px: float = 0.75) -> Bbox:
    """A box that neighbours may touch."""
    return Bbox.from_extents(box.x0 + px, box.y0 + px, box.x1 - px, box.y1 - px)


def overlapping(boxes: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    """Pairs of texts that lie on one another."""
    small = [(text, shrunk(box)) for text, box in boxes]
    small = [(text, box) for text, box in small if box.x1 > box.x0 and box.y1 > box.y0]
    return [
        (one, other)
        for i, (one, box) in enumerate(small)
        for other, second in small[i + 1 :]
        if box.x0 < second.x1 and second.x0 < box.x1 and box.y0 < second.y1 and second.y0 < box.y1
    ]


def outside(boxes: list[tuple[str, Bbox]], figure: Figure) -> list[str]:
    """Texts that are not wholly inside the figure, to a pixel."""
    whole = figure.bbox.padded(1.0)
    return [
        text for text, box in boxes if box.x0 < whole.x0 or box.y0 < whole.y0 or box.x1 > whole.x1 or box.y1 > whole.y1
    ]
