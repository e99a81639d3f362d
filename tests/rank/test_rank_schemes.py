"""Every scheme and every rule for missing values, worked by hand; and properties that must always hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.errors import UsageError
from harness.rank.missing import prepared
from harness.rank.order import TIES, rank
from harness.rank.schemes import SCHEMES, final_ranks, final_scores, make_scheme, weighted_quantile
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
    values, name, aggregate=None, missing=None, ties="min", smaller=False, undefined=None, metric=DSC, fill=None
):
    """Aggregates and ranks of the full data."""
    scheme = make_scheme(name, aggregate, missing, ties)
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
    ]
)
ties_of = st.sampled_from(TIES)


@given(values_of, kinds, ties_of, st.booleans(), st.randoms())
def test_order_of_teams_and_cases_does_not_matter(values, kind, ties, smaller, random):
    cases, teams = list(range(len(values))), list(range(values.shape[1]))
    random.shuffle(cases)
    random.shuffle(teams)
    _, straight = ranked(values, *kind, ties=ties, smaller=smaller)
    _, shuffled = ranked(values[cases][:, teams], *kind, ties=ties, smaller=smaller)
    np.testing.assert_array_equal(shuffled, straight[teams])


@given(values_of, st.sampled_from(["mean", "median"]), ties_of, st.booleans())
def test_ranks_within_cases_survive_monotone_transforms(values, aggregate, ties, smaller):
    _, before = ranked(values, "rank-then-aggregate", aggregate, ties=ties, smaller=smaller)
    _, after = ranked(np.exp(3 * values) - 5, "rank-then-aggregate", aggregate, ties=ties, smaller=smaller)
    np.testing.assert_array_equal(after, before)


@given(values_of, kinds, ties_of, st.booleans())
def test_a_dominated_team_is_never_ahead(values, kind, ties, smaller):
    worse = values[:, :1] + (0.1 if smaller else -0.1)
    _, ranks = ranked(np.concatenate([values, worse], axis=1), *kind, ties=ties, smaller=smaller)
    assert ranks[-1] >= ranks[0]
    if kind == ("cvpr24", "mean"):
        assert ranks[-1] > ranks[0]


@given(values_of, kinds, ties_of)
def test_equal_teams_share_their_rank(values, kind, ties):
    _, ranks = ranked(np.concatenate([values, values[:, :1]], axis=1), *kind, ties=ties)
    assert ranks[-1] == ranks[0]


@settings(max_examples=50)
@given(values_of, st.sampled_from([0.05, 0.25, 0.5, 0.9]), st.integers(0, 1000))
def test_weighted_quantiles_equal_numpys_of_the_repeated_values(values, share, seed):
    counts = np.random.default_rng(seed).integers(0, 4, size=(5, len(values)))
    counts[:, 0] += 1
    got = weighted_quantile(values, counts, share)
    for row, count in zip(got, counts, strict=True):
        np.testing.assert_allclose(row, np.quantile(np.repeat(values, count, axis=0), share, axis=0), atol=1e-12)


def test_schemes_are_listed_with_the_default_first():
    assert SCHEMES[0] == "cvpr24"
