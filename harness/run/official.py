"""The challenge's own way of running, defects included, for those who must repeat its figures.

The ``docker`` command line is timed as a whole, swap and network stay on, capabilities stay, nothing but
memory is limited, and a team's folders are kept from case to case.  Only what could harm the host's data
is left out: nothing is pulled, and no folder beyond the run's own is opened to all.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import EngineError
from harness.records import Limits, Phases, Resources
from harness.run.daemon import LABEL, connect, engine_name, reap, remove_containers
from harness.run.engine import EngineFacts, Execution, Job, Output
from harness.run.logs import HeadAndTail
from harness.run.roots import host_lock, scratch_root
from harness.run.scratch import Scratch
from harness.run.trees import copy_and_hash


class OfficialEngine:
    """Runs jobs by the ``docker`` command line (see `harness.run.engine.Engine`)."""

    def __init__(self, folder: Path, label: str, facts: EngineFacts) -> None:
        self._folder = folder
        self._label = label
        self.facts = facts

    def execute(self, job: Job) -> Execution:
        """Run one case as the challenge did; inputs are emptied of earlier cases, outputs are not."""
        inputs, outputs = self._folder / job.team / "inputs", self._folder / job.team / "outputs"
        for folder in (inputs, outputs):
            folder.mkdir(parents=True, exist_ok=True)
            os.chmod(folder, 0o777)
        name = f"{job.case_name}.npz"
        digest = copy_and_hash(job.case_file, inputs / name)
        os.chmod(inputs / name, 0o666)
        (outputs / name).unlink(missing_ok=True)  # a prediction of an earlier repeat is no prediction of this one
        memory = f"{job.limits.memory_bytes}b"
        command = ["docker", "container", "run", "-m", memory, "--rm", "--label", f"{LABEL}={self._label}"]
        command += ["-v", f"{inputs}:{job.inputs}", "-v", f"{outputs}:{job.outputs}", job.image_id, *job.command]
        kept = HeadAndTail()
        began = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            while piece := os.read(process.stdout.fileno(), 1 << 16):
                kept.feed(piece)
            code = process.wait()
        wall_s = time.monotonic() - began
        (inputs / name).unlink(missing_ok=True)
        if code == 125:  # the command line's own failure: no container ran
            raise EngineError(f"docker container run failed: {kept.text().strip()[-500:]}")
        return Execution(
            exit_code=code,
            stopped=None,
            phases=Phases(wall_s=wall_s),
            resources=Resources(log_bytes=kept.total, source="none"),
            log=kept.text(),
            input_digest=digest,
            output=_output(outputs / name),
        )

    def finish(self) -> None:
        """Nothing: folders are kept, as they were."""


def _output(path: Path) -> Output:
    try:
        found = os.lstat(path)
    except OSError:
        return Output(None)
    if not stat.S_ISREG(found.st_mode):
        return Output(None, unusable="it is no regular file")
    return Output(path, bytes=found.st_size, links=found.st_nlink)


@contextmanager
def open_official_engine(limits: Limits, root: Path | None = None) -> Iterator[OfficialEngine]:
    """Hold this host for a run under official conditions.

    Raises:
        EngineError: no engine answers, or there is no ``docker`` command.
        UsageError: another timed run is under way.
    """
    if shutil.which("docker") is None:
        raise EngineError("--conditions official times the docker command itself, which is not here. Install it.")
    root = root or scratch_root()
    client = connect()
    with host_lock(root):
        reap(client, root)
        with Scratch(root, limits, 0) as space:
            version, info = client.version(), client.info()
            facts = EngineFacts(
                name=engine_name(version),
                api=client.api_version,
                os_arch=f"{info['OSType']}/{version['Arch']}",
                cgroup=f"v{info.get('CgroupVersion', '1')} {info.get('CgroupDriver', '')}",
                storage=info["Driver"],
                root=info["DockerRootDir"],
                accounting="none",
                disk="none",
            )
            folder = space.folder / "teams"
            folder.mkdir()
            try:
                yield OfficialEngine(folder, space.label, facts)
            finally:
                remove_containers(client, lambda label: not label.startswith(space.label))
