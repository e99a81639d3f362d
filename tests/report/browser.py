"""A headless Chromium for tests of the page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# A window is never narrower than 500 pixels, a frame is what it is told to be.
_FRAME = """<!doctype html><title>frame</title><body style="margin:0"><script>
addEventListener("message", (event) => {
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = event.data;
  document.body.append(out);
});
</script><iframe src="probed.html" style="border:0;width:%dpx;height:900px"></iframe></body>
"""


def need_browser() -> None:
    """Skip where there is no Chromium; fail where HARNESS_NEED_BROWSER says that there must be one."""
    if CHROMIUM is None:
        reason = "no chromium on PATH (scripts/setup-browser installs Debian's as root)"
        if os.environ.get("HARNESS_NEED_BROWSER"):
            pytest.fail(f"HARNESS_NEED_BROWSER is set, but there is {reason}")
        pytest.skip(reason)


def run(tmp_path: Path, *options: str, dark: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Chromium once, with a profile of its own and nothing that reaches for the network."""
    assert CHROMIUM is not None
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / f'profile-{abs(hash(options))}-{dark}'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--hide-scrollbars",
        "--virtual-time-budget=8000",
    ]  # fmt: skip
    return subprocess.run([CHROMIUM, *flags, *options], capture_output=True, text=True, timeout=180, check=True)


def with_script(page: Path, script: str, to: Path) -> None:
    """A copy of a page that runs one more script, which its policy is told to allow."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    to.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")


def probe(page: Path, script: str, tmp_path: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """What a script that posts a JSON text to its parent finds in the page at a width."""
    with_script(page, script, tmp_path / "probed.html")
    frame = tmp_path / "frame.html"
    frame.write_text(_FRAME % width, encoding="utf-8")
    done = run(tmp_path, f"--window-size={width + 40},1000", "--dump-dom", frame.as_uri(), dark=dark)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, "the probe did not run"
    assert "Content Security Policy" not in done.stderr
    return dict(json.loads(html.unescape(match.group(1))))
