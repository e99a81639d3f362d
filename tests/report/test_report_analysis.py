"""The figures and tables of the ranking's further outputs, read back against the files they come from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PatchCollection
from scipy.cluster.hierarchy import fcluster
from scipy.stats import rankdata

from harness.report import analysis_tables
from harness.report.caseranks import case_ranks, rank_counts
from harness.report.data import ReportData
from harness.report.figures import baseline, corrected, effects, friedman, podium, stability
from harness.report.figures.compact import compact
from harness.report.figures.friedman import Diagram, leaders
from harness.report.figures.style import fitted, house_style, ink_on, percent, text_width, width_in
from harness.report.reading import read_report_data
from harness.report.sections import make_sections
from harness.report.settings_ranks import scheme_settings, settings_ranks, winners
from harness.report.taskdistance import leaf_order, linkage_of, task_distances
from harness.results import write_results
from tests.report.conftest import MakeFolder


@pytest.fixture
def data(make_folder: MakeFolder) -> ReportData:
    return read_report_data(make_folder(teams=("alpha", "beta", "gamma", "delta"), cases=36, pictures=0).out.root)


@pytest.mark.parametrize("metric", ["dsc", "runtime_s"])
def test_ranks_within_cases_equal_scipys(data: ReportData, metric: str) -> None:
    found = case_ranks(data, metric)
    assert len(found.cases) == 36
    sign = 1 if metric == "runtime_s" else -1
    np.testing.assert_array_equal(found.ranks, rankdata(sign * found.values, method="min", axis=1))
    counts = rank_counts(found)
    assert counts.sum() == 36 * len(data.teams)
    assert (counts.sum(axis=1) == 36).all()


def test_podium_bars_are_shares_of_the_cases(data: ReportData) -> None:
    found = case_ranks(data, "nsd")
    with house_style():
        figure = podium.draw_podium(data, "nsd", found)
    below = figure.axes[1]
    heights = np.array([[bar.get_height() for bar in group.patches] for group in below.containers])
    np.testing.assert_allclose(heights, 100 * rank_counts(found) / 36)


def test_a_podium_shows_three_places_at_least_and_all_of_few_teams() -> None:
    assert [podium.shown_places(teams) for teams in (2, 3, 8, 23, 100)] == [2, 3, 8, 3, 3]


def test_stacked_frequencies_fill_every_bar(data: ReportData) -> None:
    with house_style():
        axes = stability.draw_stack(data).axes[0]
    ends = np.zeros(len(data.teams))
    for bars in axes.collections:
        if isinstance(bars, PatchCollection):
            for path in bars.get_paths():
                box = path.get_extents()
                team = round((box.y0 + box.y1) / 2)
                assert box.x0 == pytest.approx(ends[team])
                ends[team] = box.x1
    np.testing.assert_allclose(ends, 100)


def test_task_distances_by_hand(make_folder: MakeFolder) -> None:
    """Three teams: opposite rankings are as far apart as can be (4 of floor(9 / 2) = 4), a swap of neighbours half."""
    folder = make_folder(cases=9, pictures=0, samples=5)
    rows = [
        ("s", task, "dsc", team, 0.5, rank)
        for task, ranks in (("CT", (1, 2, 3)), ("MR", (3, 2, 1)), ("PET", (2, 1, 3)))
        for team, rank in zip(folder.teams, ranks, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["scheme", "task", "metric", "team", "aggregate", "rank"])
    frame.to_csv(folder.out.ranks, index=False)
    folder.out.ranking.unlink()
    tasks, distances = task_distances(read_report_data(folder.out.root))
    assert tasks == ("CT", "MR", "PET")
    np.testing.assert_allclose(distances, [[0, 1, 0.5], [1, 0, 1], [0.5, 1, 0]])
    links = linkage_of(distances)
    np.testing.assert_allclose(links[:, 2], [0.5, 1.0])
    assert sorted(leaf_order(links)) == [0, 1, 2]
    together = fcluster(links, 2, "maxclust")
    assert together[0] == together[2] != together[1]


def test_the_baseline_is_the_named_one_and_the_chosen_are_the_first_three_and_the_named(data: ReportData) -> None:
    assert data.baseline() == "delta"
    assert baseline.chosen_teams(data) == ["alpha", "beta", "gamma"]
    gains = baseline.against(data, "dsc", "delta", ["alpha"])
    means = data.scores.groupby(["team", "task"])["dsc"].mean()
    assert list(gains[0]) == pytest.approx([means["alpha", t] - means["delta", t] for t in data.tasks])
    ratios = baseline.against(data, "runtime_s", "delta", ["beta"])
    times = data.scores.groupby(["team", "task"])["runtime_s"].mean()
    assert list(ratios[0]) == pytest.approx([times["beta", t] / times["delta", t] for t in data.tasks])


@pytest.mark.usefixtures("no_drawing")
def test_without_a_baseline_the_section_says_how_to_name_one(make_folder: MakeFolder) -> None:
    folder = make_folder(analysis=False, cases=5, pictures=0)
    tasks = next(s for s in make_sections(read_report_data(folder.out.root)) if s.anchor == "tasks")
    assert any("no team is named litemedsam or baseline" in note for note in tasks.notes)


def test_settings_and_winners_are_those_of_the_file(data: ReportData) -> None:
    frame = pd.read_csv(data.out.root / "analysis" / "sensitivity.csv")
    settings = settings_ranks(data)
    assert settings[0].question == "as ranked"
    assert len(settings) == len(frame.drop_duplicates(["question", "setting"]))
    table = analysis_tables.winners_table(data)
    assert table is not None
    for setting, row in zip(settings, table.rows, strict=True):
        mine = frame[(frame["question"] == setting.question) & (frame["setting"] == setting.name)]
        first = set(mine.loc[mine["rank"] == mine["rank"].min(), "team"])
        assert set(winners(data, setting.ranks)) == first
        assert set(row[2].text.split(", ")) == first
    assert {s.question for s in scheme_settings(data)} == {"as ranked", "scheme", "aggregate"}


def test_schemes_come_from_the_ranking_where_nothing_else_tells(make_folder: MakeFolder) -> None:
    data = read_report_data(make_folder(analysis=False, cases=5, pictures=0).out.root)
    assert [(s.question, s.name) for s in scheme_settings(data)] == [
        ("as ranked", "cvpr24"),
        ("scheme", "rank-then-aggregate"),
    ]


def test_mean_effects_are_antisymmetric_means_over_the_tasks(data: ReportData) -> None:
    found = effects.mean_effects(data, "dsc")
    assert found is not None
    frame = pd.read_csv(data.out.root / "analysis" / "effects.csv").query("metric == 'dsc'")
    np.testing.assert_allclose(found, -found.T)
    i, j = data.teams.index("alpha"), data.teams.index("gamma")
    mine = frame[(frame["team_i"] == "alpha") & (frame["team_j"] == "gamma")]
    assert found[i, j] == pytest.approx(mine["rank_biserial"].mean())


def test_groups_are_drawn_from_their_best_to_their_worst_mean_rank(data: ReportData) -> None:
    frame = pd.read_csv(data.out.root / "analysis" / "groups.csv").query("metric == 'nsd' and method == 'nemenyi'")
    for panel in friedman.diagrams(data, "nsd"):
        mine = frame[frame["task"] == panel.task]
        spans = mine.groupby("group")["mean_rank"].agg(["min", "max"])
        assert list(panel.groups) == sorted(map(tuple, spans.to_numpy()))
        assert list(panel.ranks.values()) == sorted(panel.ranks.values())


def test_leaders_by_hand() -> None:
    ranks = {"a": 1.0, "b": 2.0, "c": 3.5}
    assert leaders(Diagram("t", ranks, ((1.0, 2.0), (2.0, 3.5)), 1.6)) == 2
    assert leaders(Diagram("t", ranks, ((2.0, 3.5),), 1.0)) == 1


def test_corrected_scores_stand_beside_the_official_ones(data: ReportData) -> None:
    attempts = data.attempts
    means = corrected.corrected_means(data, "dsc")
    for place, team in enumerate(data.teams):
        mine = attempts[attempts["team"] == team]
        assert means[place] == pytest.approx([mine["dsc"].mean(), mine["dsc_corrected"].mean()])
    ranks = corrected.corrected_ranks(data)
    frame = pd.read_csv(data.out.root / "analysis" / "sensitivity.csv").query("question == 'scores'").set_index("team")
    assert ranks is not None
    assert list(ranks) == [frame.loc[team, "rank"] for team in data.teams]
    table = analysis_tables.corrected_table(data)
    assert table is not None
    differ = [t for t in data.teams if frame.loc[t, "rank"] != (data.ranking or {})[t][1]]
    assert f"Final ranks differ for {len(differ)} of 4 teams" in table.note


@pytest.mark.usefixtures("no_drawing")
def test_long_tables_are_cut_and_say_where_the_rest_is(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis_tables, "MOST_ROWS", 7)
    data = read_report_data(make_folder(cases=18, pictures=0).out.root)
    table = analysis_tables.effects_table(data)
    assert table is not None
    assert len(table.rows) == 7
    assert "The first 7 of" in table.note
    assert "analysis/effects.csv" in table.note


def test_odd_numbers_and_strangers_in_every_table_do_no_harm(make_folder: MakeFolder) -> None:
    """Every number empty, then every number infinite, then other teams' rows: the page is made all the same."""
    folder = make_folder(cases=3, pictures=0, samples=5, teams=("a", "b"))
    whole = {path: path.read_text() for path in (folder.out.root / "analysis").iterdir()}
    names = {"team", "team_i", "team_j", "rival"}
    for number, stranger in (("", False), ("inf", False), (None, True)):
        for path in whole:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
            for column in frame:
                if stranger and column in names:
                    frame[column] = "stranger"
                numeric = pd.to_numeric(frame[column], errors="coerce").notna().any()
                if number is not None and numeric:
                    frame[column] = number
            frame.to_csv(path, index=False)
        assert make_sections(read_report_data(folder.out.root))
        for path, text in whole.items():
            path.write_text(text)


def test_one_team_makes_a_page(tmp_path: object, make_folder: MakeFolder) -> None:
    folder = make_folder(teams=("solo",), cases=4, pictures=0, samples=5)
    write_results(folder.out.results, folder.rows.to_dict("records"))
    assert make_sections(read_report_data(folder.out.root))


def test_shares_are_never_rounded_to_none_or_all() -> None:
    shown = [percent(share) for share in (0, 0.0004, 0.25, 0.333, 0.9996, 1)]
    assert shown == ["0 %", "less than 0.1 %", "25 %", "33.3 %", "more than 99.9 %", "100 %"]


def test_measured_widths_grow_and_cuts_fit() -> None:
    assert text_width("WW") == pytest.approx(2 * text_width("W"))
    assert text_width("W") > 2 * text_width("i")
    assert fitted("wombat", 10, 8) == "wombat"
    short = fitted("wombat-medical", width_in(["wombat…"], 8), 8)
    assert short.endswith("…")
    assert width_in([short], 8) <= width_in(["wombat…"], 8)


@pytest.mark.parametrize("colour", ["#0072B2", "#F0E442", "#8A8A8A", "#D55E00", "white", "black", "#767676"])
def test_ink_has_contrast(colour: str) -> None:
    from matplotlib.colors import to_rgb

    def luminance(name: str) -> float:
        parts = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(name)]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(colour), luminance(ink_on(colour))))
    assert (light + 0.05) / (dark + 0.05) > 4


def test_compact_svg_keeps_what_is_referred_to() -> None:
    svg = b"""<svg><defs>
   <path id="long_name" d="M 1.23456 2.0"/><path id="unused" d="M 0 0"/>
 </defs><g clip-path="url(#c9)" transform="scale(0.015625)"><use xlink:href="#long_name" x="9.87654" y="1"/></g>
 <clipPath id="c9"/></svg>"""
    small = compact(svg)
    assert b"scale(0.015625)" in small
    assert b'd="M 1.23 2.0"' in small
    assert b'x="9.87"' in small
    assert b"unused" not in small
    assert small.count(b"i0") == 2
    assert small.count(b"i1") == 2
