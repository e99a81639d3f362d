"""Leaving out: each task and each case against the ranking of the table without it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rank.influence import influence, influence_frame
from harness.rank.order import kendall_tau_b
from harness.rank.ranked import rank_table, units_of, values_under
from harness.rank.schemes import make_scheme
from tests.rank.making import DSC, TIME, make_table


def found_in(table, scheme, weights=None, most=200):
    weights = np.ones(len(table.tasks) * len(table.metrics)) if weights is None else weights
    full = rank_table(table, scheme, weights, {})
    return full, influence(table, units_of(scheme, values_under(table, scheme, {}), table), weights, full, most)


def without_case(task, c):
    keep = np.arange(len(task.cases)) != c
    cases = tuple(case for k, case in zip(keep, task.cases, strict=True) if k)
    return replace(
        task, cases=cases, values={n: v[keep] for n, v in task.values.items()}, undefined=task.undefined[keep]
    )


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 999), st.sampled_from([("cvpr24",), ("rank-then-aggregate", "median"), ("test-then-rank",)]))
def test_each_left_out_equals_ranking_the_table_without_it(seed, kind):
    random = np.random.default_rng(seed)
    sizes = {"CT": 6, "US": 4}
    tasks = {t: {m: random.integers(0, 9, (n, 4)) / 8 for m in ("dsc", "runtime_s")} for t, n in sizes.items()}
    table = make_table(tasks, (DSC, TIME))
    scheme, weights = make_scheme(*kind), np.array([1.0, 2, 1, 2])
    full, found = found_in(table, scheme, weights)
    expected = {}
    for position, task in enumerate(table.tasks):
        others = tuple(t for t in table.tasks if t is not task)
        expected["modality", task.name] = rank_table(replace(table, tasks=others), scheme, weights[:2], {}).final
        for c, case in enumerate(task.cases):
            tasks = (*table.tasks[:position], without_case(task, c), *table.tasks[position + 1 :])
            final = rank_table(replace(table, tasks=tasks), scheme, weights, {}).final
            if (final != full.final).any():
                expected["case", case] = final
    assert {(one.kind, one.name) for one in found} == set(expected)
    for one in found:
        final = expected[one.kind, one.name]
        assert one.changed == (final != full.final).sum()
        assert one.largest_shift == np.abs(final - full.final).max()
        assert one.winners == tuple(np.array(table.teams)[final == 1])
        np.testing.assert_equal(one.tau, kendall_tau_b(full.final, final[None])[0])
    order = [(one.changed, one.largest_shift) for one in found if one.kind == "case"]
    assert order == sorted(order, reverse=True)


def test_by_hand():
    """A leads B by one case that weighs more than the other two; C is last whatever happens."""
    table = make_table({"CT": {"dsc": [[0.9, 0.1, 0], [0.4, 0.5, 0], [0.4, 0.5, 0]]}})
    _, found = found_in(table, make_scheme("cvpr24"))
    assert len(found) == 1  # the only task is not left out
    frame = influence_frame(found)
    assert list(frame) == ["kind", "name", "task", "cases", "tau", "winner", "changed", "largest_shift"]
    assert frame.iloc[0].tolist() == ["case", "CT_000", "CT", 1, pytest.approx(1 / 3), "B", 2, 1]


def test_shared_first_places_and_the_limit_of_cases():
    table = make_table({"CT": {"dsc": [[1, 0.5], [0.5, 0.5]]}, "US": {"dsc": [[0.4, 0.4]]}})
    _, found = found_in(table, make_scheme("cvpr24"))
    frame = influence_frame(found).set_index("name")
    assert frame.loc["CT", "winner"] == "A;B"
    assert frame.loc["CT_000", "winner"] == "A;B"
    assert np.isnan(frame.loc["CT", "tau"])
    assert "US_000" not in frame.index  # the only case of its task: gone, and nothing changes
    assert len(found_in(table, make_scheme("cvpr24"), most=0)[1]) == 2
