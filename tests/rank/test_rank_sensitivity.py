"""Who would win if: every setting against the same table ranked by hand or by the plain ranking."""

from dataclasses import replace

import numpy as np
import pytest

from harness.rank.ranked import rank_table
from harness.rank.schemes import make_scheme
from harness.rank.sensitivity import sensitivity, sensitivity_frame
from harness.rank.variants import VariantColumn
from tests.rank.making import DSC, NSD, TIME, make_table

CVPR = make_scheme("cvpr24")


def of(table, main=CVPR, weights=None, fill=None, na=None):
    weights = np.ones(len(table.tasks) * len(table.metrics)) if weights is None else weights
    found = sensitivity(table, main, weights, fill or {}, na)
    return {(one.question, one.setting): one for one in found}


def random_table(seed=0, teams=5, metrics=(DSC, NSD, TIME)):
    random = np.random.default_rng(seed)
    return make_table({t: {m.name: random.random((9, teams)).round(3) for m in metrics} for t in ("CT", "US")}, metrics)


def test_settings_of_a_plain_table_in_order():
    found = list(of(random_table()))
    assert found == [
        ("as ranked", "cvpr24"),
        ("scheme", "rank-then-aggregate"),
        ("scheme", "aggregate-then-rank"),
        ("scheme", "test-then-rank"),
        ("aggregate", "rank-then-aggregate median"),
        ("aggregate", "aggregate-then-rank median"),
        ("aggregate", "aggregate-then-rank q05"),
        *(("weights", f"{m} twice") for m in ("dsc", "nsd", "runtime_s")),
        *(("metrics", f"{m} alone") for m in ("dsc", "nsd", "runtime_s")),
        *(("metrics", f"without {m}") for m in ("dsc", "nsd", "runtime_s")),
        *(("ties", t) for t in ("average", "max", "dense")),
    ]


@pytest.mark.parametrize("name", ["cvpr24", "rank-then-aggregate", "test-then-rank"])
def test_schemes_and_ties_equal_the_plain_ranking(name):
    """Shared work must not leak from one setting into another."""
    table, weights = random_table(1), np.array([1.0, 2, 1, 0.5, 1, 1])
    main = make_scheme(name)
    found = of(table, main, weights)
    for (question, setting), one in found.items():
        if question == "scheme":
            expected = rank_table(table, make_scheme(setting), weights, {})
        elif question == "ties":
            expected = rank_table(table, replace(main, ties=setting), weights, {})
        elif question == "aggregate":
            expected = rank_table(table, make_scheme(*setting.split()), weights, {})
        elif question == "as ranked":
            expected = rank_table(table, main, weights, {})
            assert one.tau == pytest.approx(1)
        else:
            continue
        np.testing.assert_array_equal(one.scores, expected.scores)
        np.testing.assert_array_equal(one.final, expected.final)


def test_weights_and_metrics_by_hand():
    """A is first by dsc, B by nsd and C by time, each with A B C, B C A, C A B in order."""
    table = make_table({"CT": {"dsc": [[3, 2, 1]], "nsd": [[1, 3, 2]], "runtime_s": [[2, 3, 1]]}}, (DSC, NSD, TIME))
    found = of(table)
    assert list(found["as ranked", "cvpr24"].final) == [1, 1, 1]
    np.testing.assert_allclose(found["weights", "dsc twice"].scores, [(2 * 1 + 3 + 2) / 4, (4 + 1 + 3) / 4, 9 / 4])
    assert list(found["metrics", "nsd alone"].final) == [3, 1, 2]
    np.testing.assert_allclose(found["metrics", "without dsc"].scores, [2.5, 2, 1.5])
    assert np.isnan(found["metrics", "nsd alone"].tau)  # as ranked, all tie


def test_failures_by_hand():
    """A is best but failed once (dsc 0).  Left out, it leads; as the worst observed (0.3), it is level with B."""
    dsc = [[0.9, 0.6, 0.3], [0.0, 0.6, 0.5]]
    failed = {"CT": [[[False]] * 3, [[True], [False], [False]]]}
    found = of(make_table({"CT": {"dsc": dsc}}, failed=failed))
    assert list(found["as ranked", "cvpr24"].final) == [2, 1, 3]
    assert list(found["failure policy", "failures left out"].final) == [1, 2, 3]
    assert list(found["failure policy", "failures as the worst observed"].final) == [1, 1, 3]


def test_cases_that_left_stay_out_when_failures_are_left_out():
    """The first case's reference lacks a class: B's 0.9 there must not come back."""
    dsc = [[np.nan, 0.9], [0.6, 0.5], [0.6, 0.0]]
    failed = {"CT": [[[False], [False]], [[False], [False]], [[False], [True]]]}
    found = of(make_table({"CT": {"dsc": dsc}}, failed=failed, undefined={"CT": [True, False, False]}))
    assert list(found["failure policy", "failures left out"].final) == [1, 2]


def test_tolerances_and_corrected_scores_take_the_metrics_place():
    variants = (
        VariantColumn("nsd_corrected", "nsd", "corrected", None, False),
        VariantColumn("dsc_corrected", "dsc", "corrected", None, False),
        VariantColumn("nsd_10mm", "nsd", "10mm", 10.0, True),
        VariantColumn("nsd_1mm", "nsd", "1mm", 1.0, True),
    )
    columns = {"dsc": [[2, 1]], "nsd": [[2, 1]], "dsc_corrected": [[1, 2]], "nsd_corrected": [[1, 2]],
               "nsd_1mm": [[1, 2]], "nsd_10mm": [[2, 1]]}  # fmt: skip
    found = of(make_table({"CT": columns}, (DSC, NSD), variants=variants))
    assert [key for key in found if key[0] in ("tolerance", "scores")] == [
        ("tolerance", "1 mm"), ("tolerance", "10 mm"), ("scores", "corrected")]  # fmt: skip
    assert list(found["as ranked", "cvpr24"].final) == [1, 2]
    assert list(found["tolerance", "1 mm"].final) == [1, 1]
    assert list(found["tolerance", "10 mm"].final) == [1, 2]
    assert list(found["scores", "corrected"].final) == [2, 1]
    assert found["scores", "corrected"].tau == pytest.approx(-1)


def test_missing_values_by_hand():
    """A has no value where B has 0.2: the policy charges 0; left out, A is ahead."""
    found = of(make_table({"CT": {"dsc": [[np.nan, 0.2], [0.5, 0.4]]}}))
    assert [setting for question, setting in found if question == "missing values"] == ["fill", "drop"]
    assert list(found["missing values", "drop"].final) == [1, 2]
    assert list(found["as ranked", "cvpr24"].final) == [2, 1]


def test_what_cannot_be_carried_out_is_left_out():
    """Ranks within cases need no value for a gap; means do, and nothing names one."""
    table = make_table({"CT": {"dsc": [[np.nan, 0.2], [0.5, 0.4]]}}, (replace(DSC, failure_value=None),))
    found = of(table, make_scheme("rank-then-aggregate"))
    assert ("scheme", "cvpr24") not in found
    assert ("missing values", "drop") in found


def test_repeats_by_hand():
    """A: 1, 5, 6 (median 5, mean 4); B: 4, 4, 4.1."""
    found = of(make_table({"CT": {"runtime_s": [[[1, 5, 6], [4, 4, 4.1]]]}}, (TIME,)))
    winners = {setting: list(one.final) for (question, setting), one in found.items() if question == "repeats"}
    assert list(found["as ranked", "cvpr24"].final) == [2, 1]
    assert winners == {"first repeat": [1, 2], "fastest": [1, 2], "slowest": [2, 1], "mean of repeats": [1, 2]}


def test_frame_to_the_letter():
    table = make_table({"CT": {"dsc": [[1, 2]]}})
    frame = sensitivity_frame(table.teams, tuple(of(table).values()))
    assert list(frame) == ["question", "setting", "team", "score", "rank", "tau"]
    assert list(frame.iloc[0][:5]) == ["as ranked", "cvpr24", "B", 1, 1]
    assert frame["tau"].iloc[0] == pytest.approx(1)
