"""The overhead benchmark runs and prints its figures; what they are is for whoever measures to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.docker
def test_overhead_prints_a_ratio(client: docker.APIClient, tmp_path: Path) -> None:
    """One short round of what `make bench` does."""
    command = [sys.executable, str(ROOT / "benchmarks" / "overhead.py"), "--cases", "2", "--rounds", "1"]
    environment = {**os.environ, "HARNESS_SCRATCH": str(tmp_path / "scratch")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^median ratio of 1 rounds of 2 cases: \d+\.\d{3}$", done.stdout, re.MULTILINE)
