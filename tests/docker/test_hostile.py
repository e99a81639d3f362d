"""Every submission of docker/hostile against the real engine: its outcome, and that it harms nobody.

Each test's attack stands in docker/hostile/hostile.toml, the outcome that it must get beside it.
"""

from __future__ import annotations

import os
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import numpy as np
import pytest

from harness.cases import file_digest, visible_file
from harness.contract import read_prediction
from harness.npz import write_npz
from harness.records import Case, Limits
from harness.run.daemon import LABEL
from harness.run.docker_engine import DockerEngine
from harness.run.engine import Execution
from harness.run.judge import Verdict, judge
from tests.docker.conftest import PROTOCOL, make_job, opened

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads((ROOT / "docker" / "hostile" / "hostile.toml").read_text())
BEHAVIOURS: dict[str, dict[str, Any]] = {row["name"]: row for row in TABLE["behaviour"]}
LIMITS = Limits(**TABLE["limits"])
DISK = ["huge-file", "sparse-file", "many-files", "fill-tmp", "fill-layer"]

pytestmark = pytest.mark.docker


@dataclass
class Bench:
    """Builds hostile images and runs them one after another on one engine."""

    client: docker.APIClient
    engine: DockerEngine
    base: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))
    images: dict[str, str] = field(default_factory=dict)

    def image(self, behaviour: str) -> str:
        """The image of a behaviour; all share their layers."""
        if behaviour not in self.images:
            tag = f"cvpr24-harness/hostile:{behaviour}"
            events = self.client.build(
                path=str(ROOT),
                dockerfile="docker/hostile/Dockerfile",
                tag=tag,
                buildargs={"BASE": self.base, "BEHAVIOUR": behaviour},
                rm=True,
                decode=True,
            )
            said = "".join(str(event.get("stream", event.get("error", ""))) for event in events)
            assert "Successfully built" in said, said
            self.images[behaviour] = str(self.client.inspect_image(tag)["Id"])
        return self.images[behaviour]

    def run(self, behaviour: str, case: Case, limits: Limits) -> tuple[Execution, Verdict, bytes]:
        """Execution, verdict, and the accepted prediction's bytes (empty without one)."""
        job = make_job(f"h{next(self.numbers)}", self.image(behaviour), case, limits)
        try:
            execution = self.engine.execute(job)
            verdict = judge(execution, case)
            prediction = verdict.prediction.read_bytes() if verdict.prediction else b""
            return execution, verdict, prediction
        finally:
            self.engine.finish()


@pytest.fixture(scope="module")
def bench(client: docker.APIClient, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with opened(LIMITS, tmp_path_factory.mktemp("scratch")) as engine:
        yield Bench(client, engine, base)


@pytest.fixture(scope="module")
def alone(bench: Bench, sample: Case) -> tuple[bytes, str, str]:
    """What the well-behaved submission leaves when nobody went before it: prediction, outcome, input digest."""
    execution, verdict, prediction = bench.run("valid", sample, LIMITS)
    assert verdict.outcome == "ok"
    assert prediction
    return prediction, verdict.outcome.value, execution.input_digest


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_outcome_and_no_trace(
    behaviour: str, bench: Bench, sample: Case, alone: tuple[bytes, str, str], client: docker.APIClient
) -> None:
    """It gets its outcome, and the next submission gets exactly what it gets without it."""
    row = BEHAVIOURS[behaviour]
    limits = replace(LIMITS, **row.get("limits", {}))
    execution, verdict, prediction = bench.run(behaviour, sample, limits)

    assert (verdict.outcome, verdict.reason) == (row["outcome"], verdict.reason)
    assert row.get("reason", "") in verdict.reason
    assert row.get("fault", "") in verdict.reason
    assert execution.exit_code == row.get("exit_code", execution.exit_code)
    assert set(row.get("extra", ())) <= set(execution.output.extra)
    assert row.get("log", "") in execution.log
    for text in row.get("log_not", ()):
        assert text not in execution.log
    assert "\x1b" not in execution.log + verdict.reason + "".join(execution.output.extra)
    assert len(execution.log) < 2 << 20
    assert bool(prediction) == (row["outcome"] == "ok")

    assert not processes_of(bench.engine.label)
    assert not client.containers(all=True, filters={"label": f"{LABEL}={bench.engine.label}"})
    after, next_verdict, next_prediction = bench.run("valid", sample, LIMITS)
    assert (next_prediction, next_verdict.outcome.value, after.input_digest) == alone
    assert next_verdict.reason == ""


def processes_of(label: str) -> list[str]:
    """Processes of this host in a control group of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if f"cvpr24-{label}" in path.read_text():
                found.append(path.parent.name)
        except OSError:  # it ended while we looked
            continue
    return found


class HostDisk:
    """Measures, every 20 ms, what the host's file systems lose at most."""

    def __init__(self, places: list[Path]) -> None:
        self._places = places
        self._before = [os.statvfs(place) for place in places]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.bytes_lost = 0
        self.inodes_lost = 0

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for place, before in zip(self._places, self._before, strict=True):
                now = os.statvfs(place)
                self.bytes_lost = max(self.bytes_lost, (before.f_bfree - now.f_bfree) * now.f_frsize)
                self.inodes_lost = max(self.inodes_lost, before.f_ffree - now.f_ffree)

    def __enter__(self) -> HostDisk:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.slow
def test_the_host_keeps_its_disk_under_the_default_limits(
    client: docker.APIClient, base: str, sample: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the protocol's own limits no disk attack costs the host 5 GiB or 200,000 inodes, even for a moment."""
    root = tmp_path_factory.mktemp("scratch")
    limits = replace(PROTOCOL.limits, time_limit_s=120.0, memory_bytes=1 << 30)
    with opened(limits, root) as engine:
        bench = Bench(client, engine, base)
        for behaviour in DISK:
            bench.image(behaviour)
        places = [root, Path(client.info()["DockerRootDir"])]
        for behaviour in DISK:
            # What tests on other cores write meanwhile counts too, and can only add: the least of three tries tells.
            bytes_lost, inodes_lost = 1 << 62, 1 << 62
            for _ in range(3):
                with HostDisk(places) as host:
                    _, verdict, _ = bench.run(behaviour, sample, limits)
                assert (verdict.outcome, "disk_limit" in verdict.reason) == ("invalid_output", True), behaviour
                bytes_lost, inodes_lost = min(bytes_lost, host.bytes_lost), min(inodes_lost, host.inodes_lost)
                if bytes_lost < 5 << 30 and inodes_lost < 200_000:
                    break
            assert bytes_lost < 5 << 30, behaviour
            assert inodes_lost < 200_000, behaviour


def test_a_spy_finds_no_reference(bench: Bench, sample: Case, tmp_path: Path) -> None:
    """Training files hold the reference beside the image; a submission must not see it."""
    path = tmp_path / "2DBox_US_0001.npz"
    with np.load(sample.path) as arrays:
        write_npz(path, {**arrays, "gts": np.ones(arrays["imgs"].shape[:2], np.uint8)})
    case = replace(sample, path=path, digest=file_digest(path), hidden_keys=("gts",))
    (tmp_path / "shown").mkdir()
    shown = replace(case, path=visible_file(case, tmp_path / "shown"))
    execution, verdict, _ = bench.run("spy", shown, LIMITS)
    assert verdict.outcome == "ok"
    assert "keys: boxes imgs" in execution.log
    assert "gts" not in execution.log


def test_the_yardstick_is_a_real_prediction(bench: Bench, sample: Case, tmp_path: Path) -> None:
    """The well-behaved submission fills its boxes, so equal bytes mean equal work."""
    _, _, prediction = bench.run("valid", sample, LIMITS)
    file = tmp_path / "prediction.npz"
    file.write_bytes(prediction)
    labels = read_prediction(file, (96, 128)).array
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[30, 20] == 1
    assert labels[50, 90] == 2
