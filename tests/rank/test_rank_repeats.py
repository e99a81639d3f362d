"""Repeats: combined by hand and as numpy does, kept by the table, drawn again by the nested bootstrap."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.rank.noise import median_spread, redrawn, repeat_noise, repeats_frame
from harness.rank.ranked import rank_table
from harness.rank.repeats import combined, with_repeat_rule
from harness.rank.schemes import make_scheme
from tests.rank.making import DSC, TIME, draws_of, make_table

NAN = np.nan


def test_combined_by_hand():
    values = np.array([[3.0, 1, 2], [5, NAN, 1], [NAN, 4, NAN], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(combined(values, "median"), [2, 3, 4, NAN])
    np.testing.assert_array_equal(combined(values, "mean"), [2, 3, 4, NAN])
    np.testing.assert_array_equal(combined(values, "first"), [3, 5, NAN, NAN])
    np.testing.assert_array_equal(combined(values, "min"), [1, 1, 4, NAN])
    np.testing.assert_array_equal(combined(values, "max"), [3, 5, 4, NAN])


def test_the_mean_of_equal_repeats_is_the_value_to_the_last_bit():
    assert 0.1 + 0.1 + 0.1 != 3 * 0.1 or (0.1 + 0.1 + 0.1) / 3 != 0.1  # what would happen otherwise
    assert combined(np.array([[0.1, 0.1, 0.1]]), "mean")[0] == 0.1


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=st.integers(0, 9).map(float)),
       st.sampled_from(["median", "mean", "min", "max"]), st.randoms())  # fmt: skip
def test_combined_equals_numpy_and_pays_no_heed_to_order_and_gaps(values, rule, random):
    expected = getattr(np, rule)(values, axis=1)
    np.testing.assert_allclose(combined(values, rule), expected, rtol=1e-15)
    gaps = np.concatenate([values, np.full_like(values, NAN)], axis=1)
    order = list(range(gaps.shape[1]))
    random.shuffle(order)
    np.testing.assert_array_equal(combined(gaps[:, order], rule), combined(values, rule))


def noisy(seed=0, cases=30, repeats=3, noise=0.3):
    """Three teams: A and B alike but for the noise of their runtimes, C slower by far."""
    random = np.random.default_rng(seed)
    base = np.exp(random.normal(size=(cases, 1, 1)) * 0.2) * np.array([10, 10, 30])[:, None]
    times = base * np.exp(noise * random.normal(size=(cases, 3, repeats)))
    return make_table({"CT": {"runtime_s": times}}, (TIME,))


def test_redrawn_attempts_are_the_case_s_own_and_go_together():
    """Three attempts with dsc = time / 100: whatever is drawn, the mean of one fits the times of the other."""
    times = np.array([[[1.0, 2, 4], [8, 16, NAN]], [[32, 64, 128], [7, 7, 7]]])
    table = make_table({"CT": {"runtime_s": times, "dsc": times / 100}}, (TIME, DSC))
    again = redrawn(table.tasks[0], table.metrics, 400, np.random.default_rng(0))
    assert again.cases[:401] == ("CT_000",) * 400 + ("CT_001",)
    for case, team in itertools.product(range(2), range(2)):
        own = times[case, team][~np.isnan(times[case, team])]
        drawn = list(itertools.product(own, repeat=len(own)))
        possible = {(float(np.median(d)), round(float(np.mean(d)), 9)) for d in drawn}
        part = slice(400 * case, 400 * (case + 1))
        got = zip(again.values["runtime_s"][part, team], 100 * again.values["dsc"][part, team], strict=True)
        assert {(t, round(d, 9)) for t, d in got} == possible


def test_the_nested_bootstrap_has_the_variance_of_both_levels():
    """Of the mean over n cases of means of R: case variance / n plus repeat variance / (n R), each as drawn."""
    random = np.random.default_rng(3)
    values = random.normal(size=(40, 1, 1)) + random.normal(size=(40, 2, 4)) * 2
    table = make_table({"CT": {"dsc": values}}, (DSC,))
    pool = 20
    again = redrawn(table.tasks[0], table.metrics, pool, np.random.default_rng(0))
    folded = again.values["dsc"][:, 0].reshape(40, pool)
    drawn = random.integers(0, 40, size=(20000, 40))
    means = folded[drawn, random.integers(0, pool, size=drawn.shape)].mean(axis=1)
    within = values[:, 0].var(axis=1).mean() / 4
    between = values[:, 0].mean(axis=1).var()
    assert means.var() * 40 == pytest.approx(between + within, rel=0.1)


@pytest.mark.parametrize("scheme", ["cvpr24", "rank-then-aggregate", "test-then-rank"])
def test_noise_widens_the_intervals_of_teams_alike_and_leaves_the_others(scheme):
    table = noisy()
    main = rank_table(table, make_scheme(scheme), np.ones(1), {})
    noise = repeat_noise(table, main.scheme, {}, np.ones(1), draws_of(table, 200), main.with_final, 0)
    again = repeat_noise(table, main.scheme, {}, np.ones(1), draws_of(table, 200), main.with_final, 0)
    np.testing.assert_array_equal(noise.low_with, again.low_with)
    if scheme != "test-then-rank":  # where more noise can end in fewer differences found, and so in ties
        assert (noise.low_with <= noise.low).all()
        assert (noise.high_with >= noise.high).all()
    assert [noise.low_with[2], noise.high_with[2]] == [3, 3]
    frame = repeats_frame(table.teams, noise)
    assert list(frame) == ["team", "rank_low", "rank_high", "rank_low_with_repeats", "rank_high_with_repeats",
                           "median_spread"]  # fmt: skip


def test_repeats_that_agree_change_nothing():
    """Drawing equal attempts again gives the plain bootstrap, metric by metric and sample by sample."""
    table = noisy(noise=0.0)
    main = rank_table(table, make_scheme("cvpr24"), np.ones(1), {})
    noise = repeat_noise(table, main.scheme, {}, np.ones(1), draws_of(table, 100), main.with_final, 0)
    np.testing.assert_array_equal([noise.low, noise.high], [noise.low_with, noise.high_with])
    np.testing.assert_array_equal(noise.median_spread, 0)


def test_without_repeats_there_is_nothing_to_tell():
    table = noisy(repeats=1)
    main = rank_table(table, make_scheme("cvpr24"), np.ones(1), {})
    assert repeat_noise(table, main.scheme, {}, np.ones(1), draws_of(table, 9), main.with_final, 0) is None


def test_median_spread_by_hand():
    """A: ranges 2 of median 2 and 1 of 4; B has one attempt in the first case, 0 of 5 in the second."""
    times = [[[1.0, 3, 2], [9, NAN, NAN]], [[4, 4, 5], [5, 5, NAN]]]
    np.testing.assert_allclose(median_spread(make_table({"CT": {"runtime_s": times}}, (TIME,))), [(1 + 0.25) / 2, 0])
    assert np.isnan(median_spread(make_table({"CT": {"dsc": times}}, (DSC,)))).all()


def test_other_rules_for_repeats():
    times = [[[1.0, 3, 5], [2, 4, 9]]]
    table = make_table({"CT": {"runtime_s": times, "dsc": times}}, (TIME, DSC))
    first = with_repeat_rule(table, "first", "first").tasks[0].values
    fastest = with_repeat_rule(table, "min", "mean").tasks[0].values
    assert [list(first["runtime_s"][0]), list(first["dsc"][0])] == [[1, 2], [1, 2]]
    assert [list(fastest["runtime_s"][0]), list(fastest["dsc"][0])] == [[1, 2], [3, 5]]
