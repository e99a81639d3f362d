"""The sums of the signed-rank test for many resamples of the cases at once.

The absolute differences of a pair of teams are sorted once.  How often each was drawn then gives every resample's
mid-ranks by adding up along that order: a value drawn e times after c others shares the ranks c + 1 to c + e.
Resamples lie side by side in memory, so that each step of the walk is one vector operation.

Every sum is a whole number below n^3 and exact in a double up to n = 200,000 pairs, so that a resample's test is to
the last bit that of the table written out with its copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.compiled import compiled
from harness.rank.order import FloatArray, IntArray

#: Resamples that lie side by side.
_LANES = 128
#: Differences sorted at once.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class RankSums:
    """What the signed-rank test of each pair (P) in each resample (B) is made of; arrays (P, B) of whole numbers.

    Attributes:
        n: pairs of values that both teams have.
        nonzero: those that differ.
        doubled_v: twice the sum of the ranks of the positive differences.
        ties: sum of e^3 - e over the groups of e equal absolute differences, zeros left out.
    """

    n: FloatArray
    nonzero: FloatArray
    doubled_v: FloatArray
    ties: FloatArray


def rank_sums(
    values: FloatArray, counts: IntArray, i: IntArray, j: IntArray, digits: int | None, rank_zeros: bool
) -> RankSums:
    """Sums of the differences value of i less value of j.

    Args:
        values: (cases, teams), NaN where a team has no value.
        counts: (B, cases) how often each case was drawn.
        i, j: (P,) positions of the teams.
        digits: decimals that differences are rounded to; None: not at all.
        rank_zeros: differences of zero take the lowest ranks (Pratt) instead of none (Wilcoxon).
    """
    drawn = _side_by_side(counts)
    columns = np.ascontiguousarray(values.T)
    lanes = drawn.shape[0] * drawn.shape[2]
    parts = []
    block = max(1, _BLOCK // max(1, len(values)))
    for start in range(0, max(1, len(i)), block):
        part = slice(start, start + block)
        differences = columns[i[part]] - columns[j[part]]
        if digits is not None:
            differences = np.round(differences, digits)
        parts.append(_walk(differences, np.argsort(np.abs(differences), axis=1), drawn, rank_zeros))
    doubled_v, cubes, nonzero, zeros = (
        np.concatenate([part[k] for part in parts]).reshape(len(i), lanes)[:, : len(counts)] for k in range(4)
    )
    return RankSums(nonzero + zeros, nonzero, doubled_v, cubes - nonzero)


def _side_by_side(counts: IntArray) -> FloatArray:
    """(B, cases) -> (chunks, cases, lanes), filled up with resamples that drew nothing."""
    samples, cases = counts.shape
    lanes = min(_LANES, samples)
    chunks = -(-samples // lanes)
    drawn = np.zeros((chunks * lanes, cases))
    drawn[:samples] = counts
    return np.ascontiguousarray(drawn.reshape(chunks, lanes, cases).transpose(0, 2, 1))


@compiled
def _walk(
    differences: FloatArray, order: IntArray, drawn: FloatArray, rank_zeros: bool
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Sums of (P, cases) differences, `order` sorting their absolute values with NaN last.

    Returns:
        (P, chunks, lanes): twice the sum of the positive ranks; the sum of e^3 over groups of e equal absolute
        differences; the number of differences other than zero; that of zeros.
    """
    pairs, cases = differences.shape
    chunks, _, lanes = drawn.shape
    doubled_v = np.zeros((pairs, chunks, lanes))
    cubes = np.zeros((pairs, chunks, lanes))
    nonzero = np.zeros((pairs, chunks, lanes))
    zeros = np.zeros((pairs, chunks, lanes))
    equal = np.empty(lanes)
    positive = np.empty(lanes)
    below = np.empty(lanes)
    for p in range(pairs):
        difference = differences[p]
        place = order[p]
        known = cases
        while known > 0 and np.isnan(difference[place[known - 1]]):
            known -= 1
        for c in range(chunks):
            v, cube, number, zero = doubled_v[p, c], cubes[p, c], nonzero[p, c], zeros[p, c]
            below[:] = 0.0
            k = 0
            while k < known and difference[place[k]] == 0.0:
                weight = drawn[c, place[k]]
                for s in range(lanes):
                    zero[s] += weight[s]
                k += 1
            if rank_zeros:
                below[:] = zero
            while k < known:
                first = place[k]
                size = abs(difference[first])
                end = k + 1
                while end < known and abs(difference[place[end]]) == size:
                    end += 1
                if end == k + 1:  # most are alone
                    weight = drawn[c, first]
                    if difference[first] > 0.0:
                        for s in range(lanes):
                            e = weight[s]
                            v[s] += e * (2.0 * below[s] + e + 1.0)
                            cube[s] += e * e * e
                            below[s] += e
                    else:
                        for s in range(lanes):
                            e = weight[s]
                            cube[s] += e * e * e
                            below[s] += e
                else:
                    equal[:] = 0.0
                    positive[:] = 0.0
                    for m in range(k, end):
                        weight = drawn[c, place[m]]
                        sign = 1.0 if difference[place[m]] > 0.0 else 0.0
                        for s in range(lanes):
                            equal[s] += weight[s]
                            positive[s] += sign * weight[s]
                    for s in range(lanes):
                        e = equal[s]
                        v[s] += positive[s] * (2.0 * below[s] + e + 1.0)
                        cube[s] += e * e * e
                        below[s] += e
                k = end
            number[:] = below - zero if rank_zeros else below
    return doubled_v, cubes, nonzero, zeros
