"""Which cases there are, at which sizes, and writing them in the challenge's format."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import contract
from harness.errors import UsageError
from harness.npz import write_npz
from harness.samples import camera, ct, eye, microscopy, mr, pet, radiograph, ultrasound
from harness.samples.boxes import boxes_of
from harness.samples.scene import Scene

DEFAULT_SEED = 2024
DEFAULT_SIZE = "small"


@dataclass(frozen=True)
class Size:
    """How large images are.

    Attributes:
        edge_px: a planar image's shorter side.
        volume: a volume's (D, H, W).
    """

    edge_px: int
    volume: tuple[int, int, int]


#: Not square and not cubic, so that swapped axes are noticed.
SIZES = {
    "tiny": Size(128, (16, 60, 64)),
    "small": Size(320, (28, 104, 112)),
    "medium": Size(512, (40, 176, 192)),
    "large": Size(1024, (96, 304, 320)),
}

Planar = Callable[[np.random.Generator, tuple[int, int]], Scene]
Volume = Callable[[np.random.Generator, tuple[int, int, int]], Scene]


@dataclass(frozen=True)
class PlanarTask:
    """A 2D modality.

    Attributes:
        name: second field of its cases' names.
        generators: taken in turn.
        aspect: (height, width) in units of the size's edge.
    """

    name: str
    generators: tuple[Planar, ...]
    aspect: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class VolumeTask:
    """A 3D modality: the second field of its cases' names, and its generator."""

    name: str
    generator: Volume


TASKS: tuple[PlanarTask | VolumeTask, ...] = (
    VolumeTask("CT", ct.abdomen),
    VolumeTask("MR", mr.head),
    VolumeTask("PET", pet.chest),
    PlanarTask("US", (ultrasound.breast,), (1.0, 1.25)),
    PlanarTask("XRay", (radiograph.chest,), (1.0, 1.125)),
    PlanarTask("Endoscopy", (camera.endoscopy,), (1.0, 1.125)),
    PlanarTask("Fundus", (eye.fundus,), (1.0, 1.125)),
    PlanarTask("Microscopy", (microscopy.brightfield, microscopy.phase_contrast, microscopy.fluorescence)),
    PlanarTask("OCT", (eye.oct_section,), (1.0, 1.5)),
    PlanarTask("Dermoscopy", (camera.dermoscopy,), (1.0, 1.25)),
    PlanarTask("Mammography", (radiograph.breast,), (1.25, 1.0)),
)


@dataclass(frozen=True)
class SampleCase:
    """A generated case.

    Attributes:
        name: as its files are called, without ``.npz``.
        scene: image and truth.
        boxes: int64, (N, 4) or (N, 6), box i around object i.
    """

    name: str
    scene: Scene
    boxes: npt.NDArray[np.int64]


def case_names(per_task: int = 1) -> list[str]:
    """Names of the cases that `generate` makes, in its order."""
    return [_name(task, index) for task in TASKS for index in _indices(task, per_task)]


def generate(seed: int = DEFAULT_SEED, per_task: int = 1, size: str = DEFAULT_SIZE) -> Iterator[SampleCase]:
    """Make cases, one after the other.

    Each depends on the seed, its name and the size alone, so a larger `per_task` only adds cases.

    Args:
        seed: any whole number from 0 up.
        per_task: cases of each kind (three kinds of microscopy, one of every other modality).
        size: a key of `SIZES`.

    Raises:
        UsageError: a negative seed, no cases, an unknown size.
    """
    if seed < 0:
        raise UsageError(f"seed {seed} is negative. Give a whole number from 0 up.")
    if not 1 <= per_task <= 3000:
        raise UsageError(f"{per_task} cases per task. Give a number from 1 to 3000.")
    if size not in SIZES:
        raise UsageError(f"no size named {size!r}. Known: {', '.join(SIZES)}.")
    for task in TASKS:
        for index in _indices(task, per_task):
            rng = np.random.default_rng([seed, zlib.crc32(task.name.encode()), index])
            scene = _scene(task, index, rng, SIZES[size])
            yield SampleCase(_name(task, index), scene, boxes_of(scene.labels, rng))


def write_case(case: SampleCase, out: Path) -> None:
    """Write a case to ``out/imgs`` and its reference to ``out/gts``; the bytes repeat for the same arrays."""
    image: dict[str, npt.NDArray[Any]] = {contract.IMAGE_KEY: case.scene.image, contract.BOXES_KEY: case.boxes}
    reference: dict[str, npt.NDArray[Any]] = {contract.REFERENCE_KEY: case.scene.labels}
    if case.scene.spacing_mm is not None:
        image[contract.SPACING_KEY] = reference[contract.SPACING_KEY] = np.array(case.scene.spacing_mm)
    for folder, arrays in (("imgs", image), ("gts", reference)):
        path = out / folder / f"{case.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, arrays, level=9)


def _indices(task: PlanarTask | VolumeTask, per_task: int) -> range:
    kinds = len(task.generators) if isinstance(task, PlanarTask) else 1
    return range(1, per_task * kinds + 1)


def _name(task: PlanarTask | VolumeTask, index: int) -> str:
    return f"{'2D' if isinstance(task, PlanarTask) else '3D'}Box_{task.name}_{index:04d}"


def _scene(task: PlanarTask | VolumeTask, index: int, rng: np.random.Generator, size: Size) -> Scene:
    if isinstance(task, VolumeTask):
        return task.generator(rng, size.volume)
    height, width = (round(size.edge_px * part) for part in task.aspect)
    return task.generators[(index - 1) % len(task.generators)](rng, (height, width))
