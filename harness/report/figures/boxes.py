"""Dots with a box over them, a row a team: the part that several figures share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import Rectangle

from harness.report.data import FloatArray
from harness.report.figures.style import BLACK, BLUE, MANY_DOTS, golden_jitter

HALF_BOX = 0.27


def dots_and_boxes(axes: Axes, rows: Sequence[FloatArray], colour: str = BLUE) -> None:
    """Draw each row's values as dots and over them a box of quartiles with a median line.

    Whiskers reach the last value within 1.5 quartile ranges of the box (Tukey).  Rows without values
    stay empty.  The median lines carry the artist id ``medians``, in the order of the non-empty rows.

    Args:
        axes: where row i lies at y = i.
        rows: values of each row, NaN left out.
        colour: of the dots.
    """
    values = [row[np.isfinite(row)] for row in rows]
    dots = sum(len(row) for row in values)
    x = np.concatenate(values) if values else np.empty(0)
    y = np.concatenate([i + 0.62 * golden_jitter(len(row)) for i, row in enumerate(values)]) if values else np.empty(0)
    many = dots > MANY_DOTS
    fill = "#FFFFFF99" if many else "#EEF1F4"
    crowd = max(1.0, dots / 300)
    size, alpha = max(1.2, 16 / crowd**0.5), max(0.25, 0.7 / crowd**0.2)
    axes.scatter(x, y, s=size, c=colour, alpha=alpha, linewidths=0, rasterized=many, zorder=2 if many else 3.5)
    boxes, medians, whiskers = [], [], []
    for i, row in enumerate(values):
        if not len(row):
            continue
        low, median, high = np.percentile(row, (25, 50, 75))
        reach = 1.5 * (high - low)
        left, right = row[row >= low - reach].min(), row[row <= high + reach].max()
        boxes.append(Rectangle((low, i - HALF_BOX), high - low, 2 * HALF_BOX))
        medians.append([(median, i - HALF_BOX), (median, i + HALF_BOX)])
        whiskers += [[(left, i), (low, i)], [(high, i), (right, i)]]
    axes.add_collection(PatchCollection(boxes, facecolor=fill, edgecolor=BLACK, linewidth=0.8, zorder=3))
    axes.add_collection(LineCollection(whiskers, colors=BLACK, linewidths=0.8, zorder=3))
    axes.add_collection(LineCollection(medians, colors=BLACK, linewidths=2.0, zorder=4, gid="medians"))
