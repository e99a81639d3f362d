"""What is read from an output folder: strictly from the results table, leniently from everything else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import InputError
from harness.layout import OutDir
from harness.report.reading import read_report_data
from harness.report.summary import outcome_counts, rank_interval, summarise, task_ranks, task_values
from harness.results import write_results
from tests.report.conftest import MakeFolder

OPTIONAL = ("ranking.csv", "ranks.csv", "ranking.json", "bootstrap.npz", "wilcoxon.csv", "manifest.json")


def test_missing_results_table_names_file_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"results\.csv: no such file.*evaluate") as caught:
        read_report_data(tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("team,case,dsc\n", "holds no attempt"),
        ("team,dsc\na,0.5\n", "'case' is missing"),
        ("team,case,dsc\na,c,high\n", "column 'dsc'"),
    ],
)
def test_unusable_results_tables_are_errors(tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / "results.csv").write_text(content)
    with pytest.raises(InputError, match=fault):
        read_report_data(tmp_path)


def test_teams_stand_in_order_of_the_chosen_schemes_rank(make_folder: MakeFolder) -> None:
    folder = make_folder()
    facts = json.loads(folder.out.ranking_json.read_text())
    first = read_report_data(folder.out.root)
    facts["settings"]["scheme"] = "rank-then-aggregate"
    folder.out.ranking_json.write_text(json.dumps(facts))
    second = read_report_data(folder.out.root)
    assert (first.scheme, second.scheme) == ("cvpr24", "rank-then-aggregate")
    assert first.teams == second.teams[::-1] == ("boxfill", "ellipse", "threshold")
    assert set(second.ranks["task"]) == set(first.tasks)


def test_summaries_equal_a_plain_computation(make_folder: MakeFolder) -> None:
    folder = make_folder(teams=("c", "b", "a"), cases=40)
    data = read_report_data(folder.out.root)
    for line in summarise(data):
        mine = folder.rows[folder.rows["team"] == line.team]
        assert line.dsc == pytest.approx(mine["dsc"].mean(), abs=1e-12)
        assert line.nsd == pytest.approx(mine["nsd"].mean(), abs=1e-12)
        assert line.runtime_s == pytest.approx(np.median(mine["runtime_s"]), rel=1e-12)
        assert line.failed == (mine["outcome"] != "ok").sum()
        ranks = pd.read_csv(folder.out.ranks).query("scheme == 'cvpr24' and team == @line.team")
        assert line.mean_ranks["nsd"] == pytest.approx(ranks[ranks["metric"] == "nsd"]["rank"].mean())
        with np.load(folder.out.bootstrap) as npz:
            final = npz["ranks"][:, -1, list(npz["teams"]).index(line.team)]
        assert line.won == pytest.approx((final == 1).mean())
        assert (line.rank_low, line.rank_high) == tuple(np.sort(final)[[4, 194]])  # of 200: the 5th and the 195th


def test_figures_that_the_ranking_states_are_shown_as_stated(make_folder: MakeFolder) -> None:
    """The page and the ranking must never print two means for one team."""
    folder = make_folder()
    facts = json.loads(folder.out.ranking_json.read_text())
    facts["ranking"] = [{"team": "ellipse", "summary": {"dsc": 0.1234, "runtime_s": 5.5, "nsd": None}}]
    folder.out.ranking_json.write_text(json.dumps(facts))
    line = summarise(read_report_data(folder.out.root))[1]
    assert (line.team, line.dsc, line.runtime_s) == ("ellipse", 0.1234, 5.5)
    assert line.nsd == pytest.approx(folder.rows[folder.rows["team"] == "ellipse"]["nsd"].mean())


def test_repeats_are_folded_by_mean_and_of_the_runtime_by_median(tmp_path: Path) -> None:
    rows = [
        {"team": "a", "case": "2DBox_US_1", "repeat": r, "dsc": d, "nsd": d, "runtime_s": s, "outcome": "ok"}
        for r, d, s in ((1, 0.2, 1.0), (2, 0.4, 9.0), (3, 0.9, 2.0))
    ]
    write_results(tmp_path / "results.csv", rows)
    scores = read_report_data(tmp_path).scores.iloc[0]
    assert (scores["dsc"], scores["runtime_s"], scores["task"]) == (pytest.approx(0.5), 2.0, "US")


def test_a_case_undefined_for_one_team_leaves_for_all(tmp_path: Path) -> None:
    """The official evaluator gives NaN to whoever is right about an empty class; the others must not lose by it."""
    rows = [
        {"team": t, "case": c, "dsc": d, "nsd": d, "runtime_s": 1.0, "outcome": "ok"}
        for t, c, d in (("a", "2D_US_1", None), ("a", "2D_US_2", 0.8), ("b", "2D_US_1", 0.0), ("b", "2D_US_2", 0.6))
    ]
    write_results(tmp_path / "results.csv", rows)
    data = read_report_data(tmp_path)
    assert data.left_out["dsc"] == {"2D_US_1"}
    assert [line.dsc for line in summarise(data)] == [0.8, 0.6]
    assert data.scores["runtime_s"].notna().all()


def test_cases_dropped_by_the_ranking_are_dropped_here(make_folder: MakeFolder) -> None:
    folder = make_folder()
    facts = json.loads(folder.out.ranking_json.read_text())
    case = folder.rows["case"].iloc[0]
    facts["dropped_cases"] = [{"task": "US", "case": case, "metrics": ["dsc"], "reason": "empty"}]
    folder.out.ranking_json.write_text(json.dumps(facts))
    data = read_report_data(folder.out.root)
    gone = data.scores["case"] == case
    assert data.scores.loc[gone, "dsc"].isna().all()
    assert data.scores.loc[gone, "nsd"].notna().all()


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff[", b"a,b\n1,2\n", b"[1]", b'{"limits": 3, "settings": []}'])
def test_optional_files_may_be_missing_or_broken(make_folder: MakeFolder, name: str, content: bytes | None) -> None:
    folder = make_folder()
    path = folder.out.root / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    data = read_report_data(folder.out.root)
    summarise(data)
    assert data.limit("pids") in (1024, None)
    if name.endswith(".json") and content == b'{"limits": 3, "settings": []}':
        assert name not in data.absent
    else:
        assert name in data.absent[name]


def test_bootstrap_arrays_that_do_not_fit_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder()
    np.savez(folder.out.bootstrap, ranks=np.ones((5, 2, 3)), tau=np.ones((5, 9)), units=["u", "final"], teams=["a"])
    assert "do not fit" in read_report_data(folder.out.root).absent["bootstrap.npz"]


def test_outcomes_count_flags_apart_and_keep_unknown_ones(tmp_path: Path) -> None:
    rows = [
        {"team": "a", "case": f"2D_US_{i}", "outcome": outcome, "reason": reason}
        for i, (outcome, reason) in enumerate([("ok", ""), ("ok", "exit_code=1"), ("oom", "killed"), ("odd", "")])
    ]
    write_results(tmp_path / "results.csv", rows)
    counts = outcome_counts(read_report_data(tmp_path))["a"]
    assert {k: n for k, n in counts.items() if n} == {"ok": 1, "ok, flagged": 1, "oom": 1, "odd": 1}


def test_task_values_and_ranks_are_the_schemes_own(make_folder: MakeFolder) -> None:
    folder = make_folder(cases=30)
    data = read_report_data(folder.out.root)
    means = folder.rows.groupby(["team", "modality"])["nsd"].mean()
    values, ranks = task_values(data, "nsd"), task_ranks(data, "nsd")
    assert ranks is not None
    for team in data.teams:
        for task in data.tasks:
            assert values.loc[team, task] == pytest.approx(means[team, task])
    assert (values.rank(ascending=False, method="min") == ranks).all().all()
    assert data.tasks == ("Endoscopy", "Fundus", "Microscopy", "OCT", "US", "X-Ray", "CT", "MR", "PET")


def test_a_tied_lead_counts_as_won_for_each(make_folder: MakeFolder) -> None:
    folder = make_folder()
    ranks = np.array([[[1.0, 1, 3]], [[2, 1, 3]], [[1, 2, 2]], [[3, 1, 1]]])
    names = np.array(["boxfill", "ellipse", "threshold"])
    np.savez(folder.out.bootstrap, ranks=ranks, tau=np.ones((4, 1)), units=np.array(["final"]), teams=names)
    data = read_report_data(folder.out.root)
    assert data.bootstrap is not None
    assert [data.bootstrap.share_won(team) for team in names] == [0.5, 0.75, 0.25]
    assert rank_interval(data, "boxfill") == (1.0, 3.0)


def test_a_bare_foreign_table_is_enough(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("case,team,dsc\n2DBox_US_1.npz, a ,0.5\n2DBox_US_1.npz,b,0.25\n")
    data = read_report_data(tmp_path)
    assert (data.teams, data.metrics, data.tasks) == (("a", "b"), ("dsc",), ("US",))
    assert OutDir(tmp_path) == data.out
