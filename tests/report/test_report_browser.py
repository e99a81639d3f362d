"""The page in a real browser: sorting, phone width, both themes, paper, no request, nothing refused by its policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.report import write_report
from tests.report.browser import need_browser, probe, run
from tests.report.conftest import HOSTILE, build, long_names

pytestmark = pytest.mark.xdist_group("browser")  # one page for all of them, and one Chromium at a time

PROBE = """
"use strict";
const found = {};
const root = document.documentElement;
found.overflow = root.scrollWidth - root.clientWidth;
found.width = root.clientWidth;
found.requests = performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"));
found.broken = [...document.images].filter((i) => !i.complete || i.naturalWidth === 0).length;
found.images = document.images.length;
document.querySelectorAll("details").forEach((part) => { part.open = true; });
const spill = (e) => { const b = e.getBoundingClientRect(); return b.right > root.clientWidth + 1 || b.left < -1; };
const blocks = document.querySelectorAll("h1,h2,h3,p,main li,nav,.scroll,.card,figcaption,summary,pre");
found.spilling = [...blocks].filter(spill).map((e) => e.textContent.slice(0, 40));
found.open_overflow = root.scrollWidth - root.clientWidth;
const boxes = [...document.querySelectorAll("main > section > *")].map((e) => e.getBoundingClientRect());
found.overlaps = boxes.filter((b, i) => i && b.top < boxes[i - 1].bottom - 1 && b.height && boxes[i - 1].height).length;
found.paper = getComputedStyle(document.body).backgroundColor;
found.ink = getComputedStyle(document.body).color;
found.colours = [".see", ".files", "summary", "nav a", "thead button", "td", "figcaption"].map((s) => {
  const e = document.querySelector(s);
  return [s, getComputedStyle(e).color];
});
found.shades = [...document.querySelectorAll("td.s8, td.s1")].slice(0, 40).map(
  (e) => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]);
found.filter = getComputedStyle(document.querySelector(".card img")).filter;
found.card = getComputedStyle(document.querySelector(".card")).backgroundColor;
const table = document.querySelector("#ranking table");
const column = (i) => [...table.tBodies[0].rows].map((r) => r.cells[i].textContent.trim());
const heads = [...table.tHead.rows[0].cells].map((c) => c.textContent.trim());
const press = (name) => table.tHead.rows[0].cells[heads.indexOf(name)].querySelector("button").click();
const state = (name) => [column(heads.indexOf(name)), table.tHead.rows[0].cells[heads.indexOf(name)].ariaSort];
found.before = column(heads.indexOf("Team"));
press("Mean DSC"); found.up = state("Mean DSC");
press("Mean DSC"); found.down = state("Mean DSC");
press("Failed"); found.failed = state("Failed");
press("Team"); found.team = state("Team");
found.unsorted = [];
found.sorted = 0;
for (const any of document.querySelectorAll("table")) {
  [...any.tHead.rows[0].cells].forEach((head, i) => {
    head.querySelector("button").click();
    const cells = [...any.tBodies[0].rows].map((row) => row.cells[i]);
    const keys = cells.map((cell) => cell.dataset.k ?? cell.firstChild?.textContent.trim() ?? "");
    const known = keys.filter((key) => key !== "–" && key !== "");
    const rest = keys.slice(known.length);
    const order = (a, b) => head.classList.contains("n")
      ? parseFloat(a) - parseFloat(b) : a.localeCompare(b, "en", { numeric: true });
    const wrong = known.some((key, k) => k && order(known[k - 1], key) > 0)
      || rest.some((key) => key !== "–" && key !== "")
      || (head.classList.contains("n") && known.some((key) => Number.isNaN(parseFloat(key))));
    found.sorted += 1;
    if (wrong) found.unsorted.push([any.caption.textContent, head.textContent, keys.slice(0, 8)]);
  });
}
found.focusable = [...document.querySelectorAll("thead button")].every((b) => b.tabIndex === 0);
found.clipped = [...document.querySelectorAll("thead button, tbody th, td.n")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "none")
  .map((e) => e.textContent.trim()).slice(0, 9);
found.targets = [...document.querySelectorAll("nav a")].map((a) => !!document.querySelector(a.hash));
found.touch = Math.min(...[...document.querySelectorAll("nav a")].map((a) => a.getBoundingClientRect().height));
parent.postMessage(JSON.stringify(found), "*");
"""


def luminance(colour: str) -> float:
    """Relative luminance of a CSS rgb colour (WCAG 2)."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def blended(above: str, below: str) -> str:
    """A colour with an opacity over another one."""
    *rgb, alpha = [float(n) for n in re.findall(r"[\d.]+", above)] if above.startswith("rgba") else [0, 0, 0, 0]
    ground = [float(n) for n in re.findall(r"[\d.]+", below)[:3]]
    mixed = [round(alpha * a + (1 - alpha) * b) for a, b in zip(rgb, ground, strict=True)]
    return f"rgb({mixed[0]}, {mixed[1]}, {mixed[2]})"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_browser()
    root = tmp_path_factory.mktemp("browser")
    return write_report(build(root, teams=long_names(23), cases=44).out.root)


@pytest.fixture(scope="module")
def figures(page: Path) -> int:
    return len(list((page.parent / "figures").glob("*.svg")))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_page_in_the_browser(page: Path, figures: int, tmp_path: Path, width: int, dark: bool) -> None:
    found = probe(page, PROBE, tmp_path, width, dark)
    assert found["overflow"] <= 0
    assert found["open_overflow"] <= 0
    assert found["width"] == width
    assert found["spilling"] == []
    assert found["overlaps"] == 0
    assert found["clipped"] == []
    assert found["requests"] == []
    assert (found["broken"], found["images"]) == (0, figures + 46)
    assert found["focusable"]
    assert found["targets"] == [True] * 14
    assert found["touch"] >= (36 if width == 390 else 24)
    check_colours(found, dark)
    check_sorting(found)


def check_colours(found: dict[str, Any], dark: bool) -> None:
    assert (luminance(found["paper"]) < luminance(found["ink"])) == dark
    assert contrast(found["paper"], found["ink"]) > 7
    for selector, colour in found["colours"]:
        assert contrast(found["paper"], colour) > 4.5, selector
    for colour, ground in found["shades"]:
        assert contrast(blended(ground, found["paper"]), colour) > 4.5
    assert ("invert" in found["filter"]) == dark
    assert (luminance(found["card"]) < 0.05) == dark


def check_sorting(found: dict[str, Any]) -> None:
    values, direction = found["up"]
    assert direction == "ascending"
    assert [float(v) for v in values] == sorted(float(v) for v in values)
    values, direction = found["down"]
    assert direction == "descending"
    assert [float(v) for v in values] == sorted((float(v) for v in values), reverse=True)
    failed = [int(v.split()[0]) for v in found["failed"][0]]
    assert failed == sorted(failed)
    assert found["team"][0] == sorted(found["before"])
    assert found["unsorted"] == []
    assert found["sorted"] > 150


@pytest.mark.parametrize("dark", [False, True])
def test_figures_lie_on_the_themes_own_ground(page: Path, tmp_path: Path, dark: bool) -> None:
    """The pixels of a figure's ground, as the screen has them, after whatever the style does to it."""
    shot = tmp_path / "shot.png"
    only = (
        page.read_text(encoding="utf-8")
        .replace("<header>", "<header hidden>")
        .replace("<section id=", "<section hidden id=")
    )
    only = only.replace('<section hidden id="speed">', '<section id="speed">').replace("<nav ", "<nav hidden ")
    copy = tmp_path / "one.html"
    copy.write_text(only.replace("<aside", "<aside hidden"), encoding="utf-8")
    run(tmp_path, "--window-size=900,900", f"--screenshot={shot}", copy.as_uri(), dark=dark)
    picture = Image.open(shot).convert("L")
    counts = picture.histogram()
    ground = max(range(256), key=lambda level: counts[level])
    assert ground < 60 if dark else ground > 240
    ink = sum(counts[200:]) if dark else sum(counts[:60])
    assert ink > 300, "axes and names must stand out"


def test_page_can_be_printed(page: Path, figures: int, tmp_path: Path) -> None:
    """Print mode makes a PDF with every figure, the folded ones too, in whatever theme the reader has."""
    pdf = tmp_path / "report.pdf"
    run(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", page.as_uri(), dark=True)
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF-")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert figures / 3 < pages < 120
    assert len(content) > 300_000


def test_hostile_page_runs_nothing(tmp_path: Path) -> None:
    need_browser()
    folder = build(tmp_path / "run", teams=HOSTILE, reason=HOSTILE[0], cases=6, samples=20)
    found = probe(write_report(folder.out.root), PROBE, tmp_path, 1280)
    assert (found["broken"], found["requests"], found["overflow"] <= 0) == (0, [], True)
    assert sorted(found["before"]) == sorted(HOSTILE)
    assert found["unsorted"] == []
