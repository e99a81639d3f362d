"""Surface elements of a mask: where they lie and how large they are.

A surface element ("surfel") sits at a corner where eight voxels meet.  Which of the eight belong to
the mask is its code, a number from 0 to 255; all but 0 (none) and 255 (all) carry surface, whose area
a table gives for each code.  A 2D image counts as a volume one voxel thick, as the challenge has it:
every corner that touches the mask then carries surface, on the image's front and on its back.

Source: Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
anatomy for radiotherapy", arXiv:1809.04430; the table is described in data/PROVENANCE.md.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Spacing = tuple[float, float, float]

#: Codes 0 and 255 carry no surface.
CODES = 256


@lru_cache(maxsize=1)
def _normals() -> tuple[tuple[tuple[float, float, float], ...], ...]:
    """Per code the normals of its triangles, for a spacing of 1 mm."""
    table: list[list[tuple[float, float, float]]] = [[] for _ in range(CODES)]
    with (resources.files("harness.score") / "data" / "surface_normals.csv").open(encoding="ascii") as stream:
        for row in csv.DictReader(stream):
            table[int(row["code"])].append((float(row["axis0"]), float(row["axis1"]), float(row["axis2"])))
    return tuple(map(tuple, table))


@lru_cache(maxsize=64)
def surface_areas(spacing_mm: Spacing) -> npt.NDArray[np.float64]:
    """Area in mm² of each code's surface, (256,), for a voxel of this size along array axes 0, 1, 2.

    Products and sums are taken in the order of the peer package, so that the last bit agrees too.
    """
    s0, s1, s2 = spacing_mm
    areas = np.zeros(CODES)
    for code, normals in enumerate(_normals()):
        total = 0.0
        for n0, n1, n2 in normals:
            with np.errstate(all="ignore"):  # absurd spacings overflow
                total += float(np.linalg.norm(np.array([n0 * s1 * s2, n1 * s0 * s2, n2 * s0 * s1])))
        areas[code] = total
    areas.setflags(write=False)
    return areas


@lru_cache(maxsize=64)
def image_areas(spacing_mm: Spacing) -> npt.NDArray[np.float64]:
    """The same for codes of a 2D image: front and back of its one layer together."""
    areas = surface_areas(spacing_mm)
    codes = np.arange(CODES)
    # A 2D code uses the even bits: the layer lies behind the front corners. For the back corners it lies
    # before them, which is one bit up.
    return np.where(codes & 0b10101010 == 0, areas + areas[codes << 1 & 0xFF], 0.0)


@lru_cache(maxsize=2)
def pair_codes(image: bool) -> Codes:
    """How `harness.score.kernels` writes each code, (256,): by pairs of voxels along the last axis.

    Codes of a 2D image use the even bits; its rows are planes of one row there.
    """
    bits = {0: 7, 2: 6, 4: 3, 6: 2} if image else {bit: 7 - bit for bit in range(8)}
    codes = np.arange(CODES)
    pairs = np.zeros(CODES, dtype=np.uint8)
    for here, there in bits.items():
        pairs |= ((codes >> here & 1) << there).astype(np.uint8)
    pairs.setflags(write=False)
    return pairs


@lru_cache(maxsize=64)
def pair_areas(spacing_mm: Spacing, image: bool) -> npt.NDArray[np.float64]:
    """`image_areas` or `surface_areas` of the codes that `harness.score.kernels` writes."""
    used = np.arange(CODES)
    if image:
        used = used[used & 0b10101010 == 0]
    areas = np.zeros(CODES)
    areas[pair_codes(image)[used]] = (image_areas(spacing_mm) if image else surface_areas(spacing_mm))[used]
    areas.setflags(write=False)
    return areas


def neighbour_codes(mask: Mask) -> Codes:
    """Neighbourhood codes of all corners of a mask's voxels.

    Corner i along an axis lies between voxels i-1 and i; outside the mask's array all is background.

    Args:
        mask: 2D or 3D.

    Returns:
        one entry more along each axis.
    """
    codes = np.zeros([n + 1 for n in mask.shape], dtype=np.uint8)
    codes[tuple(slice(0, -1) for _ in mask.shape)] = mask
    for axis in reversed(range(mask.ndim)):
        # Bit 4 marks axis 0 of a volume, 2 axis 1, 1 axis 2; an image lacks the last.
        higher = np.left_shift(_cut(codes, axis, slice(0, -1)), 4 >> axis)
        target = _cut(codes, axis, slice(1, None))
        np.bitwise_or(target, higher, out=target)
    return codes


def _cut(array: npt.NDArray[Any], axis: int, part: slice) -> npt.NDArray[Any]:
    return array[(slice(None),) * axis + (part,)]


def is_surface(codes: Codes) -> Mask:
    """Which codes carry surface: all but 0 and 255."""
    # In uint8 arithmetic 0 - 1 is 255 and 255 - 1 is 254: one comparison decides.
    surface: Mask = np.subtract(codes, np.uint8(1)) < 254
    return surface
