"""What concerns all tests."""

from __future__ import annotations

import os

import docker
import pytest

from harness.errors import EngineError
from harness.run.daemon import connect

# Tests side by side take all cores already; more threads in each wait for one another, and waiting takes cores too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def client() -> docker.APIClient:
    """The engine; without one its tests are skipped, unless `make test` says that one must be there."""
    try:
        return connect()
    except EngineError as error:
        if os.environ.get("HARNESS_NEED_DOCKER"):
            raise
        pytest.skip(str(error))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests against the real engine run one after another: they time containers and count the host's OOM kills."""
    for item in items:
        if item.get_closest_marker("docker"):
            item.add_marker(pytest.mark.xdist_group("docker"))
