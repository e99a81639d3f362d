"""The signed-rank test against numbers that R printed, hand-worked ones, and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.wilcoxon import adjust, pair_tests

#: Barley yields of 1931 and 1932, data set `immer` of R's package MASS (Venables, Ripley).
YIELD_1931 = (
    "81.0 105.4 119.7 109.7 98.3 146.6 142.0 150.7 191.5 145.7 82.3 77.3 78.4 131.3 89.6 "
    "119.8 121.4 124.0 140.8 124.8 98.9 89.0 69.1 89.3 104.1 86.9 77.1 78.9 101.8 96.0"
)
YIELD_1932 = (
    "80.7 82.3 80.4 87.2 84.2 100.4 115.5 112.2 147.7 108.1 103.1 105.1 116.5 139.9 129.6 "
    "98.9 61.9 96.2 125.5 75.7 66.4 49.9 96.7 61.9 80.3 67.7 66.7 67.4 91.8 94.1"
)


def columns(*teams):
    return np.array([[float(v) for v in (team.split() if isinstance(team, str) else team)] for team in teams]).T


def test_barley_as_r_prints_it():
    """``wilcox.test(immer$Y1, immer$Y2, paired=TRUE)``: V = 368.5, p-value = 0.005318 (ties: normal approximation)."""
    tests = pair_tests(columns(YIELD_1931, YIELD_1932), smaller_is_better=False)
    assert tests.v[0] == 368.5
    assert tests.p_two_sided[0] == pytest.approx(0.005318, abs=5e-7)
    assert tests.v[1] == 30 * 31 / 2 - 368.5
    assert tests.p_two_sided[1] == tests.p_two_sided[0]


def test_depression_scores_by_hand():
    """Hollander and Wolfe, example 3.1: V = 40 of n = 9; z = (40 - 22.5 - 0.5) / sqrt(9 * 10 * 19 / 24)."""
    before = "1.83 0.50 1.62 2.48 1.68 1.88 1.55 3.06 1.30"
    after = "0.878 0.647 0.598 2.05 1.06 1.29 1.06 3.14 1.29"
    tests = pair_tests(columns(before, after), smaller_is_better=False)
    assert tests.v[0] == 40
    assert tests.p_i_better[0] == pytest.approx(math.erfc(17 / math.sqrt(71.25) / math.sqrt(2)) / 2, rel=1e-12)
    assert tests.p_i_better[1] == pytest.approx(1 - math.erfc(18 / math.sqrt(71.25) / math.sqrt(2)) / 2, rel=1e-12)


def test_ties_and_zeros_by_hand():
    """Differences 1, 1, -1, 2, 0: the zero goes; mid-ranks 2, 2, 2, 4; V = 8 of 10; the tie takes 24 / 48 off."""
    tests = pair_tests(columns([2, 3, 4, 5, 6], [1, 2, 5, 3, 6]), smaller_is_better=False)
    assert (tests.n[0], tests.n_nonzero[0], tests.v[0]) == (5, 4, 8)
    z = (8 - 5 - 0.5) / math.sqrt(4 * 5 * 9 / 24 - 24 / 48)
    assert tests.p_i_better[0] == pytest.approx(math.erfc(z / math.sqrt(2)) / 2, rel=1e-12)
    assert tests.p_two_sided[0] == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-12)


def test_smaller_is_better_turns_the_one_sided_test_and_leaves_v():
    values = columns([1, 2, 3, 4.5, 7], [2, 4, 6, 8, 10])
    large, small = pair_tests(values, False), pair_tests(values, True)
    np.testing.assert_array_equal(large.v, small.v)
    np.testing.assert_array_equal(large.p_i_better, small.p_i_better[::-1])
    assert small.p_i_better[0] < 0.05 < small.p_i_better[1]


def test_equal_teams_are_never_better_and_count_in_the_adjustment():
    better = [5, 6, 7, 8, 9, 10, 11, 12]
    tests = pair_tests(columns(better, [1, 2, 3, 4, 5, 6, 7, 7.5], better), False, "holm")
    same = (tests.i == 0) & (tests.j == 2)
    assert tests.p_i_better[same] == 1
    assert np.isnan(tests.p_two_sided[same])
    strong = (tests.i == 0) & (tests.j == 1)
    np.testing.assert_allclose(tests.p_i_better_adj[strong], 6 * tests.p_i_better[strong])


def test_pairs_without_a_common_case_have_no_test():
    nan = np.nan
    tests = pair_tests(columns([1, 2, nan], [nan, nan, 3], [3, 1, 2]), False, "holm")
    none = (tests.i + tests.j) == 1
    assert tests.n[none].tolist() == [0, 0]
    assert np.isnan(tests.p_i_better[none]).all()
    assert np.isnan(tests.p_i_better_adj[none]).all()
    assert tests.n[(tests.i == 0) & (tests.j == 2)] == 2


def test_rounding_of_differences_on_request():
    """0.3 - 0.2 and 0.2 - 0.1 differ in the last bit: no tie for R, a tie after rounding."""
    values = columns([0.3, 0.2, 0.9], [0.2, 0.1, 0.1])
    assert pair_tests(values, False).p_two_sided[0] != pair_tests(values, False, digits=10).p_two_sided[0]


@settings(max_examples=60)
@given(arrays(float, st.tuples(st.integers(2, 40), st.just(3)), elements=st.integers(0, 12).map(float)), st.booleans())
def test_equal_to_scipy(values, smaller):
    tests = pair_tests(values, smaller)
    for row in range(len(tests.i)):
        x, y = values[:, tests.i[row]], values[:, tests.j[row]]
        if (x == y).all():
            continue
        for alternative, ours in (
            ("less" if smaller else "greater", tests.p_i_better),
            ("two-sided", tests.p_two_sided),
        ):
            peer = stats.wilcoxon(
                x, y, zero_method="wilcox", correction=True, alternative=alternative, method="asymptotic"
            )
            assert ours[row] == pytest.approx(peer.pvalue, rel=1e-10)
        positive = (d := (x - y)[x != y]) > 0
        assert tests.v[row] == stats.rankdata(abs(d))[positive].sum()


def test_deep_tails_keep_their_precision():
    """A thousand cases won by one team: p near 1e-165, as erfc gives it."""
    n = 1000
    tests = pair_tests(columns(np.arange(1, n + 1), np.zeros(n)), False)
    z = (n * (n + 1) / 4 - 0.5) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    assert tests.p_i_better[0] == pytest.approx(math.erfc(z / math.sqrt(2)) / 2, rel=1e-10)
    assert 0 < tests.p_i_better[0] < 1e-160


def test_holm_by_hand():
    """0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.5; NaN does not count."""
    p = np.array([0.03, 0.01, np.nan, 0.5, 0.02])
    np.testing.assert_allclose(adjust(p, "holm"), [0.06, 0.04, np.nan, 0.5, 0.06])
    np.testing.assert_array_equal(adjust(p, "none"), p)


@given(arrays(float, st.integers(1, 20), elements=st.floats(0, 1)))
def test_bh_equals_scipys(p):
    np.testing.assert_allclose(adjust(p, "bh"), stats.false_discovery_control(p, method="bh"), rtol=1e-12)
