"""Confidence sets of ranks against Tukey's studentized range, the t-test, Holm by hand, and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.rank.bootstrap import bootstrap
from harness.rank.confidence import confidence_frame, rank_sets, separated
from harness.rank.ranked import rank_table, units_of, values_under
from harness.rank.schemes import make_scheme
from harness.rank.wilcoxon import pair_tests
from tests.rank.making import DSC, TIME, draws_of, make_table


def normal_replicates(deviations, samples, seed=0):
    return np.random.default_rng(seed).normal(size=(samples, len(deviations))) * deviations


def test_the_first_step_is_tukeys_range_test():
    """Six independent means of deviation 1: a pair is separated from sqrt(2) times Tukey's quantile on."""
    noise = normal_replicates(np.ones(6), 40_000)
    threshold = stats.studentized_range.ppf(0.95, 6, np.inf)  # of the range, that is sqrt(2) deviations of a pair
    for gap, expected in ((0.97 * threshold, False), (1.03 * threshold, True)):
        estimate = np.array([0, gap / 2, gap / 2, gap / 2, gap / 2, gap])  # only the extreme pair is near
        better = separated(estimate, estimate + noise)
        assert better[5, 0] == expected
        assert not better[0].any()


def test_stepdown_finds_what_one_step_does_not():
    """Two far groups of three: once one is known to be ahead, that claim no longer counts among those still open."""
    noise = normal_replicates(np.ones(6), 40_000)
    far, near = np.meshgrid(range(3, 6), range(3), indexing="ij")
    ordered = noise[:, :, None] - noise[:, None, :]
    one_step = np.quantile(ordered.max(axis=(1, 2)), 0.95)
    ordered[:, far, near] = 0
    second_step = np.quantile(ordered.max(axis=(1, 2)), 0.95)
    assert second_step < 0.99 * one_step
    gap = (one_step + second_step) / 2
    together = np.array([0, 0, gap, 0, 0, gap])
    apart = together + np.array([0, 0, 0, 90, 90, 90])
    assert not separated(together, together + noise)[2, 0]
    assert separated(apart, apart + noise)[2, 0]
    assert separated(apart, apart + noise)[3:, :3].all()


@pytest.mark.parametrize(("t", "expected"), [(0.93, False), (1.07, True)])
def test_two_teams_of_few_cases_are_the_paired_t_test(t, expected):
    """Eight differences whose t is a little below or above the two-sided 5 % quantile with 7 degrees of freedom."""
    differences = np.array([-1.5, -1, -0.5, -0.2, 0.2, 0.5, 1, 1.5])
    quantile = stats.t.ppf(0.975, 7)
    differences += t * quantile * differences.std(ddof=1) / np.sqrt(8)
    counts = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=100_000)
    means = counts @ differences / 8
    # The bootstrap's own shape is not normal; normal deviates of its variance isolate the correction.
    deviates = differences.mean() + means.std() * np.random.default_rng(1).normal(size=100_000)
    estimate = np.array([differences.mean(), 0.0])
    assert separated(estimate, np.stack([deviates, 0 * deviates], axis=1), cases=8)[0, 1] == expected


def test_final_scores_that_only_ever_move_away_are_separated():
    """C is last in every sample; whether A or B is second moves its lead, never below 1."""
    second = np.random.default_rng(0).integers(1, 3, size=1000)
    sampled = np.stack([second, 3 - second, np.full(1000, 3)], axis=1).astype(float)
    better = separated(-np.array([1.0, 2, 3]), -sampled, bagged=True)
    assert better.tolist() == [[False, False, True], [False, False, True], [False] * 3]
    # The samples favour B, the data A: nothing is shown.
    favour = np.tile([2.0, 1, 3], (1000, 1)) + np.random.default_rng(1).normal(size=(1000, 3)) / 9
    assert not separated(-np.array([1.0, 2, 3]), -favour, bagged=True)[:2, :2].any()


def test_equal_teams_are_not_separated_and_constant_differences_are():
    estimate = np.array([0.5, 0.5, 0.4])
    common = np.random.default_rng(0).normal(size=(500, 1))
    better = separated(estimate, estimate + common, cases=20)
    assert better.tolist() == [[False, False, True], [False, False, True], [False] * 3]
    assert not separated(estimate, estimate + common, cases=1).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_sets_contain_the_rank_and_follow_the_teams_about(seed, teams):
    random = np.random.default_rng(seed)
    values = random.normal(size=(12, teams)) + 0.5 * np.arange(teams)
    estimate, replicates = values.mean(axis=0), values[random.integers(0, 12, (300, 12))].mean(axis=1)
    better = separated(estimate, replicates, cases=12)
    order = random.permutation(teams)
    np.testing.assert_array_equal(separated(estimate[order], replicates[:, order], cases=12), better[order][:, order])
    ranks = stats.rankdata(-estimate, "min")
    assert (1 + better.sum(axis=0) <= ranks).all()
    assert (ranks <= teams - better.sum(axis=1)).all()
    assert (separated(estimate, replicates, 0.8, 12) | ~better).all()  # less confidence, narrower sets


def test_simultaneous_coverage_by_simulation():
    """Four teams, two of them equal, 60 cases of skewed differences: all true relations in 95 % of the tables."""
    random = np.random.default_rng(4)
    truth = np.array([0.0, 0.0, 0.3, 0.6])
    wrong = 0
    for _ in range(200):
        values = truth + random.exponential(size=(60, 4)) + random.normal(size=(60, 1))
        counts = random.multinomial(60, np.full(60, 1 / 60), size=300)
        better = separated(values.mean(axis=0), counts @ values / 60, cases=60)
        wrong += bool((better & (truth[:, None] <= truth)).any())
    assert wrong <= 18  # 10 are expected; 18 or fewer in 99 % of such simulations


def test_final_ranks_of_equal_teams_are_rarely_told_apart_by_simulation():
    """Six equal teams, nine units: the observed difference would be wrong in about a quarter of the tables."""
    random = np.random.default_rng(7)
    wrong = naive = 0
    for _ in range(150):
        means = random.normal(size=(9, 6))
        samples = means + random.normal(size=(300, 9, 6))
        scores = stats.rankdata(means, axis=-1).mean(axis=0)
        sampled = (samples[..., None] > samples[..., None, :]).sum(axis=-1).mean(axis=1) + 1.0
        wrong += bool(separated(-scores, -sampled, bagged=True).any())
        naive += bool(separated(-scores, -(sampled - sampled.mean(axis=0) + scores)).any())
    assert wrong <= 8
    assert naive > 3 * max(wrong, 4)


def whole(table, scheme, level=0.95, samples=400):
    main = rank_table(table, scheme, weights := np.ones(len(table.tasks) * len(table.metrics)), {})
    values = values_under(table, scheme, {})
    units, draws = units_of(scheme, values, table), draws_of(table, samples)
    boot = bootstrap(units, [iter(blocks) for blocks in draws], weights, main.with_final, scheme.ties)
    tests = [pair_tests(of, m.smaller_is_better) for task in values for of, m in zip(task, table.metrics, strict=True)]
    return main, rank_sets(table, main, units, draws, boot.ranks, weights, tests, level)


def three_teams(seed=0):
    """A and B alike, C worse by far in score and time."""
    random = np.random.default_rng(seed)
    case = random.normal(size=(40, 1))
    return make_table(
        {
            task: {
                "dsc": case + [2, 2, 0] + 0.3 * random.normal(size=(40, 3)),
                "runtime_s": case + [2, 2, 9] + 0.3 * random.normal(size=(40, 3)),
            }
            for task in ("CT", "US")
        },
        (DSC, TIME),
    )


@pytest.mark.parametrize("name", ["cvpr24", "rank-then-aggregate", "test-then-rank"])
def test_teams_that_are_not_separated_are_declared_tied(name):
    main, sets = whole(three_teams(), make_scheme(name))
    assert sets.low.shape == sets.high.shape == (5, 3)
    assert sets.low[-1].tolist() == [1, 1, 3]
    assert sets.high[-1].tolist() == [2, 2, 3]
    assert (sets.low[:, 2] == 3).all()
    frame = confidence_frame(["CT/dsc", "CT/t", "US/dsc", "US/t", "final"], ["A", "B", "C"], main.with_final, sets)
    assert list(frame) == ["unit", "team", "rank", "low", "high", "declared"]
    assert len(frame) == 15
    assert frame.iloc[-1].tolist() == ["final", "C", 3, 3, 3, 3]
    assert frame[frame["unit"] == "final"]["declared"].tolist() == [1, 1, 3]


def test_holm_by_hand_where_tests_rank():
    """One unit of 12 cases; A beats B and C in all (p = 0.0013 each, six pairs), B and C are level."""
    gain = np.arange(1, 13) / 100
    b, c = 0.3 + 0 * gain, 0.3 + np.tile([0.01, -0.01], 6)
    table = make_table({"CT": {"dsc": np.stack([0.5 + gain, b, c], axis=1)}})
    _, sets = whole(table, make_scheme("test-then-rank"))
    assert sets.low[0].tolist() == [1, 2, 2]
    assert sets.high[0].tolist() == [1, 3, 3]


def test_a_team_without_a_rank_has_no_set():
    dsc = np.random.default_rng(0).random((9, 3))
    dsc[:, 2] = np.nan
    _, sets = whole(make_table({"CT": {"dsc": dsc}}), make_scheme("cvpr24", missing="drop"))
    assert np.isnan(sets.low[:, 2]).all()
    assert (sets.high[:, :2] <= 2).all()
