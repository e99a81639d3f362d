"""What submissions tell of themselves, as the report shows it: weights, and where the time goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.costs import PARTS, fold
from harness.report import write_report
from harness.report.data import ReportData
from harness.report.figures.phases import draw_phases, means_of, phases_drawing
from harness.report.figures.style import house_style, ranked_names
from harness.report.reading import read_report_data
from harness.report.told import submissions_table
from tests.report.browser import need_browser, probe
from tests.report.conftest import HOSTILE, Folder, MakeFolder, long_names
from tests.report.test_report_browser import PROBE
from tests.report.test_report_page import assert_self_contained, page_of
from tests.report.texts import caught, outside, overlapping
from tests.run.costs_kit import make_run

RANDOM = "Scores of random weights say nothing of the algorithm."


def with_labels(folder: Folder, labels: dict[str, Any]) -> Folder:
    """The folder, its manifest with these labels by team."""
    manifest = json.loads(folder.out.manifest.read_text())
    for entry in manifest["submissions"]:
        entry["labels"] = labels.get(entry["team"], {})
    folder.out.manifest.write_text(json.dumps(manifest))
    return folder


def with_phases(folder: Folder, teams: tuple[str, ...]) -> Folder:
    """The folder, with logs in which these teams tell of four fifths of their wall time."""
    for row in folder.rows[folder.rows["team"].isin(teams)].itertuples():
        path = folder.out.log(row.team, row.case, row.repeat)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = f"{row.wall_s / 10:.3f}"
        path.write_text(
            f"phases {row.case} import {part} load {part} read {part} encode {part} decode {part} other {part} "
            f"write {part} slices 1 masks 1\n"
        )
    return folder


def cells(data: ReportData) -> list[list[str]]:
    table = submissions_table(data)
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


@pytest.mark.usefixtures("no_drawing")
def test_random_weights_are_plain_to_see(make_folder: MakeFolder) -> None:
    labels = {
        "boxfill": {"cvpr24.weights": "random, seed 2024", "cvpr24.mode": "published", "cvpr24.variant": "f32-f32-1"},
        "ellipse": {"cvpr24.weights": "lite_medsam.pth", "cvpr24.trained": "in May", "maintainer": "m"},
    }
    folder = with_labels(make_folder(), labels)
    data = read_report_data(folder.out.root)
    image = "d" * 12
    assert cells(data) == [
        ["boxfill", image, "0", "random, seed 2024", "published", "f32-f32-1", "–"],
        ["ellipse", image, "0", "lite_medsam.pth", "not told", "not told", "cvpr24.trained=in May"],
        ["threshold", image, "0", "not told", "not told", "not told", "–"],
    ]
    page = page_of(write_report(folder.out.root))
    assert page.text.count(f"Random weights: boxfill. {RANDOM}") == 2, "above everything, and above the table"
    assert "random, seed 2024" in page.text


@pytest.mark.usefixtures("no_drawing")
def test_labels_are_only_text(make_folder: MakeFolder) -> None:
    hostile = {"cvpr24.weights": f"random{HOSTILE[0]}", "cvpr24.mode": HOSTILE[1], f"cvpr24.{HOSTILE[3]}": HOSTILE[2]}
    path = write_report(with_labels(make_folder(), {"boxfill": hostile}).out.root)
    page = page_of(path)
    assert_self_contained(page)
    for text in (*HOSTILE[:3], f"cvpr24.{HOSTILE[3]}"):
        assert text in page.text
    assert "<script>alert" not in path.read_text()


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("labels", [None, 3, "x", [1], {"cvpr24.weights": {"a": 1}}, "missing"])
def test_manifests_without_labels_or_with_odd_ones_still_work(make_folder: MakeFolder, labels: Any) -> None:
    folder = make_folder(cases=4)
    manifest = json.loads(folder.out.manifest.read_text())
    for entry in manifest["submissions"]:
        entry["labels"] = labels
        if labels == "missing":
            del entry["labels"], entry["image_id"], entry["bytes"]
    manifest["submissions"].append({"team": ["a"], "labels": {}})
    folder.out.manifest.write_text(json.dumps(manifest))
    assert [row[3:] for row in cells(read_report_data(folder.out.root))] == [["not told"] * 3] * 3
    page = page_of(write_report(folder.out.root))
    assert "Random weights" not in page.text


@pytest.mark.usefixtures("no_drawing")
def test_where_the_time_goes_is_there_only_if_someone_tells(make_folder: MakeFolder) -> None:
    folder = make_folder()
    folder.out.log("boxfill", "x").parent.mkdir(parents=True)
    assert "phases" not in page_of(write_report(folder.out.root)).attributes("id")
    page = page_of(write_report(with_phases(folder, ("ellipse",)).out.root))
    ids = page.attributes("id")
    assert ids[ids.index("phases") - 1 :] == ["outcomes", "phases", "overlays", "manifest"]
    for caption in ("Where the time goes", "Mean seconds by part, 2D cases", "Mean seconds by part, 3D cases"):
        assert caption in page.text
    assert (folder.out.root / "figures" / "phases.svg").is_file()


@pytest.mark.usefixtures("no_drawing")
def test_lines_not_used_are_named_and_nothing_else(make_folder: MakeFolder) -> None:
    folder = make_folder(failures=False)
    case = str(folder.rows["case"].iloc[0])
    path = folder.out.log("boxfill", case)
    path.parent.mkdir(parents=True)
    path.write_text(f"phases {case} <img>\n")
    page = page_of(write_report(folder.out.root))
    assert f"Phases lines that are not used: boxfill on {case}: '<img>' has no value." in page.text


def test_bars_are_the_hand_worked_means(tmp_path: Path) -> None:
    """Of make_run: quick's volumes take 10 s, of it 9 s encoding; of base only the time inside is known."""
    data = read_report_data(make_run(tmp_path).root)
    assert data.teams == ("base", "frail", "quick")
    means = means_of(list(fold(data.costs).values()))
    with house_style():
        figure = draw_phases(means, data.teams, data.teams)
        figure.draw_without_rendering()
    _, volumes = figure.axes
    bars = {container.get_label(): [bar.get_width() for bar in container] for container in volumes.containers}
    assert list(bars) == list(PARTS)
    assert bars["encode"] == pytest.approx([0, 0, 9.0])
    assert bars["container"] == pytest.approx([0.5, 0, 0.4])
    assert bars["inside, not told"] == pytest.approx([24.5, 0, 0])
    drawn = phases_drawing(means, data.teams, data.teams)
    assert drawn is not None
    assert "3D cases: quick takes 10.0 s (90 % of it encode), base takes 25.0 s (98 % of it inside" in drawn.sentence


def test_a_bar_far_longer_than_the_others_is_shortened_and_says_so() -> None:
    def mean(total: float) -> tuple[int, dict[str, float]]:
        return 3, {"container": 0.1 * total, "encode": 0.9 * total}

    teams = ("slow", "one", "two")
    means = {"3D": {"slow": mean(500.0), "one": mean(8.0), "two": mean(10.0)}}
    with house_style():
        axes = draw_phases(means, teams, teams).axes[0]
    bars = {container.get_label(): [bar.get_width() for bar in container] for container in axes.containers}
    assert bars["encode"] == pytest.approx([0.9 * 12.5, 7.2, 9.0])
    assert bars["container"] == pytest.approx([0.1 * 12.5, 0.8, 1.0])
    drawn = phases_drawing(means, teams, teams)
    assert drawn is not None
    assert "shortened" in drawn.sentence
    unlike = phases_drawing({"3D": {"one": mean(8.0), "two": mean(10.0), "idle": mean(0.0)}}, teams, teams)
    assert unlike is not None
    assert "shortened" not in unlike.sentence


@pytest.mark.parametrize("teams", [long_names(23), tuple("W" * 40 + str(i) for i in range(5)), ("a",)])
def test_texts_neither_overlap_nor_leave_the_figure(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, teams: tuple[str, ...]
) -> None:
    data = read_report_data(with_phases(make_folder(teams=teams, cases=9, pictures=0), teams[::2]).out.root)
    with caught(monkeypatch) as kept:
        phases_drawing(means_of(list(fold(data.costs).values())), data.teams, ranked_names(data.teams, True))
    boxes = kept.boxes("phases")
    assert len(boxes) > len(teams)
    assert overlapping(boxes) == []
    assert outside(boxes, kept.figures["phases"]) == []


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize(("width", "dark"), [(1000, False), (390, True)])
def test_the_parts_in_the_browser(make_folder: MakeFolder, tmp_path: Path, width: int, dark: bool) -> None:
    need_browser()
    labels = {team: {"cvpr24.weights": "random, seed 2024 " * 9, "cvpr24.variant": "v" * 120} for team in ("a", "b")}
    folder = with_phases(
        with_labels(make_folder(teams=("a", "b", "c"), cases=9, analysis=False, samples=20), labels), ("a", "c")
    )
    found = probe(write_report(folder.out.root), PROBE, tmp_path, width, dark)
    assert (found["overflow"] <= 0, found["open_overflow"] <= 0) == (True, True)
    assert (found["spilling"], found["overlaps"], found["clipped"], found["requests"]) == ([], 0, [], [])
    assert (found["broken"], found["unsorted"]) == (0, [])
    assert found["targets"] == [True] * 15
