"""Distances between two surfaces: HD95 and ASSD.

Surface elements and their areas are those of NSD, in images contour elements and their lengths (`contour`); the
distance of an element is that to the nearest element of the other surface, exact.

Sources: Nikolov et al., arXiv:1809.04430, and the package surface-distance-based-measures for elements, areas and
HD95; Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT datasets", IEEE TMI 28
(2009) for ASSD; Felzenszwalb and Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8
(2012) for the transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.compiled import compiled
from harness.score.compared import ComparedCase
from harness.score.contour import LENGTHS, corner_codes
from harness.score.surface import surface_areas

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: The share of each surface that HD95 takes in.
_HD_SHARE = 0.95
#: Up to so many grid points all distances are taken, beyond that those asked for as a rule.
_SMALL = 1 << 22
#: What lies further away than so many of the voxel's longest side is far; one in so many points may be.
_NEAR_STEPS = 10
_POINTS_A_FAR_ONE = 5000


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces are apart, element by element.

    Attributes:
        from_gt, from_pred: mm from each element to the nearest one of the other surface, in images pixels.
        areas_gt, areas_pred: the elements' areas in mm², in images lengths in pixels.
    """

    from_gt: Floats
    areas_gt: Floats
    from_pred: Floats
    areas_pred: Floats


def surface_distances(gt: Mask, pred: Mask, spacing_mm: tuple[float, ...]) -> SurfaceDistances:
    """Distances between the surfaces of two masks, neither of them empty.

    Args:
        gt, pred: (H, W) or (D, H, W).
        spacing_mm: voxel size along each axis of a volume; images are measured in pixels, whatever is given.

    Raises:
        ValueError: a mask is empty, so that there is no distance.
    """
    if not (gt.any() and pred.any()):
        raise ValueError("a mask is empty")
    spacing = spacing_mm if gt.ndim == 3 else (1.0, 1.0)
    areas = surface_areas((spacing[0], spacing[1], spacing[2])) if gt.ndim == 3 else LENGTHS
    codes_gt, codes_pred = corner_codes(gt), corner_codes(pred)
    on_gt, on_pred = ((codes > 0) & (codes < len(areas) - 1) for codes in (codes_gt, codes_pred))
    return SurfaceDistances(
        from_gt=_nearest(on_gt, on_pred, spacing),
        areas_gt=areas[codes_gt[on_gt]],
        from_pred=_nearest(on_pred, on_gt, spacing),
        areas_pred=areas[codes_pred[on_pred]],
    )


def mean_distances(case: ComparedCase) -> tuple[float, float]:
    """HD95 and ASSD of a case, means over the classes of ``dsc_corrected``; a volume's spacing in array order.

    Both are NaN where a class is there on one side only, extra labels among them, for no number says how far
    away a missing surface is, and a mean over the others would reward leaving classes out; also where there is no
    class at all.
    """
    if case.extra:
        return math.nan, math.nan
    found = []
    for _, gt, pred in case.pairs.masks():
        if not (gt.any() and pred.any()):
            return math.nan, math.nan
        distances = surface_distances(gt, pred, case.turned_mm)
        found.append((hd95(distances), assd(distances)))
    if not found:
        return math.nan, math.nan
    first, second = np.mean(found, axis=0).tolist()
    return first, second


def hd95(distances: SurfaceDistances) -> float:
    """Robust Hausdorff distance: the larger of two distances, each the smallest within which 95 % of one surface's
    area has the other surface.

    Percentiles interpolated between elements, or taken over both surfaces at once, as some libraries have
    them, differ from it.
    """
    return max(
        _area_percentile(distances.from_gt, distances.areas_gt),
        _area_percentile(distances.from_pred, distances.areas_pred),
    )


def assd(distances: SurfaceDistances) -> float:
    """Average symmetric surface distance: the mean over both surfaces together, weighted by area.

    The mean of the two directed means, as some libraries have it, differs where the surfaces differ in size.
    """
    total = distances.from_gt @ distances.areas_gt + distances.from_pred @ distances.areas_pred
    return float(total / (distances.areas_gt.sum() + distances.areas_pred.sum()))


def _area_percentile(distances: Floats, areas: Floats) -> float:
    order = np.lexsort((areas, distances))
    share = np.cumsum(areas[order])
    index = int(np.searchsorted(share / share[-1], _HD_SHARE))
    return float(distances[order][min(index, len(distances) - 1)])


def _nearest(own: Mask, other: Mask, spacing: tuple[float, ...]) -> Floats:
    """Distance of each element of `own` to the nearest one of `other`, of which there is at least one.

    A search tree needs no distances where nobody asks, which islands far from an object make most of its box;
    but elements far away, such as those around the middle of a ball, have it look at all others.
    """
    if own.size > _SMALL and np.count_nonzero(own) + np.count_nonzero(other) < own.size // 16:
        from scipy.spatial import cKDTree  # slow to import

        tree = cKDTree(np.argwhere(other) * spacing)
        places = np.argwhere(own) * spacing
        distances, _ = tree.query(places, distance_upper_bound=_NEAR_STEPS * max(spacing))
        far = np.isinf(distances)
        if np.count_nonzero(far) <= own.size // _POINTS_A_FAR_ONE:
            distances[far], _ = tree.query(places[far])
            return np.asarray(distances)
    return _transform(other, spacing)[own]


def _transform(targets: Mask, spacing: tuple[float, ...]) -> Floats:
    """Distance of every grid point to the nearest target, in 8 bytes a point; scipy's takes some 60."""
    squared = np.where(targets, 0.0, np.inf)
    for axis, step in enumerate(spacing):
        lines = squared.reshape(int(np.prod(targets.shape[:axis])), targets.shape[axis], -1)
        _lower_envelopes(lines, step * step)
    return np.sqrt(squared, out=squared)


@compiled
def _lower_envelopes(squared: npt.NDArray[Any], weight: float) -> None:
    """Lower every value to the least of value + weight * (steps apart)² along its line, in place.

    Args:
        squared: (outer, n, inner), lines along the middle axis; infinity where nothing is known.
        weight: the squared spacing.
    """
    outer, n, inner = squared.shape
    line, starts, sites = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for a in range(outer):
        for b in range(inner):
            last = -1  # of the parabolas of which the envelope consists, each from its start on
            for q in range(n):
                line[q] = squared[a, q, b]
                if line[q] == np.inf:
                    continue
                start = -np.inf
                while last >= 0:
                    v = sites[last]
                    start = ((line[q] - line[v]) / weight / (q - v) + (q + v)) / 2
                    if start > starts[last]:
                        break
                    last -= 1
                    start = -np.inf
                last += 1
                sites[last], starts[last] = q, start
            if last < 0:
                continue
            k = 0
            for q in range(n):
                while k < last and starts[k + 1] < q:
                    k += 1
                squared[a, q, b] = line[sites[k]] + weight * (q - sites[k]) ** 2
