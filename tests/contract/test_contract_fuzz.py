"""Ten thousand mutated npz files against numpy as the oracle, in a process of limited memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
ROOT = FUZZ.parents[2]
FILES = 10_000


@pytest.mark.slow
def test_fuzz(tmp_path: Path) -> None:
    """Accepted only where numpy's arrays equal ours; else an InputError or PredictionError; memory bounded."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.fuzz", str(tmp_path), str(FILES), "20240617"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert summary["failed"] == 0, summary["failures"]
    assert summary["files"] == FILES
    # Both sides of the border were visited, by every reader.
    for reader in ("prediction", "case", "reference", "any", "all"):
        assert summary["counts"][f"{reader}_accepted"] > 100
        assert summary["counts"][f"{reader}_refused"] > 100
    # The files are small, so that no reader has any business with more than a few megabytes.
    assert summary["peak_added_bytes"] < 16 << 20
    assert summary["peak_rss_bytes"] < 256 << 20
    assert summary["slowest_s"] < 5
