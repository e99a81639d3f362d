"""Reading tables: formats, failure policy, repeats, what leaves, what is missing, and every refusal."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import InputError, UsageError
from harness.protocol import load_protocol
from harness.rank.build import build_table
from harness.rank.missing import dropped_cases, prepared
from harness.rank.ranked import rank_table
from harness.rank.read import read_tables
from harness.rank.schemes import make_scheme
from harness.rank.table import LeftOut, MissingRow, NotRankableError
from harness.results import read_results, write_results

PROTOCOL = load_protocol()


def row(team, case, dsc=0.5, nsd=0.5, runtime_s=10.0, **more):
    return {"team": team, "case": case, "dsc": dsc, "nsd": nsd, "runtime_s": runtime_s} | more


def square(teams="ab", cases=("2DBox_US_1", "2DBox_US_2"), **more):
    return [row(t, c, dsc=0.1 * i + 0.2 * j, **more) for i, t in enumerate(teams) for j, c in enumerate(cases)]


def table_of(paths, metrics=None, columns=None, smaller=(), **options):
    paths = paths if isinstance(paths, list) else [paths]
    return build_table(read_tables(paths, PROTOCOL, metrics, columns), PROTOCOL, smaller, **options)


def test_dense_form_is_sorted_whatever_the_rows_order(csv):
    cases = ("3DBox_CT_2.npz", "2DBox_US_1", "3DBox_CT_10", "2DBox_Gait_1")
    rows = [row(t, c, dsc=ord(t) / 200 + len(c) / 1000) for c in cases for t in "ba"]
    table = table_of(csv(rows))
    assert table.teams == ("a", "b")
    assert [(task.name, task.cases) for task in table.tasks] == [
        ("CT", ("3DBox_CT_10", "3DBox_CT_2")),  # the protocol's tasks in its order, then others
        ("US", ("2DBox_US_1",)),
        ("Gait", ("2DBox_Gait_1",)),
    ]
    assert table.tasks[0].values["dsc"].shape == (2, 2)
    assert table.tasks[0].values["dsc"][1, 0] == pytest.approx(97 / 200 + 14 / 1000)


def test_the_modality_column_wins_over_the_name(csv):
    table = table_of(csv(square(modality="My task")))
    assert [task.name for task in table.tasks] == ["My task"]


def test_failure_policy_takes_the_time_limit_of_the_manifest_beside_the_table(csv, tmp_path):
    rows = [*square(outcome="ok"), row("c", "2DBox_US_1", 0.9, 0.9, 1.0, outcome="crash")]
    rows.append(row("c", "2DBox_US_2", None, None, None, outcome="timeout"))
    values = table_of(csv(rows)).tasks[0].values
    np.testing.assert_array_equal(values["dsc"][:, 2], [0, 0])
    np.testing.assert_array_equal(values["runtime_s"][:, 2], [3600, 3600])
    (tmp_path / "manifest.json").write_text(json.dumps({"limits": {"time_limit_s": 120}}))
    table = table_of(tmp_path / "results.csv")
    np.testing.assert_array_equal(table.tasks[0].values["runtime_s"][:, 2], [120, 120])
    assert table.sources[0].time_limit_from == "manifest.json"
    assert any("1 failed attempts carried other values" in note for note in table.warnings)


def test_failure_policy_twice_is_once(csv, tmp_path):
    rows = [
        *square(outcome="ok"),
        row("c", "2DBox_US_1", 0, 0, 3600, outcome="oom"),
        row("c", "2DBox_US_2", outcome="ok"),
    ]
    table = table_of(csv(rows))
    np.testing.assert_array_equal(table.tasks[0].values["dsc"][:, 2], [0, 0.5])
    assert not table.warnings


def test_a_manifest_that_tells_no_limit_is_reported(csv, tmp_path):
    (tmp_path / "manifest.json").write_text("[]")
    assert "tells no limits.time_limit_s" in table_of(csv(square())).warnings[0]


def test_repeats_after_the_policy(csv):
    """Three repeats of a on one case: scores 0.6, 0.9 and a crash, times 1, 2 and the limit."""
    rows = [row("a", "2DBox_US_1", d, d, s, repeat=k, outcome=o)
            for k, (d, s, o) in enumerate([(0.6, 1, "ok"), (0.9, 2, "ok"), (None, 7, "crash")], start=1)]  # fmt: skip
    rows += [row(t, c, repeat=None) for t, c in (("a", "2DBox_US_2"), ("b", "2DBox_US_1"), ("b", "2DBox_US_2"))]
    values = table_of(csv(rows)).tasks[0].values
    assert values["dsc"][0, 0] == pytest.approx(0.5)
    assert values["runtime_s"][0, 0] == 2


def test_attempts_are_kept_beside_what_they_were_combined_to(csv):
    """a: repeats 2 and 7 (given in the other order), the later one a crash; b: one attempt."""
    rows = [
        row("a", "2DBox_US_1", None, None, 5, repeat=7, outcome="crash"),
        row("a", "2DBox_US_1", 0.8, 0.6, 4, repeat=2, outcome="ok"),
        row("b", "2DBox_US_1", 0.7, 0.7, 3, repeat=4, outcome="ok"),
        *(row(t, "2DBox_US_2", outcome="ok", repeat=1) for t in "ab"),
        *(row(t, "3DBox_CT_1", outcome="ok", repeat=1) for t in "ab"),
    ]
    ct, us = table_of(csv(rows)).tasks
    assert us.attempts.repeated
    assert not ct.attempts.repeated
    np.testing.assert_array_equal(us.attempts.values["dsc"][0], [[0.8, 0], [0.7, np.nan]])
    np.testing.assert_array_equal(us.attempts.values["runtime_s"][0], [[4, 3600], [3, np.nan]])
    np.testing.assert_array_equal(us.attempts.failed[0], [[False, True], [False, False]])
    np.testing.assert_allclose(us.values["dsc"][0], [0.4, 0.7])
    np.testing.assert_allclose(us.values["runtime_s"][0], [1802, 3])
    assert ct.attempts.values["dsc"].shape == (1, 2, 1)


def test_variants_of_ranked_metrics_are_kept_and_never_ranked(csv):
    rows = square(outcome="ok", dsc_corrected=0.25, nsd_skip=0.75, iou=0.5, dsc_extra=9, runtime_s_note=1)
    rows[0] |= {"outcome": "crash"}
    long = read_tables([csv(rows)], PROTOCOL)
    long = replace(long, frame=long.frame.assign(nsd_1mm=0.9, hd95_2mm=1.0))
    table = build_table(long, PROTOCOL)
    assert [(v.column, v.metric, v.tolerance_mm, v.drop_case) for v in table.variants] == [
        ("dsc_corrected", "dsc", None, False),
        ("nsd_skip", "nsd", None, False),
        ("nsd_1mm", "nsd", 1.0, True),
    ]
    assert [metric.name for metric in table.metrics] == ["dsc", "nsd", "runtime_s"]
    values = table.tasks[0].values
    np.testing.assert_array_equal(values["dsc_corrected"], [[0, 0.25], [0.25, 0.25]])  # the policy holds for them too
    np.testing.assert_array_equal(values["nsd_1mm"], [[0, 0.9], [0.9, 0.9]])
    ranked = build_table(read_tables([csv(rows)], PROTOCOL, ["dsc_corrected"]), PROTOCOL)
    assert ranked.variants == ()


def test_only_metrics_that_are_undefined_there_tell_of_an_empty_class(csv):
    """HD95 has no value for an empty prediction: that says nothing about the reference."""
    rows = square(outcome="ok", hd95_mm=1.0, dsc_skip=0.5)
    rows[0] |= {"hd95_mm": None, "dsc_skip": None}
    assert not table_of(csv(rows)).tasks[0].undefined.any()
    table = table_of(csv(rows), metrics=["hd95_mm", "dsc"])
    assert not table.tasks[0].undefined.any()
    assert table.metrics[0].failure_value is None
    assert [m.drops_cases for m in table.metrics] == [False, True]
    rows[0]["dsc"] = None
    table = table_of(csv(rows), metrics=["dsc_skip", "dsc", "runtime_s"])
    assert table.tasks[0].undefined.tolist() == [True, False]
    leaving = [np.isnan(prepared(table.tasks[0], m, "drop-case", {})).all(axis=1).any() for m in table.metrics]
    assert leaving == [False, True, False]
    assert dropped_cases(table, "drop-case")[0].metrics == ("dsc",)


def test_an_undefined_score_marks_its_case(csv):
    """a is right that the class is empty: DSC undefined, NSD 0.  Without an outcome nobody can tell."""
    rows = [row("a", "2DBox_US_1", None, 0.0, outcome="ok"), row("b", "2DBox_US_1", outcome="ok")]
    rows += [row("a", "2DBox_US_2", outcome="ok"), row("b", "2DBox_US_2", None, None, outcome="crash")]
    assert table_of(csv(rows)).tasks[0].undefined.tolist() == [True, False]
    assert table_of(csv(rows), metrics=["nsd"]).tasks[0].undefined.tolist() == [True, False]
    for r in rows:
        del r["outcome"]
    table = table_of(csv(rows))
    assert table.tasks[0].undefined.tolist() == [False, False]
    assert "2 rows lack a value and tell no outcome" in table.warnings[0]


def test_an_unfilled_column_beside_the_ranked_ones_marks_nothing(csv):
    rows = [row("a", c, None, 0.5, outcome="ok") for c in ("2D_US_1", "2D_US_2")]
    rows += [row("b", c, None, 0.4, outcome="ok") for c in ("2D_US_1", "2D_US_2")]
    assert not table_of(csv(rows), metrics=["nsd", "runtime_s"]).tasks[0].undefined.any()


def test_missing_rows_are_inserted_and_listed(csv):
    rows = square("ab", ("2DBox_US_1", "2DBox_US_2", "3DBox_CT_1"))[:-1]
    table = table_of(csv(rows))
    assert table.missing == (MissingRow("b", "CT", "3DBox_CT_1"),)
    assert np.isnan(table.tasks[0].values["dsc"][0, 1])
    with pytest.raises(UsageError, match=r"b lacks 1 \(CT/3DBox_CT_1\).*--strict"):
        table_of(csv(rows), strict=True)


def test_bad_references_leave_for_all_teams(csv):
    rows = [*square(outcome="ok"), *square(cases=("2DBox_US_3",), outcome="bad_reference")]
    rows[-1]["outcome"] = "timeout"  # ran out of time, and the reference is broken all the same
    table = table_of(csv(rows))
    assert table.tasks[0].cases == ("2DBox_US_1", "2DBox_US_2")
    assert table.left_out == (LeftOut("US", "2DBox_US_3", ("dsc", "nsd", "runtime_s"), "bad_reference"),)
    assert not table.missing


def test_harness_faults_are_refused_or_leave_for_all_teams(csv):
    rows = square("ab", ("2D_US_1", "2D_US_2", "2D_US_3"), outcome="ok", repeat=1)
    rows[0] |= {"outcome": "harness_fault", "dsc": None}
    rows[1]["repeat"] = 2
    rows.append(rows[1] | {"outcome": "harness_fault", "repeat": 1})  # another repeat is there
    path = csv(rows)
    with pytest.raises(
        UsageError, match=r"2 attempts ended in a harness fault .*team a, case 2D_US_1.*--allow-incomplete"
    ):
        table_of(path)
    table = table_of(path, allow_incomplete=True)
    assert table.tasks[0].cases == ("2D_US_2", "2D_US_3")
    assert [case.reason for case in table.left_out] == ["harness_fault"]
    assert not table.missing


def test_several_tables_are_joined_each_with_its_time_limit(csv, tmp_path):
    for name, limit in (("one", 100), ("two", 50)):
        csv([row(name, c, None, None, None, outcome="timeout") for c in ("2D_US_1", "2D_US_2")], f"{name}/results.csv")
        (tmp_path / name / "manifest.json").write_text(json.dumps({"limits": {"time_limit_s": limit}}))
    table = table_of([tmp_path / "one", tmp_path / "two" / "results.csv"])
    np.testing.assert_array_equal(table.tasks[0].values["runtime_s"], [[100, 50]] * 2)
    assert table.metrics[2].failure_value == 100  # what a missing row is charged


def test_our_own_writer_is_read(tmp_path):
    write_results(tmp_path / "results.csv", square(outcome="ok"))
    assert len(read_results(tmp_path / "results.csv")) == 4
    assert table_of(tmp_path).teams == ("a", "b")


def test_challenger_long_form(csv):
    rows = [
        {"Task": task, "TestCase": case, "Algorithm": algorithm, "MetricValue": value}
        for task in ("T1", "T2")
        for case in ("007", "7")
        for algorithm, value in (("A1", 0.5), ("A2", None))
    ]
    rows[1]["MetricValue"] = 0.25
    table = table_of(csv(rows))
    assert [(t.name, t.cases) for t in table.tasks] == [("T1", ("007", "7")), ("T2", ("007", "7"))]
    assert [m.name for m in table.metrics] == ["MetricValue"]
    assert not table.metrics[0].smaller_is_better
    assert any("larger values count as better" in note for note in table.warnings)
    table = table_of(csv(rows), smaller=["MetricValue"])
    assert table.metrics[0].smaller_is_better
    assert table_of(csv(rows), columns={"dsc": "MetricValue"}, metrics=["dsc"]).metrics[0].label == "DSC"
    for r in rows:
        r["TestCase"] = r.pop("Task") + r["TestCase"]
    assert [t.name for t in table_of(csv(rows)).tasks] == ["all"]


def test_columns_by_other_names(csv):
    rows = [
        {"participant": p, "image": f"2D_US_{i}.npz", "dice": 0.5 + i / 10, "dsc": 9, "nsd": 0.1, "s": 4, "group": "X"}
        for p in ("01", "1")
        for i in range(2)
    ]
    columns = {"team": "participant", "case": "image", "dsc": "dice", "runtime_s": "s", "modality": "group"}
    table = table_of(csv(rows), columns=columns)
    assert table.teams == ("01", "1")
    assert table.tasks[0].name == "X"
    assert table.tasks[0].cases[0] == "2D_US_0"
    np.testing.assert_allclose(table.tasks[0].values["dsc"][:, 0], [0.5, 0.6])


def test_oddities_are_told(csv):
    table = table_of(csv(square("ab", ("2DBox_US_1", "2DBox_US_2", "3DBox_CT_1"))))
    notes = " ".join(table.warnings)
    assert "one case only in CT" in notes
    assert "nsd is constant in CT, US" in notes
    assert "dsc is constant" not in notes


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (square() + square()[:1], UsageError, "duplicate rows: team a, case 2DBox_US_1, repeat 1 is there 2 times"),
        (square("a"), NotRankableError, r"only one team \(a\)"),
        (square(cases=("2D_US_1",)), NotRankableError, r"only one case \(2D_US_1\)"),
        (square(outcome="bad_reference"), NotRankableError, "no case is left"),
        (
            [r | {"nsd": None} for r in square(outcome="ok")],
            UsageError,
            "column 'nsd' has no value in any of 4 rows.*not scored",
        ),
        ([{"team": "a", "dsc": 1}], InputError, "no column 'case' .*--column case=COLUMN"),
        ([{"team": "a", "case": "c", "dsc": 1}], InputError, "column 'nsd', which protocol cvpr24 ranks.*--metrics"),
        ([*square(), row(None, "2D_US_1")], InputError, "line 6 has no team"),
        ([*square(), row("a", " ")], InputError, "line 6 has no case"),
        ([*square(), row("a", "x", dsc="inf")], InputError, "'dsc' is infinite in line 6"),
        ([*square(), row("a", "x", dsc="good")], InputError, "'dsc'.*not float64"),
        (square(outcome="fine"), InputError, "'outcome' holds 'fine'.*Outcomes are: harness_fault"),
    ],
)
def test_refusals(csv, rows, error, words):
    with pytest.raises(error, match=words) as caught:
        table_of(csv(rows))
    assert "results.csv" in str(caught.value)
    assert caught.value.exit_code == 2


def test_refusals_that_hang_on_arguments(csv, tmp_path):
    path = csv(square())
    with pytest.raises(InputError, match="no column 'hd95'"):
        table_of(path, metrics=["hd95"])
    with pytest.raises(InputError, match=r"no column .participant. .*Mend --column"):
        table_of(path, columns={"team": "participant"})
    with pytest.raises(InputError, match="column 'dsc' holds something that is not a number"):
        table_of(path, columns={"dsc": "case"})
    with pytest.raises(UsageError, match="--smaller-better names hd95, which is not ranked"):
        table_of(path, smaller=["hd95"])
    with pytest.raises(UsageError, match=r"results\.csv and .*copy\.csv: duplicate"):
        table_of([path, csv(square(), "copy.csv")])
    with pytest.raises(InputError, match=r"holds no results\.csv"):
        table_of(tmp_path / "..")
    with pytest.raises(InputError, match="no such file"):
        table_of(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("team,case,dsc,nsd,runtime_s\n")
    with pytest.raises(InputError, match="no rows"):
        table_of(tmp_path / "empty.csv")


def test_a_team_without_a_row_in_a_task_is_no_candidate_under_challengers_rules(csv):
    rows = [*square("ab", ("2D_US_1", "2D_US_2", "3D_CT_1", "3D_CT_2"))[:-2], *square("c", ("2D_US_1", "2D_US_2"))]
    ct, us = table_of(csv(rows)).tasks
    assert ct.absent.tolist() == [False, True, True]
    assert us.absent is None
    dsc = table_of(csv(rows)).metrics[0]
    assert np.isnan(prepared(ct, dsc, "fill", {"dsc": 0.0})[:, 1:]).all()
    assert (prepared(ct, dsc, "drop-case", {})[:, 1:] == 0).all()
    table = table_of(csv(rows))
    for rule, expected in (("last", [1, np.nan, np.nan]), ("fill", [1, np.nan, np.nan]), ("drop-case", [1, 2, 2])):
        ranks = rank_table(table, make_scheme("rank-then-aggregate", missing=rule), np.ones(6), {}).ranks
        np.testing.assert_array_equal(ranks[0], expected)
