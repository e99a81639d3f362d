"""Columns that could have been ranked in a metric's place: other tolerances, corrected scores.

A results table may hold, beside a metric ``nsd``, columns ``nsd_1mm`` (the same at another tolerance) and
``nsd_corrected`` (the same without the official evaluator's known defects), or other readings of it that
the protocol knows (``nsd_contour``).  They are never ranked unasked; the sensitivity analysis tells what
would come of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.protocol import Metric

_TOLERANCE = re.compile(r"(\d+(?:\.\d+)?)mm")
_CORRECTED = "corrected"


@dataclass(frozen=True)
class VariantColumn:
    """One such column.

    Attributes:
        column: its name, ``METRIC_READING``.
        metric: the metric that it varies.
        reading: what differs: "corrected", "1mm", or the protocol's own word.
        tolerance_mm: the other tolerance, where that is what differs.
        drop_case: whether a case whose reference lacks a class judges nobody in it.
    """

    column: str
    metric: str
    reading: str
    tolerance_mm: float | None
    drop_case: bool


def variant_columns(
    columns: Iterable[str], ranked: Iterable[str], known: Mapping[str, Metric]
) -> tuple[VariantColumn, ...]:
    """The columns that vary one of the `ranked` metrics, in the order of `columns`.

    Args:
        columns: what a table has.
        ranked: names of the metrics that are ranked; none of them is a variant.
        known: the protocol's metrics.  Columns of another direction than the metric's are no variants of it.
    """
    ranked = tuple(ranked)
    found = []
    for column in columns:
        metric = max((m for m in ranked if column.startswith(f"{m}_")), key=len, default=None)
        if metric is None or column in ranked:
            continue
        reading = column[len(metric) + 1 :]
        tolerance = _TOLERANCE.fullmatch(reading)
        official, own = known.get(metric), known.get(column)
        if own is None and tolerance is None and reading != _CORRECTED:
            continue
        if own is not None and (official is None or own.smaller_is_better != official.smaller_is_better):
            continue
        spoken_for = own or official
        drop_case = True if spoken_for is None else spoken_for.drop_case
        limit = None if tolerance is None else float(tolerance[1])
        found.append(VariantColumn(column, metric, reading, limit, drop_case))
    return tuple(found)
