"""What the runner asks of a container engine: an interface, so that other engines can take its place.

How a case travels to the container and its output back is the engine's own affair; nothing above it
may assume shared paths.  A fake engine, which returns executions instead of making them, serves the
tests of the logic above.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from harness.records import Limits, Phases, Resources


@dataclass(frozen=True)
class Job:
    """One container to be run.

    Attributes:
        name: short unique name of the attempt within its run, letters, digits and dashes.
        image_id: the engine's id of the image (never a tag).
        team: for engines that keep folders or names by team.
        command: what it runs.
        case_file: the file to be laid out as its only input.
        case_name: the case; input and output are both called ``case_name.npz``.
        inputs, outputs: mount points.
        limits: what it may use.
    """

    name: str
    image_id: str
    team: str
    command: tuple[str, ...]
    case_file: Path
    case_name: str
    inputs: str
    outputs: str
    limits: Limits


@dataclass(frozen=True)
class Output:
    """What a container left, looked at without trust.

    Attributes:
        file: the regular file of the case's name, where only the harness reaches it; None without one.
            Valid until the engine is told to `finish`.
        bytes: its size.
        unusable: why a thing of the right name is no output ("it is a symbolic link"), else "".
        links: hard links it had; more than 1 makes it unacceptable.
        extra: names of other things it left in outputs, at most 20, safe to show.
        total_bytes: apparent sizes of all it left right in outputs (sparse files count in full).
        input_changes: "changed", "deleted" or "".
        input_extra: whether it left other things beside its input.
    """

    file: Path | None
    bytes: int = 0
    unusable: str = ""
    links: int = 1
    extra: tuple[str, ...] = ()
    total_bytes: int = 0
    input_changes: str = ""
    input_extra: bool = False


@dataclass(frozen=True)
class Execution:
    """What an engine saw of one container, from create to removal.

    Attributes:
        exit_code: the container's.
        stopped: why the harness killed it, or None: "timeout" or "disk_limit".
        phases, resources: what was measured.
        log: head and tail of stdout and stderr, control characters replaced.
        input_digest: SHA-256 of the input as laid out.
        output: what it left.
    """

    exit_code: int
    stopped: Literal["timeout", "disk_limit"] | None
    phases: Phases
    resources: Resources
    log: str
    input_digest: str
    output: Output


@dataclass(frozen=True)
class EngineFacts:
    """What an engine is, for the manifest and the choice of accounting.

    Attributes:
        name: its own name and version, as "Docker 20.10.24".
        api: API version spoken.
        os_arch: "linux/amd64".
        cgroup: "v1 cgroupfs".
        storage: storage driver.
        root: its data folder, on its own host.
        accounting: how resources are counted ("v1-cgroupfs", ...).
        disk: how the disk limit is enforced ("file system" or "watched folder").
    """

    name: str
    api: str
    os_arch: str
    cgroup: str
    storage: str
    root: str
    accounting: str
    disk: str


class Engine(Protocol):
    """Runs jobs one at a time."""

    @property
    def facts(self) -> EngineFacts:
        """What this engine is."""

    def execute(self, job: Job) -> Execution:
        """Run one container to its end and remove it.

        Raises:
            EngineError: the engine failed; the submission is not to blame.
            KeyboardInterrupt: passed on, after the container is gone.
        """

    def finish(self) -> None:
        """Forget the last job's output and make ready for the next job."""
