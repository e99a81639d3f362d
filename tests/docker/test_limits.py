"""Limits and measurements against the real engine: what a container may use, and whether the figures are true."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from harness.errors import EngineError, UsageError
from harness.records import Case
from harness.run.container import host_config
from harness.run.docker_engine import DockerEngine, open_docker_engine
from harness.run.engine import Execution
from tests.docker.conftest import PROTOCOL, Run, make_job, opened

pytestmark = pytest.mark.docker

GIB = 1 << 30


def hold(gib: float, then: str = "") -> str:
    """A command that touches so much memory in one process, then does something while holding it."""
    return f"""python3 -c '
held = bytearray(int({gib} * 2**30))
import os, time
{then}
'"""


def outcome_flags(execution: Execution) -> tuple[int, bool]:
    """Exit code, and whether the kernel killed for memory."""
    return execution.exit_code, bool(execution.resources.oom_kills)


@pytest.mark.slow
def test_eight_gib_is_the_limit(shell: Run) -> None:
    """7.5 GiB pass, 8.5 GiB are killed for memory."""
    if os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < 10 * GIB:
        pytest.skip("this host has too little memory to try 8.5 GiB")
    passed = shell(hold(7.5))
    assert outcome_flags(passed) == (0, False)
    assert 7.5 * GIB < passed.resources.peak_bytes < 8 * GIB
    killed = shell(hold(8.5))
    assert outcome_flags(killed) == (137, True)
    # The attempt's group also holds what the engine itself needs to start the container.
    assert killed.resources.peak_bytes < 8 * GIB + (1 << 20)


def test_swap_is_denied_by_the_limits_as_set(engine: DockerEngine, base_id: str, sample: Case) -> None:
    """Docker lets a container swap as much again as its memory unless both limits are set alike."""
    client = docker.APIClient()
    job = make_job("x", base_id, sample, PROTOCOL.limits)
    config = host_config(client, job, Path("/tmp"), Path("/tmp"), None)
    assert config["Memory"] == config["MemorySwap"] == 8 * GIB


@pytest.fixture
def swap(tmp_path: Path) -> Iterator[None]:
    """A gigabyte of swap, where this host lets us have it."""
    file = tmp_path / "swap"
    subprocess.run(["fallocate", "-l", "1G", str(file)], check=True)
    file.chmod(0o600)
    subprocess.run(["mkswap", str(file)], check=True, capture_output=True)
    done = subprocess.run(["swapon", str(file)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"swapon is not allowed here: {done.stderr.strip()}")
    yield
    subprocess.run(["swapoff", str(file)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="swapon needs root")
@pytest.mark.usefixtures("swap")
def test_swap_is_no_escape(shell: Run) -> None:
    """With swap on the host, memory beyond the limit is still refused."""
    assert outcome_flags(shell(hold(0.5), memory_bytes=256 << 20)) == (137, True)


@pytest.mark.slow
def test_peaks_of_memory(shell: Run) -> None:
    """2 GiB held while a 3 GiB file is read: the anonymous peak is the first, the whole peak has both."""
    read = """
with open("/tmp/file", "wb") as file: file.truncate(3 * 2**30)
with open("/tmp/file", "rb", buffering=0) as file:
    while file.read(1 << 20): pass
time.sleep(1)
"""
    found = shell(hold(2, read)).resources
    assert found.peak_anon_bytes == pytest.approx(2 * GIB, rel=0.05)
    assert found.peak_bytes >= 4 * GIB
    assert found.source.startswith(("v1", "v2"))


def test_cpu_seconds(shell: Run) -> None:
    """A container that spins a known amount, in two processes, is charged that amount."""
    spin = "import time\nwhile time.process_time() < 2.5: pass"
    execution = shell(f"python3 -c '{spin}' & python3 -c '{spin}'; wait")
    assert execution.resources.cpu_s == pytest.approx(5.0, rel=0.05)


def test_phases_add_up(shell: Run) -> None:
    """A second inside is a second of run time, and the wall time holds all phases."""
    phases = shell("sleep 1").phases
    assert 0.95 <= phases.run_s < 5.0
    parts = [phases.create_s, phases.start_s, phases.run_s, phases.exit_detection_s, phases.remove_s]
    assert all(part is not None and part > 0 for part in parts)
    assert sum(parts) <= phases.wall_s + 0.05


def test_time_limit_counts_from_the_start(shell: Run) -> None:
    """What hangs is killed at the limit, without grace."""
    execution = shell("trap '' TERM; sleep 60 & wait", time_limit_s=1.0)
    assert execution.stopped == "timeout"
    assert 1.0 <= execution.phases.run_s < 10.0


def test_no_privileges(shell: Run) -> None:
    """No capability, no new privileges, no network but loopback, a process limit, an init process."""
    log = shell(
        "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; ls /sys/class/net;"
        "tr '\\0' ' ' </proc/1/cmdline; echo;"
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; ls /var/run/docker.sock; id -u"
    ).log
    assert "CapEff:\t0000000000000000" in log
    assert "CapBnd:\t0000000000000000" in log
    assert "NoNewPrivs:\t1" in log
    assert "Seccomp:\t2" in log
    assert "\nlo\n" in log
    assert "eth0" not in log
    assert "init" in log
    assert f"\n{PROTOCOL.limits.pids}\n" in log
    assert "cannot access '/var/run/docker.sock'" in log


def test_cpuset(shell: Run) -> None:
    """Pinned to one CPU it sees one CPU."""
    assert shell("nproc", cpuset="0").log == "1\n"


def test_input_and_outputs_are_private_and_writable_by_any_user(
    engine: DockerEngine, base_id: str, sample: Case
) -> None:
    """Submissions keep caches beside their input: that must work, be thrown away, and be seen by nobody else."""
    command = (
        "ls /workspace/inputs /workspace/outputs; touch /workspace/inputs/cache && echo x >> /workspace/inputs/*.npz"
    )
    before = sample.path.read_bytes()
    for name in ("first", "second"):
        execution = engine.execute(
            make_job(name, base_id, sample, PROTOCOL.limits, f"({command}) 2>&1; stat -c %a /workspace/*")
        )
        engine.finish()
        assert "cache" not in execution.log
        assert execution.log.count("777") == 2
        assert execution.output.input_changes == "changed"
        assert execution.output.input_extra
    assert sample.path.read_bytes() == before


def test_anonymous_volumes_go_with_their_container(
    client: docker.APIClient, base: str, sample: Case, engine: DockerEngine, tmp_path: Path
) -> None:
    """An image that declares a volume leaves none behind, and the disk limit holds in it."""
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base}\nVOLUME /data\nHEALTHCHECK --interval=1s CMD touch /data/health\n"
    )
    list(client.build(path=str(tmp_path), tag="cvpr24-harness/test-volume", rm=True, decode=True))
    image = str(client.inspect_image("cvpr24-harness/test-volume")["Id"])
    before = client.volumes()["Volumes"] or []
    limits = replace(PROTOCOL.limits, disk_bytes=64 << 20)
    filling = "sleep 1.5; ls /data; dd if=/dev/zero of=/data/x bs=1M count=500 status=none; sleep 5"
    execution = engine.execute(make_job("volume", image, sample, limits, filling))
    engine.finish()
    client.remove_image("cvpr24-harness/test-volume", force=True)
    assert execution.stopped == "disk_limit"
    assert "health" not in execution.log
    assert len(client.volumes()["Volumes"] or []) == len(before)


def test_the_log_keeps_head_and_tail(shell: Run) -> None:
    """Both streams, with the middle of a flood left out."""
    both = shell("echo out; echo error >&2").log
    assert sorted(both.splitlines()) == ["error", "out"]  # two streams have no order between them
    log = shell("echo first; head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo last").log
    assert log.startswith("first\nx")
    assert log.endswith("x\nlast\n")
    assert "bytes left out" in log
    assert len(log) < 1_200_000


def test_a_container_that_cannot_start_is_the_engines_word(engine: DockerEngine, sample: Case) -> None:
    """An image that is gone is the harness's fault to tell of, not an outcome of the submission."""
    with pytest.raises(EngineError, match="create a container"):
        engine.execute(make_job("gone", "sha256:" + "0" * 64, sample, PROTOCOL.limits, "true"))


def test_a_second_timed_run_is_refused(client: docker.APIClient, tmp_path: Path) -> None:
    """Two timed runs at once would disturb each other."""
    with (
        opened(PROTOCOL.limits, tmp_path),
        pytest.raises(UsageError, match="another run is being timed"),
        open_docker_engine(PROTOCOL.limits, 0, tmp_path),
    ):
        pass
