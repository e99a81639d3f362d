"""Simultaneous confidence sets of ranks: which ranks the data do not rule out, for all teams at once.

Of every two teams the aggregates' difference is tested; a team's set of ranks runs from one more than the
number of teams shown to be better than it to the number of teams not shown to be worse.  All sets of a
unit together hold all true ranks with the probability asked for, when cases are drawn as they were.

The tests: differences of aggregates divided by their bootstrap deviation, against the quantile of their
largest deviation over all ordered pairs of teams in the bootstrap; pairs decided are taken out and the
rest tested again with a smaller quantile (stepdown), until no more is decided.  For means that is the
procedure of M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, Inference for Ranks with Applications to
Mobility across Neighbourhoods and Academic Achievement across Countries, Review of Economic Studies 91,
2024 (R package csranks), with the cases' bootstrap in place of normal draws.  For small numbers of cases
the deviation is taken as from n - 1 degrees of freedom and the quantile is Student's instead of the normal
one: for two teams this is the paired t-test.

The final score is a mean of ranks, which jumps where two teams' aggregates cross.  Its bootstrap is not
consistent where teams are all but equal (P. Hall, H. Miller, Using the bootstrap to quantify the authority
of an empirical ranking, Annals of Statistics 37, 2009): samples lie nearer to a tie than the data do, and
scatter less about their own mean than new data would about theirs.  So it is not the observed difference
that is held against the samples' deviation, but the samples' mean difference, which is nearer to zero: with
all teams equal that stays below the level, where the observed difference exceeds it several times (simulated
in the tests).  Nobody is shown to be better whose observed score is not.  What is covered is the rank by the
score to be expected in a repetition with as many cases, not with infinitely many.

Where a scheme ranks by tests, aggregates are no estimates; there a unit's sets follow from Holm's
adjustment of the pairwise Wilcoxon tests (D. Al Mohamad, J. J. Goeman, E. W. van Zwet, Simultaneous
confidence intervals for ranks with application to ranking institutions, Biometrics 78, 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, stdtrit

from harness.rank.order import DIGITS, BoolArray, FloatArray, IntArray
from harness.rank.ranked import SchemeRanks, Units
from harness.rank.schemes import final_scores
from harness.rank.table import Table
from harness.rank.wilcoxon import PairTests, adjust

LEVEL = 0.95
#: Aggregates that differ by less are equal: they are compared after rounding.
_EQUAL = 10.0**-DIGITS


@dataclass(frozen=True)
class RankSets:
    """Confidence sets of ranks, (units + 1, teams) each, the final ones last; NaN for a team without a rank.

    Attributes:
        low: best rank that is not ruled out; also the rank declared when teams that the data do not separate
            are held to be tied: one more than the number of teams shown to be better.
        high: worst rank that is not ruled out.
        level: the probability that all sets of a unit hold at once.
    """

    low: FloatArray
    high: FloatArray
    level: float


def rank_sets(
    table: Table,
    main: SchemeRanks,
    units: Units,
    draws: Sequence[Iterable[IntArray]],
    sampled: npt.NDArray[np.float32],
    weights: FloatArray,
    tests: Sequence[PairTests],
    level: float = LEVEL,
) -> RankSets:
    """Sets for every unit and for the final ranking.

    Args:
        table: what was ranked.
        main: the ranking of the full data.
        units: for each task, for each metric, under the main scheme.
        draws: for each task the counts of its draws, (b, cases) block by block, from the first on.
        sampled: (B, units + 1, teams) the bootstrap's ranks, of the same draws or others.
        weights: (units,) of the final score.
        tests: one a unit, for schemes that rank by tests.
        level: of each unit's sets together.
    """
    low: list[FloatArray] = []
    high: list[FloatArray] = []
    if main.scheme.name == "test-then-rank":
        for of_unit, ranks in zip(tests, main.ranks, strict=True):
            better = _significant(of_unit, len(table.teams), 1 - level)
            _append(low, high, better, ~np.isnan(ranks))
    else:
        position = 0
        for task, metrics, blocks in zip(table.tasks, units, draws, strict=True):
            counted = list(blocks)
            for unit in metrics:
                replicates = np.concatenate([unit.aggregates(counts) for counts in counted])
                sign = -1.0 if unit.smaller_is_better else 1.0
                estimate = sign * main.aggregates[position]
                better = separated(estimate, sign * replicates, level, len(task.cases))
                _append(low, high, better, ~np.isnan(main.ranks[position]))
                position += 1
    scores = final_scores(sampled[:, :-1].astype(np.float64), weights)
    better = separated(-main.scores, -scores, level, bagged=True)
    _append(low, high, better, ~np.isnan(main.scores))
    return RankSets(np.stack(low), np.stack(high), level)


def separated(
    estimate: FloatArray,
    replicates: FloatArray,
    level: float = LEVEL,
    cases: int | None = None,
    *,
    bagged: bool = False,
) -> BoolArray:
    """Which team is shown to be better than which, with probability `level` of no false claim.

    Args:
        estimate: (T,) aggregates, larger better; NaN where there is none.
        replicates: (B, T) the same in bootstrap samples; NaN in some is left out.
        level: one less the probability of any false claim.
        cases: number of cases drawn, for the correction of small numbers; None: no correction.
        bagged: the samples' mean difference counts, not the observed one (see above, on final scores).

    Returns:
        (T, T) whether the team of the row is better than that of the column.
    """
    teams = len(estimate)
    better = np.zeros((teams, teams), dtype=bool)
    if cases is not None and cases < 2:  # one case tells nothing about others
        return better
    i, j = np.triu_indices(teams, k=1)
    difference = estimate[i] - estimate[j]
    root = replicates[:, i] - replicates[:, j]
    known = ~np.isnan(root)
    number = known.sum(axis=0)
    if bagged:
        mean = np.where(known, root, 0.0).sum(axis=0) / np.maximum(number, 1)
        difference = np.where(np.sign(mean) * np.sign(difference) > 0, mean, 0.0 * difference)
        root = root - mean
    else:
        root = root - difference
    square = np.where(known, root, 0.0) ** 2
    deviation = np.sqrt(np.divide(square.sum(axis=0), number, out=np.full(len(i), np.nan), where=number > 0))
    constant = deviation < _EQUAL
    scale = np.where(constant | np.isnan(deviation), 1.0, deviation)
    root = np.where(known & ~constant, root / scale, 0.0)
    spread = 1.0 if cases is None else np.sqrt(cases / (cases - 1))
    statistic = np.where(
        constant,
        np.where(np.abs(difference) < _EQUAL, 0.0, np.copysign(np.inf, difference)),
        difference / (scale * spread),
    )
    # Every pair is open in both directions: "i is better", which a deviation upward of the samples would
    # show falsely, and "j is better", which one downward would.
    above = ~np.isnan(statistic)
    below = above.copy()
    while above.any() or below.any():
        largest = np.maximum(root[:, above].max(axis=1, initial=0.0), (-root[:, below]).max(axis=1, initial=0.0))
        critical = _critical(float(np.quantile(largest, level, method="higher")), cases)
        found_above, found_below = above & (statistic > critical), below & (-statistic > critical)
        if not (found_above.any() or found_below.any()):
            break
        better[i[found_above], j[found_above]] = True
        better[j[found_below], i[found_below]] = True
        above, below = above & ~found_above, below & ~found_below
    return better


def _critical(normal: float, cases: int | None) -> float:
    """Student's quantile at the probability that the normal distribution gives the bootstrap's."""
    if cases is None:
        return normal
    tail = float(ndtr(-normal))
    return float(-stdtrit(cases - 1, tail)) if tail > 0 else np.inf


def _significant(tests: PairTests, teams: int, alpha: float) -> BoolArray:
    """(T, T) which team beats which in the Wilcoxon tests, Holm-adjusted."""
    better = np.zeros((teams, teams), dtype=bool)
    better[tests.i, tests.j] = adjust(tests.p_i_better, "holm") < alpha  # NaN is not
    return better


def _append(low: list[FloatArray], high: list[FloatArray], better: BoolArray, ranked: BoolArray) -> None:
    low.append(np.where(ranked, 1.0 + better.sum(axis=0), np.nan))
    high.append(np.where(ranked, ranked.sum() - better.sum(axis=1), np.nan))


def confidence_frame(names: Sequence[str], teams: Sequence[str], ranks: FloatArray, sets: RankSets) -> pd.DataFrame:
    """``unit,team,rank,low,high,declared``: units in order, within one by rank.

    Args:
        names: of the units, the last ``final``.
        teams: by position.
        ranks: (units + 1, teams) of the full data.
        sets: of the same.
    """
    rows = [
        (name, teams[t], ranks[u, t], sets.low[u, t], sets.high[u, t], sets.low[u, t])
        for u, name in enumerate(names)
        for t in np.argsort(ranks[u], kind="stable")
    ]
    return pd.DataFrame(rows, columns=["unit", "team", "rank", "low", "high", "declared"])
