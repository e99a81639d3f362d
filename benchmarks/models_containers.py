"""The reference submissions as whole containers: their images made, run by the harness, their masks compared."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import docker

from benchmarks.models_figures import Agreement, FiguresError, Run, agreements
from harness import contract
from harness.layout import OutDir
from harness.ledger import open_ledger
from harness.phases import read_phases
from harness.protocol import load_protocol
from harness.records import Attempt, Case, Outcome, Submission
from harness.run.docker_engine import open_docker_engine
from harness.run.engine import Engine
from harness.run.images import resolve
from harness.run.plan import Planned
from harness.run.runner import RunSettings, run_attempts
from harness.submissions import SubmissionSpec

ROOT = Path(__file__).resolve().parents[1]
Kind = Literal["torch", "OpenVINO", "C++"]
#: What an image may take, in decimal megabytes.
LARGEST_MB: dict[Kind, float] = {"torch": 1500.0, "OpenVINO": 700.0, "C++": 250.0}
#: What an OpenVINO program may take on an image beyond its encoder and an empty container, in seconds.
BEYOND_S: dict[Kind, float] = {"OpenVINO": 1.2, "C++": 0.35}

EMPTY = "empty-container"
_EMPTY_DOCKERFILE = (
    "ARG BASE=python:3.11-slim-bookworm\nFROM ${BASE}\nWORKDIR /workspace\nCOPY predict.sh ./\nUSER 1000:1000\n"
)


@dataclass(frozen=True)
class Image:
    """A reference submission.

    Attributes:
        name: of the image and the team.
        kind: what it computes with.
        algorithm: whose networks.
    """

    name: str
    kind: Kind
    algorithm: str

    @property
    def folder(self) -> Path:
        """Where its Dockerfile lies; the baseline's is what a participant's own would be."""
        return ROOT if self.name == BASELINE else ROOT / "docker" / self.name


BASELINE = "litemedsam"
#: Same weights as the baseline, which they are held against.
SAME = (BASELINE, "litemedsam-fast", "litemedsam-cpp")
IMAGES = (
    Image(BASELINE, "torch", "litemedsam"),
    Image("litemedsam-fast", "OpenVINO", "litemedsam"),
    Image("litemedsam-cpp", "C++", "litemedsam"),
    Image("medficientsam", "OpenVINO", "medficientsam"),
    Image("medficientsam-cpp", "C++", "medficientsam"),
    Image("daft", "OpenVINO", "daft"),
    Image("daft-cpp", "C++", "daft"),
    Image("repmedsam", "OpenVINO", "repmedsam"),
    Image("repmedsam-cpp", "C++", "repmedsam"),
)
#: Further forms: LiteMedSAM with accuracy traded for speed or room, and DAFT as it became after the challenge.
VARIANTS = (
    Image("litemedsam-bf16", "OpenVINO", "litemedsam"),
    Image("litemedsam-int8", "OpenVINO", "litemedsam"),
    Image("litemedsam-stride", "OpenVINO", "litemedsam"),
    Image("daft-shared-cpp", "C++", "daft"),
)


# --------------------------------------------------------------------------- images


def made(client: docker.APIClient, image: Image, built: bool) -> Submission:
    """An image, ready to run.

    Args:
        client: of the engine.
        image: which.
        built: take what an earlier run built, and build nothing.

    Raises:
        SubmissionError: it cannot be built, or is not there.
        EngineError: the engine failed.
    """
    if built:
        spec = SubmissionSpec(image.name, "tag", f"cvpr24-harness/{image.name}:latest")
    else:
        spec = SubmissionSpec(image.name, "folder", str(image.folder))
    return resolve(client, spec).submission


def made_empty(client: docker.APIClient, folder: Path) -> Submission:
    """An image whose predict.sh does nothing: what a container costs without a program in it."""
    place = folder / EMPTY
    place.mkdir()
    (place / "predict.sh").write_text(":\n")
    (place / "Dockerfile").write_text(_EMPTY_DOCKERFILE)
    return resolve(client, SubmissionSpec(EMPTY, "folder", str(place))).submission


def megabytes(submission: Submission) -> float:
    """An image's size, decimal."""
    return submission.bytes / 1e6


# --------------------------------------------------------------------------- runs


def cpus() -> list[int]:
    """The CPUs that this process, and so each container, may use."""
    return sorted(os.sched_getaffinity(0))


class Bench:
    """Runs cases by the harness's own engine, on the CPUs that this process may use.

    Args:
        folder: a new one, for predictions, logs and the ledger.

    Attributes:
        runs: all that were made.
        noisy: how many of them other processes disturbed, by the harness's rule.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: list[Run] = []
        self.noisy = 0
        self._out = OutDir(folder)
        protocol = load_protocol()
        limits = replace(protocol.limits, cpuset=",".join(map(str, cpus())))
        self._settings = RunSettings(protocol, limits, "strict", "interleaved", 0, 1, strict_exit=True)

    def run(self, submissions: Sequence[Submission], cases: Sequence[Case], repeats: int = 1) -> None:
        """Each submission on each case until there are so many repeats, all on one case before the next one.

        Raises:
            FiguresError: one of them failed, or tells nothing of its phases.
            HarnessFault: the engine failed.
        """
        settings = replace(self._settings, repeats=repeats)

        def opened(largest: int) -> AbstractContextManager[Engine]:
            return open_docker_engine(settings.limits, largest)

        self._out.root.mkdir(parents=True, exist_ok=True)
        with open_ledger(self._out.ledger) as ledger:
            run_attempts(self._out, ledger, settings, submissions, cases, opened, self)

    def planned(self, total: int, missing: int) -> None:
        """Nothing to note."""

    def began(self, planned: Planned) -> None:
        """Nothing to note."""

    def ended(self, attempt: Attempt) -> None:
        """An attempt is recorded."""
        run = run_of(attempt, self._log(attempt))
        self.runs.append(run)
        self.noisy += attempt.host.get("noisy") is True
        print(f"  {run.case:<26} {run.image:<24} {run.wall_s:8.2f} s", file=sys.stderr, flush=True)

    def _log(self, attempt: Attempt) -> str:
        path = self._out.log(attempt.team, attempt.case, attempt.repeat)
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def agreements(self, images: Sequence[str], cases: Sequence[Case]) -> list[Agreement]:
        """How well the first predictions of these images agree, every two of them, case by case."""
        found = []
        for case in cases:
            shape = contract.segmentation_shape(case.name, case.image_shape)
            masks = {
                image: contract.read_prediction(self._out.prediction(image, case.name), shape).array for image in images
            }
            found += agreements(case.name, masks)
        return found


def run_of(attempt: Attempt, log: str) -> Run:
    """What counts of an attempt.

    Raises:
        FiguresError: it failed, or tells nothing of its phases.
    """
    where = f"{attempt.team} on {attempt.case}"
    empty = attempt.team == EMPTY
    if attempt.outcome is not (Outcome.NO_OUTPUT if empty else Outcome.OK):
        raise FiguresError(f"{where}: {attempt.outcome} ({attempt.reason}), so nothing was measured\n{log[-2000:]}")
    wall_s = attempt.phases.wall_s
    if wall_s is None:
        raise FiguresError(f"{where}: the engine did not time it")
    if empty:
        return Run(attempt.team, attempt.case, attempt.repeat, wall_s, None)
    told = read_phases(log, attempt.case, wall_s)
    if told.phases is None or told.phases.slices is None or told.phases.masks is None:
        reason = told.reason or "no phases line with slices and masks in its log"
        raise FiguresError(f"{where}: {reason}. Is its image of today's code? Build it anew (without --built).")
    return Run(attempt.team, attempt.case, attempt.repeat, wall_s, told.phases)
