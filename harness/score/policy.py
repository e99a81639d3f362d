"""The failure policy: which values an attempt gets that has none of its own.

The values are the protocol's (`Metric.on_failure`); here is only who gets them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.protocol import Protocol
from harness.records import FAILURES, Outcome

#: Outcomes that are nobody's merit or fault: such rows get no values at all.
UNDECIDED = frozenset({Outcome.HARNESS_FAULT, Outcome.BAD_REFERENCE})


def apply_policy(row: Mapping[str, Any], protocol: Protocol, time_limit_s: float) -> dict[str, Any]:
    """A results row with its metrics as its outcome demands.

    Args:
        row: a row of the results table; its ``outcome`` decides.
        protocol: its metrics, and what a failure gets in each.
        time_limit_s: the run's time limit, which may be a failed attempt's runtime.

    Returns:
        a copy: of outcome ok as it was (an undefined score stays NaN); of a submission's failure with
        every metric at its failure value; of harness_fault and bad_reference with every metric NaN.

    Raises:
        ValueError: an outcome that does not exist.
    """
    outcome = Outcome(row["outcome"])
    filled = dict(row)
    for name, metric in protocol.metrics.items():
        if outcome in FAILURES:
            filled[name] = metric.failure_value(time_limit_s)
        elif outcome in UNDECIDED:
            filled[name] = math.nan
    return filled
