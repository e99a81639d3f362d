"""Ten generated label maps with predictions: the sizes, label counts and spacings that scoring is measured on.

References are ellipsoids with wavy borders (organs, cells, lesions), rounded blocks (teeth) or wavy layers.  A
prediction holds the same objects moved, grown or shrunk, and with other waves; some objects are missing, and
islands of labels lie where nothing is.  All is drawn from a case's own seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Waves on a border: how many, and how far they move it, in parts of the radius.
_WAVES = 4
_WAVE_HEIGHT = 0.12


@dataclass(frozen=True)
class Case:
    """One benchmark case.

    Attributes:
        name: file name without ``.npz``; begins with 3D for a volume.
        what: as the table names it.
        shape: (H, W) or (D, H, W).
        labels: classes 1 to this, all of them in the reference.
        spacing_mm: as stored in the file; None for an image.
        objects: draws the reference's objects.
        small: whether a quick run includes it.
    """

    name: str
    what: str
    shape: tuple[int, ...]
    labels: int
    spacing_mm: tuple[float, float, float] | None
    objects: Callable[[Case, np.random.Generator], list[Blob]]
    small: bool = False

    @property
    def volume(self) -> bool:
        """Whether it is 3D."""
        return len(self.shape) == 3


@dataclass(frozen=True)
class Blob:
    """An object: the points x with sum |(x - centre) / radii|^power < 1, its border waved.

    Attributes:
        label: its class.
        centre, radii: (axes,) in voxels.
        power: 2 an ellipsoid, more a rounded block.
        frequencies, phases: (waves, axes) of the waves, in radians per radius and radians.
    """

    label: int
    centre: Array
    radii: Array
    power: float
    frequencies: Array
    phases: Array

    def paint(self, volume: Array) -> None:
        """Give its label to those of its points that are background."""
        reach = self.radii * (1 + _WAVE_HEIGHT * _WAVES / 2) + 1
        low = np.maximum(np.floor(self.centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(self.centre + reach) + 1, volume.shape).astype(int)
        if (low >= high).any():
            return
        axes = [
            ((np.arange(a, b) - c) / r).astype(np.float32)
            for a, b, c, r in zip(low, high, self.centre, self.radii, strict=True)
        ]
        grid = np.ix_(*axes)
        distance = sum((np.abs(x) ** self.power for x in grid), start=np.float32(0))
        waves: Any = np.float32(1)
        for frequency, phase in zip(self.frequencies, self.phases, strict=True):
            sines = [np.sin(f * x + p) for f, p, x in zip(frequency, phase, grid, strict=True)]
            waves = waves + np.float32(_WAVE_HEIGHT) * math.prod(sines[1:], start=sines[0])
        window = volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        window[(distance < waves) & (window == 0)] = self.label


# --------------------------------------------------------------------------- objects of a reference


def _blob(label: int, centre: Any, radii: Any, rng: np.random.Generator, power: float = 2.0) -> Blob:
    centre, radii = np.asarray(centre, dtype=float), np.asarray(radii, dtype=float)
    waves = (_WAVES, len(centre))
    return Blob(label, centre, radii, power, rng.uniform(2, 7, waves), rng.uniform(0, 2 * math.pi, waves))


def _lesion(case: Case, rng: np.random.Generator) -> list[Blob]:
    """One large object in the middle."""
    size = np.array(case.shape)
    return [_blob(1, size * rng.uniform(0.45, 0.55, 2), size * rng.uniform(0.28, 0.33, 2), rng)]


def _cells(case: Case, rng: np.random.Generator) -> list[Blob]:
    """Objects in rows, jittered, of different sizes, near ones touching."""
    sites = _sites(case, rng, jitter=0.15)
    return [
        _blob(label, centre, pitch * rng.uniform(0.3, 0.5, pitch.shape), rng)
        for label, (centre, pitch) in enumerate(sites, 1)
    ]


def _organs(case: Case, rng: np.random.Generator) -> list[Blob]:
    """Large and small objects in the body, in the middle three quarters of the volume."""
    size = np.array(case.shape)
    found = []
    for label, (centre, pitch) in enumerate(_sites(case, rng, jitter=0.1), 1):
        inwards = size / 2 + 0.75 * (centre - size / 2)
        found.append(_blob(label, inwards, 0.75 * pitch * rng.uniform(0.25, 0.6, pitch.shape), rng))
    return found


def _hot_spots(case: Case, rng: np.random.Generator) -> list[Blob]:
    """A few small objects anywhere."""
    size = np.array(case.shape)
    return [
        _blob(label, size * rng.uniform(0.2, 0.8, len(size)), rng.uniform(3, 9, len(size)), rng)
        for label in range(1, case.labels + 1)
    ]


def _layers(case: Case, rng: np.random.Generator) -> list[Blob]:
    """Flat objects over the whole width, one below the other."""
    height, width = case.shape
    pitch = 0.6 * height / case.labels
    return [
        _blob(label, (0.2 * height + (label - 0.5) * pitch, width / 2), (0.42 * pitch, 0.55 * width), rng, power=6)
        for label in range(1, case.labels + 1)
    ]


def _teeth(case: Case, rng: np.random.Generator) -> list[Blob]:
    """Two bent rows of rounded blocks."""
    height, width = case.shape
    a_row = case.labels // 2
    found = []
    for label in range(1, case.labels + 1):
        row, place = divmod(label - 1, a_row)
        across = (place + 0.5) / a_row - 0.5
        centre = (height * (0.36 + 0.3 * row - 0.25 * across**2), width * (0.5 + 0.85 * across))
        radii = (height * rng.uniform(0.1, 0.12), 0.85 * width / a_row * rng.uniform(0.38, 0.46))
        found.append(_blob(label, centre, radii, rng, power=4))
    return found


def _sites(case: Case, rng: np.random.Generator, jitter: float) -> Iterator[tuple[Array, Array]]:
    """As many places as there are labels, on a grid, jittered: centre and pitch in voxels, each (axes,)."""
    size = np.array(case.shape)
    each = (np.prod(size) / case.labels) ** (1 / len(size))
    counts = np.maximum(np.round(size / each), 1).astype(int)
    while np.prod(counts) < case.labels:
        counts[np.argmax(size / counts)] += 1
    pitch = size / counts
    for site in sorted(rng.permutation(np.prod(counts))[: case.labels]):
        yield (np.array(np.unravel_index(site, counts)) + 0.5 + rng.uniform(-jitter, jitter, len(size))) * pitch, pitch


#: What the scoring benchmark is run on.
CASES = (
    Case("2DBox_Dermoscopy_0001", "dermoscopy", (3024, 4032), 1, None, _lesion),
    Case("2DBox_Microscopy_0002", "microscopy", (1920, 2560), 1000, None, _cells),
    Case("2DBox_Microscopy_0003", "microscopy", (2304, 2304), 137, None, _cells),
    Case("2DBox_OCT_0004", "OCT", (1024, 1000), 5, None, _layers, small=True),
    Case("2DBox_XRay_0005", "X-ray", (320, 640), 34, None, _teeth, small=True),
    Case("3DBox_CT_0006", "CT", (237, 512, 512), 13, (0.8, 0.8, 2.0), _organs),
    Case("3DBox_CT_0007", "CT", (287, 512, 512), 6, (0.8, 0.8, 2.5), _organs),
    Case("3DBox_CT_0008", "CT", (300, 320, 320), 116, (1.5, 1.5, 1.5), _organs),
    Case("3DBox_MR_0009", "MR", (115, 400, 400), 6, (1.2, 1.2, 2.5), _organs),
    Case("3DBox_PET_0010", "PET", (264, 200, 200), 3, (4.1, 4.1, 3.0), _hot_spots, small=True),
)


# --------------------------------------------------------------------------- reference, prediction, files


def reference_of(case: Case, seed: int) -> Array:
    """The reference's labels; every class has voxels."""
    objects = case.objects(case, _rng(case, seed))
    labels = _painted(case, objects)
    if (empty := np.flatnonzero(np.bincount(labels.reshape(-1), minlength=case.labels + 1) == 0)).size:
        raise ValueError(f"{case.name}: labels {empty.tolist()} came out empty with seed {seed}")
    return labels


def prediction_of(case: Case, seed: int) -> Array:
    """What a fair algorithm would have made of it: every object perturbed, some missing, islands beside them."""
    objects = case.objects(case, _rng(case, seed))
    rng = _rng(case, seed + 1)
    found = [_perturbed(blob, rng) for blob in objects]
    missing = rng.permutation(len(found))[: len(found) // 20]
    kept = [blob for index, blob in enumerate(found) if index not in missing]
    return _painted(case, [*kept, *_islands(objects, rng)])


def _perturbed(blob: Blob, rng: np.random.Generator) -> Blob:
    """Moved, thicker or thinner, by up to two voxels and 2 % of the radius, and the border's waves moved on."""
    most = 2 + 0.02 * blob.radii
    return replace(
        blob,
        centre=blob.centre + most * rng.uniform(-1, 1, most.shape),
        radii=np.maximum(blob.radii + most * rng.uniform(-1, 1), 1),
        phases=blob.phases + rng.uniform(-0.5, 0.5, blob.phases.shape),
    )


def _islands(objects: list[Blob], rng: np.random.Generator) -> list[Blob]:
    """Small objects of some of the labels, beside the object that the label belongs to."""
    islands = []
    for blob in rng.choice(np.array(objects, dtype=object), 1 + len(objects) // 8, replace=False):
        direction = rng.normal(size=blob.centre.shape)
        away = rng.uniform(1.2, 1.7) * direction / np.linalg.norm(direction)
        islands.append(_blob(blob.label, blob.centre + away * blob.radii, rng.uniform(1, 4, away.shape), rng))
    return islands


def _painted(case: Case, objects: list[Blob]) -> Array:
    labels = np.zeros(case.shape, np.min_scalar_type(case.labels))
    for blob in objects:
        blob.paint(labels)
    return labels


def _rng(case: Case, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *case.name.encode()])


def write_case(case: Case, seed: int, folder: Path) -> tuple[Path, Path]:
    """Write reference and prediction as numpy does, compressed; returns their paths."""
    paths = folder / "gts" / f"{case.name}.npz", folder / "preds" / f"{case.name}.npz"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    spacing = {} if case.spacing_mm is None else {"spacing": np.array(case.spacing_mm)}
    np.savez_compressed(paths[0], gts=reference_of(case, seed), **spacing)
    np.savez_compressed(paths[1], segs=prediction_of(case, seed))
    return paths
