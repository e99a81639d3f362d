"""The page in a real browser: sorting, phone width, both themes, no request, nothing refused by its own policy."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.report import write_report
from tests.report.conftest import HOSTILE, build, long_names

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")

# A window is never narrower than 500 pixels, a frame is what it is told to be.
FRAME = """<!doctype html><title>frame</title><body><script>
addEventListener("message", (event) => {
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = event.data;
  document.body.append(out);
});
</script><iframe src="probed.html" style="border:0;width:%dpx;height:900px"></iframe></body>
"""

PROBE = """
"use strict";
const found = {};
const root = document.documentElement;
found.overflow = root.scrollWidth - root.clientWidth;
found.width = root.clientWidth;
found.requests = performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith("data:"));
found.broken = [...document.images].filter((i) => !i.complete || i.naturalWidth === 0).length;
found.images = document.images.length;
const spill = (e) => { const b = e.getBoundingClientRect(); return b.right > root.clientWidth + 1; };
const blocks = document.querySelectorAll("h1,h2,h3,p,li,.scroll,.card,figcaption,summary,pre");
found.spilling = [...blocks].filter(spill).length;
found.paper = getComputedStyle(document.body).backgroundColor;
found.ink = getComputedStyle(document.body).color;
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
found.focusable = [...document.querySelectorAll("thead button")].every((b) => b.tabIndex === 0);
found.clipped = [...document.querySelectorAll("thead button, tbody th, td.n")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "none").length;
parent.postMessage(JSON.stringify(found), "*");
"""


def probe(page: Path, tmp_path: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """Open a copy of the page that runs the probe too, which its policy is told to allow."""
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    copy = tmp_path / "probed.html"
    copy.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME % width, encoding="utf-8")
    assert CHROMIUM is not None
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / f'profile-{width}-{dark}'}", f"--window-size={width + 40},1000",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom",
        "--hide-scrollbars", "--virtual-time-budget=8000",
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *flags, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, "the probe did not run"
    assert "Content Security Policy" not in done.stderr
    return dict(json.loads(html.unescape(match.group(1))))


def luminance(colour: str) -> float:
    """Relative luminance of a CSS rgb colour (WCAG 2)."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("browser")
    return write_report(build(root, teams=long_names(23), cases=44).out.root)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_page_in_the_browser(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    found = probe(page, tmp_path, width, dark)
    assert found["overflow"] <= 0
    assert found["width"] == width
    assert found["spilling"] == 0
    assert found["clipped"] == 0
    assert found["requests"] == []
    assert (found["broken"], found["images"]) == (0, 11 + 46)
    assert found["focusable"]
    light, ink = luminance(found["paper"]), luminance(found["ink"])
    assert (light < ink) == dark
    assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) > 7

    values, direction = found["up"]
    assert direction == "ascending"
    assert [float(v) for v in values] == sorted(float(v) for v in values)
    values, direction = found["down"]
    assert direction == "descending"
    assert [float(v) for v in values] == sorted((float(v) for v in values), reverse=True)
    failed = [int(v.split()[0]) for v in found["failed"][0]]
    assert failed == sorted(failed)
    assert found["team"][0] == sorted(found["before"])


def test_hostile_page_runs_nothing(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", teams=HOSTILE, reason=HOSTILE[0])
    found = probe(write_report(folder.out.root), tmp_path, 1280)
    assert (found["broken"], found["requests"], found["overflow"] <= 0) == (0, [], True)
    assert sorted(found["before"]) == sorted(HOSTILE)
