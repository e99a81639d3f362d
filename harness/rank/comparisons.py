"""Two teams in pairs: an algorithm against its predecessor, a reproduction against its original.

A successor is to be better: the mean paired difference with its 95 % bootstrap interval, and the two-sided
Wilcoxon signed-rank test.

A reproduction is to be the same, which no test that finds nothing can show.  So it is tested that the
difference lies within a margin named beforehand, by two one-sided paired t-tests at 0.05 (D. J. Schuirmann,
A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of
average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987); the interval beside it
is of 90 %, so that both tell the same but for the shape of the distribution.

Over all tasks, cases are pooled: a task counts with its number of cases, as in the mean values that papers
report.  The bootstrap draws within each task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import stdtr

from harness.errors import UsageError
from harness.rank.order import FloatArray, IntArray
from harness.rank.ranked import Values
from harness.rank.table import RankedMetric, Table
from harness.rank.wilcoxon import pair_tests

Kind = Literal["successor", "reproduction"]

#: The task of rows over all tasks.
ALL_TASKS = "all"
#: Margins of equivalence where none is given: of DSC and NSD a hundredth, of runtimes a share of the original's
#: median.  They are conventions, narrow against the differences that published rankings turn on; a study that
#: has grounds for others should name them.
MARGINS = {"dsc": 0.01, "nsd": 0.01}
RUNTIME_MARGIN = 0.1
_ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """One pair of teams in one task and metric, by the cases in which both have a value.

    Attributes:
        kind: what the first is to the second.
        team, rival: successor and predecessor, or reproduction and original.
        task: "all" for all cases of all tasks.
        metric: its name.
        n: number of cases.
        value_team, value_rival: means.
        difference: mean of team less rival, in the metric's units whatever its direction.
        low, high: bootstrap interval of it over cases, percentiles: 95 % for successors, 90 % for reproductions.
        p: two-sided Wilcoxon test, NaN where all differences are zero; for reproductions the larger p of the two
            one-sided t-tests, NaN without a margin or with fewer than two cases.
        margin: of equivalence, in the metric's units; NaN for successors and where there is none.
        equivalent: whether the reproduction is shown to lie within the margin; None where it was not tested.
    """

    kind: Kind
    team: str
    rival: str
    task: str
    metric: str
    n: int
    value_team: float
    value_rival: float
    difference: float
    low: float
    high: float
    p: float
    margin: float
    equivalent: bool | None


def comparisons(
    table: Table,
    values: Values,
    draws: Sequence[Iterable[IntArray]],
    successors: Sequence[tuple[str, str]],
    reproductions: Sequence[tuple[str, str]],
    margins: Mapping[str, float] | None = None,
) -> tuple[Comparison, ...]:
    """Compare pairs of teams, task by task and over all cases.

    Args:
        table: what was ranked.
        values: for each task, for each metric, under the main scheme's rule for missing values.
        draws: for each task the counts of its draws, (b, cases) block by block; without any, intervals are NaN.
        successors: (team, predecessor).
        reproductions: (team, original).
        margins: metric -> margin of equivalence in its units, in place of `MARGINS` and `RUNTIME_MARGIN`.

    Raises:
        UsageError: a team or metric that is not there, a team compared with itself, a margin not above 0.
    """
    pairs: list[tuple[Kind, str, str]] = [("successor", *pair) for pair in successors]
    pairs += [("reproduction", *pair) for pair in reproductions]
    _check(table, pairs, margins or {})
    if not pairs:
        return ()
    places = [(table.teams.index(team), table.teams.index(rival)) for _, team, rival in pairs]
    sampled = _sampled_means(values, draws, places)
    found = []
    for k, ((kind, team, rival), (i, j)) in enumerate(zip(pairs, places, strict=True)):
        of_task = [[of[:, [i, j]] for of in task] for task in values]
        pooled = [np.concatenate(parts) for parts in zip(*of_task, strict=True)]
        names = [*(task.name for task in table.tasks), ALL_TASKS]
        for place, (task, metrics) in enumerate(zip(names, [*of_task, pooled], strict=True)):
            for m, (metric, both) in enumerate(zip(table.metrics, metrics, strict=True)):
                both = both[~np.isnan(both).any(axis=1)]
                margin = _margin(metric, both[:, 1], margins or {}) if kind == "reproduction" else np.nan
                means = sampled[:, place, m, k]
                found.append(_compared(kind, team, rival, task, metric, both, means, margin))
    return tuple(found)


def equivalence_p(difference: FloatArray, margin: float) -> float:
    """Larger p of the two one-sided paired t-tests that the mean difference lies within +-margin.

    Args:
        difference: (n,) paired differences.
        margin: above 0.

    Returns:
        NaN with fewer than two differences.
    """
    n = len(difference)
    if n < 2:
        return float("nan")
    mean = float(difference.mean())
    inside = margin - abs(mean)
    error = float(difference.std(ddof=1)) / np.sqrt(n)
    if error == 0:
        return 0.0 if inside > 0 else 1.0
    return float(stdtr(n - 1, -inside / error))


def comparisons_frame(found: Sequence[Comparison]) -> pd.DataFrame:
    """``kind,team,rival,task,metric,n,value_team,value_rival,difference,low,high,p,margin,equivalent``."""
    columns = list(Comparison.__dataclass_fields__)
    rows = [tuple(getattr(one, name) for name in columns) for one in found]
    return pd.DataFrame(rows, columns=columns).astype({"equivalent": "boolean"})


def _check(table: Table, pairs: Sequence[tuple[Kind, str, str]], margins: Mapping[str, float]) -> None:
    for kind, team, rival in pairs:
        for name in (team, rival):
            if name not in table.teams:
                raise UsageError(f"--{kind} names {name}, which is no team. Teams: {', '.join(table.teams)}.")
        if team == rival:
            raise UsageError(f"--{kind} {team}={rival} compares a team with itself. Name two teams.")
    ranked = [metric.name for metric in table.metrics]
    for name, margin in margins.items():
        if name not in ranked:
            raise UsageError(f"--margin names {name}, which is not ranked. Ranked: {', '.join(ranked)}.")
        if not margin > 0:
            raise UsageError(f"--margin {name}={margin:g} must be above 0.")


def _margin(metric: RankedMetric, original: FloatArray, margins: Mapping[str, float]) -> float:
    if metric.name in margins:
        return margins[metric.name]
    if metric.is_time:
        return RUNTIME_MARGIN * float(np.median(original)) if len(original) else float("nan")
    return MARGINS.get(metric.name, float("nan"))


def _sampled_means(
    values: Values, draws: Sequence[Iterable[IntArray]], places: Sequence[tuple[int, int]]
) -> FloatArray:
    """(B, tasks + 1, metrics, pairs) mean differences in every sample, the last of all tasks' cases."""
    i, j = (list(side) for side in zip(*places, strict=True))
    per_task = []
    for task, blocks in zip(values, draws, strict=True):
        difference = np.stack([metric[:, i] - metric[:, j] for metric in task], axis=1)  # (cases, metrics, pairs)
        flat = difference.reshape(len(difference), -1)
        known = ~np.isnan(flat)
        filled, there = np.where(known, flat, 0.0), known.astype(np.float64)
        both = [np.stack([c @ filled, c @ there], axis=1) for c in (counts.astype(np.float64) for counts in blocks)]
        shape = (2, *difference.shape[1:])
        per_task.append(np.concatenate(both).reshape(-1, *shape) if both else np.empty((0, *shape)))
    sums = np.stack(per_task, axis=1)  # (B, tasks, 2, metrics, pairs)
    sums = np.concatenate([sums, sums.sum(axis=1, keepdims=True)], axis=1)
    total, number = sums[:, :, 0], sums[:, :, 1]
    means: FloatArray = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return means


def _compared(
    kind: Kind,
    team: str,
    rival: str,
    task: str,
    metric: RankedMetric,
    both: FloatArray,
    sampled: FloatArray,
    margin: float,
) -> Comparison:
    n = len(both)
    nothing = float("nan")
    mean_team, mean_rival = (float(side) for side in both.mean(axis=0)) if n else (nothing, nothing)
    difference = both[:, 0] - both[:, 1]
    sampled = sampled[~np.isnan(sampled)]
    tail = 0.025 if kind == "successor" else _ALPHA
    low, high = (float(q) for q in np.quantile(sampled, [tail, 1 - tail])) if len(sampled) else (nothing, nothing)
    equivalent = None
    if kind == "successor":
        p = float(pair_tests(both, metric.smaller_is_better, "none").p_two_sided[0]) if n else nothing
    else:
        p = equivalence_p(difference, margin) if margin > 0 else nothing
        equivalent = None if np.isnan(p) else p < _ALPHA
    mean = float(difference.mean()) if n else nothing
    return Comparison(
        kind, team, rival, task, metric.name, n, mean_team, mean_rival, mean, low, high, p, margin, equivalent
    )
