"""Effect sizes against published figures and against all Walsh averages written out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.effects import critical_place, effects, effects_frame

NAN = np.nan
#: Depression scores before and after a tranquilizer (Hollander and Wolfe, example 3.1).
DEPRESSION = np.array(
    [
        [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
        [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29],
    ]
).T


def test_depression_scores_as_published():
    """Hollander and Wolfe, examples 3.3 and 3.4: estimate -0.46, interval (-0.786, -0.010) at 96 %."""
    of = effects(DEPRESSION[:, ::-1], smaller_is_better=False)
    assert of.n.tolist() == [9]
    assert of.shift[0] == pytest.approx(-0.46, abs=1e-12)
    assert (of.shift_low[0], of.shift_high[0]) == pytest.approx((-0.786, -0.010), abs=1e-12)
    assert of.rank_biserial[0] == pytest.approx((5 - 40) / 45)


def test_positive_means_that_the_first_is_better():
    large, small = effects(DEPRESSION, False), effects(DEPRESSION, True)
    assert large.shift[0] > 0 > small.shift[0]
    assert (small.shift[0], small.shift_low[0], small.shift_high[0], small.rank_biserial[0]) == (
        -large.shift[0],
        -large.shift_high[0],
        -large.shift_low[0],
        -large.rank_biserial[0],
    )


def test_rank_biserial_by_hand():
    """Differences 1, 2, -3, 0: the zero goes; 3 in favour and 3 against; then 1, 2, 3, 0: all in favour."""
    of = effects(np.array([[1.0, 1.0], [2, 2], [0, 3], [5, 5]]) - [[0, 0], [0, 0], [3, 0], [5, 5]], False)
    assert of.rank_biserial.tolist() == [-1]
    of = effects(np.array([[1.0, 0], [2, 0], [0, 3], [5, 5]]), False)
    assert of.rank_biserial.tolist() == [0]


def test_equal_teams_differ_by_nothing_and_absent_ones_by_nobody_knows_what():
    values = np.array([[k, k, NAN] for k in range(8)], dtype=float)
    of = effects(values, False)
    assert of.n.tolist() == [8, 0, 0]
    np.testing.assert_array_equal(of.rank_biserial, [NAN] * 3)
    np.testing.assert_array_equal(of.shift, [0, NAN, NAN])
    np.testing.assert_array_equal(of.shift_low, [0, NAN, NAN])
    np.testing.assert_array_equal(of.shift_high, [0, NAN, NAN])


@settings(max_examples=80, deadline=None)
@given(
    arrays(
        float,
        st.tuples(st.integers(1, 70), st.just(3)),
        elements=st.one_of(st.integers(0, 5).map(lambda k: k / 4), st.floats(-1, 1), st.just(NAN)),
    ),
    st.booleans(),
)
def test_equal_to_all_averages_written_out(values, smaller):
    of = effects(values, smaller)
    for row in range(3):
        difference = values[:, of.i[row]] - values[:, of.j[row]]
        difference = (-difference if smaller else difference)[~np.isnan(difference)]
        n = len(difference)
        assert of.n[row] == n
        place = critical_place(n)
        if n:
            averages = np.sort((difference[:, None] + difference)[np.triu_indices(n)] / 2)
            assert of.shift[row] == pytest.approx(np.median(averages), abs=1e-15)
        if place:
            assert (of.shift_low[row], of.shift_high[row]) == (averages[place - 1], averages[-place])
        else:
            assert n < 6
            assert np.isnan(of.shift_low[row])
            assert np.isnan(of.shift_high[row])


@pytest.mark.parametrize("smaller", [False, True])
def test_the_interval_holds_the_shifts_that_the_exact_test_does_not_reject(smaller):
    values = np.random.default_rng(4).normal(size=(25, 2))
    of = effects(values, smaller)
    difference = (values[:, 0] - values[:, 1]) * (-1 if smaller else 1)
    for bound, outwards in ((of.shift_low[0], -1e-9), (of.shift_high[0], 1e-9)):
        assert stats.wilcoxon(difference - bound - outwards, method="exact").pvalue <= 0.05
        assert stats.wilcoxon(difference - bound + outwards, method="exact").pvalue > 0.05


def test_critical_places():
    """R: ``qsignrank(0.025, c(5, 6, 9, 20, 49))`` 0 1 6 53 416; beyond, within one place of the exact one."""
    assert [critical_place(n) for n in (0, 1, 5, 6, 9, 20, 49)] == [0, 0, 0, 1, 6, 53, 416]
    ways = [1] + [0] * 7260
    for n in range(1, 121):
        for v in range(len(ways) - 1, n - 1, -1):
            ways[v] += ways[v - n]
        if n >= 50:
            exact = int(np.searchsorted(np.cumsum(np.array(ways, dtype=object)) * 40 >= 2**n, True))
            assert exact - 1 <= critical_place(n) <= exact


def test_frame():
    of = effects(np.array([[0.9, 0.5, NAN]] * 6), False)
    frame = effects_frame([("CT", "dsc"), ("CT", "nsd")], ["a", "b", "c"], [of, of])
    assert list(frame) == (
        ["task", "metric", "team_i", "team_j", "n", "rank_biserial", "shift", "shift_low", "shift_high"]
    )
    assert frame.iloc[3].tolist() == ["CT", "nsd", "a", "b", 6, 1.0, 0.4, 0.4, 0.4]
    assert frame.loc[1, ["team_i", "team_j", "n"]].tolist() == ["a", "c", 0]
    assert pd.isna(frame.loc[1, "shift"])
