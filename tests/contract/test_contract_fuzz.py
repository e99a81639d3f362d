"""Thousands of mutated npz files against numpy as the oracle, in a process of limited memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
ROOT = FUZZ.parents[2]
#: Runs the fuzzer as images with only numpy have it: without isal.
WITHOUT_ISAL = """\
import runpy, sys
sys.modules["isal"] = None
runpy.run_module("tests.contract.fuzz", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("inflater", "files"), [("isal_zlib", 10_000), ("zlib", 2_000)])
def test_fuzz(tmp_path: Path, inflater: str, files: int) -> None:
    """Accepted only where numpy's arrays equal ours; else an InputError or PredictionError; memory bounded."""
    program = ["-c", WITHOUT_ISAL] if inflater == "zlib" else ["-m", "tests.contract.fuzz"]
    done = subprocess.run(
        [sys.executable, *program, str(tmp_path), str(files), "20240617"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert summary["failed"] == 0, summary["failures"]
    assert summary["files"] == files
    assert summary["inflater"].endswith(inflater)
    # Both sides of the border were visited, by every reader.
    for reader in ("prediction", "case", "reference", "any", "all"):
        assert summary["counts"][f"{reader}_accepted"] > files // 100
        assert summary["counts"][f"{reader}_refused"] > files // 100
    # The files are small, so that no reader has any business with more than a few megabytes.
    assert summary["peak_added_bytes"] < 16 << 20
    assert summary["peak_rss_bytes"] < 256 << 20
    assert summary["slowest_s"] < 5
