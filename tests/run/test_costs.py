"""`harness costs` on folders whose figures were worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from harness.cli.main import main
from harness.costs import CaseCost, Cost, costs_of, fold, image_size, mean_parts, ratios
from harness.layout import OutDir
from harness.phases import PHASES, Told
from harness.results import read_results, write_results
from tests.run.costs_kit import PLANAR, VOLUMES, make_run, phases_line

COLUMNS = [
    "case", "task", "size", "boxes", "team", "repeat", "outcome", "wall_s", "run_s", "cpu_s", "peak_bytes",
    "peak_anon_bytes", "container_s", "import_s", "load_s", "read_s", "encode_s", "decode_s", "other_s", "write_s",
    "slices", "masks",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OutDir:
    out = make_run(tmp_path_factory.mktemp("costs"))
    assert main(["costs", "--out", str(out.root), "--baseline", "base"]) == 0
    return out


def folded(out: OutDir) -> dict[tuple[str, str], CaseCost]:
    manifest = json.loads(out.manifest.read_text())
    return fold(costs_of(read_results(out.results), manifest, out))


def test_a_row_an_attempt_with_what_is_told_and_nothing_else(run):
    table = pd.read_csv(run.costs)
    assert list(table) == COLUMNS
    assert len(table) == 12
    quick = table[(table["team"] == "quick") & (table["case"] == VOLUMES[0])].iloc[0]
    assert (quick["size"], quick["boxes"], quick["task"], quick["outcome"]) == ("6x24x24", 2, "CT", "ok")
    assert (quick["wall_s"], quick["run_s"], quick["cpu_s"]) == (10.0, 9.5, 20.0)
    assert (quick["peak_bytes"], quick["peak_anon_bytes"]) == (10**9, 1000)
    assert quick["container_s"] == pytest.approx(0.4)
    assert [quick[f"{name}_s"] for name in PHASES] == [0.1, 0.2, 0.05, 9.0, 0.15, 0.06, 0.04]
    assert (quick["slices"], quick["masks"]) == (3, 6)
    base = table[(table["team"] == "base") & (table["case"] == PLANAR[0])].iloc[0]
    assert base["size"] == "24x24"
    assert base[["container_s", "import_s", "write_s", "slices", "masks"]].isna().all()
    assert "3,6" in run.costs.read_text().splitlines()[-1], "counts are whole numbers"
    crashed = table[table["team"] == "frail"]["outcome"]
    assert list(crashed) == ["ok", "crash", "crash", "crash"]


def test_ratios_to_the_baseline_by_hand(run):
    """quick / base: 2/4 and 2/8 in 2D, 10/40 and 10/10 in 3D; frail finished one planar case, as fast as base."""
    found = {(ratio.team, ratio.volume): ratio for ratio in ratios(folded(run), "base")}
    assert found.keys() == {("quick", False), ("quick", True), ("frail", False)}
    quick = found["quick", False]
    assert (quick.cases, quick.median) == (2, 0.375)
    assert quick.geometric_mean == pytest.approx(0.125**0.5)
    assert (found["quick", True].median, found["quick", True].geometric_mean) == (0.625, pytest.approx(0.5))
    assert (found["frail", False].cases, found["frail", False].median) == (1, 1.0)


def test_mean_parts_by_hand(run):
    planar, volumes = (mean_parts(folded(run).values(), volume) for volume in (False, True))
    assert planar["base"] == (2, {"container": 0.5, "inside, not told": 5.5})
    assert volumes["base"] == (2, {"container": 0.5, "inside, not told": 24.5})
    cases, parts = volumes["quick"]
    assert (cases, list(parts)) == (2, ["container", *PHASES])
    assert parts == {
        "container": pytest.approx(0.4), "import": pytest.approx(0.1), "load": pytest.approx(0.2),
        "read": pytest.approx(0.05), "encode": pytest.approx(9.0), "decode": pytest.approx(0.15),
        "other": pytest.approx(0.06), "write": pytest.approx(0.04),
    }  # fmt: skip
    assert sum(parts.values()) == pytest.approx(10.0)
    assert (planar["frail"][0], "frail" in volumes) == (1, False)


def test_the_page_says_all_of_it(run):
    page = run.costs_page.read_text()
    for line in (
        "| case | size | objects | base | frail | quick |",
        "| 2DBox_US_0001 | 24x24 | 2 | 4.00 / 0.40 | 4.00 / 0.40 | 2.00 / 0.20 |",
        "| 2DBox_US_0002 | 24x24 | 2 | 8.00 / 0.80 | crash | 2.00 / 0.20 |",
        "| 3DBox_CT_0001 | 6x24x24 | 2 | 40.0 / 4.00 | crash | 10.0 / 1.00 |",
        "| **median, 2D** | 2 cases |  | 6.00 / 0.60 | 4.00 / 0.40 (1) | 2.00 / 0.20 |",
        "| **median, 3D** | 2 cases |  | 25.0 / 2.50 | – | 10.0 / 1.00 |",
        "3 of 12 attempts did not finish, by outcome:",
        "| frail | 3 |",
        "| quick | 2 | 0.375 | 0.354 | 2 | 0.625 | 0.500 |",
        "| frail | 1 | 1.000 | 1.000 | – | – | – |",
        "| quick | 250 | random, seed 2024 | published | not told |",
        "**Random weights: quick. Scores of random weights say nothing of the algorithm.**",
    ):
        assert line in page
    assert "Phases lines that are not used" not in page
    assert str(run.root) not in page


def test_the_figure_is_an_image(run):
    root = ElementTree.fromstring(run.phases_figure.read_bytes())
    assert root.tag.endswith("svg")


def test_repeats_count_by_their_median(tmp_path):
    """Of three attempts the middle one; of two that finished their mean in the table, the shorter one in the figure."""
    walls = {("solo", PLANAR[0]): (9.0, 2.0, 4.0), ("solo", PLANAR[1]): (-1.0, 6.0, 3.0)}
    out = make_run(tmp_path, walls, tellers=("solo",))
    found = folded(out)
    first, second = found["solo", PLANAR[0]], found["solo", PLANAR[1]]
    assert (first.wall_s, first.peak_bytes, first.middle.wall_s) == (4.0, 4e8, 4.0)
    assert (second.outcome, second.wall_s, second.middle.wall_s) == ("ok", 4.5, 3.0)
    assert first.middle.told.phases.encode_s == 3.0
    assert main(["costs", "--out", str(out.root)]) == 0
    assert len(pd.read_csv(out.costs)) == 6
    page = out.costs_page.read_text()
    assert "medians of 3 attempts a case" in page
    assert "1 of 6 attempts did not finish" in page


def test_a_line_that_cannot_be_is_named_and_not_used(tmp_path, capsys):
    out = make_run(tmp_path, {("liar", PLANAR[0]): (2.0,)})
    out.log("liar", PLANAR[0]).write_text(phases_line(PLANAR[0], 50.0))
    assert main(["costs", "--out", str(out.root)]) == 0
    assert f"liar on {PLANAR[0]}: its phases line is not used: its phases add up to 49.600 s" in capsys.readouterr().err
    assert "Phases lines that are not used:\n\n- liar, 2DBox_US_0001: its phases" in out.costs_page.read_text()
    assert pd.read_csv(out.costs)["import_s"].isna().all()


def test_a_bare_table_of_strangers_is_enough(tmp_path, capsys):
    """No manifest, no logs, names that are markup or lead elsewhere, times that are none."""
    rows = [
        {"team": "../../etc", "case": "2DBox_US_1", "wall_s": 1.0},
        {"team": "a|b<script>", "case": "2DBox_`US`_2", "wall_s": 0.0, "outcome": "ok"},
        {"team": "a|b<script>", "case": "2DBox_US_1", "wall_s": None, "outcome": "oom"},
    ]
    write_results(tmp_path / "results.csv", rows)
    assert main(["costs", "--out", str(tmp_path), "--baseline", "../../etc"]) == 0
    page = (tmp_path / "costs.md").read_text()
    assert "a\\|b&lt;script&gt;" in page
    assert "<script>" not in page
    assert "2DBox_\\`US\\`_2" in page
    assert "there are no ratios" in page
    assert "manifest.json: no such file" in capsys.readouterr().err


def test_an_old_figure_does_not_stay_where_there_is_no_time(tmp_path):
    write_results(tmp_path / "results.csv", [{"team": "a", "case": "2D_US_1", "outcome": "oom"}])
    (tmp_path / "phases.svg").write_text("old")
    assert main(["costs", "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "phases.svg").exists()


@pytest.mark.parametrize(
    ("table", "more", "fault"),
    [
        (None, [], "results.csv: no such file"),
        ("team,case\n", [], "it holds no attempt"),
        ("team,wall_s\na,1\n", [], "column 'case' is missing"),
        ("team,case\na,x\n", ["--baseline", "b"], "no team 'b'. Name one of a."),
    ],
)
def test_usage_ends_with_2_and_says_what_to_do(tmp_path: Path, capsys, table, more, fault):
    if table is not None:
        (tmp_path / "results.csv").write_text(table)
    assert main(["costs", "--out", str(tmp_path), *more]) == 2
    assert fault in capsys.readouterr().err


def test_the_time_inside_is_all_that_is_known_without_phases():
    def cost(wall_s: float | None, run_s: float | None) -> Cost:
        return Cost("2D_US_1", "US", "", None, "a", 1, "ok", wall_s, run_s, None, None, None, Told())

    assert cost(2.0, 1.5).parts() == {"container": 0.5, "inside, not told": 1.5}
    assert cost(2.0, None).parts() == {"container": 0.0, "inside, not told": 2.0}
    assert cost(2.0, 2.001).parts() == {"container": 0.0, "inside, not told": 2.0}
    assert cost(None, 1.0).parts() == {}


@pytest.mark.parametrize(
    ("case", "shape", "size"),
    [
        ("3DBox_CT_1", [28, 104, 112], "28x104x112"),
        ("2DBox_US_1", [320, 400, 3], "320x400"),
        ("2DBox_US_1", (320, 400), "320x400"),
        ("2DBox_US_1", None, ""),
        ("2DBox_US_1", ["<b>", 1, 3], ""),
    ],
)
def test_sizes(case, shape, size):
    assert image_size(case, shape) == size
