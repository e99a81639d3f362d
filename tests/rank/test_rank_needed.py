"""Cases needed: Walsh averages by brute force, Noether's formula by hand, the power by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.rank.bootstrap import bootstrap
from harness.rank.needed import cases_needed, needed_frame, noether, walsh_share
from harness.rank.ranked import rank_table, units_of, values_under
from harness.rank.schemes import make_scheme
from harness.rank.wilcoxon import pair_tests
from tests.rank.making import DSC, TIME, draws_of, make_table


@given(arrays(float, st.integers(2, 12), elements=st.integers(-4, 4).filter(bool).map(float)))
def test_walsh_share_by_brute_force(difference):
    i, j = np.triu_indices(len(difference), k=1)
    sums = difference[i] + difference[j]
    assert walsh_share(difference) == pytest.approx(np.mean(sums > 0) + np.mean(sums == 0) / 2)


def test_noether_by_hand():
    """Differences 3, 2, 1, -4: sums 5, 4, -1, 3, -2, -3, so p = 1/2; with 5 for 3 they are 7, 6, 1, 3, -2, -3."""
    assert noether(np.array([3.0, 2, 1, -4])) is None
    gain = 4 / 6 - 1 / 2
    z = 1.6448536 + 0.8416212
    assert noether(np.array([5.0, 2, 1, -4])) == math.ceil(z**2 / (3 * gain**2))
    assert noether(np.array([5.0, 2, 1, -4, 0, 0, 0, 0])) == math.ceil(2 * z**2 / (3 * gain**2))


def test_it_cannot_be_told_without_an_effect():
    assert noether(np.zeros(9)) is None
    assert noether(np.array([1.0])) is None
    assert noether(np.array([-1.0, -2, 0.5])) is None


@pytest.mark.parametrize("shift", [0.25, 0.5])
def test_the_power_at_that_number_is_0_8_by_simulation(shift):
    """Normal differences: the probability of a positive sum of two is Phi(sqrt(2) shift)."""
    random = np.random.default_rng(1)
    gain = stats.norm.cdf(math.sqrt(2) * shift) - 0.5
    n = math.ceil(6.1826 / (3 * gain**2))
    assert noether(shift + random.normal(size=400_000)) == pytest.approx(n, rel=0.05)
    samples = shift + random.normal(size=(4000, n))
    ranks = stats.rankdata(np.abs(samples), axis=1)
    v = np.where(samples > 0, ranks, 0).sum(axis=1)
    z = (v - n * (n + 1) / 4 - 0.5) / math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    assert (z > stats.norm.ppf(0.95)).mean() == pytest.approx(0.8, abs=0.06)


def neighbours(table, scheme, samples=300):
    weights = np.ones(len(table.tasks) * len(table.metrics))
    main, values = rank_table(table, scheme, weights, {}), values_under(table, scheme, {})
    tests = [pair_tests(of, m.smaller_is_better) for task in values for of, m in zip(task, table.metrics, strict=True)]
    draws = [iter(blocks) for blocks in draws_of(table, samples)]
    boot = bootstrap(units_of(scheme, values, table), draws, weights, main.with_final, scheme.ties)
    return main, boot, cases_needed(table, main, values, tests, weights, boot.ranks)


def test_neighbours_of_units_and_of_the_final_ranking():
    random = np.random.default_rng(0)
    case = random.normal(size=(50, 1))
    dsc = case + [0.0, 0.2, 5.0] + 0.5 * random.normal(size=(50, 3))
    table = make_table({"CT": {"dsc": dsc, "runtime_s": -dsc}}, (DSC, TIME))
    _, _, found = neighbours(table, make_scheme("cvpr24"))
    frame = needed_frame(["CT/dsc", "CT/runtime_s", "final"], table.teams, found)
    assert list(frame) == ["unit", "team", "rival", "cases", "separated", "cases_needed"]
    assert frame["team"].tolist() == ["C", "B"] * 3
    assert frame["rival"].tolist() == ["B", "A"] * 3
    assert (frame["cases"] == 50).all()
    clear = frame[frame["team"] == "C"]
    assert clear["separated"].all()
    assert clear["cases_needed"].iloc[0] == noether(np.arange(1.0, 99))  # as few as the formula ever gives
    assert frame["cases_needed"].iloc[1] == frame["cases_needed"].iloc[3] > clear["cases_needed"].iloc[0]


def test_final_neighbours_by_hand():
    """One unit of two teams: scores 1 and 2, or 2 and 1 in a share q of the samples."""
    random = np.random.default_rng(2)
    dsc = np.stack([random.normal(size=60) + 0.1, random.normal(size=60)], axis=1)
    main, boot, found = neighbours(make_table({"CT": {"dsc": dsc}}), make_scheme("cvpr24"), 500)
    ahead = int(np.argmin(main.final))
    q = (boot.ranks[:, -1, ahead] == 2).mean()
    z = (1 - 2 * q) / (2 * math.sqrt(q * (1 - q)))  # the difference of scores is 1, or -1 in a share q
    last = found[-1]
    assert (last.unit, last.team) == (1, ahead)
    assert last.cases_needed == math.ceil(60 * ((1.6448536 + 0.8416212) / z) ** 2)
    assert last.separated == (z > 1.6448536)


def test_level_teams_and_means_against_most_cases_cannot_be_told():
    level = [[0.5, 0.5]] * 4
    against = [[0.99, 0.1], [0.4, 0.41], [0.3, 0.32], [0.2, 0.23]]  # A by the mean, B in most cases
    for dsc in (level, against):
        _, _, found = neighbours(make_table({"CT": {"dsc": dsc}}), make_scheme("cvpr24"))
        assert found[0].cases_needed is None
        assert not found[0].separated
        frame = needed_frame(["CT/dsc", "final"], ["A", "B"], found)
        assert frame["cases_needed"].isna().iloc[0]
