"""The Docker engine (any daemon that speaks its API, Podman's socket too) on this host."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException
from docker.types import Mount

from harness.errors import HarnessFault
from harness.records import Limits, Phases, Resources
from harness.run import cgroups, roots, scratch
from harness.run.container import ContainerRunner, host_config
from harness.run.daemon import (
    LABEL,
    RefusedError,
    call,
    connect,
    engine_name,
    is_others,
    reap,
    remove_container,
    remove_containers,
)
from harness.run.engine import EngineFacts, Execution, Job, Output

#: An image without a single file, to try the engine with.
_EMPTY_IMAGE = "cvpr24-harness/empty:latest"

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


class DockerEngine:
    """Runs jobs on a local daemon; made by `open_docker_engine`."""

    def __init__(self, space: scratch.Scratch) -> None:
        self._api = connect()
        self._scratch = space
        self.label = space.label
        self._image = ""
        info = call("info", self._api.info)
        version = call("version", self._api.version)
        self._root = Path(info["DockerRootDir"])
        self._new_meter = cgroups.choose_meter(
            info.get("CgroupDriver", ""), str(info.get("CgroupVersion", "1")), self._is_local(), self._stats
        )
        self._containers = ContainerRunner(self._api, connect(), space, self._is_local())
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
            stats: dict[str, Any] = self._api.stats(container, stream=False, one_shot=True)
            return stats
        return {}

    # -- one container

    def execute(self, job: Job) -> Execution:
        """Run one container to its end and remove it (see `Engine`)."""
        name = f"{job.case_name}.npz"
        self._image = job.image_id
        meter = self._new_meter(self._scratch.label, job.name)
        try:
            digest = self._scratch.put(job.case_file, name)
            try:
                execution = replace(self._containers.run(job, meter), input_digest=digest)
            except RefusedError as refused:
                if not self._starts_containers(job, meter):
                    raise
                execution = replace(_UNSTARTABLE, input_digest=digest, log=f"{refused}\n")
            if not self._scratch.readable(name):  # root's file, and this user is not root
                self._as_root("chmod", "a+r", f"/scratch/{self._scratch.outputs.name}/{name}")
            output = self._scratch.collect(name)
            # Sparse files count in full: whoever reads them pays for every byte.
            too_large = output.total_bytes > job.limits.disk_bytes
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
        created = call(
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
            call("start a container", self._api.start, created["Id"])
            call("wait for a container", self._api.wait, created["Id"])
        finally:
            remove_container(self._api, created["Id"])

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
                remove_container(self._api, container)


@contextmanager
def open_docker_engine(limits: Limits, largest_input: int, root: Path | None = None) -> Iterator[DockerEngine]:
    """Hold this host for a timed run: clear away what dead runs left, make scratch space, give the engine.

    Raises:
        EngineError: no engine answers.
        UsageError: another timed run is under way.
    """
    root = root or roots.scratch_root()
    client = connect()
    with roots.host_lock(root):
        reap(client, root)
        with scratch.Scratch(root, limits, largest_input) as space:
            try:
                yield DockerEngine(space)
            finally:
                remove_containers(client, lambda label: label != space.label and is_others(root, label))
                cgroups.reap_groups(lambda label: label != space.label and is_others(root, label))
