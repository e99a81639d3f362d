"""Detection F1 and panoptic quality: by hand, and against a matching made pair by pair from the definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.score import instances
from harness.score.instances import InstanceScores, instance_scores


def by_definition(gt, pred):
    """Every pair of instances compared as whole masks, in exact fractions."""
    segments = [
        {label: side == label for label in np.unique(side) if label >= 1 and label == int(label)} for side in (gt, pred)
    ]
    matched = []
    for ours in segments[0].values():
        for theirs in segments[1].values():
            iou = Fraction(int((ours & theirs).sum()), int((ours | theirs).sum()))
            if iou > Fraction(1, 2):
                matched.append(iou)
    true, ours, theirs = len(matched), len(segments[0]), len(segments[1])
    if not ours + theirs:
        return InstanceScores(1.0, 1.0, 1.0)
    count = true + Fraction(theirs - true, 2) + Fraction(ours - true, 2)
    total = sum(matched, Fraction(0))
    return InstanceScores(float(true / count), float(total / true) if true else 0.0, float(total / count))


def close(found, expected):
    return (found.f1, found.sq, found.pq) == pytest.approx((expected.f1, expected.sq, expected.pq), abs=1e-12)


def row(*runs):
    """An image of one row from (label, length) pairs."""
    return np.concatenate([np.full(length, label) for label, length in runs])[None]


def test_worked_by_hand():
    gt = row((1, 10), (2, 10), (3, 10), (0, 10))
    pred = row((7, 8), (0, 2), (5, 5), (0, 5), (9, 12), (0, 4), (4, 4))
    # 7 has IoU 8/10 with 1; 5 has exactly half of 2, which is no match; 9 has 10/12 of 3; 4 lies on nothing.
    found = instance_scores(gt, pred)
    assert found.f1 == 2 / (2 + (2 + 1) / 2)
    assert found.sq == pytest.approx((0.8 + 10 / 12) / 2)
    assert found.pq == pytest.approx((0.8 + 10 / 12) / 3.5)
    assert found.pq == pytest.approx(found.f1 * found.sq)


def test_numbers_of_labels_do_not_matter():
    gt = row((1, 10), (2, 10), (3, 10))
    pred = row((300, 10), (1, 9), (0, 1), (2, 10))
    assert instance_scores(gt, pred).f1 == 1.0
    assert instance_scores(gt, gt * 1000) == InstanceScores(1.0, 1.0, 1.0)


def test_split_and_merged_objects():
    whole, halves = row((1, 20)), row((1, 10), (2, 10))
    assert instance_scores(whole, halves) == InstanceScores(0.0, 0.0, 0.0)
    assert instance_scores(halves, whole) == InstanceScores(0.0, 0.0, 0.0)
    assert instance_scores(whole, row((1, 11), (2, 9))).f1 == pytest.approx(2 / 3)


def test_nothing_on_one_side_or_on_both():
    nothing, something = row((0, 5)), row((0, 3), (4, 2))
    assert instance_scores(nothing, nothing) == InstanceScores(1.0, 1.0, 1.0)
    assert instance_scores(nothing, something) == instance_scores(something, nothing) == InstanceScores(0.0, 0.0, 0.0)
    full = row((4, 5))
    assert instance_scores(full, full) == InstanceScores(1.0, 1.0, 1.0)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), chunk=st.sampled_from([1, 7, 1 << 22]))
def test_any_labels_equal_the_definition(data, chunk):
    labels = hnp.arrays(np.int32, (6, 7), elements=st.integers(-1, 5), fill=st.nothing())
    gt = data.draw(labels)
    pred = np.where(data.draw(hnp.arrays(bool, gt.shape, fill=st.nothing())), gt * 3, data.draw(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "_CHUNK", chunk)
        assert close(instance_scores(gt, pred), by_definition(gt, pred))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int64, np.uint64, np.float32, np.float64])
def test_dtypes_do_not_matter(dtype):
    rng = np.random.default_rng(2)
    gt = np.repeat(np.repeat(rng.integers(0, 9, (8, 8)), 4, 0), 4, 1)
    pred = np.where(rng.random(gt.shape) < 0.1, 0, gt)
    expected = instance_scores(gt, pred)
    assert instance_scores(gt, pred.astype(dtype)) == expected
    assert instance_scores(np.asfortranarray(gt.astype(dtype)), pred) == expected


def test_wide_labels_and_fractions():
    gt = row((2**64 - 1, 5), (2**64 - 2, 5)).astype(np.uint64)
    assert instance_scores(gt, gt) == InstanceScores(1.0, 1.0, 1.0)
    assert instance_scores(row((1, 4), (0, 4)), row((1.0, 4), (1.5, 4))) == InstanceScores(1.0, 1.0, 1.0)
    mask = row((1, 4), (0, 4)).astype(bool)
    assert instance_scores(mask, mask) == InstanceScores(1.0, 1.0, 1.0)


def test_a_thousand_cells():
    """Cells on a grid, each moved by one pixel: all are found, each with the same IoU."""
    cells = np.arange(1, 1025).reshape(32, 32)
    gt = np.zeros((32 * 12, 32 * 12), dtype=np.uint16)
    for y in range(8):
        for x in range(8):
            gt[y::12, x::12] = cells
    pred = np.random.default_rng(0).permutation(1025).astype(np.uint16)
    pred[pred == 0], pred[0] = pred[0], 0
    found = instance_scores(gt, np.roll(pred[gt], 1, axis=1))
    assert found.f1 == 1.0
    assert found.sq == found.pq == pytest.approx(7 / 9)
