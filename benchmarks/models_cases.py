"""The cases that reference submissions are timed on: sample images, and a volume in which many boxes overlap."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import contract
from harness.npz import write_npz
from harness.records import Case
from harness.samples.noise import smooth_field
from models.geometry import Array, slice_range

VOLUME = "3DBox_MR_Bench"
SHAPE = (12, 256, 256)
#: First and last slice of each object.
SLICES = ((0, 11), (0, 11), (0, 11), (0, 11), (1, 11), (0, 10))
SEED = 2024


@dataclass(frozen=True)
class Load:
    """How much there is to do in a volume.

    Attributes:
        boxes: prompts.
        box_slices: slices of each box, counted for each: what a program encodes that shares nothing.
        distinct: slices that any box needs.
    """

    boxes: int
    box_slices: int
    distinct: int

    def __str__(self) -> str:
        return f"{self.boxes} boxes, {self.box_slices} box-slices, {self.distinct} distinct slices"


def load_of(boxes: Array, depth: int) -> Load:
    """Of a volume of so many slices, where z_max belongs to a box, as the baseline has it.

    Args:
        boxes: (N, 6).
        depth: of the volume.
    """
    ranges = [(first, last) for first, _, last in (slice_range(box, depth) for box in boxes)]
    distinct = {z for first, last in ranges for z in range(first, last + 1)}
    return Load(len(boxes), sum(last - first + 1 for first, last in ranges), len(distinct))


def volume(depth: int = SHAPE[0]) -> dict[str, Array]:
    """Six slanting columns, two rows of three, in uneven tissue: imgs, boxes, spacing; the same each time.

    Args:
        depth: slices, 12 or fewer.
    """
    random = np.random.default_rng(SEED)
    shape = (depth, *SHAPE[1:])
    signal = 90 + 12 * smooth_field(random, shape, (1.0, 14.0, 14.0)) + 5 * random.standard_normal(shape)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    boxes = []
    for number, (first, last) in enumerate(SLICES):
        slices = range(min(first, depth - 1), min(last, depth - 1) + 1)
        inside = np.zeros(shape, dtype=bool)
        drift = random.uniform(-1.2, 1.2, 2)
        radii = random.uniform(20, 28, 2)
        for z in slices:
            centre = np.array([80 + 96 * (number // 3), 52 + 76 * (number % 3)]) + drift * (z - depth / 2)
            inside[z] = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 < 1
        signal[inside] += 45 if number % 2 else -45
        z, y, x = np.nonzero(inside)
        boxes.append([x.min(), y.min(), z.min(), x.max(), y.max(), z.max()])
    return {
        contract.IMAGE_KEY: np.clip(signal, 0, 255).astype(np.uint8),
        contract.BOXES_KEY: np.array(boxes, dtype=np.int64),
        contract.SPACING_KEY: np.array([0.8, 0.8, 4.0]),
    }


def write_volume(folder: Path, depth: int = SHAPE[0]) -> Load:
    """Write it as the only case of a new folder; returns how much there is to do."""
    folder.mkdir(parents=True)
    arrays = volume(depth)
    write_npz(folder / f"{VOLUME}.npz", arrays)
    return load_of(arrays[contract.BOXES_KEY], depth)


def ends(cases: Sequence[Case]) -> tuple[Case, Case]:
    """The cases with the fewest and with the most boxes, the first by name of equals."""
    ordered = sorted(cases, key=lambda case: case.name)
    return min(ordered, key=lambda case: case.boxes), max(ordered, key=lambda case: case.boxes)


def copied(cases: Sequence[Case], folder: Path) -> Path:
    """A new folder with these cases alone."""
    folder.mkdir(parents=True)
    for case in cases:
        shutil.copy(case.path, folder)
    return folder
