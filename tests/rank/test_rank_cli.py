"""`rank.py` from the command line to the files: formats to the letter, and every message."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.cli.main import run_command
from harness.layout import OutDir
from harness.rank.analysis import Settings, analyse
from harness.rank.further import further
from harness.rank.write import write_ranking

ROOT = Path(__file__).parents[2]


def rank(*arguments):
    return run_command("rank", [*map(str, arguments), "--no-report"], prog="rank.py")


@pytest.fixture
def table(csv, random_rows):
    """Five teams, two tasks, gaps; two undefined scores, a failed attempt, a row that is not there."""
    rows = [r | {"outcome": "ok" if r["dsc"] is not None else "crash"} for r in random_rows(11)]
    rows[1] |= {"dsc": None, "nsd": 0.0, "outcome": "ok"}
    del rows[7]
    return csv(rows)


def test_files_to_the_letter(table, tmp_path, capsys):
    out = tmp_path / "out"
    assert rank(table, "--out", out, "--bootstrap", 40, "--seed", 5) == 0
    ranks = pd.read_csv(out / "ranks.csv")
    assert list(ranks) == ["scheme", "task", "metric", "team", "aggregate", "rank"]
    assert list(ranks["scheme"].unique()) == ["cvpr24", "rank-then-aggregate", "aggregate-then-rank", "test-then-rank"]
    assert len(ranks) == 4 * 2 * 3 * 5
    final = pd.read_csv(out / "ranking.csv")
    assert list(final) == ["scheme", "team", "score", "rank"]
    assert final.groupby("scheme")["rank"].apply(lambda r: r.is_monotonic_increasing).all()
    mean_rank = ranks[ranks["scheme"] == "cvpr24"].groupby("team")["rank"].mean()
    score = final[final["scheme"] == "cvpr24"].set_index("team")["score"]
    pd.testing.assert_series_equal(score.sort_index(), mean_rank, check_names=False)
    tests = pd.read_csv(out / "wilcoxon.csv")
    assert ",".join(tests) == "task,metric,team_i,team_j,n,n_nonzero,V,p_i_better,p_i_better_adj,p_two_sided"
    assert len(tests) == 2 * 3 * 5 * 4
    with np.load(out / "bootstrap.npz") as boot:
        assert boot["ranks"].shape == (40, 7, 5)
        assert boot["tau"].shape == (40, 7)
        assert boot["units"].tolist()[:2] == ["CT/dsc", "CT/nsd"]
        assert boot["units"][-1] == "final"
        assert boot["teams"].tolist() == [f"team{t}" for t in range(5)]
        mean_tau = np.nanmean(boot["tau"][:, -1])
    told = json.loads((out / "ranking.json").read_text())
    assert told["settings"] | {"tables": None, "protocol": None, "metrics": None} == {
        "scheme": "cvpr24", "aggregate": "mean", "na": "drop-case", "fill": {}, "ties": "min",
        "schemes": [{"scheme": "cvpr24", "aggregate": "mean", "na": "drop-case"},
                    {"scheme": "rank-then-aggregate", "aggregate": "mean", "na": "last"},
                    {"scheme": "aggregate-then-rank", "aggregate": "mean", "na": "drop-case"},
                    {"scheme": "test-then-rank", "aggregate": "share", "na": "drop-case"}],
        "p_adjust": "holm", "scheme_p_adjust": None, "wilcoxon_digits": None, "wilcoxon_method": "normal",
        "zeros": "wilcox", "cluster": None, "baseline": None, "successors": [], "reproductions": [], "margins": {},
        "bootstrap": 40, "boot_mode": "distinct", "seed": 5,
        "resamples": None, "strict": False, "allow_incomplete": False, "columns": {},
        "tables": None, "protocol": None, "metrics": None,
    }  # fmt: skip
    assert told["settings"]["tables"][0]["path"] == str(table)
    assert [entry["team"] for entry in told["ranking"]] == list(final["team"][:5])
    first = told["ranking"][0]
    assert first["rank"] == 1
    assert first["rank_interval_95"][0] <= first["rank_interval_95"][1]
    assert sum(first["rank_shares"].values()) == pytest.approx(1)
    assert first["share_won"] == pytest.approx(first["rank_shares"].get("1", 0))
    assert told["tau"]["mean"] == pytest.approx(mean_tau)
    assert told["missing"] == [{"team": "team2", "task": "CT", "case": "2D_CT_001"}]
    assert {"task": "CT", "case": "2D_CT_000", "metrics": ["dsc", "nsd"], "reason": "undefined"} in told[
        "dropped_cases"
    ]
    printed = capsys.readouterr()
    assert "cvpr24: final ranking" in printed.out
    assert "team2 lacks 1 (CT/2D_CT_001)" in printed.err
    assert "scores undefined) are left out for all teams: CT/2D_CT_000" in printed.err


#: Files below analysis/ and the columns that docs/ranking.md promises.
TABLES = {
    "effects": "task,metric,team_i,team_j,n,rank_biserial,shift,shift_low,shift_high",
    "friedman": "task,metric,n,teams,chi2,df,p,kendall_w,critical_difference",
    "groups": "task,metric,method,group,team,mean_rank",
    "confidence": "unit,team,rank,low,high,declared",
    "sensitivity": "question,setting,team,score,rank,tau",
    "influence": "kind,name,task,cases,tau,winner,changed,largest_shift",
    "cases_needed": "unit,team,rival,cases,separated,cases_needed",
    "comparisons": "kind,team,rival,task,metric,n,value_team,value_rival,difference,low,high,p,margin,equivalent",
    "repeats": "team,rank_low,rank_high,rank_low_with_repeats,rank_high_with_repeats,median_spread",
    "resamples": "task,b,idx",
}


def test_further_tables_to_the_letter(csv, random_rows, tmp_path):
    rows = random_rows(3, gaps=0)
    table = csv(
        [r | {"repeat": n, "runtime_s": r["runtime_s"] * n, "patient": r["case"][-1]} for r in rows for n in (1, 2)]
    )
    out = tmp_path / "out"
    pairs = (
        "--successor",
        "team1=team0",
        "--reproduction",
        "team2=team3",
        "--margin",
        "dsc=0.5",
        "--baseline",
        "team4",
    )
    drawn = ("--bootstrap", 30, "--cluster", "patient", "--export-resamples")
    assert rank(table, "--out", out, *drawn, *pairs) == 0
    for name, columns in TABLES.items():
        found = pd.read_csv(out / "analysis" / f"{name}.csv")
        assert ",".join(found) == columns
        assert len(found)
    consensus = pd.read_csv(out / "consensus.csv")
    assert ",".join(consensus) == "method,metric,team,score,rank"
    assert list(consensus["method"].unique()) == ["euclidean", "borda", "copeland", "kemeny"]
    assert list(consensus["metric"].unique()) == ["dsc", "nsd", "runtime_s", "all"]
    told = json.loads((out / "ranking.json").read_text())
    assert told["settings"]["successors"] == [["team1", "team0"]]
    assert told["settings"]["cluster"] == "patient"
    assert told["settings"]["margins"] == {"dsc": 0.5}
    assert all(one["objective"] == one["bound"] for one in told["consensus"])

    again = tmp_path / "again"
    kept = ("--resamples", out / "analysis" / "resamples.csv", "--cluster", "patient")
    assert rank(table, "--out", again, *kept, "--no-sensitivity") == 0
    with np.load(out / "bootstrap.npz") as first, np.load(again / "bootstrap.npz") as second:
        np.testing.assert_array_equal(first["ranks"], second["ranks"])
    assert {path.stem for path in (again / "analysis").iterdir()} == set(TABLES) - {
        "sensitivity", "influence", "comparisons", "resamples"}  # fmt: skip
    assert rank(table, "--out", again, "--bootstrap", 0) == 0
    assert not (again / "analysis" / "confidence.csv").exists()  # it would be another ranking's


def test_clusters_must_be_told_of_every_case(csv, random_rows, tmp_path, capsys):
    rows = random_rows(3)
    assert rank(csv(rows), "--out", tmp_path / "a", "--cluster", "patient") == 2
    assert "no column 'patient'" in capsys.readouterr().err
    some = csv([r | {"patient": "" if r["case"] == "2D_CT_003" else "p1"} for r in rows])
    assert rank(some, "--out", tmp_path / "b", "--cluster", "patient") == 2
    assert "CT/2D_CT_003" in capsys.readouterr().err
    two = csv([r | {"patient": r["team"]} for r in rows])
    assert rank(two, "--out", tmp_path / "c", "--cluster", "patient") == 2
    assert "two clusters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--successor", "team1"), "give two teams"),
        (("--successor", "team1=nobody"), "nobody"),
        (("--reproduction", "team1=team1"), "team1"),
        (("--reproduction", "team1=team0", "--margin", "dsc=0"), "margin"),
        (("--margin", "iou=0.1"), "not ranked"),
        (("--baseline", "nobody"), "no such team"),
    ],
)
def test_pairs_that_make_no_sense(table, tmp_path, capsys, options, word):
    assert rank(table, "--out", tmp_path / "out", "--bootstrap", 2, *options) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "adjusted"), [((), "none"), (("--p-adjust", "holm"), "holm")])
def test_test_then_rank_adjusts_only_when_asked(table, tmp_path, option, adjusted):
    assert rank(table, "--out", tmp_path, "--bootstrap", 5, "--scheme", "test-then-rank", *option) == 0
    settings = json.loads((tmp_path / "ranking.json").read_text())["settings"]
    assert (settings["p_adjust"], settings["scheme_p_adjust"]) == ("holm", adjusted)


def test_a_chosen_scheme_stands_alone(table, tmp_path):
    options = (
        "--scheme",
        "rank-then-aggregate",
        "--aggregate",
        "median",
        "--ties",
        "average",
        "--boot-mode",
        "challenger",
    )
    assert rank(table, "--out", tmp_path, "--bootstrap", 5, "--p-adjust", "bh", *options) == 0
    assert set(pd.read_csv(tmp_path / "ranking.csv")["scheme"]) == {"rank-then-aggregate"}
    settings = json.loads((tmp_path / "ranking.json").read_text())["settings"]
    assert [settings[k] for k in ("aggregate", "ties", "na", "boot_mode", "p_adjust")] == [
        "median", "average", "last", "challenger", "bh"]  # fmt: skip


def test_the_table_in_the_output_folder_is_not_touched(table, tmp_path):
    before = table.read_bytes()
    assert rank(tmp_path, "--out", tmp_path, "--bootstrap", 3) == 0
    assert table.read_bytes() == before
    assert rank(table, "--out", tmp_path, "--bootstrap", 0) == 0
    assert table.read_bytes() == before
    assert not (tmp_path / "bootstrap.npz").exists()  # it would be another ranking's
    assert not list(tmp_path.glob(".*tmp*"))


def test_tables_from_elsewhere_are_joined_in_the_output_folder(table, csv, tmp_path, capsys):
    more = csv([{"Algorithm": "team9", "TestCase": f"2D_US_{c:03d}", "MetricValue": 0.5} for c in range(9)], "long.csv")
    options = ("--metrics", "dsc", "--bootstrap", 0, "--column", "dsc=MetricValue")
    out = OutDir(tmp_path / "out")
    assert rank(more, csv(pd.read_csv(more).assign(Algorithm="team8"), "b.csv"), "--out", out.root, *options) == 0
    assert pd.read_csv(out.results).groupby(["team", "modality"])["dsc"].sum().to_dict() == {
        ("team8", "US"): 4.5, ("team9", "US"): 4.5}  # fmt: skip
    assert rank(table, "--out", out.root, "--bootstrap", 0) == 0  # an earlier copy is replaced
    copy = pd.read_csv(out.results)
    assert len(copy) == len(pd.read_csv(table))
    assert (copy.loc[copy["outcome"] == "crash", "runtime_s"] == 3600).all()
    again = [pd.read_csv(out.ranks)]
    assert rank(out.root, "--out", tmp_path / "again", "--bootstrap", 0) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "again" / "ranks.csv"), again[0])


def test_another_runs_table_is_neither_overwritten_nor_reported(table, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "results.csv").write_text("team,case\nz,2D_US_1\n")
    assert run_command("rank", [str(table), "--out", str(other)]) == 2
    assert "is another run's table" in capsys.readouterr().err
    assert rank(table, "--out", other, "--bootstrap", 0) == 0
    assert (other / "results.csv").read_text() == "team,case\nz,2D_US_1\n"


def test_the_same_seed_gives_the_same_files(table, tmp_path):
    for name in ("a", "b"):
        assert rank(table, "--out", tmp_path / name, "--bootstrap", 20) == 0
    for file in ("ranks.csv", "ranking.csv", "ranking.json", "wilcoxon.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_metrics_and_directions(table, tmp_path):
    options = ("--metrics", "dsc,runtime_s", "--weights", "dsc=0", "--smaller-better", "dsc", "--na", "drop")
    assert rank(table, "--out", tmp_path, "--bootstrap", 0, *options) == 0
    ranks = pd.read_csv(tmp_path / "ranks.csv").query("scheme == 'cvpr24'")
    score = pd.read_csv(tmp_path / "ranking.csv").query("scheme == 'cvpr24'").set_index("team")["score"]
    times = ranks[ranks["metric"] == "runtime_s"].groupby("team")["rank"].mean()
    pd.testing.assert_series_equal(score.sort_index(), times, check_names=False)
    dsc = ranks[(ranks["metric"] == "dsc") & (ranks["task"] == "CT")]
    assert dsc.loc[dsc["rank"] == 1, "aggregate"].min() == dsc["aggregate"].min()


def test_resamples_and_columns_and_fill(csv, tmp_path):
    rows = [
        {"who": w, "case": f"2D_US_{c}", "score": s}
        for w, *scores in (("x", 1, 2), ("y", 3, None))
        for c, s in enumerate(scores)
    ]
    draws = csv([{"task": "US", "b": b, "idx": idx} for b, idx in enumerate(("0 0", "0 1", "1 1"))], "draws.csv")
    options = ["--column", "team=who", "--metrics", "score", "--fill", "score=0", "--scheme", "cvpr24"]
    assert rank(csv(rows, "t.csv"), "--out", tmp_path, "--resamples", draws, *options) == 0
    with np.load(
        tmp_path / "bootstrap.npz"
    ) as boot:  # y leads in case 0, ties in both (3 + 0 = 1 + 2), trails in case 1
        assert boot["ranks"][:, 0].tolist() == [[2, 1], [1, 1], [1, 2]]
        np.testing.assert_array_equal(np.isnan(boot["tau"]), True)  # the full ranking is all ties
    told = json.loads((tmp_path / "ranking.json").read_text())
    assert told["tau"]["undefined"] == 3
    assert told["tau"]["mean"] is None
    assert told["settings"]["seed"] is None


def test_a_table_where_nothing_separates_teams_and_a_team_without_values(csv, tmp_path, capsys):
    rows = [{"Task": t, "TestCase": c, "Algorithm": a, "MetricValue": 0.5} for t in "XY" for c in "12" for a in "abc"]
    rows = [r for r in rows if (r["Task"], r["Algorithm"]) != ("Y", "c")]
    assert rank(csv(rows), "--out", tmp_path, "--scheme", "cvpr24", "--na", "drop", "--bootstrap", 4) == 0
    final = pd.read_csv(tmp_path / "ranking.csv")
    assert final["rank"].tolist() == [1, 1, 2]
    assert np.isnan(final["score"].iloc[2])
    err = capsys.readouterr().err
    assert "MetricValue is constant in X, Y" in err
    assert "c has no value at all in some task" in err
    assert "c lacks 2 (Y/1, Y/2)" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scheme", "best"], "no scheme named 'best'. Known: cvpr24, rank-then-aggregate, aggregate-then-rank"),
        (["--aggregate", "median"], "--aggregate needs --scheme"),
        (["--scheme", "cvpr24", "--aggregate", "q05"], "Take --scheme aggregate-then-rank"),
        (["--na", "last"], "it needs --scheme rank-then-aggregate"),
        (["--na", "drop", "--fill", "dsc=0"], "--fill goes with --na fill, not with --na drop"),
        (["--fill", "hd95=0"], "--fill names hd95, which is not ranked"),
        (["--weights", "hd95=1"], "--weights names hd95"),
        (["--weights", "dsc=-1"], "must not be negative"),
        (["--weights", "dsc=0,nsd=0,runtime_s=0"], "one must be above 0"),
        (["--smaller-better", "hd95"], "--smaller-better names hd95"),
        (["--metrics", "hd95"], "no column 'hd95'"),
        (["--column", "team"], "--column team: give NAME=COLUMN"),
        (["--column", "team=who"], "no column 'who'"),
        (["--strict"], "1 rows are missing: team2 lacks 1"),
        (["--protocol", "cvpr99"], "no protocol named 'cvpr99'"),
        (["--resamples", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_messages(table, tmp_path, capsys, options, words):
    assert rank(table, "--out", tmp_path / "out", *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics", "dsc,dsc"], "not a list of different names"),
        (["--fill", "dsc"], "'dsc' is not NAME=NUMBER as in --fill dsc=0"),
        (["--bootstrap", "-1"], "'-1' is not a whole number from 0"),
        (["--seed", "x"], "not a whole number"),
        (["--na", "zero"], "invalid choice"),
    ],
)
def test_options_that_do_not_parse(table, tmp_path, capsys, options, words):
    with pytest.raises(SystemExit) as caught:
        rank(table, "--out", tmp_path, *options)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_unusable_output_folders(table, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert rank(table, "--out", tmp_path / "file") == 2
    assert "it is a file" in capsys.readouterr().err
    assert rank(table, "--out", tmp_path / "file" / "under", "--bootstrap", 0) == 2
    assert "cannot write there" in capsys.readouterr().err


def test_the_script_explains_itself():
    done = subprocess.run([sys.executable, ROOT / "rank.py", "--help"], capture_output=True, text=True, check=True)
    assert "--scheme rank-then-aggregate --aggregate median" in done.stdout


def test_the_facade_that_other_commands_call(table, tmp_path):
    ranking = analyse([table], Settings(bootstrap=2))
    write_ranking(ranking, further(ranking), OutDir(tmp_path / "new"))
    assert (tmp_path / "new" / "ranking.csv").is_file()


def test_a_task_whose_cases_all_leave(csv, random_rows, tmp_path, capsys):
    """Every score of US is undefined for somebody: US is ranked by runtime alone, and the final does without."""
    rows = [r | {"outcome": "ok"} for r in random_rows(2, gaps=0)]
    for r in rows:
        if "_US_" in r["case"] and r["team"] == "team3":
            r |= {"dsc": None, "nsd": 0.0}
    assert rank(csv(rows), "--out", tmp_path, "--scheme", "cvpr24", "--bootstrap", 10) == 0
    assert "no case of US is left for dsc: the final score does without it" in capsys.readouterr().err
    ranks = pd.read_csv(tmp_path / "ranks.csv")
    assert ranks.loc[(ranks["task"] == "US") & (ranks["metric"] == "nsd"), "rank"].isna().all()
    score = pd.read_csv(tmp_path / "ranking.csv").set_index("team")["score"].sort_index()
    pd.testing.assert_series_equal(score, ranks.groupby("team")["rank"].mean(), check_names=False)
    told = json.loads((tmp_path / "ranking.json").read_text())
    assert told["tau"]["units"]["US/dsc"] == {"mean": None, "undefined": 10}
