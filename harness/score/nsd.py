"""Normalized surface distance (NSD): the share of two surfaces that lies near the other one.

A surface element counts as near when its distance to the nearest element of the other surface is at
most the tolerance.  So no distances are needed as a rule, only whether any element lies at one of the
grid offsets within reach.  The official evaluator takes its distances from scipy's Euclidean transform;
where several nearest elements lie at the tolerance itself but for rounding, on both sides of it, the
transform's choice among them decides, and about such an element it is asked.

Source: Nikolov et al., arXiv:1809.04430, and the package surface-distance-based-measures.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harness.score.classes import Array, ClassPairs, class_pairs, label_bytes, strides
from harness.score.reach import reach_along_axis, reach_of
from harness.score.surface import (
    Codes,
    Mask,
    Spacing,
    is_surface,
    neighbour_codes,
    pair_areas,
    pair_codes,
    surface_areas,
)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]

#: Classes are counted in groups of so many, which bounds the histograms' memory.
_GROUP = 256
#: Tied elements that there is room for at first.
_TIES = 1 << 12
#: Tied elements less far apart than this along each axis are judged together.
_CELL = 32


def class_nsd(gt: Mask, pred: Mask, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """NSD of one class from its masks; arguments as `nsd_of_classes`, (H, W) or (D, H, W).

    Returns:
        0 to 1; 0.0 where one mask is empty, NaN where both are.
    """
    if not gt.any():
        return 0.0 if pred.any() else float("nan")
    return float(nsd_of_classes(class_pairs(gt, pred), spacing_mm, tolerance_mm)[0])


def nsd_of_classes(pairs: ClassPairs, spacing_mm: Spacing, tolerance_mm: float) -> Floats:
    """NSD of each class.

    Args:
        pairs: of images or volumes; an image counts as a volume one voxel thick.
        spacing_mm: voxel size along array axes 0, 1, 2 (axis 2 of an image is its thickness).
        tolerance_mm: at least 0.

    Returns:
        (C,) 0 to 1; 0.0 where one map lacks the class, NaN where both do.
    """
    if tolerance_mm < 0:
        raise ValueError(f"tolerance {tolerance_mm} mm is negative")
    nsd = np.full(pairs.count, np.nan)
    nsd[~pairs.empty] = 0.0
    present = np.flatnonzero((pairs.voxels[:, :2] > 0).all(axis=1))
    areas = pair_areas(spacing_mm, image=pairs.reference.ndim == 2)
    for start in range(0, len(present), _GROUP):
        group = present[start : start + _GROUP]
        totals, beyonds = _count_elements(pairs, group, spacing_mm, tolerance_mm)
        with np.errstate(all="ignore"):  # areas overflow or vanish for absurd spacings, as in the peer
            found = totals.any(axis=0)
            totals, beyonds = totals[:, found], beyonds[:, found]
            nsd[group] = _area(totals - beyonds, areas[found]) / _area(totals, areas[found])
    return nsd


def _area(elements: Integers, areas: Floats) -> Floats:
    """Area of the elements of each class, counted by code: (C, codes) to (C,)."""
    # What is not there counts nothing, be its area infinite.
    area: Floats = np.where(elements > 0, elements * areas, 0.0).sum(axis=1)
    return area


def transformed_nsd(gt: Mask, pred: Mask, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """NSD of one class by scipy's Euclidean transform, added up in the official order: slow, to the last bit.

    Arguments and result as `class_nsd`; neither mask may be empty.
    """
    from scipy import ndimage  # slow to import, and rarely asked for

    box = ndimage.find_objects((gt | pred).view(np.uint8))[0]
    thick = (..., None) if gt.ndim == 2 else (...,)
    gt, pred = gt[box][thick], pred[box][thick]
    codes_gt, codes_pred = neighbour_codes(gt), neighbour_codes(pred)
    surface_gt, surface_pred = is_surface(codes_gt), is_surface(codes_pred)
    areas = surface_areas(spacing_mm)
    to_pred = ndimage.distance_transform_edt(~surface_pred, sampling=spacing_mm)[surface_gt]
    to_gt = ndimage.distance_transform_edt(~surface_gt, sampling=spacing_mm)[surface_pred]
    near_gt, all_gt = _official_sums(to_pred, areas[codes_gt[surface_gt]], tolerance_mm)
    near_pred, all_pred = _official_sums(to_gt, areas[codes_pred[surface_pred]], tolerance_mm)
    with np.errstate(all="ignore"):
        return float((near_gt + near_pred) / (all_gt + all_pred))


def _official_sums(distances: Floats, areas: Floats, tolerance_mm: float) -> tuple[np.float64, np.float64]:
    """Area within the tolerance, and all of it, both summed in the order of distance, then area."""
    pairs = np.column_stack((distances, areas))[np.lexsort((areas, distances))]
    return np.sum(pairs[:, 1][pairs[:, 0] <= tolerance_mm]), np.sum(pairs[:, 1])


def _count_elements(
    pairs: ClassPairs, group: Integers, spacing_mm: Spacing, tolerance_mm: float
) -> tuple[Integers, Integers]:
    """Elements of classes by code, (n, 256): all those of both surfaces, and those beyond the tolerance."""
    from harness.score.kernels import image_surfaces, volume_surfaces  # loads numba

    image = pairs.reference.ndim == 2
    # An image's rows come as planes of one row.
    steps_mm = (spacing_mm[0], spacing_mm[2], spacing_mm[1]) if image else spacing_mm
    depth, height, length = (pairs.corners[group, 1::2] - pairs.corners[group, ::2]).max(axis=0).tolist()
    reach = reach_of(steps_mm, tolerance_mm, (depth, 0 if image else height, length))
    ours, theirs = label_bytes(pairs.reference), label_bytes(pairs.prediction)
    itemsize, rows, width = strides(pairs.reference)
    thick, values, boxes, extents = pairs.thickness, pairs.codes, pairs.corners, pairs.extents
    totals, beyonds = np.zeros((2, len(group), 256), dtype=np.int64)
    room = _TIES if len(reach.torn) else 0
    while True:
        ties = np.empty((room, 5), dtype=np.int32)
        if image:
            found = image_surfaces(
                ours, theirs, itemsize, width, thick, group, values, boxes, extents,
                reach.radius[0], reach.columns, reach.torn, totals, beyonds, ties,
            )  # fmt: skip
        else:
            found = volume_surfaces(
                ours, theirs, itemsize, rows, width, thick, group, values, boxes, extents,
                *reach.radius, reach.columns, reach.torn, totals, beyonds, ties,
            )  # fmt: skip
        if found <= room:
            break
        room = found
        totals[:] = beyonds[:] = 0
    for number in np.unique(ties[:found, 0]).tolist():
        tied = ties[:found][ties[:found, 0] == number]
        label = int(group[number]) + 1
        for side in (0, 1):
            corners = tied[tied[:, 1] == side][:, [2, 4] if image else [2, 3, 4]]
            if len(corners):
                beyonds[number] += _tied_beyond(pairs, label, side, corners, spacing_mm, tolerance_mm)
    return totals, beyonds


def _tied_beyond(
    pairs: ClassPairs, label: int, side: int, corners: Places, spacing_mm: Spacing, tolerance_mm: float
) -> Integers:
    """Codes, (256,), of those elements that scipy's transform puts beyond the tolerance.

    Args:
        label: the class.
        side: whose elements: 0 the reference's, 1 the prediction's.
        corners: (n, axes) their places in the box of the class; each has an element of the other side at the
            tolerance, but for rounding, and none nearer.

    The transform is made of small parts, with all in reach of the elements looked at.  Its choice for an
    element depends on differences of coordinates alone, and on nothing farther than the nearest ones:
    what is farther loses every comparison by more than rounding can turn.
    """
    from scipy import ndimage  # slow to import, and rarely asked for

    beyond = np.zeros(256, dtype=np.int64)
    box = pairs.box(label)
    assert box is not None
    maps = pairs.reference[box], pairs.prediction[box]
    ours, theirs = pairs.codes[label - 1].tolist()
    own, other = ((maps[0], ours), (maps[1], theirs)) if side == 0 else ((maps[1], theirs), (maps[0], ours))
    shape = maps[0].shape
    sampling = spacing_mm[: len(shape)]
    margin = np.array([reach_along_axis(s, tolerance_mm, n) + 1 for s, n in zip(sampling, shape, strict=True)])
    for part in _parts(corners, np.maximum(_CELL, margin)):
        low, high = np.maximum(part.min(axis=0) - margin, 0), np.minimum(part.max(axis=0) + margin, shape)
        surface = is_surface(_codes_between(*other, low, high))
        distances = ndimage.distance_transform_edt(~surface, sampling=sampling)
        places = tuple((part - low).T)
        codes = _codes_between(*own, low, high)[places][distances[places] > tolerance_mm]
        beyond += np.bincount(pair_codes(len(shape) == 2)[codes], minlength=256)
    return beyond


def _parts(corners: Places, size: Integers) -> Iterator[Places]:
    """Corners, at least one, sorted into the cells of a grid."""
    _, cell = np.unique(corners // size, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    order = np.argsort(cell, kind="stable")
    yield from np.split(corners[order], np.flatnonzero(np.diff(cell[order])) + 1)


def _codes_between(labels: Array, label: int, low: Integers, high: Integers) -> Codes:
    """Neighbourhood codes of a label's mask at the corners low..high along each axis."""
    # Corner i lies between voxels i - 1 and i.
    first = np.maximum(low - 1, 0)
    codes = neighbour_codes(labels[tuple(map(slice, first, high + 1))] == label)
    return codes[tuple(map(slice, low - first, high - first + 1))]
