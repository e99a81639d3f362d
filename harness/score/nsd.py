"""Normalized surface distance (NSD): the share of two surfaces that lies near the other one.

A surface element counts as near when its distance to the nearest element of the other surface is at
most the tolerance.  So no distance map is needed as a rule, only whether any element lies at one of
the grid offsets within reach.  The official evaluator takes its distances from scipy's Euclidean
transform; where several nearest elements lie at the tolerance itself but for rounding, on both sides of
it, the transform's choice among them decides, and for such a class it is asked.

Source: Nikolov et al., arXiv:1809.04430, and the package surface-distance-based-measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.score.surface import Codes, Mask, Spacing, image_areas, is_surface, neighbour_codes, surface_areas

#: Offsets nearer to the tolerance than this share of it count as lying at it.  Rounding errors of the
#: transform's distances are below 1e-14 of it, those of the search tree below 1e-11.
_EDGE = 1e-9
#: Up to so many offsets they are tried one by one, beyond that a search tree is faster.
_MAX_TRIED = 500
#: Up to so many offsets those at the tolerance are listed, beyond that the transform is asked at once.
_MAX_LISTED = 300_000
#: Offsets are tried only where the margin that they need leaves an array at most so many times as large,
#: or at most so large.
_MAX_GROWTH = 3
_SMALL = 1 << 22

Positions = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.int64]


class _TiedError(Exception):
    """Elements at the tolerance itself, on both sides of it by rounding: the transform must decide."""


@dataclass(frozen=True)
class _Reach:
    """Grid offsets by which an element can be near, (n, axes) each, without the offset zero.

    Attributes:
        radius: the largest offset along each axis.
        nearer: offsets surely shorter than the tolerance, the shortest first; None where too many.
        at_within: offsets at the tolerance whose distance, as the transform rounds it, is within.
        at_beyond: the same, but beyond.
        listed: whether the last two are known.
    """

    radius: tuple[int, ...]
    nearer: Offsets | None
    at_within: Offsets
    at_beyond: Offsets
    listed: bool


def class_nsd(gt: Mask, pred: Mask, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """NSD of one class.

    Args:
        gt, pred: masks of the same shape, (H, W) or (D, H, W); an image counts as one voxel thick.
        spacing_mm: voxel size along array axes 0, 1, 2 (axis 2 of an image is its thickness).
        tolerance_mm: at least 0.

    Returns:
        0 to 1; 0.0 where one mask is empty, NaN where both are.
    """
    if tolerance_mm < 0:
        raise ValueError(f"tolerance {tolerance_mm} mm is negative")
    empty = not gt.any(), not pred.any()
    if any(empty):
        return float("nan") if all(empty) else 0.0
    reach = _reach(spacing_mm[: gt.ndim], tolerance_mm)
    try:
        total, beyond = _count(gt, pred, reach, spacing_mm[: gt.ndim], tolerance_mm)
    except _TiedError:
        return transformed_nsd(gt, pred, spacing_mm, tolerance_mm)
    areas = surface_areas(spacing_mm) if gt.ndim == 3 else image_areas(spacing_mm)
    with np.errstate(all="ignore"):  # areas overflow or vanish for absurd spacings, as in the peer
        return float((total - beyond) @ areas / (total @ areas))


def transformed_nsd(gt: Mask, pred: Mask, spacing_mm: Spacing, tolerance_mm: float) -> float:
    """NSD of one class by scipy's Euclidean transform, added up in the official order: slow, to the last bit.

    Arguments and result as `class_nsd`; neither mask may be empty.
    """
    from scipy import ndimage  # slow to import, and rarely asked for

    box = ndimage.find_objects((gt | pred).view(np.uint8))[0]
    thick = (..., None) if gt.ndim == 2 else (...,)
    gt, pred = gt[box][thick], pred[box][thick]
    codes_gt, codes_pred = neighbour_codes(gt, (0, 0, 0)), neighbour_codes(pred, (0, 0, 0))
    surface_gt, surface_pred = is_surface(codes_gt), is_surface(codes_pred)
    areas = surface_areas(spacing_mm)
    to_pred = ndimage.distance_transform_edt(~surface_pred, sampling=spacing_mm)[surface_gt]
    to_gt = ndimage.distance_transform_edt(~surface_gt, sampling=spacing_mm)[surface_pred]
    near_gt, all_gt = _official_sums(to_pred, areas[codes_gt[surface_gt]], tolerance_mm)
    near_pred, all_pred = _official_sums(to_gt, areas[codes_pred[surface_pred]], tolerance_mm)
    with np.errstate(all="ignore"):
        return float((near_gt + near_pred) / (all_gt + all_pred))


def _official_sums(
    distances: npt.NDArray[np.float64], areas: npt.NDArray[np.float64], tolerance_mm: float
) -> tuple[np.float64, np.float64]:
    """Area within the tolerance, and all of it, both summed in the order of distance, then area."""
    pairs = np.column_stack((distances, areas))[np.lexsort((areas, distances))]
    return np.sum(pairs[:, 1][pairs[:, 0] <= tolerance_mm]), np.sum(pairs[:, 1])


@lru_cache(maxsize=32)
def _reach(spacing_mm: tuple[float, ...], tolerance_mm: float) -> _Reach:
    """The offsets in reach; distances rounded as scipy's transform rounds them."""
    radius = tuple(int(min(tolerance_mm * (1 + _EDGE) / s, 2.0**31)) for s in spacing_mm)
    none = np.empty((0, len(radius)), dtype=np.int64)
    if np.prod([2.0 * r + 1 for r in radius]) > _MAX_LISTED:
        return _Reach(radius, None, none, none, listed=False)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in radius), indexing="ij"), axis=-1)
    offsets = grid.reshape(-1, len(radius))
    squared = np.zeros(len(offsets))
    for axis, s in enumerate(spacing_mm):
        squared += (offsets[:, axis].astype(np.float64) * s) ** 2
    distance = np.sqrt(squared)
    order = np.argsort(distance, kind="stable")[1:]  # the first is the offset zero
    offsets, distance = offsets[order], distance[order]
    at = np.abs(distance - tolerance_mm) <= _EDGE * tolerance_mm
    nearer = offsets[~at & (distance < tolerance_mm)]
    return _Reach(
        radius=radius,
        nearer=nearer if len(nearer) <= _MAX_TRIED else None,
        at_within=offsets[at & (distance <= tolerance_mm)],
        at_beyond=offsets[at & (distance > tolerance_mm)],
        listed=True,
    )


def _count(
    gt: Mask, pred: Mask, reach: _Reach, spacing_mm: tuple[float, ...], tolerance_mm: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Elements by code, (256,): all those of both surfaces, and those beyond the tolerance.

    Raises:
        _TiedError: the offsets do not decide.
    """
    pad = reach.radius if _tries(gt.shape, reach) else (0,) * gt.ndim
    sides = neighbour_codes(gt, pad), neighbour_codes(pred, pad)
    total = np.zeros(256, dtype=np.int64)
    beyond = np.zeros(256, dtype=np.int64)
    for own, other in (sides, sides[::-1]):
        own_flat, other_flat = own.reshape(-1), other.reshape(-1)
        elements = np.flatnonzero(is_surface(own_flat))
        total += np.bincount(own_flat[elements], minlength=256)
        left = elements[~is_surface(other_flat[elements])]
        if reach.nearer is not None and pad == reach.radius:
            left = _try_offsets(left, other, reach)
        elif left.size:
            left = _search(left, other, reach, spacing_mm, tolerance_mm)
        beyond += np.bincount(own_flat[left], minlength=256)
    return total, beyond


def _tries(shape: tuple[int, ...], reach: _Reach) -> bool:
    """Whether offsets are to be tried one by one, for which the arrays need a margin."""
    if reach.nearer is None:
        return False
    size = math.prod(n + 1 for n in shape)
    padded = math.prod(n + 1 + 2 * r for n, r in zip(shape, reach.radius, strict=True))
    return padded <= max(_MAX_GROWTH * size, _SMALL)


def _try_offsets(left: Positions, other: Codes, reach: _Reach) -> Positions:
    """Those flat positions that are beyond the tolerance.

    Args:
        left: of elements, in an array with a margin of ``reach.radius``.
        other: the other surface's codes, in an array of that shape.
    """
    assert reach.nearer is not None
    flat = other.reshape(-1)
    strides = np.array(other.strides, dtype=np.int64)
    for step in reach.nearer @ strides:
        if not left.size:
            return left
        near = is_surface(flat[left + step])
        if near.any():
            left = left[~near]
    within, beyond = np.zeros(len(left), dtype=bool), np.zeros(len(left), dtype=bool)
    for offsets, found in ((reach.at_within, within), (reach.at_beyond, beyond)):
        for step in offsets @ strides:
            found |= is_surface(flat[left + step])
    return _judged(left, within, beyond)


def _search(
    left: Positions, other: Codes, reach: _Reach, spacing_mm: tuple[float, ...], tolerance_mm: float
) -> Positions:
    """The same by a search tree, in arrays without a margin."""
    from scipy.spatial import cKDTree  # slow to import, and only very fine spacings need it

    scale = np.array(spacing_mm)
    targets = np.column_stack(np.unravel_index(np.flatnonzero(is_surface(other.reshape(-1))), other.shape))
    places = np.column_stack(np.unravel_index(left, other.shape))
    far = tolerance_mm * (1 + 2 * _EDGE)
    distance, _ = cKDTree(targets * scale).query(places * scale, distance_upper_bound=far)
    # Half the edge: whatever the tree's rounding, what it finds here is listed among the offsets at it.
    low, high = tolerance_mm * (1 - _EDGE / 2), tolerance_mm * (1 + _EDGE / 2)
    at = (distance >= low) & (distance <= high)
    if at.any() and not reach.listed:
        raise _TiedError
    within, beyond = np.zeros(len(left), dtype=bool), np.zeros(len(left), dtype=bool)
    for offsets, found in ((reach.at_within, within), (reach.at_beyond, beyond)):
        for offset in offsets if at.any() else ():
            found[at] |= _met(places[at] + offset, other)
    within |= distance < low
    return _judged(left, within, beyond)


def _met(places: npt.NDArray[np.int64], codes: Codes) -> Mask:
    """Whether each place, (n, axes), is an element; places outside the array are not."""
    inside = ((places >= 0) & (places < np.array(codes.shape))).all(axis=1)
    met = np.zeros(len(places), dtype=bool)
    met[inside] = is_surface(codes[tuple(places[inside].T)])
    return met


def _judged(left: Positions, within: Mask, beyond: Mask) -> Positions:
    """Those positions that are not within.

    Raises:
        _TiedError: one has nearest elements at the tolerance on both sides of it by rounding.
    """
    if (within & beyond).any():
        raise _TiedError
    return left[~within]
