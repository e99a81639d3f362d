"""Ranks, ties and Kendall's tau against scipy, and by hand where scipy has no such rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.order import TIES, comparable, copy_ranks, kendall_tau_b, rank, tie_bounds

few_values = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])
rows = arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=few_values)


@given(rows, st.sampled_from(TIES), st.booleans())
def test_ranks_equal_scipys(values, ties, smaller):
    expected = stats.rankdata(values if smaller else -values, method=ties, axis=-1)
    np.testing.assert_array_equal(rank(values, ties, smaller), expected)


def test_dense_of_three_levels():
    np.testing.assert_array_equal(rank(np.array([5.0, 2.0, 5.0, 9.0]), "dense"), [2, 1, 2, 3])


@pytest.mark.parametrize(
    ("ties", "expected"),
    [
        ("min", [1, 2, 3, 2, 3]),
        ("average", [1, 2.5, 4, 2.5, 4]),
        ("max", [1, 3, 5, 3, 5]),
        ("dense", [1, 2, 3, 2, 3]),
    ],
)
def test_missing_values_come_after_the_largest_observed_rank(ties, expected):
    """Two missing: largest rank + 1 for min and dense, + (2 + 1) / 2 for average, + 2 for max."""
    values = np.array([0.9, 0.8, np.nan, 0.8, np.nan])
    np.testing.assert_array_equal(rank(values, ties, smaller_is_better=False, missing="last"), expected)


@pytest.mark.parametrize(("ties", "expected"), [("min", 1), ("average", 2), ("max", 3), ("dense", 1)])
def test_where_all_are_missing_counting_starts_from_zero(ties, expected):
    np.testing.assert_array_equal(rank(np.full(3, np.nan), ties, missing="last"), [expected] * 3)


def test_missing_values_are_kept_on_request():
    np.testing.assert_array_equal(rank(np.array([np.nan, 2.0, 1.0])), [np.nan, 2, 1])


@given(rows, st.sampled_from(TIES), st.integers(1, 5))
def test_copies_are_linear_in_their_number(values, ties, k):
    """Ranking k copies of every value in one go gives slope * k + level."""
    slope, level = copy_ranks(values, ties, True, "keep")
    copies = stats.rankdata(np.concatenate([values] * k, axis=1), method=ties, axis=-1)
    np.testing.assert_array_equal(slope * k + level, copies[:, : values.shape[1]])


@given(st.permutations(list(range(128))))
def test_the_order_of_summation_never_separates_equal_teams(order):
    """Over 128 cases, means of 4-decimal scores end in a 5 at the 11th decimal: half-way for rounding."""
    scores = np.round(np.linspace(0.0101, 0.9301, 128), 4)
    scores[0] += 0.0001 * (1 - int(scores.sum() * 1e4 + 0.5) % 2)
    one, other = sum(scores) / 128, sum(scores[list(order)]) / 128
    assert comparable(np.array(one)) == comparable(np.array(other))


def test_values_that_differ_after_the_tenth_decimal_are_equal():
    np.testing.assert_array_equal(rank(np.array([0.5, 0.5 + 1e-12, 0.5 - 1e-12, 0.5 + 2e-10])), [1, 1, 1, 4])


def test_tie_bounds_by_hand():
    low, high = tie_bounds(np.array([3.0, 1.0, 3.0, np.nan, 3.0]))
    np.testing.assert_array_equal(low, [2, 1, 2, np.nan, 2])
    np.testing.assert_array_equal(high, [4, 1, 4, np.nan, 4])


rankings = arrays(float, 7, elements=st.integers(1, 7).map(float))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(rankings, rankings)
def test_tau_equals_scipys(reference, sample):
    expected = stats.kendalltau(reference, sample).statistic
    np.testing.assert_allclose(kendall_tau_b(reference, sample[None])[0], expected, atol=1e-12)


def test_tau_is_undefined_where_a_side_is_all_ties():
    tau = kendall_tau_b(np.array([1.0, 2, 3]), np.array([[1.0, 1, 1], [1, 2, 3], [3, 2, 1]]))
    np.testing.assert_array_equal(tau, [np.nan, 1, -1])


def test_tau_leaves_out_teams_that_one_side_does_not_rank():
    nan = np.nan
    tau = kendall_tau_b(np.array([1.0, 2, 3, nan, 4]), np.array([[1.0, 3, 2, 4, nan]]))
    np.testing.assert_allclose(tau, stats.kendalltau([1, 2, 3], [1, 3, 2]).statistic)
