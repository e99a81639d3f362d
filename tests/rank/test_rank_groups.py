"""Friedman's test, critical differences and the groups made of them: published figures, scipy, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.friedman import critical_difference, friedman, friedman_frame
from harness.rank.groups import groups, groups_frame
from harness.rank.wilcoxon import adjust, pair_tests

NAN = np.nan
#: Times of 22 players to round first base by three methods (Hollander and Wolfe; R's help page of ``friedman.test``).
_ROUNDING = """
5.40 5.50 5.55  5.85 5.70 5.75  5.20 5.60 5.50  5.55 5.50 5.40  5.90 5.85 5.70  5.45 5.55 5.60
5.40 5.40 5.35  5.45 5.50 5.35  5.25 5.15 5.00  5.85 5.80 5.70  5.25 5.20 5.10  5.65 5.55 5.45
5.60 5.35 5.45  5.05 5.00 4.95  5.50 5.50 5.40  5.45 5.55 5.50  5.55 5.55 5.35  5.45 5.50 5.55
5.50 5.45 5.25  5.65 5.60 5.40  5.70 5.65 5.55  6.30 6.30 6.25
"""
ROUNDING_TIMES = np.array([float(time) for time in _ROUNDING.split()]).reshape(22, 3)


def test_rounding_times_as_r_prints_them():
    """``friedman.test(RoundingTimes)``: chi-squared = 11.143, df = 2, p-value = 0.003805."""
    test = friedman(ROUNDING_TIMES, smaller_is_better=True)
    assert (test.n, test.teams, test.df) == (22, 3, 2)
    assert test.chi2 == pytest.approx(11.143, abs=5e-4)
    assert test.p == pytest.approx(0.003805, abs=5e-7)
    assert test.kendall_w == pytest.approx(test.chi2 / 44)
    np.testing.assert_allclose(test.mean_ranks, [53 / 22, 47 / 22, 32 / 22])


@pytest.mark.parametrize(
    ("teams", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (9, 3.102), (10, 3.164)]
)
def test_critical_differences_as_published(teams, quantile):
    """Demsar, table 5(a): q at 0.05, the studentized range divided by the root of 2."""
    assert critical_difference(7, teams) / np.sqrt(teams * (teams + 1) / 42) == pytest.approx(quantile, abs=1e-3)


def test_critical_difference_of_demsars_example():
    """Four classifiers on 14 data sets: 2.569 * sqrt(4 * 5 / (6 * 14)) = 1.25."""
    assert critical_difference(14, 4) == pytest.approx(1.25, abs=5e-3)


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 20), st.integers(3, 6)), elements=st.integers(0, 4).map(float)),
    st.booleans(),
)
def test_equal_to_scipys(values, smaller):
    test = friedman(values, smaller)
    if all((row == row[0]).all() for row in values):
        assert np.isnan([test.chi2, test.p, test.kendall_w]).all()
        assert test.critical_difference > 0
        return
    peer = stats.friedmanchisquare(*values.T)
    assert test.chi2 == pytest.approx(peer.statistic, rel=1e-10, abs=1e-10)
    assert test.p == pytest.approx(peer.pvalue, rel=1e-10)
    assert 0 <= test.kendall_w <= 1 + 1e-12
    np.testing.assert_allclose(test.mean_ranks, stats.rankdata(values if smaller else -values, axis=1).mean(axis=0))


def test_cases_that_rank_all_alike_agree_wholly():
    assert friedman(np.array([[3.0, 1, 2]] * 5), smaller_is_better=True).kendall_w == pytest.approx(1)


def test_only_complete_cases_of_teams_that_are_there():
    """The third team has no value at all, the second lacks one."""
    test = friedman(np.array([[1, 2, NAN], [1, NAN, NAN], [4, 3, NAN], [1, 5, NAN]]), smaller_is_better=True)
    assert (test.n, test.teams) == (3, 2)
    np.testing.assert_array_equal(test.mean_ranks, [4 / 3, 5 / 3, NAN])


@pytest.mark.parametrize("values", [[[1.0, NAN], [NAN, 2.0]], [[1.0, NAN]], [[NAN, NAN]]])
def test_nothing_to_compare(values):
    test = friedman(np.array(values), smaller_is_better=True)
    assert np.isnan([test.chi2, test.p, test.kendall_w, test.critical_difference]).all()
    assert np.isnan(test.mean_ranks).all()
    assert all(not g.members for g in groups(pair_tests(np.array(values), True), test))


def of_values(values, smaller=True):
    values = np.array(values, dtype=float)
    return groups(pair_tests(values, smaller), friedman(values, smaller))


def test_rounding_times_in_groups():
    """Wide angle is faster than both others; mean ranks 1.45, 2.14, 2.41; 2.344 * sqrt(12 / 132) = 0.71."""
    wilcoxon, nemenyi = of_values(ROUNDING_TIMES)
    assert (wilcoxon.method, wilcoxon.members) == ("wilcoxon-holm", ((2,), (1, 0)))
    assert (nemenyi.method, nemenyi.members) == ("nemenyi", ((2, 1), (1, 0)))


def test_groups_may_overlap():
    """Mean ranks 1, 2, 3, 4 of 9 cases; critical difference 1.56: neighbours are together, others are not."""
    _, nemenyi = of_values([[1, 2, 3, 4]] * 9)
    assert nemenyi.members == ((0, 1), (1, 2), (2, 3))
    frame = groups_frame([("CT", "dsc")], ["a", "b", "c", "d"], [(nemenyi,)])
    assert list(frame) == ["task", "metric", "method", "group", "team", "mean_rank"]
    assert frame[["group", "team", "mean_rank"]].values.tolist() == [
        [1, "a", 1.0],
        [1, "b", 2.0],
        [2, "b", 2.0],
        [2, "c", 3.0],
        [3, "c", 3.0],
        [3, "d", 4.0],
    ]


def test_equal_teams_are_never_apart():
    values = np.arange(40.0).reshape(20, 2)[:, [0, 0, 1, 1]]
    for of_method in of_values(values):
        assert of_method.members == ((0, 1), (2, 3))


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 30), st.integers(2, 7)), elements=st.integers(0, 9).map(float)))
def test_groups_are_the_longest_runs_without_a_difference(values):
    """Every run of neighbours is tried."""
    tests, test = pair_tests(values, False), friedman(values, False)
    teams = values.shape[1]
    once = tests.i < tests.j
    p = np.ones((teams, teams))
    p[tests.i[once], tests.j[once]] = p[tests.j[once], tests.i[once]] = adjust(tests.p_two_sided[once], "holm")
    far = np.abs(test.mean_ranks[:, None] - test.mean_ranks) >= test.critical_difference
    order = np.argsort(test.mean_ranks, kind="stable")
    for of_method, apart in zip(groups(tests, test), (p <= 0.05, far), strict=True):
        runs = [
            tuple(order[a:b].tolist())
            for a in range(teams)
            for b in range(a + 1, teams + 1)
            if not apart[np.ix_(order[a:b], order[a:b])].any()
        ]
        longest = {run for run in runs if not any(set(run) < set(other) for other in runs)}
        assert set(of_method.members) == longest
        assert len(of_method.members) == len(longest)
        starts = [order.tolist().index(members[0]) for members in of_method.members]
        assert starts == sorted(starts)


def test_friedman_frame():
    frame = friedman_frame([("CT", "runtime_s")], [friedman(ROUNDING_TIMES, True)])
    assert list(frame) == ["task", "metric", "n", "teams", "chi2", "df", "p", "kendall_w", "critical_difference"]
    assert frame.iloc[0, :4].tolist() == ["CT", "runtime_s", 22, 3]
