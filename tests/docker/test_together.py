"""Tests of the engine time containers and count the host's OOM kills: no two may run at once."""

import os

import pytest


@pytest.mark.docker
@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="in one process tests never run at once")
def test_they_share_one_process(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@docker")
