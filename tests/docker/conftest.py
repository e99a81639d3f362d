"""What the tests against the real engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import docker
import numpy as np
import pytest

from harness.npz import write_npz
from harness.protocol import load_protocol
from harness.records import Case, Limits
from harness.run.docker_engine import DockerEngine, open_docker_engine
from harness.run.engine import Execution, Job
from harness.run.images import OFFICIAL_BASE, OWN_BASE

PROTOCOL = load_protocol()
Run = Callable[..., Execution]


@pytest.fixture(scope="session")
def base(client: docker.APIClient) -> str:
    """Name of the base image that the project's Dockerfiles are built on here."""
    return OFFICIAL_BASE if client.images(name=OFFICIAL_BASE) else OWN_BASE


@pytest.fixture(scope="session")
def base_id(client: docker.APIClient, base: str) -> str:
    """Id of the base image, for containers whose command is the whole submission."""
    return str(client.inspect_image(base)["Id"])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A small case of two boxes."""
    path = tmp_path_factory.mktemp("case") / "2DBox_US_0001.npz"
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    boxes = np.array([[8, 8, 40, 60], [64, 20, 120, 90]])
    write_npz(path, {"imgs": image, "boxes": boxes})
    return Case("2DBox_US_0001", "US", path, "", path.stat().st_size, image.shape, len(boxes))


@contextmanager
def opened(limits: Limits, root: Path) -> Iterator[DockerEngine]:
    """An engine with a scratch root of its own, so that tests and other runs on a host do not meet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_SCRATCH", str(root))
        with open_docker_engine(limits, 1 << 20, root) as engine:
            yield engine


@pytest.fixture(scope="module")
def engine(client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """An engine with the protocol's limits."""
    with opened(PROTOCOL.limits, tmp_path_factory.mktemp("scratch")) as engine:
        yield engine


@pytest.fixture(scope="module")
def shell(engine: DockerEngine, base_id: str, sample: Case) -> Run:
    """Runs a shell command as a submission: ``shell(command, **limits)``; its output is forgotten."""
    numbers = iter(range(10_000))

    def run(command: str, **limits: object) -> Execution:
        job = make_job(f"s{next(numbers)}", base_id, sample, replace(PROTOCOL.limits, **limits), command)
        try:
            return engine.execute(job)
        finally:
            engine.finish()

    return run


def make_job(name: str, image_id: str, case: Case, limits: Limits, command: str | None = None) -> Job:
    """A job as the runner makes it."""
    return Job(
        name=name,
        image_id=image_id,
        team="team",
        command=PROTOCOL.command if command is None else ("/bin/bash", "-c", command),
        case_file=case.path,
        case_name=case.name,
        inputs=PROTOCOL.inputs,
        outputs=PROTOCOL.outputs,
        limits=limits,
    )
