"""The Docker engine (any daemon that speaks its API, Podman's socket too) on this host."""

from __future__ import annotations

import logging
import os
import select
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import docker
import docker.utils
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import LogConfig, Mount

from harness.errors import EngineError, HarnessFault
from harness.records import Limits, Phases, Resources
from harness.run import cgroups, scratch
from harness.run.disk import DiskWatch
from harness.run.engine import EngineFacts, Execution, Job, Output
from harness.run.logs import LogReader

log = logging.getLogger(__name__)

#: Container label that carries the run's scratch label: whose it is, and whether its owner lives.
LABEL = "cvpr24.harness.run"
_SAMPLE_S = 0.05
#: A call that should be instant takes this long only when the daemon hangs.
_CALL_TIMEOUT_S = 120

#: An image without a single file, to try the engine with.
_EMPTY_IMAGE = "cvpr24-harness/empty:latest"
#: A container that will not die is killed again after this long, and given up after the second figure.
_KILL_AGAIN_S = 5.0
_GIVE_UP_S = 120.0

Stopped = Literal["timeout", "disk_limit"]

#: What an image gets that no container can be started from: the exit code that the engine itself gives it.
_UNSTARTABLE = Execution(
    exit_code=128,
    stopped=None,
    phases=Phases(),
    resources=Resources(),
    log="",
    input_digest="",
    output=Output(None),
)


class RefusedError(EngineError):
    """The engine answered, and refused."""


def connect() -> docker.APIClient:
    """A client of the engine that DOCKER_HOST names, or of the local socket.

    Raises:
        EngineError: nothing answers; the message says what to do.
    """
    try:
        client = docker.APIClient(**docker.utils.kwargs_from_env(), version="auto", timeout=_CALL_TIMEOUT_S)
        client.ping()
    except (DockerException, requests.RequestException) as error:
        raise EngineError(
            f"no container engine answers at {os.environ.get('DOCKER_HOST', 'unix:///var/run/docker.sock')} ({error}). "
            "Start Docker (`make setup` installs and starts it on Debian), make sure that this user may use its "
            "socket, or point DOCKER_HOST at a running Docker or Podman."
        ) from error
    return client


def engine_name(version: dict[str, Any]) -> str:
    """An engine's name and version from its own word: Podman names itself, Docker says just "Engine"."""
    parts = version.get("Components") or [{}]
    name = str(parts[0].get("Name", "Engine"))
    return f"{'Docker' if name == 'Engine' else name} {version['Version']}"


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


class DockerEngine:
    """Runs jobs on a local daemon; made by `open_docker_engine`."""

    def __init__(self, space: scratch.Scratch) -> None:
        self._api = connect()
        self._waiter_api = connect()
        self._scratch = space
        self.label = space.label
        self._image = ""
        info = self._call("info", self._api.info)
        version = self._call("version", self._api.version)
        self._root = Path(info["DockerRootDir"])
        self._new_meter = cgroups.choose_meter(
            info.get("CgroupDriver", ""), str(info.get("CgroupVersion", "1")), self._is_local(), self._stats
        )
        probe = self._new_meter(space.label, "probe")
        probe.close()
        self.facts = EngineFacts(
            name=engine_name(version),
            api=self._api.api_version,
            os_arch=f"{info['OSType']}/{version['Arch']}",
            cgroup=f"v{info.get('CgroupVersion', '1')} {info.get('CgroupDriver', '')}",
            storage=info["Driver"],
            root=str(self._root),
            accounting=probe.source,
            disk="file system" if space.hard_limit else "watched folder",
        )

    def _is_local(self) -> bool:
        """Whether the daemon's files are this host's: a Unix socket, and its data folder is here."""
        base = str(self._api.base_url)
        return base.startswith("http+docker://local") and self._root.is_dir() and os.access(self._root, os.R_OK)

    def _stats(self, container: str) -> dict[str, Any]:
        with suppress(APIError, requests.RequestException):
            return self._api.stats(container, stream=False, one_shot=True)  # type: ignore[no-any-return]
        return {}

    def _call(self, what: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        except APIError as error:
            raise RefusedError(f"the engine failed to {what} ({error.explanation or error})") from error
        except (DockerException, requests.RequestException) as error:
            raise EngineError(f"the engine failed to {what} ({error})") from error

    # -- one container

    def execute(self, job: Job) -> Execution:
        """Run one container to its end and remove it (see `Engine`)."""
        name = f"{job.case_name}.npz"
        self._image = job.image_id
        meter = self._new_meter(self._scratch.label, job.name)
        try:
            digest = self._scratch.put(job.case_file, name)
            try:
                execution = replace(self._run_container(job, meter), input_digest=digest)
            except RefusedError as refused:
                if not self._starts_containers(job, meter):
                    raise
                execution = replace(_UNSTARTABLE, input_digest=digest, log=f"{refused}\n")
            if not self._scratch.readable(name):  # root's file, and this user is not root
                self._as_root("chmod", "a+r", f"/scratch/{self._scratch.outputs.name}/{name}")
            left = self._scratch.collect(name)
            output = Output(
                file=left.output,
                bytes=left.output_bytes,
                unusable=left.unusable,
                links=left.links,
                extra=left.extra,
                input_changes=left.input_changes,
                input_extra=left.input_extra,
            )
            # Sparse files count in full: whoever reads them pays for every byte.
            too_large = left.bytes > job.limits.disk_bytes
            stopped = execution.stopped or ("disk_limit" if too_large else None)
            return replace(execution, output=output, stopped=stopped)
        except BaseException:
            self._clear()
            raise
        finally:
            meter.close()

    def finish(self) -> None:
        """Forget the last job's output and make ready for the next."""
        self._clear()

    def _clear(self) -> None:
        """Empty the scratch space; what this user may not remove, a container removes as root."""
        try:
            self._scratch.empty()
        except HarnessFault:
            folders = (self._scratch.inputs, self._scratch.outputs, self._scratch.quarantine)
            self._as_root("rm", "-rf", *(f"/scratch/{folder.name}" for folder in folders))
            self._scratch.empty()

    def _as_root(self, *command: str) -> None:
        """Run a command on the scratch space as root, by a container of the last job's image: it is there."""
        config = self._api.create_host_config(
            mounts=[Mount("/scratch", str(self._scratch.disk), type="bind")],
            mem_limit=256 << 20,
            pids_limit=16,
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=["DAC_OVERRIDE", "FOWNER"],
            security_opt=["no-new-privileges"],
        )
        created = self._call(
            "create a container",
            self._api.create_container,
            self._image,
            list(command[1:]),
            entrypoint=[command[0]],
            user="0:0",
            host_config=config,
            labels={LABEL: self._scratch.label},
        )
        try:
            self._call("start a container", self._api.start, created["Id"])
            self._call("wait for a container", self._api.wait, created["Id"])
        finally:
            self._remove(created["Id"])

    def _starts_containers(self, job: Job, meter: cgroups.Meter) -> bool:
        """Whether the engine starts an empty image under a job's very settings: then the job's image is at fault.

        A user that the image does not know, a file where a folder is mounted: such an image must not pass for
        a broken host, or one submission could end everybody's run.
        """
        container = None
        try:
            if not self._api.images(name=_EMPTY_IMAGE):
                repository, _, tag = _EMPTY_IMAGE.partition(":")
                self._api.import_image_from_data(tarfile.NUL * 2 * tarfile.BLOCKSIZE, repository=repository, tag=tag)
            config = host_config(self._api, job, self._scratch.inputs, self._scratch.outputs, meter.parent)
            labels = {LABEL: self._scratch.label}
            command = ["/sbin/docker-init", "--version"]
            container = self._api.create_container(_EMPTY_IMAGE, command, host_config=config, labels=labels)["Id"]
            self._api.start(container)
        except (DockerException, requests.RequestException):
            return False
        else:
            return True
        finally:
            if container is not None:
                self._remove(container)

    def _run_container(self, job: Job, meter: cgroups.Meter) -> Execution:
        clock = time.monotonic
        config = host_config(self._api, job, self._scratch.inputs, self._scratch.outputs, meter.parent)
        container, reader, stream, waiter = None, None, None, None
        disk_before = self._scratch.used()
        began = clock()
        try:
            container = self._call(
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
            stream = self._call(
                "attach to a container",
                self._api.attach_socket,
                container,
                {"stdout": 1, "stderr": 1, "stream": 1},
            )
            reader = LogReader(getattr(stream, "_sock", stream))
            waiter = _Waiter(self._waiter_api, container)
            attached = clock()
            self._call("start a container", self._api.start, container)
            started, started_wall = clock(), time.time()
            meter.started(container)
            watch, init = self._look_inside(container, job.limits, disk_before)
            stopped, ended = self._follow(container, job.limits, meter, watch, init, waiter, started)
            waiter.join()
            detected = clock()
            if ended is None:
                meter.ended()
            state = self._call("inspect a container", self._api.inspect_container, container)["State"]
            began_inside = started - _lag(state, started_wall, started - attached)
            gone_from = clock()
            self._remove(container)
            container = None
            gone = clock()
        finally:
            if container is not None:
                with suppress(EngineError):
                    self._remove(container)
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
        facts = self._call("inspect a container", self._api.inspect_container, container)
        folders = [facts.get("GraphDriver", {}).get("Data", {}).get("UpperDir")]
        folders += [m["Source"] for m in facts.get("Mounts", []) if m["Type"] == "volume"]
        watch = DiskWatch(
            self._scratch, disk_before, [Path(f) for f in folders if f], limits, lambda: self._layer_bytes(container)
        )
        pid = facts["State"]["Pid"]
        init = None
        if pid and self._is_local():
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
                        self._kill(container)
                elif time.monotonic() - first_kill > _GIVE_UP_S:
                    raise EngineError(f"a container does not die {_GIVE_UP_S:.0f} s after it was killed")
                elif time.monotonic() - killed > _KILL_AGAIN_S:
                    killed = time.monotonic()
                    self._kill(container)
        finally:
            if init is not None:
                os.close(init)

    def _layer_bytes(self, container: str) -> int:
        """Size of a container's writable layer, by the engine's word."""
        with suppress(DockerException, requests.RequestException):
            found = self._api.containers(all=True, size=True, filters={"id": container})
            return sum(int(entry.get("SizeRw") or 0) for entry in found)
        return 0

    def _kill(self, container: str) -> None:
        with suppress(NotFound, APIError):  # it ended by itself meanwhile
            self._api.kill(container)

    def _remove(self, container: str) -> None:
        try:
            self._api.remove_container(container, v=True, force=True)
        except NotFound:
            return
        except (DockerException, requests.RequestException) as error:
            raise EngineError(f"the engine failed to remove a container ({error})") from error


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
    """Waits for a container's end on a thread of its own, from before its start."""

    def __init__(self, client: docker.APIClient, container: str) -> None:
        self._client = client
        self._container = container
        self.wake, self._told = os.pipe()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="container-wait", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._client.wait(self._container, timeout=None, condition="next-exit")
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


# --------------------------------------------------------------------------- opening and cleaning


@contextmanager
def open_docker_engine(limits: Limits, largest_input: int, root: Path | None = None) -> Iterator[DockerEngine]:
    """Hold this host for a timed run: clear away what dead runs left, make scratch space, give the engine.

    Raises:
        EngineError: no engine answers.
        UsageError: another timed run is under way.
    """
    root = root or scratch.scratch_root()
    client = connect()
    with scratch.host_lock(root):
        reap(client, root)
        with scratch.Scratch(root, limits, largest_input) as space:
            try:
                yield DockerEngine(space)
            finally:
                remove_containers(client, lambda label: label != space.label and _is_others(root, label))
                cgroups.reap_groups(lambda label: label != space.label and _is_others(root, label))


def reap(client: docker.APIClient, root: Path) -> None:
    """Remove containers, mounts, folders and control groups of runs that died."""
    remove_containers(client, lambda label: _is_others(root, label))
    scratch.reap_folders(root)
    if os.getuid() == 0:
        cgroups.reap_groups(lambda label: _is_others(root, label))


def _is_others(root: Path, label: str) -> bool:
    """Whether a label belongs to a living run, or to none below this root."""
    return not label.startswith(scratch.owner_prefix(root)) or scratch.is_alive(root, label)


def remove_containers(client: docker.APIClient, is_alive: Callable[[str], bool]) -> None:
    try:
        for found in client.containers(all=True, filters={"label": LABEL}):
            if not is_alive(found["Labels"][LABEL]):
                log.info("removing a container that a dead run left: %s", found["Id"][:12])
                with suppress(NotFound):
                    client.remove_container(found["Id"], v=True, force=True)
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"containers that a dead run left cannot be removed ({error})") from error
