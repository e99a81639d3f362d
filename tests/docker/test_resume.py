"""Killing the harness: scripts/kill-and-resume with fewer kills than the twenty-five that it makes by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import docker
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.docker
@pytest.mark.slow
def test_killed_and_resumed(client: docker.APIClient) -> None:
    """Nothing is lost, nothing is done twice, nothing is left."""
    command = [sys.executable, str(ROOT / "scripts" / "kill-and-resume"), "--kills", "6", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
