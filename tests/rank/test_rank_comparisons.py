"""Successors and reproductions: scipy's tests, bootstrap intervals by hand, and refusals."""

import numpy as np
import pytest
from scipy import stats

from harness.errors import UsageError
from harness.rank.comparisons import comparisons, comparisons_frame, equivalence_p
from harness.rank.ranked import values_under
from harness.rank.schemes import make_scheme
from tests.rank.making import DSC, NSD, TIME, draws_of, make_table

CVPR = make_scheme("cvpr24")


def table_of(seed=0, metrics=(DSC, TIME), sizes=(30, 50)):
    random = np.random.default_rng(seed)
    tasks = {}
    for task, n in zip(("CT", "US"), sizes, strict=False):
        case = random.normal(size=(n, 1)) / 10 + 0.7
        dsc = case + [0, 0.001, 0.1] + random.normal(size=(n, 3)) / 50
        tasks[task] = {m.name: 10 * dsc if m.is_time else dsc for m in metrics}
    return make_table(tasks, metrics)


def compared(table, samples=500, **pairs):
    draws = draws_of(table, samples)
    pairs = {"successors": [], "reproductions": []} | pairs
    found = comparisons(table, values_under(table, CVPR, {}), draws, **pairs)
    return {(one.task, one.metric): one for one in found}, draws


def test_a_successor_task_by_task_and_over_all():
    table = table_of()
    found, draws = compared(table, successors=[("C", "A")])
    assert list(found) == [(t, m) for t in ("CT", "US", "all") for m in ("dsc", "runtime_s")]
    differences = [task.values["dsc"][:, 2] - task.values["dsc"][:, 0] for task in table.tasks]
    for name, parts in (("CT", [0]), ("US", [1]), ("all", [0, 1])):
        one = found[name, "dsc"]
        pooled = np.concatenate([differences[p] for p in parts])
        assert one.n == len(pooled)
        assert one.difference == pytest.approx(pooled.mean())
        assert one.value_team - one.value_rival == pytest.approx(one.difference)
        p = stats.wilcoxon(pooled, correction=True, method="approx").pvalue
        assert one.p == pytest.approx(p, rel=1e-9)
        means = sum(draws[p][0] @ differences[p] for p in parts) / len(pooled)  # tasks keep their sizes
        assert [one.low, one.high] == pytest.approx(list(np.quantile(means, [0.025, 0.975])))
        assert np.isnan(one.margin)
        assert one.equivalent is None


def test_the_difference_is_not_turned_by_the_metrics_direction():
    found, _ = compared(table_of(), successors=[("C", "A")])
    assert found["all", "runtime_s"].difference == pytest.approx(10 * found["all", "dsc"].difference)


def test_a_reproduction_is_two_one_sided_t_tests():
    table = table_of()
    found, draws = compared(table, reproductions=[("B", "A")])
    one = found["CT", "dsc"]
    difference = table.tasks[0].values["dsc"][:, 1] - table.tasks[0].values["dsc"][:, 0]
    lower = stats.ttest_1samp(difference, -0.01, alternative="greater").pvalue
    upper = stats.ttest_1samp(difference, 0.01, alternative="less").pvalue
    assert one.margin == 0.01
    assert one.p == pytest.approx(max(lower, upper))
    assert one.equivalent == (max(lower, upper) < 0.05)
    assert [one.low, one.high] == pytest.approx(list(np.quantile(draws[0][0] @ difference / 30, [0.05, 0.95])))
    runtime = np.concatenate([task.values["runtime_s"][:, 0] for task in table.tasks])
    assert found["all", "runtime_s"].margin == pytest.approx(0.1 * np.median(runtime))
    assert found["all", "dsc"].equivalent is False  # 80 cases are too few to tell
    more, _ = compared(table_of(sizes=(300, 400)), reproductions=[("B", "A")])
    assert more["all", "dsc"].equivalent is True
    assert -0.01 < more["all", "dsc"].low < more["all", "dsc"].high < 0.01


def test_a_worse_copy_is_not_equivalent_and_margins_can_be_given():
    far, _ = compared(table_of(), reproductions=[("C", "A")])
    assert far["all", "dsc"].equivalent is False
    assert far["all", "dsc"].p > 0.99
    wide, _ = compared(table_of(), reproductions=[("C", "A")], margins={"dsc": 0.2, "runtime_s": 0.5})
    assert wide["all", "dsc"].equivalent
    assert wide["CT", "runtime_s"].margin == 0.5


def test_equivalence_keeps_its_level_at_the_margin_by_simulation():
    """The true difference is the margin itself: declared equivalent in 5 % of the samples."""
    random = np.random.default_rng(5)
    p = np.array([equivalence_p(row, 0.5) for row in random.normal(0.5, 1, size=(4000, 40))])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.012)


def test_equivalence_of_constant_differences_and_of_too_few():
    assert equivalence_p(np.zeros(5), 0.01) == 0
    assert equivalence_p(np.full(5, 0.5), 0.5) == 1
    assert np.isnan(equivalence_p(np.zeros(1), 0.01))


def test_cases_without_both_values_do_not_count():
    nan = np.nan
    table = make_table({"CT": {"dsc": [[nan, 0.5], [0.6, nan], [0.6, 0.5], [0.8, 0.5]]}})
    found = comparisons(table, values_under(table, make_scheme("cvpr24", missing="drop"), {}),
                        draws_of(table, 50), [("A", "B")], [])  # fmt: skip
    assert (found[0].n, found[0].value_team, found[0].difference) == (2, pytest.approx(0.7), pytest.approx(0.2))


def test_nothing_to_compare_by():
    nan = np.nan
    table = make_table({"CT": {"dsc": [[nan, 0.5], [nan, 0.6]], "nsd": [[0.2, 0.2], [0.2, 0.2]]}}, (DSC, NSD))
    values = values_under(table, make_scheme("cvpr24", missing="drop"), {})
    nothing, same = comparisons(table, values, draws_of(table, 5), [("A", "B")], [])[:2]
    assert nothing.n == 0
    assert np.isnan([nothing.difference, nothing.low, nothing.p]).all()
    assert (same.low, same.difference, same.high) == (0, 0, 0)
    assert np.isnan(same.p)
    assert comparisons(table, values, [[], []], [], []) == ()


def test_frame_to_the_letter():
    table = table_of(metrics=(DSC,))
    values = values_under(table, CVPR, {})
    frame = comparisons_frame(comparisons(table, values, draws_of(table, 9), [("C", "A")], [("B", "A")]))
    assert list(frame) == ["kind", "team", "rival", "task", "metric", "n", "value_team", "value_rival", "difference",
                           "low", "high", "p", "margin", "equivalent"]  # fmt: skip
    assert frame["kind"].tolist() == ["successor"] * 3 + ["reproduction"] * 3
    assert frame["equivalent"].isna().tolist() == [True] * 3 + [False] * 3
    assert list(comparisons_frame([])) == list(frame)


def test_without_a_bootstrap_there_are_no_intervals():
    table = table_of()
    found = comparisons(table, values_under(table, CVPR, {}), [[], []], [("C", "A")], [])
    assert np.isnan([found[0].low, found[0].high]).all()
    assert found[0].p < 0.001


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"successors": [("C", "Z")]}, "--successor names Z, which is no team. Teams: A, B, C"),
        ({"reproductions": [("A", "A")]}, "--reproduction A=A compares a team with itself"),
        ({"reproductions": [("A", "B")], "margins": {"hd95": 1}}, "--margin names hd95, which is not ranked"),
        ({"reproductions": [("A", "B")], "margins": {"dsc": 0}}, "--margin dsc=0 must be above 0"),
    ],
)
def test_refusals(pairs, words):
    with pytest.raises(UsageError, match=words):
        compared(table_of(), **pairs)
