"""The vocabulary of the whole harness: frozen records that the stages hand to one another.

Names carry units: ``_s`` seconds, ``_bytes`` bytes, ``_mm`` millimetres.  None means "not known",
never zero.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Outcome(StrEnum):
    """How an attempt ended.  The first that matches, in this order, decides."""

    HARNESS_FAULT = "harness_fault"
    """The harness or its host failed: never charged, tried again on resume."""
    TIMEOUT = "timeout"
    """Stopped at the time limit."""
    OK = "ok"
    """A valid prediction is there, whatever the exit code."""
    OOM = "oom"
    """No valid prediction, and the kernel killed a process of the container for memory."""
    CRASH = "crash"
    """No valid prediction, and a non-zero exit code."""
    INVALID_OUTPUT = "invalid_output"
    """The right file is there but is no acceptable prediction; also a disk limit passed."""
    NO_OUTPUT = "no_output"
    """Exit code 0 and no regular file of the right name."""
    BAD_REFERENCE = "bad_reference"
    """Only of scoring: the organizer's reference is broken, no submission is charged."""


#: Outcomes that are the submission's own failure and get the failure policy's values.
FAILURES = frozenset({Outcome.TIMEOUT, Outcome.OOM, Outcome.CRASH, Outcome.INVALID_OUTPUT, Outcome.NO_OUTPUT})


@dataclass(frozen=True)
class Limits:
    """What an attempt may use.  Every field is recorded in the manifest.

    Attributes:
        memory_bytes: the container's memory, page cache included, as the kernel counts it.
        swap_bytes: swap beyond it; 0 denies swap.
        time_limit_s: seconds from the container's start until it is killed.
        pids: processes and threads alive at once.
        disk_bytes: what the container may add on disk: outputs, inputs and its writable layer together.
        disk_inodes: the same for files and folders.
        network: whether it has a network.
        cpuset: CPUs it may run on, as in ``0-3,6``; None for all.
    """

    memory_bytes: int
    swap_bytes: int
    time_limit_s: float
    pids: int
    disk_bytes: int
    disk_inodes: int
    network: bool
    cpuset: str | None = None


@dataclass(frozen=True)
class Case:
    """One image with its box prompts.

    Attributes:
        name: file name without ``.npz``.
        task: what it is ranked in (the modality).
        path: the organizer's file.
        digest: SHA-256 of that file.
        bytes: its size.
        image_shape: (H, W, 3) or (D, H, W).
        boxes: number of box prompts.
        hidden_keys: keys of the organizer's file that a submission does not see.
    """

    name: str
    task: str
    path: Path
    digest: str
    bytes: int
    image_shape: tuple[int, ...]
    boxes: int
    hidden_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """A team's image, ready to run.

    Attributes:
        team: lower-case name, unique in a run.
        source: what the user gave: a tarball, an image tag or a folder.
        image_id: the engine's own id, by which containers are started.
        identity: SHA-256 over the image's config and layer diff-ids, the same in every image store.
        bytes: the image's size.
        labels: what the image's labels tell (`harness.labels`): its weights, mode and variant.
    """

    team: str
    source: str
    image_id: str
    identity: str
    bytes: int
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Phases:
    """Where an attempt's time went, in seconds on a monotonic clock; None where not observed.

    Attributes:
        create_s: the engine's create call.
        start_s: the engine's start call (namespaces, cgroups, first exec).
        run_s: from the engine's word that the container has started to the end of its init: the time inside
            (by the engine's own clock alone where the init ended before it could be watched).
        exit_detection_s: from the end of the container's init to the engine's word of it.
        remove_s: the engine's remove call.
        wall_s: from before create to after removal.
    """

    create_s: float | None = None
    start_s: float | None = None
    run_s: float | None = None
    exit_detection_s: float | None = None
    remove_s: float | None = None
    wall_s: float | None = None


@dataclass(frozen=True)
class Resources:
    """What an attempt used.

    Attributes:
        cpu_s: CPU seconds, user and system, of all its processes (kernel counter).
        peak_bytes: the kernel's high-water mark of charged memory, page cache included; exact.
        peak_anon_bytes: highest anonymous memory in 50 ms samples: a lower bound.
        oom_kills: processes that the kernel killed for memory.
        oom_source: what counted them: "cgroup", "vmstat" (host-wide counter) or "daemon" (0 or 1).
        throttled_s: seconds during which CPU quotas held it back.
        disk_bytes: highest disk use seen, a lower bound.
        log_bytes: bytes it wrote to stdout and stderr.
        source: the accounting used, as "v1-cgroupfs".
    """

    cpu_s: float | None = None
    peak_bytes: int | None = None
    peak_anon_bytes: int | None = None
    oom_kills: int | None = None
    oom_source: str | None = None
    throttled_s: float | None = None
    disk_bytes: int | None = None
    log_bytes: int | None = None
    source: str = "none"


@dataclass(frozen=True)
class Attempt:
    """One execution of one submission on one case.

    Attributes:
        team, case, task: who, on what, ranked in what.
        repeat: 1 for the first.
        outcome: how it ended.
        reason: why, in words; for outcome ok the flags worth knowing (``exit_code=1``).
        exit_code: the container's; None where it was never seen.
        phases, resources: what was measured.
        prediction_digest: SHA-256 of the accepted prediction; None without one.
        input_digest: SHA-256 of the case file as the container got it.
        extra_files: other files it left in outputs, by name, at most 20.
        host: readings of the host's noise before, during and after.
        started: wall-clock label, ISO 8601 in UTC.
    """

    team: str
    case: str
    task: str
    repeat: int
    outcome: Outcome
    reason: str
    exit_code: int | None
    phases: Phases
    resources: Resources
    prediction_digest: str | None
    input_digest: str
    extra_files: tuple[str, ...]
    host: dict[str, Any]
    started: str


@dataclass(frozen=True)
class Score:
    """Scores of one prediction against one reference.

    Attributes:
        values: by metric name ("dsc", "nsd", ...), NaN where a metric is undefined (an empty class).
        outcome: ok, invalid_output or bad_reference.
        reason: why, where it is not ok.
    """

    values: dict[str, float]
    outcome: Outcome
    reason: str = ""


def as_json(record: Any) -> dict[str, Any]:
    """A record as plain data for JSON; paths become strings."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(record).items()}
