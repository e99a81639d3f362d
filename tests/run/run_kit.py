"""What the tests of the run stage build from: tiny cases, records, an engine that runs nothing, tarballs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import contract
from harness.ledger import AttemptKey
from harness.npz import write_npz
from harness.protocol import load_protocol
from harness.records import Attempt, Case, Limits, Outcome, Phases, Resources, Submission
from harness.run.engine import EngineFacts, Execution, Job, Output
from harness.run.plan import Planned
from harness.run.runner import RunSettings

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
PROTOCOL = load_protocol()
#: The processor's name as images have it.
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

SIDE = 24

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root: mounts file systems, changes users")


# --------------------------------------------------------------------------- cases


def write_case(folder: Path, name: str, **more: Any) -> Path:
    """A tiny case: two boxes on a square image, or on a small volume where the name starts with 3D."""
    if name.startswith("3D"):
        arrays = {
            "imgs": np.zeros((6, SIDE, SIDE), np.uint8),
            "boxes": np.array([[2, 2, 1, 10, 10, 4], [12, 12, 0, 22, 22, 6]]),
            "spacing": np.ones(3),
        }
    else:
        arrays = {"imgs": np.zeros((SIDE, SIDE, 3), np.uint8), "boxes": np.array([[2, 2, 10, 10], [12, 12, 22, 22]])}
    path = folder / f"{name}.npz"
    write_npz(path, arrays | more)
    return path


def labels(name: str) -> np.ndarray:
    """The boxes of `write_case`, filled: the right answer."""
    if name.startswith("3D"):
        found = np.zeros((6, SIDE, SIDE), np.uint8)
        found[1:4, 2:10, 2:10] = 1
        found[:, 12:22, 12:22] = 2
    else:
        found = np.zeros((SIDE, SIDE), np.uint8)
        found[2:10, 2:10] = 1
        found[12:22, 12:22] = 2
    return found


def write_reference(folder: Path, name: str) -> Path:
    """The reference of a tiny case."""
    arrays = {"gts": labels(name)}
    if name.startswith("3D"):
        arrays["spacing"] = np.ones(3)
    path = folder / f"{name}.npz"
    write_npz(path, arrays)
    return path


def make_cases(folder: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """Folders of cases and references."""
    imgs, gts = folder / "imgs", folder / "gts"
    for place in (imgs, gts):
        place.mkdir(parents=True, exist_ok=True)
    for name in names:
        write_case(imgs, name)
        write_reference(gts, name)
    return imgs, gts


# --------------------------------------------------------------------------- records


LIMITS = replace(PROTOCOL.limits, disk_bytes=8 << 20, disk_inodes=500)


def case(name: str = "2DBox_US_0001", digest: str = "c" * 64, **more: Any) -> Case:
    """A case as a record."""
    shape = (6, SIDE, SIDE) if name.startswith("3D") else (SIDE, SIDE, 3)
    return Case(name, "US", Path(f"/nowhere/{name}.npz"), digest, 1000, shape, 2, **more)


def submission(team: str = "alpha", identity: str = "") -> Submission:
    """A submission as a record."""
    return Submission(team, f"{team}:latest", f"sha256:{team}", identity or f"identity-{team}", 1)


def settings(**more: Any) -> RunSettings:
    """Settings of a run, small limits."""
    given: dict[str, Any] = {
        "protocol": PROTOCOL,
        "limits": LIMITS,
        "conditions": "strict",
        "order": "interleaved",
        "seed": 0,
        "repeats": 1,
    }
    return RunSettings(**(given | more))


def key(team: str = "alpha", name: str = "2DBox_US_0001", **more: Any) -> AttemptKey:
    """An attempt's key that fits `submission` and `case`."""
    given = {
        "repeat": 1,
        "identity": f"identity-{team}",
        "case_digest": "c" * 64,
        "settings": "s",
        "host_class": "h",
    }
    return AttemptKey(team, name, **(given | more))


def attempt(team: str = "alpha", name: str = "2DBox_US_0001", outcome: Outcome = Outcome.OK, **more: Any) -> Attempt:
    """An attempt as a record."""
    given: dict[str, Any] = {
        "task": "US",
        "repeat": 1,
        "reason": "",
        "exit_code": 0,
        "phases": Phases(wall_s=1.5, run_s=1.0),
        "resources": Resources(cpu_s=0.5, peak_bytes=1 << 20, oom_kills=0),
        "prediction_digest": "p" * 64 if outcome is Outcome.OK else None,
        "input_digest": "c" * 64,
        "extra_files": ("efficiency.csv",),
        "host": {"noisy": False},
        "started": "2024-05-01T12:00:00.000+00:00",
    }
    return Attempt(team, name, outcome=outcome, **(given | more))


def execution(file: Path | None = None, **more: Any) -> Execution:
    """What an engine saw; `more` overrides fields of the execution, its output and its resources."""
    output = Output(file, bytes=file.stat().st_size if file is not None else 0)
    for name in list(more):
        if name in Output.__dataclass_fields__:
            output = replace(output, **{name: more.pop(name)})
    resources = Resources(oom_kills=more.pop("oom_kills", 0), cpu_s=0.1)
    given: dict[str, Any] = {
        "exit_code": 0,
        "stopped": None,
        "phases": Phases(wall_s=1.5, run_s=1.0),
        "resources": resources,
        "log": "",
        "input_digest": "",
        "output": output,
    }
    return Execution(**(given | more))


# --------------------------------------------------------------------------- an engine that runs nothing

#: What a fake container does: gets its job and a folder for its output, returns the output file and overrides.
Behaviour = Callable[[Job, Path], tuple[Path | None, dict[str, Any]]]

FACTS = EngineFacts("Fake 1.0", "1", f"linux/{HERE}", "none", "none", "/", "none", "none")


def right_answer(job: Job, folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """Writes the right labels."""
    path = folder / f"{job.case_name}.npz"
    contract.write_prediction(path, labels(job.case_name))
    return path, {}


@dataclass
class FakeEngine:
    """Returns executions instead of making them; notes every job."""

    folder: Path
    behaviour: Behaviour = right_answer
    jobs: list[Job] = field(default_factory=list)
    opened: int = 0
    finished: int = 0
    facts: EngineFacts = FACTS

    def execute(self, job: Job) -> Execution:
        self.jobs.append(job)
        made, more = self.behaviour(job, self.folder)
        digest = hashlib.sha256(job.case_file.read_bytes()).hexdigest()
        return execution(made, **({"input_digest": digest} | more))

    def finish(self) -> None:
        self.finished += 1

    @contextmanager
    def open(self, largest_input: int):
        """An engine opener."""
        self.opened += 1
        yield self


class Silent:
    """A listener that only remembers."""

    def __init__(self) -> None:
        self.sizes: tuple[int, int] | None = None
        self.begun: list[Planned] = []
        self.ends: list[Attempt] = []

    def planned(self, total: int, missing: int) -> None:
        self.sizes = (total, missing)

    def began(self, planned: Planned) -> None:
        self.begun.append(planned)

    def ended(self, attempt: Attempt) -> None:
        self.ends.append(attempt)


# --------------------------------------------------------------------------- tarballs


def image_config(**more: Any) -> dict[str, Any]:
    """The configuration in an image file."""
    given = {
        "architecture": HERE,
        "os": "linux",
        "config": {"Cmd": ["python3"], "Env": ["PATH=/bin"], "WorkingDir": "/workspace"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]},
    }
    return given | more


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a tar file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field_name, value in more.items():
        setattr(info, field_name, value)
    return info, data


def manifest(*images: Any) -> bytes:
    """``manifest.json`` of a tarball."""
    return json.dumps(list(images)).encode()


def entry(config: str = "config.json", tags: Any = ("team:latest",)) -> dict[str, Any]:
    """One image in a manifest."""
    return {"Config": config, "RepoTags": tags if tags is None else list(tags), "Layers": ["layer.tar"]}


def write_tar(path: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    """A tar file of these members."""
    with tarfile.open(path, mode) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isfile() else None)
    return path


def image_tarball(path: Path, mode: str = "w", config: dict[str, Any] | None = None, **more: Any) -> Path:
    """What ``docker save`` writes, as far as the harness reads it."""
    text = json.dumps(config or image_config()).encode()
    return write_tar(path, [member("config.json", text), member("manifest.json", manifest(entry(**more)))], mode)


def limits(**more: Any) -> Limits:
    """Small limits."""
    return replace(LIMITS, **more)
