"""Order statistics of Walsh averages, the n (n + 1) / 2 means (x_i + x_j) / 2 with i <= j, without making them all.

With x sorted, the sums grow along every row and down every column of the triangle, so that two pointers count in
O(n) how many lie below a given value.  A random one of the sums still in question splits them, until few are left.

Source: D. B. Johnson, T. Mizoguchi, Selecting the Kth element in X + Y and X1 + X2 + ... + Xm, SIAM J. Comput. 7
(1978), with random instead of weighted median pivots, as in J. F. Monahan, Algorithm 616: fast computation of the
Hodges-Lehmann location estimator, ACM TOMS 10 (1984).
"""

from __future__ import annotations

import numpy as np

from harness.compiled import compiled
from harness.rank.order import FloatArray, IntArray


@compiled
def walsh_estimates(differences: FloatArray, known: IntArray, bound: IntArray) -> FloatArray:
    """Median of the Walsh averages of each row, and those at `bound` from both ends.

    Args:
        differences: (P, cases), sorted along each row, NaN last.
        known: (P,) how many are not NaN.
        bound: (P,) which average bounds the interval, counted from 1 at either end; 0: there is none.

    Returns:
        (P, 3): median, lower and upper bound; NaN where there is none.
    """
    result = np.full((len(differences), 3), np.nan)
    for p in range(len(differences)):
        n = known[p]
        if n == 0:
            continue
        x = differences[p, :n]
        averages = n * (n + 1) // 2
        middle = _sum_at(x, (averages - 1) // 2)
        if averages % 2 == 0:
            middle = (middle + _sum_after(x, middle, averages // 2)) / 2
        result[p, 0] = middle / 2
        if bound[p] > 0:
            result[p, 1] = _sum_at(x, bound[p] - 1) / 2
            result[p, 2] = _sum_at(x, averages - bound[p]) / 2
    return result


@compiled
def _sum_at(x: FloatArray, k: int) -> float:
    """The sum x_i + x_j, i <= j, at position k (from 0) in order of size; x sorted."""
    n = len(x)
    # Of row i the columns left[i] to right[i] - 1 are in question.
    left, right = np.arange(n), np.full(n, n)
    first, after = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    state = 1
    while True:
        open_ = 0
        for i in range(n):
            open_ += right[i] - left[i]
        if open_ <= n:
            break
        state = (state * 1103515245 + 12345) % 2147483648
        chosen = state % open_
        row = 0
        while chosen >= right[row] - left[row]:
            chosen -= right[row] - left[row]
            row += 1
        pivot = x[row] + x[left[row] + chosen]
        smaller, not_larger = 0, 0
        low, high = n, n
        for i in range(n):
            while low > i and x[i] + x[low - 1] >= pivot:
                low -= 1
            while high > i and x[i] + x[high - 1] > pivot:
                high -= 1
            first[i], after[i] = max(low, i), max(high, i)
            smaller += first[i] - i
            not_larger += after[i] - i
        if k < smaller:
            right[:] = first
        elif k < not_larger:
            return float(pivot)
        else:
            left[:] = after
    few = np.empty(open_)
    at, below = 0, 0
    for i in range(n):
        below += left[i] - i
        for j in range(left[i], right[i]):
            few[at] = x[i] + x[j]
            at += 1
    few.sort()
    return float(few[k - below])


@compiled
def _sum_after(x: FloatArray, value: float, k: int) -> float:
    """The sum at position k, where `value` is the one at k - 1."""
    n = len(x)
    not_larger = 0
    following = np.inf
    high = n
    for i in range(n):
        while high > i and x[i] + x[high - 1] > value:
            high -= 1
        after = max(high, i)
        not_larger += after - i
        if after < n:
            following = min(following, x[i] + x[after])
    return float(value if not_larger > k else following)
