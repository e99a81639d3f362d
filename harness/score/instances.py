"""Scores of instance segmentation: detection F1 and panoptic quality at IoU 0.5.

Every label above 0 is one instance, whatever its number: an instance of the prediction matches the one of
the reference with which it shares more than half of their union.  More than half can be had only once, so the
matching needs no search.

Source: Kirillov et al., "Panoptic segmentation", CVPR 2019, here with a single class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]

#: Voxels looked at together: bounds the memory of the pass.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class InstanceScores:
    """How well the instances of a case were found, each 0 to 1.

    Attributes:
        f1: recognition: matches over the mean of both numbers of instances.
        sq: segmentation quality: mean IoU of the matches, 0 where there is none.
        pq: panoptic quality, their product.
    """

    f1: float
    sq: float
    pq: float


def instance_scores(reference: Array, prediction: Array) -> InstanceScores:
    """Match instances and score them.

    Args:
        reference, prediction: label maps of the same shape; bool, integer or finite float.  Labels below 1
            and fractions are background.

    Returns:
        all 1 where neither holds an instance, all 0 where only one of them does.
    """
    pairs = _pairs(reference, prediction)
    first, second, common = pairs
    ours, theirs = _summed(first, common), _summed(second, common)
    instances = np.count_nonzero(ours[1:]) + np.count_nonzero(theirs[1:])
    if not instances:
        return InstanceScores(1.0, 1.0, 1.0)
    first, second, common = pairs[:, (first > 0) & (second > 0)]
    union = ours[first] + theirs[second] - common
    matched = 2 * common > union
    matches = int(matched.sum())
    quality = float(np.sum(common[matched] / union[matched]))
    # Both sides' mean number: the matches, and half of all that is unmatched.
    return InstanceScores(
        f1=matches / (instances / 2), sq=quality / matches if matches else 0.0, pq=quality / (instances / 2)
    )


def _pairs(reference: Array, prediction: Array) -> Counts:
    """Every pair of labels that meets, background (0) among them: both numbers and the common voxels, (3, n)."""
    first, second = _numbered(reference).reshape(-1), _numbered(prediction).reshape(-1)
    width = np.int64(second.max(initial=0)) + 1
    keys, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for start in range(0, first.size, _CHUNK):
        a, b = first[start : start + _CHUNK], second[start : start + _CHUNK]
        # Runs of equal pairs are far fewer than voxels.
        ends = np.append(np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])), len(a) - 1)
        key, place = np.unique(a[ends].astype(np.int64) * width + b[ends].astype(np.int64), return_inverse=True)
        keys.append(key)
        sizes.append(_summed(place, np.diff(ends, prepend=-1)))
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    return np.stack((key // width, key % width, _summed(place, np.concatenate(sizes))))


def _numbered(labels: Array) -> Array:
    """Labels as whole numbers from 0 (background) on, none above the number of voxels."""
    if labels.dtype.kind == "b":
        return labels.view(np.uint8)
    if labels.dtype.kind != "f" and labels.min(initial=0) >= 0 and labels.max(initial=0) <= labels.size:
        return labels
    values, place = np.unique(labels, return_inverse=True)
    counts = (values >= 1) & (np.floor(values) == values if labels.dtype.kind == "f" else True)
    return np.where(counts, np.cumsum(counts), 0)[place]


def _summed(place: Counts, weights: Counts) -> Counts:
    """Sum of the weights at each place."""
    return np.bincount(place, weights=weights).astype(np.int64)
