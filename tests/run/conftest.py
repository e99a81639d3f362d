"""What the tests of the run stage share: small folders of cases, and the real daemon where one answers."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tests.run.run_daemon import Daemon, daemon_missing
from tests.run.run_kit import make_cases

NAMES = ("2DBox_US_0001", "3DBox_CT_0001")


@pytest.fixture
def cases(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of two tiny cases and of their references."""
    return make_cases(tmp_path / "data", NAMES)


@pytest.fixture(scope="session")
def daemon() -> Daemon:
    """The container engine that answers here, with a tiny base for images."""
    missing = daemon_missing()
    if missing:
        (pytest.fail if os.environ.get("HARNESS_NEED_DOCKER") else pytest.skip)(missing)
    with Daemon(f"runtest{uuid.uuid4().hex[:8]}") as found:
        yield found


@pytest.fixture
def scratch_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scratch root of the test's own, so that runs elsewhere on this host do not matter."""
    root = tmp_path / "scratch"
    monkeypatch.setenv("HARNESS_SCRATCH", str(root))
    return root
