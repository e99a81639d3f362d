"""The run stage as a whole: cases checked, submissions brought, missing attempts made, manifest written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.cases import load_cases
from harness.errors import UsageError
from harness.layout import OutDir
from harness.ledger import Ledger
from harness.records import Case
from harness.run.daemon import connect
from harness.run.docker_engine import open_docker_engine
from harness.run.engine import Engine, EngineFacts
from harness.run.images import LoadedImage, remove_loaded, resolve
from harness.run.manifest import write_manifest
from harness.run.official import open_official_engine
from harness.run.runner import Listener, RunSettings, missing_attempts, run_attempts
from harness.run.scratch import scratch_root
from harness.submissions import SubmissionSpec


@dataclass(frozen=True)
class Brought:
    """What a command brings to a run.

    Attributes:
        specs: submissions as named.
        cases: folder of cases.
        gts: folder of references, only recorded here.
    """

    specs: list[SubmissionSpec]
    cases: Path
    gts: Path | None


def run_stage(
    out: OutDir,
    ledger: Ledger,
    settings: RunSettings,
    brought: Brought,
    runtime: str,
    listener: Listener,
    say: Callable[[str], None],
) -> list[Case]:
    """Run what is missing; returns the cases.

    Args:
        out, ledger: the output folder and its open ledger.
        settings: how.
        brought: what.
        runtime: which measured time will be ranked, for the manifest.
        listener: told of progress.
        say: gets warnings.

    Raises:
        HarnessError: bad input, an unusable submission, or a broken host.
        KeyboardInterrupt: passed on, with nothing left running.
    """
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        say(f"warning: {text}")

    cases = load_cases(brought.cases, settings.protocol, ledger, warn)
    client = connect()
    images: list[LoadedImage] = []
    seen: list[EngineFacts] = []
    try:
        for spec in brought.specs:
            say(f"{spec.team}: {spec.kind} {spec.source}")
            images.append(resolve(client, spec))
        submissions = [image.submission for image in images]
        missing, _ = missing_attempts(ledger, settings, submissions, cases)
        check_space(out.root, Path(client.info()["DockerRootDir"]), settings, cases, len(missing))
        for submission in submissions:
            ledger.register_submission(submission)
        ledger.register_cases(cases)
        ledger.set_meta("settings", settings.digest())

        def open_engine(largest: int) -> AbstractContextManager[Engine]:
            return _noting(_opened(settings, largest), seen)

        run_attempts(out, ledger, settings, submissions, cases, open_engine, listener)
    finally:
        remove_loaded(client, images)
    facts = seen[0] if seen else None
    write_manifest(out.manifest, ledger, settings, facts, brought.cases, brought.gts, runtime, warnings)
    return cases


def _opened(settings: RunSettings, largest: int) -> AbstractContextManager[Engine]:
    if settings.conditions == "official":
        return open_official_engine(settings.limits)
    return open_docker_engine(settings.limits, largest)


@contextmanager
def _noting(opened: AbstractContextManager[Engine], seen: list[EngineFacts]) -> Iterator[Engine]:
    with opened as engine:
        seen.append(engine.facts)
        yield engine


def check_space(out: Path, engine_root: Path, settings: RunSettings, cases: list[Case], attempts: int) -> None:
    """Refuse a run whose disk is not there, before it starts.

    Counted: the scratch space and what a container may add (the disk limit each, on their file systems),
    and predictions at a twentieth of the image's bytes (label maps compress well), at least 64 KiB.

    Raises:
        UsageError: with the figures.
    """
    if not attempts:
        return
    volume = sum(max(64 << 10, _voxels(case) // 20) for case in cases)
    predictions = volume * attempts // max(1, len(cases))
    needs: dict[int, list[tuple[str, Path, int]]] = {}
    root = scratch_root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    places = [("scratch space", root, settings.limits.disk_bytes), ("predictions", out, predictions)]
    if engine_root.is_dir():
        places.append(("the container's own files", engine_root, settings.limits.disk_bytes))
    for what, place, size in places:
        needs.setdefault(place.stat().st_dev, []).append((what, place, size))
    for wanted in needs.values():
        # Scratch space and the container's own files share one limit.
        total = max((size for what, _, size in wanted if what != "predictions"), default=0)
        total += sum(size for what, _, size in wanted if what == "predictions")
        free = shutil.disk_usage(wanted[0][1]).free
        if free < total:
            named = ", ".join(f"{what} in {place}: {size / 2**30:.1f} GiB" for what, place, size in wanted)
            raise UsageError(
                f"{free / 2**30:.1f} GiB are free where the run may need {total / 2**30:.1f} GiB ({named}). "
                "Free some, lower --disk, or set HARNESS_SCRATCH or --out to another disk."
            )


def _voxels(case: Case) -> int:
    total = 1
    for length in case.image_shape:
        total *= length
    return total
