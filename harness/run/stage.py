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
from harness.records import Case, Submission
from harness.run.daemon import connect
from harness.run.docker_engine import open_docker_engine
from harness.run.engine import Engine, EngineFacts
from harness.run.images import LoadedImage, remove_loaded, resolve
from harness.run.manifest import write_manifest
from harness.run.official import open_official_engine
from harness.run.roots import make_root, scratch_root
from harness.run.runner import Listener, RunSettings, missing_attempts, run_attempts
from harness.run.tarballs import describe_tarball
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
    entries = []
    for spec in brought.specs:
        say(f"{spec.team}: {spec.kind} {spec.source}")
        # A tarball is loaded only when its turn comes, and not at all if it has all its results.
        known = describe_tarball(spec) if spec.kind == "tarball" else resolve(client, spec).submission
        entries.append((spec, known))
    missing, total = missing_attempts(ledger, settings, [known for _, known in entries], cases)
    waiting = {planned.team for planned, _ in missing}
    blocks = image_blocks([entry for entry in entries if entry[1].team in waiting], settings.image_budget)
    to_load = max((sum(known.bytes for spec, known in block if spec.kind == "tarball") for block in blocks), default=0)
    check_space(out.root, Path(client.info()["DockerRootDir"]), settings, cases, len(missing), to_load)
    for _, known in entries:
        ledger.register_submission(known)
    ledger.register_cases(cases)
    ledger.set_meta("settings", settings.digest())
    listener.planned(total, len(missing))
    seen: list[EngineFacts] = []

    def open_engine(largest: int) -> AbstractContextManager[Engine]:
        return _noting(_opened(settings, largest), seen)

    for block in blocks:
        images: list[LoadedImage] = []
        try:
            for spec, known in block:
                images.append(resolve(client, spec) if spec.kind == "tarball" else LoadedImage(known))
                ledger.register_submission(images[-1].submission)
            submissions = [image.submission for image in images]
            run_attempts(out, ledger, settings, submissions, cases, open_engine, _Announced(listener))
        finally:
            remove_loaded(client, images)
    facts = seen[0] if seen else None
    write_manifest(out.manifest, ledger, settings, facts, brought.cases, brought.gts, runtime, warnings)
    return cases


Entry = tuple[SubmissionSpec, Submission]


def image_blocks(entries: list[Entry], budget: int | None) -> list[list[Entry]]:
    """Submissions in blocks whose tarballs, unpacked, stay within the budget; one larger alone has its own.

    Args:
        entries: submissions as named and as known.
        budget: bytes of images that may be loaded at once; None: all in one block.
    """
    blocks: list[list[Entry]] = []
    room = 0
    for spec, known in entries:
        need = known.bytes if spec.kind == "tarball" else 0
        if not blocks or (budget is not None and need > room):
            blocks.append([])
            room = budget or 0
        blocks[-1].append((spec, known))
        room -= need
    return blocks


class _Announced:
    """Passes a run's progress on, without announcing the size of each block as if it were the whole."""

    def __init__(self, listener: Listener) -> None:
        self.began = listener.began
        self.ended = listener.ended

    def planned(self, total: int, missing: int) -> None:
        """Announced already."""


def _opened(settings: RunSettings, largest: int) -> AbstractContextManager[Engine]:
    if settings.conditions == "official":
        return open_official_engine(settings.limits)
    return open_docker_engine(settings.limits, largest)


@contextmanager
def _noting(opened: AbstractContextManager[Engine], seen: list[EngineFacts]) -> Iterator[Engine]:
    with opened as engine:
        seen.append(engine.facts)
        yield engine


def check_space(
    out: Path, engine_root: Path, settings: RunSettings, cases: list[Case], attempts: int, images: int
) -> None:
    """Refuse a run whose disk is not there, before it starts.

    Counted: the scratch space and what a container may add (one disk limit, on the file systems of both),
    `images` bytes of tarballs loaded at once, and predictions at a twentieth of the image's bytes (label maps
    compress well), at least 64 KiB.

    Raises:
        UsageError: with the figures.
    """
    if not attempts:
        return
    volume = sum(max(64 << 10, _voxels(case) // 20) for case in cases)
    predictions = volume * attempts // max(1, len(cases))
    needs: dict[int, list[tuple[str, Path, int]]] = {}
    root = scratch_root()
    make_root(root)
    places = [("scratch space", root, settings.limits.disk_bytes), ("predictions", out, predictions)]
    if engine_root.is_dir():
        places.append(("the container's own files", engine_root, settings.limits.disk_bytes))
        places.append(("images", engine_root, images))
    for what, place, size in places:
        needs.setdefault(place.stat().st_dev, []).append((what, place, size))
    for wanted in needs.values():
        # Scratch space and the container's own files share one limit.
        shared = ("scratch space", "the container's own files")
        total = max((size for what, _, size in wanted if what in shared), default=0)
        total += sum(size for what, _, size in wanted if what not in shared)
        free = shutil.disk_usage(wanted[0][1]).free
        if free < total:
            named = ", ".join(f"{what} in {place}: {size / 2**30:.1f} GiB" for what, place, size in wanted)
            raise UsageError(
                f"{free / 2**30:.1f} GiB are free where the run may need {total / 2**30:.1f} GiB ({named}). "
                "Free some, lower --disk or --image-budget, or set HARNESS_SCRATCH or --out to another disk."
            )


def _voxels(case: Case) -> int:
    total = 1
    for length in case.image_shape:
        total *= length
    return total
