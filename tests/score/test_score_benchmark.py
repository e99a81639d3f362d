"""The scoring benchmark runs and prints its figures; what they are is for whoever measures to see."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    """The small cases, as in `make bench-score`; scores that differ from the peer's would be exit code 1."""
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.scoring", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(path.read_text())
    assert [row["what"] for row in figures["cases"]] == ["OCT", "X-ray", "PET"]
    assert all(row["dsc"] > 0.2 and row["nsd"] > 0 for row in figures["cases"])
    for name in ("geometric_mean", "least", "reading_worst", "worker_ratio", "warm_cpu_s"):
        assert figures[name] > 0
    assert all(peak["peak_bytes"] > peak["volumes_bytes"] for peak in figures["peaks"].values())
    assert "speed-up, geometric mean" in done.stdout
