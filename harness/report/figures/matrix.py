"""A matrix of shaded cells with a short text in each: the part that several figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.path import Path

from harness.report.data import FloatArray
from harness.report.figures import lettering
from harness.report.figures.lettering import Letters
from harness.report.figures.style import LABEL_PT, WIDTH_IN, ink_on, place_axes, safe_label, team_rows, width_in

#: Cells are at most so wide and so high.
_WIDEST_IN, _HIGHEST_IN = 0.5, 0.4
_LOWEST_IN = 0.19
_COLUMN_PT = 7.0


def draw_matrix(
    values: FloatArray,
    texts: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    colours: str = "Blues",
    limits: tuple[float, float],
    below: str = "",
    upright: bool = False,
    frames: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Draw a matrix with its rows' names on the left.

    Args:
        values: (R, C) what shades the cells; NaN leaves a cell empty.
        texts: what is written into the cells.
        rows: names of the R rows.
        columns: names of the C columns, below the matrix; upright ones above it.
        colours: name of matplotlib's colour map.
        limits: values at both ends of the colour map.
        below: text below the columns.
        upright: whether the columns' names are turned by a quarter.
        frames: cells (row, column) that get a frame.
    """
    left_in = width_in(rows, LABEL_PT) + 0.22
    head_in = width_in(columns, _COLUMN_PT) + 0.16 if upright else 0.1
    feet_in = (0.12 if upright else 0.3) + (0.3 if below else 0.0)
    wide_in = min(_WIDEST_IN, (WIDTH_IN - left_in - 0.15) / len(columns))
    high_in = min(_HIGHEST_IN, max(_LOWEST_IN, wide_in))
    height = head_in + high_in * len(rows) + feet_in
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = place_axes(figure, left_in, feet_in, wide_in * len(columns), high_in * len(rows))
    team_rows(axes, rows)
    boxes = [Rectangle((j - 0.44, i - 0.42), 0.88, 0.84) for i, j in frames]
    axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor="black", linewidth=1.0, zorder=4))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    _fill(axes, values, colours, limits, (wide_in, high_in))
    _write(axes, values, texts, colours, limits, wide_in)
    axes.set_xticks(range(len(columns)), labels=[safe_label(name) for name in columns])
    axes.tick_params(length=0, pad=2)
    axes.tick_params(axis="x", labelsize=_COLUMN_PT, labelrotation=90 if upright else 0)
    if upright:
        axes.xaxis.tick_top()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    figure.text(left_in / WIDTH_IN, 0.07 / height, safe_label(below), fontsize=8, va="bottom")
    return figure


def _fill(
    axes: Axes, values: FloatArray, colours: str, limits: tuple[float, float], cell_in: tuple[float, float]
) -> None:
    """One rectangle, stamped in every cell that has a value, with a thin gap between neighbours."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    rows, columns = np.nonzero(np.isfinite(values))
    if not len(rows):
        return
    half_w, half_h = (side / 2 - 0.004 for side in cell_in)
    cell = Path([(-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h), (0, 0)], closed=True)
    stamps = PathCollection(
        [cell], offsets=np.column_stack([columns, rows]), offset_transform=axes.transData, zorder=1, gid="cells",
        facecolors=_shades(values[rows, columns], colours, limits), edgecolors="none",
    )  # fmt: skip
    stamps.set_transform(figure.dpi_scale_trans)
    stamps.set_array(None)
    axes.add_collection(stamps, autolim=False)


def _shades(values: FloatArray, colours: str, limits: tuple[float, float]) -> FloatArray:
    """(N, 4) colours."""
    share = (values - limits[0]) / max(limits[1] - limits[0], 1e-12)
    return np.asarray(colormaps[colours](np.clip(share, 0, 1)), dtype=np.float64)


def _write(
    axes: Axes,
    values: FloatArray,
    texts: Sequence[Sequence[str]],
    colours: str,
    limits: tuple[float, float],
    wide_in: float,
) -> None:
    """Write the cells' texts in the one size at which the longest fits."""
    longest = max((text for row in texts for text in row), key=len, default="")
    size = min(8.5, (wide_in - 0.035) / max(width_in([longest, "00"], 100.0), 1e-9) * 100)
    known = np.isfinite(values)
    cells = _shades(np.where(known, values, limits[0]), colours, limits)
    letters = [
        Letters(j, i, texts[i][j], ink_on(tuple(cells[i, j])) if known[i, j] else "#111111")
        for i, j in np.ndindex(values.shape)
        if texts[i][j]
    ]
    lettering.write(axes, letters, size)
