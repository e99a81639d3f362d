"""The benchmark runs, and its peer finds our ranks; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_quick_benchmark(tmp_path):
    told = tmp_path / "figures.json"
    command = [sys.executable, ROOT / "benchmarks" / "ranking.py", "--quick", "--json", told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all bars met" in done.stdout
    figures = json.loads(told.read_text())["figures"]
    assert all(figure["value"] > 0 for figure in figures)
    names = [figure["name"] for figure in figures]
    assert any(name.startswith("test-then-rank share, distinct") for name in names)
    assert "cvpr24 mean, challenger: the peer's time over ours" in names
