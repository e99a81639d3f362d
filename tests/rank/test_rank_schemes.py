"""Every scheme and every rule for missing values, worked by hand; and properties that must always hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.errors import UsageError
from harness.rank.missing import prepared
from harness.rank.order import TIES, rank
from harness.rank.schemes import SCHEMES, final_ranks, final_scores, make_scheme
from harness.rank.table import RankedMetric, TaskTable

NAN = np.nan
DSC = RankedMetric("dsc", "DSC", smaller_is_better=False, is_time=False, failure_value=0.0)
TIME = RankedMetric("runtime_s", "Runtime", smaller_is_better=True, is_time=True, failure_value=60.0)
OTHER = RankedMetric("hd95", "HD95", smaller_is_better=True, is_time=False, failure_value=None)

#: Five cases (rows) of teams A, B, C.
COMPLETE = np.array(
    [
        [0.9, 0.8, 0.7],
        [0.9, 0.8, 0.7],
        [0.9, 0.8, 0.7],
        [0.1, 0.8, 0.8],
        [0.2, 0.5, 0.4],
    ]
)


def task(values, undefined=None, metric=DSC):
    values = np.array(values, dtype=float)
    out = np.zeros(len(values), dtype=bool) if undefined is None else np.array(undefined)
    return TaskTable("CT", tuple(f"c{i}" for i in range(len(values))), {metric.name: values}, out)


def ranked(
    values,
    name,
    aggregate=None,
    missing=None,
    ties="min",
    smaller=False,
    undefined=None,
    metric=DSC,
    fill=None,
    **testing,
):
    """Aggregates and ranks of the full data."""
    scheme = make_scheme(name, aggregate, missing, ties, **testing)
    unit = scheme.unit(prepared(task(values, undefined, metric), metric, scheme.missing, fill or {}), smaller)
    aggregates = unit.aggregates(np.ones((1, len(values)), dtype=np.int64))[0]
    return aggregates, rank(aggregates, ties, unit.smaller_is_better)


@pytest.mark.parametrize(
    ("name", "aggregate", "aggregates", "ranks"),
    [
        # means: (2.7 + 0.3) / 5, (3.2 + 0.5) / 5, (2.1 + 1.2) / 5
        ("cvpr24", None, [0.60, 0.74, 0.66], [3, 1, 2]),
        ("aggregate-then-rank", "mean", [0.60, 0.74, 0.66], [3, 1, 2]),
        ("aggregate-then-rank", "median", [0.9, 0.8, 0.7], [1, 2, 3]),
        # type 7: position 0.05 * 4 = 0.2 between the two lowest
        ("aggregate-then-rank", "q05", [0.1 + 0.2 * 0.1, 0.5 + 0.2 * 0.3, 0.4 + 0.2 * 0.3], [3, 1, 2]),
        # ranks within cases: A 1 1 1 3 3, B 2 2 2 1 1, C 3 3 3 1 2
        ("rank-then-aggregate", "mean", [9 / 5, 8 / 5, 12 / 5], [2, 1, 3]),
        ("rank-then-aggregate", "median", [1, 2, 3], [1, 2, 3]),
        # only B - C is significant: V = 10 of 10, three of its four differences equal to the last bit:
        # z = 4.5 / sqrt(7.5 - 24 / 48) = 1.701, p = 0.0445
        ("test-then-rank", None, [0, 0.5, 0], [2, 1, 2]),
    ],
)
def test_complete_table_by_hand(name, aggregate, aggregates, ranks):
    got_aggregates, got_ranks = ranked(COMPLETE, name, aggregate)
    np.testing.assert_allclose(got_aggregates, aggregates, rtol=1e-12)
    np.testing.assert_array_equal(got_ranks, ranks)


@pytest.mark.parametrize(
    ("ties", "aggregates"),
    [("min", [1.5, 1, 3]), ("average", [1.75, 1.25, 3]), ("max", [2, 1.5, 3]), ("dense", [1.5, 1, 2.5])],
)
def test_ties_within_cases_by_hand(ties, aggregates):
    """Case 1: A and B share the top before C.  Case 2: B, A, C.  In dense the last of case 1 has rank 2."""
    got, _ = ranked([[0.9, 0.9, 0.1], [0.5, 0.6, 0.1]], "rank-then-aggregate", ties=ties)
    np.testing.assert_allclose(got, aggregates)


#: Three cases; B has no value in the first, nobody in the third.
GAPS = [[0.9, NAN, 0.4], [0.3, 0.6, 0.6], [NAN, NAN, NAN]]


def test_last_by_hand():
    """Ranks: 1 3 2; 3 1 1; 1 1 1 (all missing: counting starts from 0)."""
    aggregates, ranks = ranked(GAPS, "rank-then-aggregate", missing="last")
    np.testing.assert_allclose(aggregates, [5 / 3, 5 / 3, 4 / 3])
    np.testing.assert_array_equal(ranks, [2, 2, 1])


def test_last_with_average_by_hand():
    """Ranks: 1 3 2; 3 1.5 1.5; 2 2 2."""
    aggregates, _ = ranked(GAPS, "rank-then-aggregate", missing="last", ties="average")
    np.testing.assert_allclose(aggregates, [2, 6.5 / 3, 5.5 / 3])


def test_drop_by_hand():
    aggregates, ranks = ranked(GAPS, "cvpr24", missing="drop")
    np.testing.assert_allclose(aggregates, [0.6, 0.6, 0.5])
    np.testing.assert_array_equal(ranks, [1, 1, 3])
    aggregates, _ = ranked(GAPS, "rank-then-aggregate", missing="drop")  # ranks: 1 - 2; 3 1 1; - - -
    np.testing.assert_allclose(aggregates, [2, 1, 1.5])
    aggregates, _ = ranked(GAPS, "aggregate-then-rank", "median", missing="drop")
    np.testing.assert_allclose(aggregates, [0.6, 0.6, 0.5])


def test_fill_by_hand():
    aggregates, ranks = ranked(GAPS, "cvpr24", missing="fill", fill={"dsc": 0.3})
    np.testing.assert_allclose(aggregates, [1.5 / 3, 1.2 / 3, 1.3 / 3])
    np.testing.assert_array_equal(ranks, [1, 3, 2])
    aggregates, _ = ranked(GAPS, "rank-then-aggregate", missing="fill")  # the policy's 0: 1 3 2; 3 1 1; 1 1 1
    np.testing.assert_allclose(aggregates, [5 / 3, 5 / 3, 4 / 3])


def test_drop_case_by_hand():
    """The first case leaves for all (its reference lacks a class); the third is charged to all as a failure."""
    aggregates, ranks = ranked(GAPS, "cvpr24", undefined=[True, False, False])
    np.testing.assert_allclose(aggregates, [0.15, 0.3, 0.3])
    np.testing.assert_array_equal(ranks, [3, 1, 1])
    aggregates, _ = ranked(GAPS, "rank-then-aggregate", missing="drop-case", undefined=[True, False, False])
    np.testing.assert_allclose(aggregates, [(3 + 1) / 2, 1, 1])


def test_an_undefined_score_does_not_take_the_runtime_out():
    times = [[1.0, 2, NAN], [3, 3, 3]]
    aggregates, ranks = ranked(times, "cvpr24", smaller=True, undefined=[True, False], metric=TIME)
    np.testing.assert_allclose(aggregates, [2, 2.5, 31.5])  # a lost runtime is charged with the time limit
    np.testing.assert_array_equal(ranks, [1, 2, 3])


def test_gaps_without_a_policy_are_refused_unless_their_case_leaves():
    with pytest.raises(UsageError, match="--fill hd95=VALUE"):
        ranked([[1, NAN], [2, 3]], "cvpr24", metric=OTHER, smaller=True)
    aggregates, _ = ranked([[1, NAN], [2, 3]], "cvpr24", metric=OTHER, smaller=True, undefined=[True, False])
    np.testing.assert_array_equal(aggregates, [2, 3])


def test_a_team_without_any_value_is_not_ranked():
    aggregates, ranks = ranked([[1, NAN], [2, NAN]], "cvpr24", missing="drop")
    np.testing.assert_array_equal(aggregates, [1.5, NAN])
    np.testing.assert_array_equal(ranks, [1, NAN])


def test_final_by_hand():
    """Ranks of teams A, B, C in three units; the second counts twice; the third ranks nobody."""
    ranks = np.array([[1.0, 2, 3], [3, 1, 2], [NAN, NAN, NAN]])
    scores = final_scores(ranks, np.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(scores, [7 / 3, 4 / 3, 7 / 3])
    np.testing.assert_array_equal(final_ranks(scores, "min"), [2, 1, 2])
    np.testing.assert_array_equal(final_ranks(scores, "average"), [2.5, 1, 2.5])


def test_a_team_that_a_unit_does_not_rank_comes_last():
    scores = final_scores(np.array([[1.0, 2, 3], [NAN, 2, 1]]), np.ones(2))
    np.testing.assert_allclose(scores, [NAN, 2, 2])
    np.testing.assert_array_equal(final_ranks(scores, "min"), [2, 1, 1])


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        (("best",), "no scheme named 'best'"),
        (("cvpr24", "median"), "takes --aggregate mean, not median"),
        (("rank-then-aggregate", "q05"), "mean, median, not q05"),
        (("aggregate-then-rank", "q5"), "q01 to q99, not q5"),
        (("cvpr24", None, "last"), "take --scheme rank-then-aggregate"),
        (("test-then-rank", "mean"), "takes --aggregate share, not mean"),
        (("test-then-rank", None, "last"), "takes --na drop-case, fill, drop, not last"),
    ],
)
def test_settings_that_a_scheme_does_not_take(settings_, words):
    with pytest.raises(UsageError, match=words):
        make_scheme(*settings_)


values_of = arrays(
    float, st.tuples(st.integers(2, 7), st.integers(2, 6)), elements=st.integers(0, 20).map(lambda k: k / 20)
)
kinds = st.sampled_from(
    [
        ("cvpr24", "mean"),
        ("aggregate-then-rank", "median"),
        ("aggregate-then-rank", "q25"),
        ("rank-then-aggregate", "mean"),
        ("rank-then-aggregate", "median"),
        ("test-then-rank", "share"),
    ]
)
#: Those by which a team that is worse by the same amount everywhere is never ahead; tests are not among them.
monotone_kinds = kinds.filter(lambda kind: kind[0] != "test-then-rank")
ties_of = st.sampled_from(TIES)


@settings(deadline=None)
@given(values_of, kinds, ties_of, st.booleans(), st.randoms())
def test_order_of_teams_and_cases_does_not_matter(values, kind, ties, smaller, random):
    cases, teams = list(range(len(values))), list(range(values.shape[1]))
    random.shuffle(cases)
    random.shuffle(teams)
    _, straight = ranked(values, *kind, ties=ties, smaller=smaller)
    _, shuffled = ranked(values[cases][:, teams], *kind, ties=ties, smaller=smaller)
    np.testing.assert_array_equal(shuffled, straight[teams])


@settings(deadline=None)
@given(values_of, st.sampled_from(["mean", "median"]), ties_of, st.booleans())
def test_ranks_within_cases_survive_monotone_transforms(values, aggregate, ties, smaller):
    _, before = ranked(values, "rank-then-aggregate", aggregate, ties=ties, smaller=smaller)
    _, after = ranked(np.exp(3 * values) - 5, "rank-then-aggregate", aggregate, ties=ties, smaller=smaller)
    np.testing.assert_array_equal(after, before)


@settings(deadline=None)
@given(values_of, monotone_kinds, ties_of, st.booleans())
def test_a_dominated_team_is_never_ahead(values, kind, ties, smaller):
    worse = values[:, :1] + (0.1 if smaller else -0.1)
    _, ranks = ranked(np.concatenate([values, worse], axis=1), *kind, ties=ties, smaller=smaller)
    assert ranks[-1] >= ranks[0]
    if kind == ("cvpr24", "mean"):
        assert ranks[-1] > ranks[0]


@settings(deadline=None)
@given(values_of, kinds, ties_of)
def test_equal_teams_share_their_rank(values, kind, ties):
    _, ranks = ranked(np.concatenate([values, values[:, :1]], axis=1), *kind, ties=ties)
    assert ranks[-1] == ranks[0]


def test_schemes_are_listed_with_the_default_first():
    assert SCHEMES[0] == "cvpr24"


def ranked_by_tests(values, smaller=False, missing=None, fill=None, **testing):
    shares, ranks = ranked(values, "test-then-rank", missing=missing, smaller=smaller, fill=fill, **testing)
    return shares.tolist(), ranks.tolist()


def test_shares_beaten_as_challenger_has_them():
    """What challengeR's own tests of testThenRank expect of 0.2 against 1.0 in four cases, and with one value missing.

    Four equal differences: z = 4.5 / sqrt(7.5 - 60 / 48) = 1.8, p = 0.036; three: z = 2.5 / sqrt(3.5 - 24 / 48), 0.074.
    """
    four = [[0.2, 1.0]] * 4
    assert ranked_by_tests(four, smaller=True) == ([1, 0], [1, 2])
    assert ranked_by_tests(four, smaller=False) == ([0, 1], [2, 1])
    assert ranked_by_tests(four[:2], smaller=True) == ([0, 0], [1, 1])
    assert ranked_by_tests(four[:1], smaller=True) == ([0, 0], [1, 1])
    gap = [[NAN, 1.0], *four[:3]]
    assert ranked_by_tests(gap, True, "fill", {"dsc": 100.0}) == ([0, 0], [1, 1])
    assert ranked_by_tests(gap, True, "fill", {"dsc": 0.0}) == ([1, 0], [1, 2])
    assert ranked_by_tests(gap, True, "drop") == ([0, 0], [1, 1])


def test_a_team_without_values_is_no_rival():
    """Of three teams one is absent: the winner beats its only rival."""
    shares, ranks = ranked_by_tests([[0.9, 0.1, NAN]] * 4, missing="drop")
    np.testing.assert_array_equal(shares, [1, 0, NAN])
    np.testing.assert_array_equal(ranks, [1, 2, NAN])
    shares, ranks = ranked_by_tests([[0.9, NAN]] * 4, missing="drop")
    np.testing.assert_array_equal(shares, [0, NAN])


def test_adjustments_of_the_shares():
    """Eight cases won throughout: p = 0.007; times 6 ordered pairs is 0.042, which Holm allows."""
    best, middle = np.arange(8) / 100 + 0.5, np.arange(8) ** 2 / 1000 + 0.2
    values = np.stack([best, middle, middle], axis=1)
    assert ranked_by_tests(values, adjustment="none") == ([1, 0, 0], [1, 2, 2])
    assert ranked_by_tests(values, adjustment="holm") == ([1, 0, 0], [1, 2, 2])
    assert ranked_by_tests(values[:6], adjustment="none") == ([1, 0, 0], [1, 2, 2])
    assert ranked_by_tests(values[:6], adjustment="holm") == ([0, 0, 0], [1, 1, 1])
    # The two smallest of six p-values: 0.018 * 6 / 2 is 0.054 with six cases, 0.0112 * 6 / 2 is 0.034 with seven.
    assert ranked_by_tests(values[:6], adjustment="bh") == ([0, 0, 0], [1, 1, 1])
    assert ranked_by_tests(values[:7], adjustment="bh") == ([1, 0, 0], [1, 2, 2])


def test_then_rank_can_put_a_dominated_team_ahead():
    """B is ahead of C by 1 four times, A by 1, 2, 3, 4, never below B: equal differences have less variance, so that
    B's z is 4.5 / 2.5 = 1.8, A's 4.5 / sqrt(7.5) = 1.643 (p = 0.0502)."""
    assert ranked_by_tests([[1, 1, 0], [2, 1, 0], [3, 1, 0], [4, 1, 0]]) == ([0, 0.5, 0], [2, 1, 2])


draws_of = st.integers(0, 1000).map(np.random.default_rng)
with_gaps = arrays(
    float, st.tuples(st.integers(1, 12), st.integers(2, 4)), elements=st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, NAN])
)


@settings(max_examples=60, deadline=None)
@given(
    with_gaps,
    draws_of,
    st.sampled_from(["none", "holm", "bh"]),
    st.sampled_from([("normal", "wilcox"), ("exact", "wilcox"), ("normal", "pratt")]),
    st.booleans(),
)
def test_a_resample_is_judged_as_its_table_written_out(values, random, adjustment, rule, smaller):
    """`distinct`: with k copies of a case drawn k times; `challenger`: with each drawn case once."""
    scheme = make_scheme("test-then-rank", missing="drop", adjustment=adjustment, method=rule[0], zeros=rule[1])
    counts = random.multinomial(len(values), [1 / len(values)] * len(values), size=3)
    for mode, copies in (("distinct", counts), ("challenger", np.minimum(counts, 1))):
        got = scheme.unit(values, smaller, mode).aggregates(counts)
        for row, count in zip(got, copies, strict=True):
            table = np.repeat(values, count, axis=0)
            expected = scheme.unit(table, smaller).aggregates(np.ones((1, len(table)), dtype=np.int64))
            np.testing.assert_array_equal(row, expected[0])


@settings(deadline=None)
@given(values_of, st.integers(0, 5), st.booleans())
def test_tests_do_not_see_the_order_of_equal_teams(values, place, smaller):
    """A copy of the first team, wherever it stands, changes nobody's share."""
    place = min(place, values.shape[1])
    behind, _ = ranked(np.concatenate([values, values[:, :1]], axis=1), "test-then-rank", smaller=smaller)
    before, _ = ranked(np.insert(values, place, values[:, 0], axis=1), "test-then-rank", smaller=smaller)
    np.testing.assert_array_equal(np.delete(before, place), behind[:-1])
    assert before[place] == behind[-1] == behind[0]


@settings(max_examples=40, deadline=None)
@given(with_gaps, st.sampled_from(["none", "holm", "bh"]), st.booleans())
def test_shares_equal_those_of_scipys_tests(values, adjustment, smaller):
    """Team by team, as challengeR does it: one-sided tests of all ordered pairs, adjusted together."""
    teams = [t for t in range(values.shape[1]) if not np.isnan(values[:, t]).all()]
    p = {}
    for one, other in itertools.permutations(teams, 2):
        difference = values[:, one] - values[:, other]
        difference = difference[~np.isnan(difference)]
        better = "less" if smaller else "greater"
        if difference.any():
            test = stats.wilcoxon(difference, correction=True, alternative=better, method="asymptotic")
            p[one, other] = test.pvalue
        elif len(difference):
            p[one, other] = 1.0
    adjusted = np.array(list(p.values()))
    if len(p) and adjustment == "bh":
        adjusted = stats.false_discovery_control(adjusted, method="bh")
    elif len(p) and adjustment == "holm":
        steps = np.arange(len(p), 0, -1)
        adjusted[np.argsort(adjusted)] = np.maximum.accumulate(steps * np.sort(adjusted))
    beaten = [pair[0] for pair, value in zip(p, adjusted, strict=True) if value <= 0.05]
    shares, _ = ranked(values, "test-then-rank", missing="drop", smaller=smaller, adjustment=adjustment)
    for team in range(values.shape[1]):
        expected = beaten.count(team) / max(1, len(teams) - 1) if team in teams else NAN
        np.testing.assert_array_equal(shares[team], expected)
