"""The signed-rank test against numbers that R printed, hand-worked ones, and scipy."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.signed_ranks import rank_sums
from harness.rank.wilcoxon import ADJUSTMENTS, _tail, adjust, null_cumulative, pair_tests

#: Barley yields of 1931 and 1932, data set `immer` of R's package MASS (Venables, Ripley).
YIELD_1931 = (
    "81.0 105.4 119.7 109.7 98.3 146.6 142.0 150.7 191.5 145.7 82.3 77.3 78.4 131.3 89.6 "
    "119.8 121.4 124.0 140.8 124.8 98.9 89.0 69.1 89.3 104.1 86.9 77.1 78.9 101.8 96.0"
)
YIELD_1932 = (
    "80.7 82.3 80.4 87.2 84.2 100.4 115.5 112.2 147.7 108.1 103.1 105.1 116.5 139.9 129.6 "
    "98.9 61.9 96.2 125.5 75.7 66.4 49.9 96.7 61.9 80.3 67.7 66.7 67.4 91.8 94.1"
)


#: Depression scores before and after a tranquilizer, data of R's help page of ``wilcox.test``.
BEFORE = "1.83 0.50 1.62 2.48 1.68 1.88 1.55 3.06 1.30"
AFTER = "0.878 0.647 0.598 2.05 1.06 1.29 1.06 3.14 1.29"

#: Extra hours of sleep under two drugs (Student), R's data set ``sleep``.
DRUG_1 = "0.7 -1.6 -0.2 -1.2 -0.1 3.4 3.7 0.8 0.0 2.0"
DRUG_2 = "1.9 0.8 1.1 0.1 -0.1 4.4 5.5 1.6 4.6 3.4"


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
    tests = pair_tests(columns(BEFORE, AFTER), smaller_is_better=False)
    assert tests.v[0] == 40
    assert tests.p_i_better[0] == pytest.approx(math.erfc(17 / math.sqrt(71.25) / math.sqrt(2)) / 2, rel=1e-12)
    assert tests.p_i_better[1] == pytest.approx(1 - math.erfc(18 / math.sqrt(71.25) / math.sqrt(2)) / 2, rel=1e-12)


def test_depression_scores_exactly_as_r_prints_them():
    """``wilcox.test(x, y, paired=TRUE, alternative="greater")``: V = 40, p-value = 0.01953.

    10 of the 512 patterns of signs reach 40; 7 exceed it.
    """
    tests = pair_tests(columns(BEFORE, AFTER), smaller_is_better=False, method="exact")
    assert tests.p_i_better.tolist() == [10 / 512, (512 - 7) / 512]
    assert tests.p_two_sided.tolist() == [20 / 512, 20 / 512]
    turned = pair_tests(columns(BEFORE, AFTER), smaller_is_better=True, method="exact")
    assert turned.p_i_better.tolist() == [(512 - 7) / 512, 10 / 512]


@pytest.mark.parametrize("method", ["normal", "exact"])
def test_sleep_as_r_prints_it(method):
    """``wilcox.test(extra ~ group, paired)``: V = 0, p-value = 0.009091; a zero and a tie: never exact."""
    tests = pair_tests(columns(DRUG_1, DRUG_2), smaller_is_better=False, method=method)
    assert (tests.n[0], tests.n_nonzero[0], tests.v[0]) == (10, 9, 0)
    assert tests.p_two_sided[0] == pytest.approx(0.009091, abs=5e-7)


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


@settings(max_examples=60, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.tuples(st.integers(2, 40), st.just(3)), elements=st.integers(0, 6).map(float)), st.booleans())
def test_pratts_rule_equals_scipys(values, smaller):
    tests = pair_tests(values, smaller, zeros="pratt")
    for row in range(len(tests.i)):
        x, y = values[:, tests.i[row]], values[:, tests.j[row]]
        if (x == y).all():
            assert tests.p_i_better[row] == 1
            assert np.isnan(tests.p_two_sided[row])
            continue
        for alternative, ours in (
            ("less" if smaller else "greater", tests.p_i_better),
            ("two-sided", tests.p_two_sided),
        ):
            peer = stats.wilcoxon(
                x, y, zero_method="pratt", correction=True, alternative=alternative, method="asymptotic"
            )
            assert ours[row] == pytest.approx(peer.pvalue, rel=1e-10)


def test_pratts_rule_by_hand():
    """Differences 0, 0, 1, -2, 3, 4: ranks 3 to 6 are kept; V = 3 + 5 + 6 of 18."""
    tests = pair_tests(columns([0, 0, 1, 0, 3, 4], [0, 0, 0, 2, 0, 0]), False, zeros="pratt")
    assert (tests.n[0], tests.n_nonzero[0], tests.v.tolist()) == (6, 4, [14, 4])
    z = (14 - 9 - 0.5) / math.sqrt((6 * 7 * 13 - 2 * 3 * 5) / 24)
    assert tests.p_i_better[0] == pytest.approx(math.erfc(z / math.sqrt(2)) / 2, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000), st.booleans())
def test_exact_equals_scipys_below_fifty_pairs(n, seed, smaller):
    values = np.random.default_rng(seed).normal(size=(n, 2)) + [0.2, 0]
    tests = pair_tests(values, smaller, method="exact")
    method = "exact" if n < 50 else "asymptotic"
    alternative = "less" if smaller else "greater"
    peers = [
        stats.wilcoxon(*values.T, alternative=which, method=method, correction=n >= 50)
        for which in (alternative, "two-sided")
    ]
    assert tests.p_i_better[0] == pytest.approx(peers[0].pvalue, rel=1e-10)
    assert tests.p_two_sided[0] == pytest.approx(peers[1].pvalue, rel=1e-10)


def test_null_distribution_by_counting_all_signs():
    for n in (1, 2, 5, 8):
        signs = np.arange(2**n)[:, None] >> np.arange(n) & 1
        v = signs @ np.arange(1, n + 1)
        expected = [(v <= k).mean() for k in range(n * (n + 1) // 2 + 1)]
        assert null_cumulative()[n, : len(expected)].tolist() == expected
    assert (null_cumulative()[:, -1] == 1).all()


@pytest.mark.parametrize("ties", [[1, 1, 2, 3], [0, 1, 2, 3]])
def test_exact_gives_way_to_ties_and_zeros(ties):
    values = columns(ties, [0] * 4)
    assert pair_tests(values, False, method="exact").p_i_better[0] == pair_tests(values, False).p_i_better[0]


@settings(deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 15), st.just(3)), elements=st.sampled_from([0.0, 0.1, 0.3, 0.5, np.nan])),
    st.booleans(),
    st.sampled_from(["normal", "exact"]),
    st.sampled_from(["wilcox", "pratt"]),
)
def test_both_directions_agree(values, smaller, method, zeros):
    """Turning values and direction changes nothing; both statistics add to all ranks; p-values overlap at V."""
    tests = pair_tests(values, smaller, "none", None, method, zeros)
    turned = pair_tests(-values, not smaller, "none", None, method, zeros)
    np.testing.assert_array_equal(turned.p_i_better, tests.p_i_better)
    np.testing.assert_array_equal(turned.p_two_sided, tests.p_two_sided)
    back = np.lexsort((tests.i, tests.j))
    n = tests.n if zeros == "pratt" else tests.n_nonzero
    dropped = n - tests.n_nonzero
    np.testing.assert_array_equal(tests.v + tests.v[back], (n * (n + 1) - dropped * (dropped + 1)) / 2)
    some = tests.n_nonzero > 0
    p, q = tests.p_i_better[some], tests.p_i_better[back][some]
    assert (p + q >= 1 - 1e-12).all()
    np.testing.assert_allclose(tests.p_two_sided[some], np.minimum(1, 2 * np.minimum(p, q)), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 12), st.just(3)), elements=st.sampled_from([0.0, 0.1, 0.3, 0.7, np.nan])),
    st.integers(0, 1000),
    st.booleans(),
)
def test_sums_of_resamples_equal_those_of_their_tables(values, seed, rank_zeros):
    """More resamples than lie side by side."""
    cases = len(values)
    counts = np.random.default_rng(seed).multinomial(cases, [1 / cases] * cases, size=140)
    i, j = np.triu_indices(3, k=1)
    got = rank_sums(values, counts, i, j, None, rank_zeros)
    for b in (0, 1, 127, 128, 139):
        table = np.repeat(values, counts[b], axis=0)
        for pair in range(3):
            difference = table[:, i[pair]] - table[:, j[pair]]
            size = np.abs(difference[~np.isnan(difference)])
            ranked = size if rank_zeros else size[size > 0]
            positive = stats.rankdata(ranked)[(difference[~np.isnan(difference)] > 0)[rank_zeros | (size > 0)]]
            groups = np.unique(size[size > 0], return_counts=True)[1]
            assert got.n[pair, b] == len(size)
            assert got.nonzero[pair, b] == (size > 0).sum()
            assert got.doubled_v[pair, b] == 2 * positive.sum()
            assert got.ties[pair, b] == (groups**3 - groups).sum()


def test_tails_to_the_smallest_doubles():
    """Against the continued fraction of Mills' ratio; R's ``pnorm`` stops at -37.5193."""
    for z in (6.0, 12.5, 20.25, 30.125, 37.5):
        fraction = 0.0
        for k in range(400, 0, -1):
            fraction = k / (z + fraction)
        exponential = float((-(Decimal(z) ** 2) / 2).exp())
        expected = exponential / math.sqrt(2 * math.pi) / (z + fraction)
        assert _tail(np.array([-z]))[0] == pytest.approx(expected, rel=1e-11)
    assert _tail(np.array([-37.5193, -40.0])).tolist() == [0, 0]


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


@settings(deadline=None)
@given(arrays(float, st.tuples(st.just(4), st.integers(1, 8)), elements=st.sampled_from([0.0, 0.01, 0.2, 1.0, np.nan])))
def test_rows_are_adjusted_by_themselves(p):
    for adjustment in ADJUSTMENTS:
        rows = [adjust(row[~np.isnan(row)], adjustment) for row in p]
        got = adjust(p, adjustment)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(p))
        for row, expected in zip(got, rows, strict=True):
            np.testing.assert_array_equal(row[~np.isnan(row)], expected)


@settings(deadline=None)
@given(arrays(float, st.integers(1, 20), elements=st.floats(0, 1)))
def test_bh_equals_scipys(p):
    np.testing.assert_allclose(adjust(p, "bh"), stats.false_discovery_control(p, method="bh"), rtol=1e-12)
