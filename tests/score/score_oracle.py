"""NSD and DSC written down from their definitions, voxel by voxel: slow and plain.

Nothing is shared with harness.score; only the numbers of the surface table are the peer package's.
Distances are taken between all pairs of elements, from whole numbers of voxels as scipy takes them, so that
ties at the tolerance fall as there.  Only where rounding puts tied elements on both sides of it does scipy
choose one of them; tests give this code spacings without such ties.
"""

from __future__ import annotations

import itertools
import math

from surface_distance.lookup_tables import _NEIGHBOUR_CODE_TO_NORMALS

CORNER_BITS = {
    (-1, -1, -1): 128,
    (-1, -1, 0): 64,
    (-1, 0, -1): 32,
    (-1, 0, 0): 16,
    (0, -1, -1): 8,
    (0, -1, 0): 4,
    (0, 0, -1): 2,
    (0, 0, 0): 1,
}


def elements(mask, spacing):
    """Surface elements of a 3D mask: (position in voxels, area in mm²)."""
    inside = {tuple(map(int, voxel)) for voxel in zip(*mask.nonzero(), strict=True)}
    found = []
    for corner in itertools.product(*(range(n + 1) for n in mask.shape)):
        code = sum(
            bit
            for step, bit in CORNER_BITS.items()
            if tuple(c + s for c, s in zip(corner, step, strict=True)) in inside
        )
        if code in (0, 255):
            continue
        area = 0.0
        for nx, ny, nz in _NEIGHBOUR_CODE_TO_NORMALS[code]:
            area += math.hypot(nx * spacing[1] * spacing[2], ny * spacing[0] * spacing[2], nz * spacing[0] * spacing[1])
        found.append((corner, area))
    return found


def length(a, b, spacing):
    """Distance in mm of two positions in voxels."""
    sides = [(p - q) * s for p, q, s in zip(a, b, spacing, strict=True)]
    return math.sqrt(sum(side * side for side in sides))


def class_nsd(gt, pred, spacing, tolerance):
    """NSD of one class of a volume, or of an image taken as a volume one voxel thick."""
    if gt.ndim == 2:
        gt, pred = gt[..., None], pred[..., None]
    sides = elements(gt, spacing), elements(pred, spacing)
    total = sum(area for side in sides for _, area in side)
    if not total:
        return math.nan
    near = 0.0
    for own, other in (sides, sides[::-1]):
        for place, area in own:
            if any(length(place, target, spacing) <= tolerance for target, _ in other):
                near += area
    return near / total


def class_dsc(gt, pred):
    pairs = list(zip(gt.reshape(-1).tolist(), pred.reshape(-1).tolist(), strict=True))
    size = sum(bool(g) + bool(p) for g, p in pairs)
    return 2 * sum(bool(g and p) for g, p in pairs) / size if size else math.nan


def score(gt, pred, spacing=None, tolerance=2.0, gate=0.2):
    """(dsc, nsd) of a case, not rounded; spacing None for an image."""
    labels = range(1, int(gt.max()) + 1)
    if not labels:
        return math.nan, 0.0
    dsc = sum(class_dsc(gt == i, pred == i) for i in labels) / len(labels)
    if not dsc > gate:
        return dsc, 0.0
    spacing = spacing or (1.0, 1.0, 1.0)
    return dsc, sum(class_nsd(gt == i, pred == i, spacing, tolerance) for i in labels) / len(labels)
