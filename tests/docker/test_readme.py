"""Every command of the README is run, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

#: `make test` is what runs this.
LEFT_OUT = {"make test"}


def commands() -> list[str]:
    """The lines of all shell blocks, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and line not in LEFT_OUT]


def test_the_two_commands_come_first() -> None:
    """A reader meets them before anything else that can be typed."""
    first = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0]
    assert first.split("\n")[:2] == ["make demo", "make test"]


def test_links_lead_somewhere() -> None:
    """Files that README and docs point to are there."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.docker
@pytest.mark.slow
def test_every_command_works(client: docker.APIClient, tmp_path: Path) -> None:
    """In order, in one shell, as a reader would."""
    script = "set -e\n" + "\n".join(f"echo '>>> {i}' >&2\n{line}" for i, line in enumerate(commands()))
    environment = {**os.environ, "HARNESS_SCRATCH": str(tmp_path / "scratch"), "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "threshold works on all 13 cases" in done.stdout
    assert (ROOT / "outputs" / "final" / "report.html").stat().st_size > 100_000
    assert "<testsuite" in (ROOT / "outputs" / "check.xml").read_text()
    assert "late" in (ROOT / "outputs" / "final" / "ranking.csv").read_text()
