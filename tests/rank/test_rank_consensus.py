"""Consensus: hand-worked examples, challengeR's own through the definitions of its package, Kemeny by brute force."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.rank import kemeny as kemeny_module
from harness.rank.consensus import ALL, METHODS, consensus, consensus_frame, consensus_rankings
from harness.rank.kemeny import kemeny

NAN = np.nan
ABC = ("A", "B", "C")


def joined(method, ranks, teams=None, weights=None, **settings_):
    ranks = np.array(ranks, dtype=float)
    teams = teams or [f"t{k:02d}" for k in range(ranks.shape[1])]
    weights = np.ones(len(ranks)) if weights is None else np.array(weights, dtype=float)
    return consensus(method, "dsc", ranks, weights, teams, **settings_)


#: A first, then A and B share the first place, then C B A; and one where only B has a rank.
TIED = [[1, 2, 3], [1, 1, 3], [3, 2, 1], [NAN, 1, NAN]]


@pytest.mark.parametrize(
    ("method", "scores", "ranks"),
    [
        # mid-ranks: 1 2 3; 1.5 1.5 3; 3 2 1; 2.5 1 2.5
        ("euclidean", [8 / 4, 6.5 / 4, 9.5 / 4], [2, 1, 3]),
        # teams strictly behind: 2 1 0; 1 1 0; 0 1 2; 0 2 0
        ("borda", [3, 5, 2], [2, 1, 3]),
        # wins and half ties: 2 1 0; 1.5 1.5 0; 0 1 2; 0.5 2 0.5
        ("copeland", [4, 5.5, 2.5], [2, 1, 3]),
        ("kemeny", [4, 4, 4], [2, 1, 3]),
    ],
)
def test_by_hand(method, scores, ranks):
    """Kemeny: A is before B in 1 ranking, after it in 2, tied in 1; A before C in 2, after it in 1, tied in 1; B
    before C in 3, after it in 1.  B A C disagrees with 1 + 1 + 1, and the two ties cost 1/2 each: 4."""
    got = joined(method, TIED, ABC)
    np.testing.assert_allclose(got.scores, scores)
    np.testing.assert_array_equal(got.ranks, ranks)


def test_cook_and_kress_example_of_copeland_scores():
    """The rankings b c a d e, d a e c b and e c b a d of the help page of relation_scores, from Cook and Kress 1992,
    p. 136: wins are 5 less the rank, summed."""
    orders = ["bcade", "daecb", "ecbad"]
    ranks = [[order.index(team) + 1 for team in "abcde"] for order in orders]
    got = joined("copeland", ranks, tuple("abcde"))
    # ranks of a: 3 2 4, b: 1 5 3, c: 2 4 2, d: 4 1 5, e: 5 3 1
    np.testing.assert_allclose(got.scores, [15 - s for s in (9, 9, 8, 10, 9)])
    np.testing.assert_array_equal(got.ranks, [2, 2, 1, 5, 2])


def test_borda_and_euclidean_part_where_teams_tie():
    """B shares the first place once and comes last once: its tie earns half a win, but no point."""
    ranks = [[3, 1, 1], [2, 3, 1]]
    np.testing.assert_allclose(joined("euclidean", ranks, ABC).scores, [2.5, 2.25, 1.25])
    np.testing.assert_allclose(joined("borda", ranks, ABC).scores, [1, 1, 3])
    np.testing.assert_array_equal(joined("borda", ranks, ABC).ranks, [2, 2, 1])


def test_a_cycle_has_several_optima_and_says_so():
    """A B C, B C A, C A B: each of the three orders disagrees with 4; by name A comes first."""
    got = joined("kemeny", [[1, 2, 3], [3, 1, 2], [2, 3, 1]], ABC)
    assert (got.scores[0], got.bound, got.unique) == (4, 4, False)
    np.testing.assert_array_equal(got.ranks, [1, 2, 3])


def test_one_ranking_is_its_own_consensus_and_equal_teams_share_the_rank():
    for method in METHODS:
        got = joined(method, [[2, 1, 2, 4]])
        np.testing.assert_array_equal(got.ranks, [2, 1, 2, 4])
    assert got.scores[0] == 0.5  # one tie, whatever the order
    assert got.unique is False
    assert joined("kemeny", [[2, 1, 3, 4]]).unique is True
    np.testing.assert_array_equal(joined("kemeny", [[2, 1, 2, 4]], ties="average").ranks, [2.5, 1, 2.5, 4])


def test_kemeny_puts_the_winner_of_all_pairs_first_where_mean_ranks_do_not():
    """A beats B three times in five, and C always; B has the better mean rank."""
    ranks = [[1, 2, 3]] * 3 + [[2, 1, 3]] * 2
    five = [*([1, 2, 3, 4] for _ in range(3)), *([4, 1, 2, 3] for _ in range(2))]
    assert joined("kemeny", ranks, ABC).ranks[0] == 1
    assert joined("euclidean", five).ranks.tolist() == [2, 1, 3, 4]
    assert joined("kemeny", five).ranks.tolist() == [1, 2, 3, 4]


def test_weights_count_rankings_several_times():
    for method in METHODS:
        twice = joined(method, [[1, 2, 3, 4], [4, 2, 3, 1], [4, 2, 3, 1]])
        heavy = joined(method, [[1, 2, 3, 4], [4, 2, 3, 1]], weights=[1, 2])
        np.testing.assert_array_equal(heavy.ranks, twice.ranks)
        np.testing.assert_allclose(heavy.scores, twice.scores)
    alone = joined("euclidean", [[1, 2], [2, 1], [2, 1]], weights=[0, 0, 0])
    np.testing.assert_array_equal(alone.ranks, [2, 1])


def test_rankings_of_nobody_do_not_count():
    for method in METHODS:
        np.testing.assert_array_equal(joined(method, [[NAN, NAN], [2, 1]]).ranks, [2, 1])
        nothing = joined(method, [[NAN, NAN]])
        assert np.isnan(nothing.ranks).all()
        assert np.isnan(nothing.scores).all()


def test_all_metrics_and_the_frame():
    units = [("CT", "dsc"), ("CT", "runtime_s"), ("MR", "dsc"), ("MR", "runtime_s")]
    ranks = np.array([[1, 2], [2, 1], [1, 2], [1, 2]], dtype=float)
    rankings = consensus_rankings(ranks, units, ["b", "a"])
    assert [(r.method, r.metric) for r in rankings] == [
        (method, metric) for method in METHODS for metric in ("dsc", "runtime_s", ALL)
    ]
    frame = consensus_frame(rankings, ["b", "a"])
    assert list(frame) == ["method", "metric", "team", "score", "rank"]
    assert frame.iloc[:6].to_numpy().tolist() == [
        ["euclidean", "dsc", "b", 1.0, 1.0],
        ["euclidean", "dsc", "a", 2.0, 2.0],
        ["euclidean", "runtime_s", "a", 1.5, 1.0],
        ["euclidean", "runtime_s", "b", 1.5, 1.0],
        ["euclidean", "all", "b", 1.25, 1.0],
        ["euclidean", "all", "a", 1.75, 2.0],
    ]


# --------------------------------------------------------------------------- Kemeny against brute force


def distance(order, ranks, weights):
    """Kendall's distance with penalty 1/2, by the letter."""
    place = {team: k for k, team in enumerate(order)}
    total = 0.0
    for row, weight in zip(ranks, weights, strict=True):
        for i, j in itertools.combinations(range(len(row)), 2):
            if row[i] == row[j]:
                total += weight / 2
            elif (row[i] < row[j]) != (place[i] < place[j]):
                total += weight
    return total


rankings_of = st.integers(2, 6).flatmap(
    lambda teams: arrays(float, st.tuples(st.integers(1, 5), st.just(teams)), elements=st.integers(1, teams))
)


@settings(max_examples=60, deadline=None)
@given(rankings_of, st.randoms(use_true_random=False))
def test_kemeny_is_the_best_of_all_permutations(ranks, random):
    weights = np.array([random.choice([1.0, 1.0, 2.0, 0.3]) for _ in ranks])
    got = joined("kemeny", ranks, weights=weights)
    of_all = {order: distance(order, ranks, weights) for order in itertools.permutations(range(ranks.shape[1]))}
    least = min(of_all.values())
    assert got.scores[0] == pytest.approx(least, abs=1e-9)
    assert got.bound == got.scores[0]
    best = [order for order, value in of_all.items() if value < least + 1e-7]
    assert got.unique is (len(best) == 1)
    # every order that the ranks allow is among the best
    for order in itertools.permutations(range(ranks.shape[1])):
        if (np.diff(got.ranks[list(order)]) >= 0).all():
            assert order in best


@settings(max_examples=60, deadline=None)
@given(rankings_of)
def test_the_chosen_order_is_the_first_of_the_best(ranks):
    """Where the order of the names is that of the mean ranks, the lexicographically first optimum is taken."""
    ranks = ranks[:, np.argsort([row.mean() for row in ranks.T], kind="stable")]
    before = ranks[:, :, None] < ranks[:, None, :]
    tied = ranks[:, :, None] == ranks[:, None, :]
    teams = ranks.shape[1]
    got = kemeny(before.sum(axis=0) * 1.0, tied.sum(axis=0) * 1.0, np.arange(teams))
    orders = list(itertools.permutations(range(teams)))
    cost = [distance(order, ranks, np.ones(len(ranks))) for order in orders]
    assert tuple(got.order) == orders[int(np.argmin(cost))]


@settings(deadline=None)
@given(rankings_of, st.integers(0, 5))
def test_a_team_that_beats_each_other_in_most_rankings_is_first(ranks, team):
    team %= ranks.shape[1]
    ranks = ranks.copy()
    most = len(ranks) // 2 + 1
    ranks[:most, team] = 0
    got = joined("kemeny", ranks)
    assert got.ranks[team] == 1
    assert (got.ranks == 1).sum() == 1


@settings(deadline=None)
@given(rankings_of, st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_order_of_teams_and_rankings_does_not_matter(ranks, method, random):
    teams = [f"t{k}" for k in range(ranks.shape[1])]
    columns, rows = list(range(len(teams))), list(range(len(ranks)))
    random.shuffle(columns)
    random.shuffle(rows)
    straight = joined(method, ranks, teams)
    shuffled = joined(method, ranks[rows][:, columns], [teams[k] for k in columns])
    np.testing.assert_array_equal(shuffled.ranks, straight.ranks[columns])


@settings(deadline=None)
@given(rankings_of, st.sampled_from(METHODS))
def test_twins_share_their_rank(ranks, method):
    got = joined(method, np.concatenate([ranks, ranks[:, :1]], axis=1))
    assert got.ranks[0] == got.ranks[-1]


def random_rankings(seed, units, teams, spread):
    random = np.random.default_rng(seed)
    return np.argsort(np.argsort(random.random((units, teams)) + spread * np.arange(teams), axis=1), axis=1) + 1.0


@pytest.mark.parametrize(("seed", "teams", "spread"), [(1, 9, 0.0), (2, 12, 0.02), (3, 14, 0.0), (4, 12, 0.1)])
def test_integer_programming_finds_the_same_objective(monkeypatch, seed, teams, spread):
    """Both ways to solve a group, against one another: neither knows of the other."""
    ranks = random_rankings(seed, 9, teams, spread)
    by_subsets = joined("kemeny", ranks)
    monkeypatch.setattr(kemeny_module, "MOST_TEAMS", 1)
    programmed = joined("kemeny", ranks)
    assert programmed.scores[0] == by_subsets.scores[0] == programmed.bound
    assert programmed.unique in (by_subsets.unique, None)


def test_the_whole_competition_is_solved_to_the_end():
    got = joined("kemeny", random_rankings(5, 27, 23, 0.01))
    assert got.bound == got.scores[0]
    assert sorted(got.ranks) == list(range(1, 24)) or not got.unique


def test_when_time_runs_out_the_bound_is_proven(monkeypatch):
    """Forty teams in disorder, no time: what is found is no better than the bound, and not called optimal."""
    ranks = random_rankings(6, 5, 40, 0.0)
    hurried = joined("kemeny", ranks, limit_s=0.0)
    assert hurried.unique in (None, False)
    assert hurried.bound < hurried.scores[0]
    began = time.monotonic()
    patient = joined("kemeny", ranks, limit_s=20.0)
    assert time.monotonic() - began < 40
    assert hurried.bound <= patient.bound <= patient.scores[0] <= hurried.scores[0]
