"""One container's life, from create to removal: followed, timed, and killed where it passes a limit."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import docker
import requests
from docker.errors import APIError, DockerException
from docker.types import LogConfig, Mount

from harness.errors import EngineError
from harness.records import Limits, Phases
from harness.run import cgroups
from harness.run.daemon import LABEL, call, remove_container
from harness.run.disk import DiskWatch
from harness.run.engine import Execution, Job, Output
from harness.run.logs import LogReader
from harness.run.scratch import Scratch

_SAMPLE_S = 0.05
#: A container that will not die is killed again after this long, and given up after the second figure.
_KILL_AGAIN_S = 5.0
_GIVE_UP_S = 120.0

Stopped = Literal["timeout", "disk_limit"]


def host_config(client: docker.APIClient, job: Job, inputs: Path, outputs: Path, parent: str | None) -> dict[str, Any]:
    """The engine's settings for one attempt: every limit of the protocol and no privilege at all."""
    limits = job.limits
    return client.create_host_config(
        mounts=[
            Mount(job.inputs, str(inputs), type="bind"),
            Mount(job.outputs, str(outputs), type="bind"),
        ],
        mem_limit=limits.memory_bytes,
        memswap_limit=limits.memory_bytes + limits.swap_bytes,
        pids_limit=limits.pids,
        cpuset_cpus=limits.cpuset,
        network_mode="bridge" if limits.network else "none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        init=True,
        cgroup_parent=parent,
        ipc_mode="private",
        # The log is read while it is written (head and tail); the daemon keeps no copy that could fill its disk.
        log_config=LogConfig(type="none", config={}),
    )


class ContainerRunner:
    """Runs one container after another on a run's scratch space.

    Args:
        client, waiter: two clients of the same daemon, since one is blocked by waiting for a container's end.
        space: the run's scratch space.
        local: whether the daemon's processes and files are this host's.
    """

    def __init__(self, client: docker.APIClient, waiter: docker.APIClient, space: Scratch, local: bool) -> None:
        self._api = client
        self._waiter_api = waiter
        self._scratch = space
        self._local = local

    def run(self, job: Job, meter: cgroups.Meter) -> Execution:
        clock = time.monotonic
        config = host_config(self._api, job, self._scratch.inputs, self._scratch.outputs, meter.parent)
        container, reader, stream, waiter = None, None, None, None
        disk_before = self._scratch.used()
        began = clock()
        try:
            container = call(
                "create a container",
                self._api.create_container,
                job.image_id,
                list(job.command),
                host_config=config,
                labels={LABEL: self._scratch.label},
                healthcheck={"test": ["NONE"]},
                network_disabled=not job.limits.network,
            )["Id"]
            created = clock()
            stream = call(
                "attach to a container",
                self._api.attach_socket,
                container,
                {"stdout": 1, "stderr": 1, "stream": 1},
            )
            reader = LogReader(getattr(stream, "_sock", stream))
            attached = clock()
            call("start a container", self._api.start, container)
            started, started_wall = clock(), time.time()
            waiter = _Waiter(self._waiter_api, container)
            meter.started(container)
            watch, init = self._look_inside(container, job.limits, disk_before)
            stopped, ended = self._follow(container, job.limits, meter, watch, init, waiter, started)
            waiter.join()
            detected = clock()
            if ended is None:
                meter.ended()
            state = call("inspect a container", self._api.inspect_container, container)["State"]
            began_inside = started - _lag(state, started_wall, started - attached)
            gone_from = clock()
            remove_container(self._api, container)
            container = None
            gone = clock()
        finally:
            if container is not None:
                with suppress(EngineError):
                    remove_container(self._api, container)
            if waiter is not None:
                waiter.close()
            log_kept = reader.close() if reader is not None else None
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        assert log_kept is not None
        if state.get("Error"):
            raise EngineError(f"the engine reports of a container: {state['Error']}")
        resources = meter.read(bool(state.get("OOMKilled")))
        final = watch.final()
        return Execution(
            exit_code=int(state["ExitCode"]),
            stopped=stopped or ("disk_limit" if final else None),
            phases=Phases(
                create_s=created - began,
                start_s=started - attached,
                run_s=_engine_run_s(state) if ended is None else ended - began_inside,
                exit_detection_s=None if ended is None else detected - ended,
                remove_s=gone - gone_from,
                wall_s=gone - began,
            ),
            resources=replace(resources, disk_bytes=watch.highest, log_bytes=log_kept.total),
            log=log_kept.text(),
            input_digest="",
            output=Output(None),
        )

    def _look_inside(
        self, container: str, limits: Limits, disk_before: tuple[int, int]
    ) -> tuple[DiskWatch, int | None]:
        """Where the container writes, and a descriptor that tells of its init's end (None: it ended already)."""
        facts = call("inspect a container", self._api.inspect_container, container)
        folders = [facts.get("GraphDriver", {}).get("Data", {}).get("UpperDir")]
        folders += [m["Source"] for m in facts.get("Mounts", []) if m["Type"] == "volume"]
        watch = DiskWatch(
            self._scratch, disk_before, [Path(f) for f in folders if f], limits, lambda: self._layer_bytes(container)
        )
        pid = facts["State"]["Pid"]
        init = None
        if pid and self._local:
            with suppress(OSError):
                init = os.pidfd_open(pid)
        return watch, init

    def _follow(
        self,
        container: str,
        limits: Limits,
        meter: cgroups.Meter,
        watch: DiskWatch,
        init: int | None,
        waiter: _Waiter,
        started: float,
    ) -> tuple[Stopped | None, float | None]:
        """Watch a running container to its end; returns why it was killed, and when its init ended."""
        stopped: Stopped | None = None
        first_kill = killed = 0.0
        poller = select.poll()
        for descriptor in (waiter.wake, init):
            if descriptor is not None:
                poller.register(descriptor, select.POLLIN)
        try:
            while True:
                left = started + limits.time_limit_s - time.monotonic()
                wait_s = _SAMPLE_S if stopped else max(0.0, min(_SAMPLE_S, left))
                ready = {descriptor for descriptor, _ in poller.poll(wait_s * 1000)}
                if init in ready:
                    ended = time.monotonic()
                    meter.ended()
                    return stopped, ended
                if waiter.wake in ready:
                    return stopped, None
                meter.sample()
                if stopped is None:
                    if left <= 0:
                        stopped = "timeout"
                    elif watch.over():
                        stopped = "disk_limit"
                    if stopped:
                        first_kill = killed = time.monotonic()
                        self._kill(container, init)
                elif time.monotonic() - first_kill > _GIVE_UP_S:
                    raise EngineError(f"a container does not die {_GIVE_UP_S:.0f} s after it was killed")
                elif time.monotonic() - killed > _KILL_AGAIN_S:
                    killed = time.monotonic()
                    self._kill(container, init)
        finally:
            if init is not None:
                os.close(init)

    def _layer_bytes(self, container: str) -> int:
        """Size of a container's writable layer, by the engine's word."""
        with suppress(DockerException, requests.RequestException):
            found = self._api.containers(all=True, size=True, filters={"id": container})
            return sum(int(entry.get("SizeRw") or 0) for entry in found)
        return 0

    def _kill(self, container: str, init: int | None) -> None:
        """By the kernel where it lets us: with its init all of a container dies.  The engine would first start a
        program of its own, and a busy host writes a gigabyte meanwhile."""
        if init is not None:
            with suppress(OSError):  # another user's, or gone
                signal.pidfd_send_signal(init, signal.SIGKILL)
                return
        with suppress(APIError):  # it ended by itself meanwhile
            self._api.kill(container)


def _lag(state: dict[str, Any], returned: float, call_s: float) -> float:
    """Seconds by which the start call returned later than the container had started, by the engine's clock.

    Clocks of one host agree; whatever lies outside the call (another host's clock) is no lag.
    """
    lag = returned - datetime.fromisoformat(state["StartedAt"]).timestamp()
    return lag if 0 <= lag <= call_s else 0.0


def _engine_run_s(state: dict[str, Any]) -> float:
    """Start to end by the engine's own clock, which can put the end of a very short run before its start."""
    start, end = (datetime.fromisoformat(state[name]) for name in ("StartedAt", "FinishedAt"))
    return max(0.0, (end - start).total_seconds())


class _Waiter:
    """Waits for a container's end on a thread of its own, as soon as it was started."""

    def __init__(self, client: docker.APIClient, container: str) -> None:
        self._client = client
        self._container = container
        self.wake, self._told = os.pipe()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="container-wait", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._client.wait(self._container, timeout=None, condition="not-running")
        except (DockerException, requests.RequestException) as error:
            self._error = error
        finally:
            os.write(self._told, b"x")

    def join(self) -> None:
        """Wait until the engine has told of the end.

        Raises:
            EngineError: it told of something else.
        """
        self._thread.join()
        if self._error is not None:
            raise EngineError(f"the engine stopped telling of a container ({self._error})") from self._error

    def close(self) -> None:
        """Give back what it holds, once its container is removed."""
        self._thread.join(_GIVE_UP_S)
        if not self._thread.is_alive():
            os.close(self.wake)
            os.close(self._told)
