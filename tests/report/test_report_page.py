"""The page as a whole: complete, escaped, self-contained, bounded in size."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.report import write_report
from harness.report.reading_analysis import SOURCES
from harness.results import write_results
from tests.report.conftest import HOSTILE, METRICS, MakeFolder, build, long_names

BY_METRIC = ("podium", "rank-heatmap", "rank-stability", "significance", "critical-difference", "effects")
FIGURES = {f"{name}-{metric}" for name in BY_METRIC for metric in METRICS} | {
    "accuracy-runtime", "accuracy-runtime-2d", "accuracy-runtime-3d", "against-baseline", "confidence-sets", "dots-2d",
    "dots-3d", "influence", "official-corrected", "outcomes", "rank-frequencies", "rank-stability", "ranks-by-scheme",
    "repeats", "reproduction-2", "resources", "sensitivity", "successor-1", "task-dendrogram", "task-network",
    "tau-final", "tau-units",
}  # fmt: skip
VOID = {"meta", "img", "br", "link", "input", "hr"}
LOADING = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href", "ping"}

EMBEDDED = ("data:image/svg+xml,%3C", "data:image/png;base64,", "#")


class Page(HTMLParser):
    """Checks nesting while reading; keeps elements, text and what would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag not in ("script", "style"))

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attrs in self.elements for key, value in attrs.items() if key == name]


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def assert_self_contained(page: Page) -> None:
    for tag, attrs in page.elements:
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            if name in LOADING:
                assert (value or "").startswith(EMBEDDED), (tag, value)
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "embed", "base", "form", "svg"}
    for tag, text in page.texts:
        if tag in ("style", "script"):
            assert not re.search(r"url\(|@import|https?:|fetch|XMLHttp|import\(", text)
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 1


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(("teams", "cases"), [(("boxfill", "ellipse", "threshold"), 11), (long_names(23), 44)])
def test_page_is_whole_for_few_and_many_teams(make_folder: MakeFolder, teams: tuple[str, ...], cases: int) -> None:
    folder = make_folder(teams=teams, cases=cases)
    path = write_report(folder.out.root)
    assert path == folder.out.root / "report.html"
    page = page_of(path)
    assert_self_contained(page)
    ids = page.attributes("id")
    assert ids == [
        "ranking", "distribution", "case-ranks", "speed", "tasks", "stability", "confidence", "sensitivity",
        "significance", "effects", "after", "outcomes", "overlays", "manifest",
    ]  # fmt: skip
    assert [href[1:] for href in page.attributes("href")] == ids
    images = [attrs for tag, attrs in page.elements if tag == "img"]
    assert all(attrs.get("alt") for attrs in images)
    assert sum((attrs["src"] or "").startswith("data:image/png") for attrs in images) == 2 * len(teams)
    assert "Left out" not in page.text
    for team in teams:
        assert team in page.text
    assert path.stat().st_size < 6_000_000
    for ending in ("svg", "png"):
        assert {path.stem for path in (folder.out.root / "figures").glob(f"*.{ending}")} == FIGURES


@pytest.mark.usefixtures("no_drawing")
def test_every_figure_has_a_sentence_above_it(make_folder: MakeFolder) -> None:
    text = write_report(make_folder().out.root).read_text()
    assert len(re.findall(r'<p class="see">[^<]{30,}</p>\s*<div class="card"', text)) == len(FIGURES)


@pytest.mark.usefixtures("no_drawing")
def test_hostile_names_reasons_and_manifests_are_only_text(make_folder: MakeFolder) -> None:
    """A team, case or log may hold markup: none of it may become an element, an attribute or a comment."""
    folder = make_folder(teams=HOSTILE, reason="</td></table><script>alert(2)</script>")
    table = folder.out.results.read_text().replace("2DBox_Fundus_0003", "2DBox_<b>Fundus</b>_0003")
    folder.out.results.write_text(table.replace("Fundus,", "<svg onload=alert(3)>,"))
    manifest = json.loads(folder.out.manifest.read_text())
    manifest["<u>key</u>"] = {"</pre><script>alert(4)</script>": ["</style><script>alert(5)</script>"]}
    manifest["protocol"]["title"] = "</title><script>alert(6)</script>"
    folder.out.manifest.write_text(json.dumps(manifest))
    path = write_report(folder.out.root)
    page = page_of(path)
    assert_self_contained(page)
    assert not {tag for tag, _ in page.elements} & {"b", "u", "i", "svg"} - {"b"}
    for hostile in (*HOSTILE, "<svg onload=alert(3)>", "2DBox_<b>Fundus</b>_0003", "<script>alert(2)</script>"):
        assert hostile in page.text
        assert hostile not in path.read_text() or "<" not in hostile
    for number in "123456":
        assert f"<script>alert({number})" not in path.read_text()


@pytest.mark.usefixtures("no_drawing")
def test_the_policy_allows_the_pages_own_script_alone(make_folder: MakeFolder) -> None:
    page = page_of(write_report(make_folder().out.root))
    policy = next(v for v in page.attributes("content") if "default-src" in v)
    (script,) = [text for tag, text in page.texts if tag == "script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_the_same_folder_gives_the_same_page(make_folder: MakeFolder) -> None:
    folder = make_folder(teams=("one", "other"), cases=4, samples=20)
    first = write_report(folder.out.root).read_bytes()
    figures = {path.name: path.read_bytes() for path in (folder.out.root / "figures").iterdir()}
    assert write_report(folder.out.root).read_bytes() == first
    assert {path.name: path.read_bytes() for path in (folder.out.root / "figures").iterdir()} == figures


SOURCE_FILES = {source.path.name: str(source.path) for source in SOURCES.values()}
PARTS = {
    "ranking.csv": "ranking.csv is not in the folder",
    "ranks.csv": "ranks.csv is not in the folder",
    "bootstrap.npz": "bootstrap.npz is not in the folder",
    "wilcoxon.csv": "wilcoxon.csv is not in the folder",
    "manifest.json": "manifest.json is not in the folder",
}


@pytest.mark.usefixtures("no_drawing")
def test_each_further_table_that_is_missing_or_of_another_kind_is_a_sentence(make_folder: MakeFolder) -> None:
    folder = make_folder(cases=4)
    for path in SOURCE_FILES.values():
        (folder.out.root / path).write_text("team,colour\na,blue\n")
    text = page_of(write_report(folder.out.root)).text
    for name, path in SOURCE_FILES.items():
        assert f"Left out: {name} lacks the column" in text
        (folder.out.root / path).unlink()
    text = page_of(write_report(folder.out.root)).text
    for name in SOURCE_FILES:
        assert f"Left out: {name} is not in the folder" in text


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("missing", [*PARTS, "all of them"])
def test_a_missing_part_is_a_sentence(make_folder: MakeFolder, missing: str) -> None:
    folder = make_folder()
    gone = [*PARTS, "ranking.json"] if missing == "all of them" else [missing]
    for name in gone:
        (folder.out.root / name).unlink()
    page = page_of(write_report(folder.out.root))
    for name in set(gone) & set(PARTS):
        assert PARTS[name] in page.text
    if missing == "ranking.csv":
        assert "Teams by name" in page.text
    if "manifest.json" in gone:
        assert "no folder of cases is known" in page.text


def test_a_table_with_hardly_anything_still_gives_a_page(tmp_path: Path) -> None:
    for rows in (
        [{"team": "a", "case": "x"}],
        [{"team": "a", "case": "2DBox_US_1", "dsc": 1.0, "nsd": 1.0, "runtime_s": 1.0, "outcome": "ok"}],
        [{"team": t, "case": "3DBox_CT_1", "dsc": 0.0, "nsd": 0.0, "runtime_s": 9.0, "outcome": "oom"} for t in "ab"],
        [{"team": "a", "case": "2D_US_1", "outcome": "harness_fault", "reason": "disk"}],
        [{"team": "a", "case": "2D_US_1", "dsc": np.inf, "nsd": -np.inf, "runtime_s": np.inf, "cpu_s": 1e300}],
        [{"team": t, "case": "2D_US_1", "dsc": 0.5, "runtime_s": s, "cpu_s": s} for t, s in (("a", 1e-9), ("b", 1e12))],
        [{"team": "a", "case": "2D_US_1", "runtime_s": 0.0, "cpu_s": 0.0, "peak_bytes": 0, "outcome": "ok"}],
    ):
        write_results(tmp_path / "results.csv", rows)
        assert_self_contained(page_of(write_report(tmp_path)))


def test_undefined_ranks_and_odd_settings_do_no_harm(make_folder: MakeFolder) -> None:
    """A scheme may leave a team without a rank; JSON may hold what UTF-8 cannot."""
    folder = make_folder()
    folder.out.ranking.write_text("scheme,team,score,rank\nx,boxfill,,\nx,threshold,1,1\nx,ellipse,inf,inf\n")
    nothing = np.full((4, 1, 3), np.nan)
    names = np.array(["boxfill", "ellipse", "threshold"])
    np.savez(folder.out.bootstrap, ranks=nothing, tau=nothing[..., 0], units=np.array(["final"]), teams=names)
    folder.out.ranking_json.write_text('{"settings": {"metrics": 3, "scheme": ["x"]}, "warnings": ["\\ud800"]}')
    manifest = json.loads(folder.out.manifest.read_text())
    manifest["limits"]["memory_bytes"] = float("inf")
    manifest["submissions"] = [1, "a", {"team": None, "bytes": {}}]
    folder.out.manifest.write_text(json.dumps(manifest))
    page = page_of(write_report(folder.out.root))
    assert "threshold comes first" in page.text


@pytest.mark.usefixtures("no_drawing")
def test_figures_of_an_earlier_report_do_not_stay(make_folder: MakeFolder) -> None:
    folder = make_folder()
    write_report(folder.out.root)
    folder.out.bootstrap.unlink()
    (folder.out.root / "figures" / "mine.svg").write_text("<svg/>")
    write_report(folder.out.root)
    left = {path.name for path in (folder.out.root / "figures").iterdir()}
    assert "rank-stability.svg" not in left
    assert {"mine.svg", "dots-2d.svg"} <= left


@pytest.mark.usefixtures("no_drawing")
def test_long_lists_of_failures_are_cut_and_say_so(tmp_path: Path) -> None:
    rows = [
        {"team": f"t{i % 3}", "case": f"2D_US_{i:05d}", "outcome": "crash", "reason": "r" * 5000, "dsc": 0.0}
        for i in range(4000)
    ]
    write_results(tmp_path / "results.csv", rows)
    path = write_report(tmp_path)
    page = page_of(path)
    assert "The first 1500 of 4000; all of them are in results.csv." in page.text
    assert path.stat().st_size < 2_000_000


@pytest.mark.usefixtures("no_drawing")
def test_ranking_of_another_table_is_pointed_out(make_folder: MakeFolder) -> None:
    folder = make_folder()
    folder.out.ranking.write_text("scheme,team,score,rank\ncvpr24,boxfill,1,1\ncvpr24,stranger,2,2\n")
    assert "ranking.csv is not of this results table" in page_of(write_report(folder.out.root)).text


@pytest.mark.usefixtures("no_drawing")
def test_command_writes_the_page_and_says_where(
    make_folder: MakeFolder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = make_folder()
    options = ["--cases", str(folder.cases), "--gts", str(folder.gts)]
    assert main(["report", "--out", str(folder.out.root), *options]) == 0
    assert str(folder.out.report) in capsys.readouterr().out
    assert main(["report", "--out", str(tmp_path)]) == 2
    assert "results.csv" in capsys.readouterr().err


@pytest.mark.slow
def test_the_full_competition_stays_within_bounds(tmp_path: Path) -> None:
    folder = build(tmp_path, teams=long_names(23), cases=4414, samples=1000, pictures=9)
    started = time.process_time()
    path = write_report(folder.out.root)
    assert time.process_time() - started < 60
    assert path.stat().st_size < 15_000_000
    assert_self_contained(page_of(path))
