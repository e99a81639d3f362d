"""Scores of whole cases: every edge case of the official definitions, against the peer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.contract import Labels, read_reference
from harness.score import evaluate
from harness.score.classes import class_pairs
from harness.score.evaluate import rounded, score_classes
from tests.score import score_oracle

SPACINGS = [(1.0, 1.0, 1.0), (0.8, 0.8, 2.5), (0.1, 0.1, 0.1), (0.4, 0.4, 5.0), (12.0, 0.3, 0.7), (0.01, 0.02, 0.01)]


def blocks(shape=(30, 40), dtype=np.uint8, labels=3):
    """Squares of labels 1, 2, 3 in a row."""
    gt = np.zeros(shape, dtype=dtype)
    for label in range(1, labels + 1):
        gt[..., 4:14, 12 * label - 10 : 12 * label - 2] = label
    return gt


def moved(labels, step=2):
    return np.roll(labels, step, axis=-1)


# ------------------------------------------------------------------ classes


def test_gap_label_makes_the_case_undefined(ours, peer, agree):
    gt = blocks()
    gt[gt == 2] = 0
    found = ours(gt, moved(gt))
    agree(found, peer.score(gt, moved(gt)))
    assert math.isnan(found[0])
    assert found[1] == 0.0


def test_gap_label_that_a_prediction_fills_scores_zero(ours, peer, agree):
    gt, pred = blocks(), moved(blocks())
    gt[gt == 2] = 0
    found = ours(gt, pred)
    agree(found, peer.score(gt, pred))
    assert 0.2 < found[0] < 0.67


def test_missed_class_scores_zero(ours, peer, agree):
    pred = moved(blocks())
    pred[pred == 3] = 0
    agree(ours(blocks(), pred), peer.score(blocks(), pred))


def test_labels_beyond_the_references_are_ignored(ours):
    gt, pred = blocks(), moved(blocks())
    more = pred.copy()
    more[20:, :] = 9
    assert ours(gt, more) == ours(gt, pred)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, bool])
def test_reference_without_a_class(ours, dtype):
    dsc, nsd = ours(np.zeros((5, 5), dtype=dtype), blocks()[:5, :5])
    assert math.isnan(dsc)
    assert nsd == 0.0


def test_negative_labels_are_background(ours):
    gt = blocks(dtype=np.int16)
    below = np.where(gt == 0, -3, gt)
    assert ours(below, moved(below)) == ours(gt, moved(gt))


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.int8, 127)])
def test_highest_label_of_a_dtype_is_a_class(ours, peer, agree, dtype, top):
    gt = np.zeros((16, 64), dtype=dtype)
    gt.reshape(-1)[: 4 * top] = np.repeat(np.arange(1, top + 1), 4)
    pred = gt.copy()
    pred[3] = 0
    found = ours(gt, pred)
    agree(found, peer.score(gt.astype(np.int64), pred))
    assert 0.5 < found[0] < 1.0


@pytest.mark.parametrize("top", [10**6, 2**31 + 5, 2**63 - 1])
def test_absurd_labels_are_undefined_at_once(ours, top):
    gt = blocks(dtype=np.int64)
    gt[0, 0] = top
    found = ours(gt, gt)
    assert math.isnan(found[0])
    assert found[1] == 0.0


# ------------------------------------------------------------------ dtypes


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_integer_dtypes_do_not_matter(ours, dtype):
    gt, pred = blocks(), moved(blocks())
    assert ours(gt.astype(dtype), pred) == ours(gt, pred.astype(dtype)) == ours(gt, pred)


def test_wide_labels_are_not_cut(ours):
    gt, pred = blocks(), moved(blocks()).astype(np.uint64)
    clean = ours(gt, pred)
    pred[20:25] = 257  # 1 in the low byte
    pred[25:] = 2**64 - 1
    assert ours(gt, pred) == clean


def test_booleans(ours, peer, agree):
    gt, pred = blocks(labels=1).astype(bool), moved(blocks(labels=1)).astype(bool)
    agree(ours(gt, pred), peer.score(gt, pred))
    agree(ours(blocks(), pred), peer.score(blocks(), pred))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_compared_by_equality(ours, peer, agree, dtype):
    pred = moved(blocks()).astype(dtype)
    assert ours(blocks(), pred) == ours(blocks(), moved(blocks()))
    pred[4:7] += dtype(0.5)
    pred[20:] = dtype(-1.0)
    pred[21:] = dtype(6e4)
    agree(ours(blocks(), pred), peer.score(blocks(), pred))


def test_float16_cannot_tell_labels_above_2048(ours, peer):
    gt = np.zeros((50, 50), dtype=np.int32)
    gt.reshape(-1)[:2051] = np.arange(1, 2052)
    pred = gt.astype(np.float16)  # holds 2048 where the reference holds 2049
    expected = np.mean([peer.class_dsc(gt == i, pred == i) for i in range(1, 2052)])
    assert expected < 1.0
    assert ours(gt, pred)[0] == expected


def test_memory_order_does_not_matter(ours):
    gt, pred = blocks((5, 30, 40)), moved(blocks((5, 30, 40)))
    spacing = (1.5, 0.8, 0.8)
    expected = ours(gt, pred, spacing)
    assert ours(np.asfortranarray(gt), pred, spacing) == expected
    assert ours(gt, np.asfortranarray(pred.astype(np.float32)), spacing) == expected
    assert ours(gt[::-1], pred[::-1], spacing) == pytest.approx(expected)


# ------------------------------------------------------------------ gate and rounding


def test_gate_is_open_only_above_its_value(ours, peer, agree):
    gt, pred = np.zeros((2, 12, 12), dtype=np.uint8)
    gt[0, :5] = pred[0, 4:9] = 1  # 2 x 1 / 10 is 0.2 itself
    assert ours(gt, pred) == (0.2, 0.0)
    pred[0, 8] = 0  # 2 x 1 / 9
    found = ours(gt, pred)
    agree(found, peer.score(gt, pred))
    assert found[1] > 0.0


def test_gate_judges_the_mean_over_classes(ours, peer, agree):
    gt = blocks()
    pred = moved(gt)
    pred[pred != 1] = 0
    agree(ours(gt, pred), peer.score(gt, pred))
    pred[:, 6:] = 0
    found = ours(gt, pred)
    assert 0 < found[0] <= 0.2
    assert found[1] == 0.0


@pytest.mark.parametrize("spacing", [None, (0.9, 1.1, 1.3)])
@pytest.mark.parametrize(("gt_count", "pred_count"), [(33, 31), (35, 29), (48, 16), (17, 15)])
def test_sums_on_a_rounding_boundary_follow_the_official_order(
    ours, peer, agree, official, spacing, gt_count, pred_count
):
    """Equal objects, some missed: NSD is a whole number of 1/32, which four decimals cut in half."""
    objects = np.zeros((64, 8, 5, 5), dtype=np.uint8)
    objects[:, 2, 2, 1:3] = 1
    gt, pred = objects.copy(), objects.copy()
    gt[gt_count:] = pred[pred_count:] = 0
    layout = (64 * 8, 5, 5) if spacing else (64 * 8, 25)
    gt, pred = gt.reshape(layout), pred.reshape(layout)
    expected = peer.score(gt, pred, spacing, gate=0.0)
    agree(ours(gt, pred, spacing, replace(official, gate_dsc=0.0)), expected)


def test_a_boundary_is_seen_and_17_digits_leave_a_value_alone():
    assert evaluate._near_tie(31 / 32, 4)
    assert evaluate._near_tie(0.12345 + 1e-16, 4)
    assert not evaluate._near_tie(0.1234, 4)
    assert not evaluate._near_tie(math.nan, 4)
    assert rounded(1 / 3, 4) == 0.3333
    assert rounded(1 / 3, 17) == 1 / 3
    assert rounded(31 / 32, 4) == float(np.round(31 / 32, 4))


# ------------------------------------------------------------------ geometry


def test_objects_at_the_border_and_everywhere(ours, peer, agree):
    gt, pred = np.zeros((2, 9, 11), dtype=np.uint8)
    gt[0], gt[-1], pred[:, 0], pred[0] = 1, 2, 2, 1
    agree(ours(gt, pred), peer.score(gt, pred))
    full = np.ones((4, 5, 6), dtype=np.uint8)
    part = full.copy()
    part[2:] = 0
    for spacing in SPACINGS:
        agree(ours(full, part, spacing), peer.score(full, part, spacing))


def test_objects_of_one_voxel(ours, peer, agree):
    gt, pred = np.zeros((2, 7, 7, 7), dtype=np.uint8)
    gt[0, 0, 0] = pred[0, 0, 0] = 1
    gt[6, 6, 6] = pred[6, 6, 5] = 2
    gt[3, 3, 3] = pred[3, 3, 3] = 3
    for spacing in SPACINGS:
        agree(ours(gt, pred, spacing), peer.score(gt, pred, spacing))


@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 1, 20), (20, 20, 1), (1, 1, 30)])
def test_volumes_one_voxel_thick(ours, peer, agree, shape):
    rng = np.random.default_rng(4)
    gt = (rng.random(shape) < 0.5).astype(np.uint8)
    pred = np.where(rng.random(shape) < 0.1, 1 - gt, gt).astype(np.uint8)
    for spacing in SPACINGS:
        agree(ours(gt, pred, spacing), peer.score(gt, pred, spacing))


def test_far_islands(ours, peer, agree):
    gt = blocks((6, 40, 40))
    pred = moved(gt)
    pred[-1, -1, -2:] = 1
    pred[0, -3:, 0] = 3
    for spacing in SPACINGS:
        agree(ours(gt, pred, spacing), peer.score(gt, pred, spacing))


@pytest.mark.parametrize("spacing", [None, *SPACINGS])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_labels_equal_the_peer(ours, peer, agree, spacing, data):
    shape = (9, 8) if spacing is None else (6, 5, 7)
    labels = hnp.arrays(np.uint8, shape, elements=st.integers(0, 3))
    gt = data.draw(labels)
    pred = np.where(data.draw(hnp.arrays(bool, shape)), gt, data.draw(labels))
    agree(ours(gt, pred, spacing), peer.score(gt, pred, spacing))


@pytest.mark.parametrize("spacing", [None, (0.8, 0.9, 2.5)])
def test_cases_equal_the_definition(ours, agree, spacing):
    rng = np.random.default_rng(11)
    for _ in range(4):
        gt = rng.integers(0, 3, (10, 12) if spacing is None else (6, 7, 5)).astype(np.uint8)
        pred = np.where(rng.random(gt.shape) < 0.3, rng.integers(0, 4, gt.shape), gt)
        agree(ours(gt, pred, spacing), score_oracle.score(gt, pred, spacing))


def generated():
    """The generated set: (name, reference, prediction, spacing) for each edge case of the official definitions."""
    rng = np.random.default_rng(21)
    image, volume = blocks((16, 40)), np.zeros((7, 12, 11), dtype=np.uint8)
    volume[1:5, 2:8, 1:6], volume[3:7, 5:12, 6:11], volume[6, 0, 0] = 1, 2, 3
    shifted = np.roll(volume, (1, -1), (0, 2))
    rough = np.where(rng.random(volume.shape) < 0.15, rng.integers(0, 5, volume.shape), volume).astype(np.uint8)
    plain = (0.9, 1.1, 2.3)
    yield "gap label", np.where(image == 2, 0, image), moved(image), None
    yield "gap label that is predicted", np.where(volume == 2, 0, volume), shifted, plain
    yield "missed class", image, np.where(moved(image) == 3, 0, moved(image)), None
    yield "all missed", volume, np.zeros_like(volume), plain
    yield "no class", np.zeros_like(volume), shifted, plain
    yield "labels beyond the reference's", volume, np.where(rough == 0, 9, rough), plain
    yield "just below the gate", *np.array([[[1] * 5 + [0] * 5], [[0] * 4 + [1] * 5 + [0]]], dtype=np.uint8), None
    yield "just above the gate", *np.array([[[1] * 5 + [0] * 4], [[0] * 4 + [1] * 4 + [0]]], dtype=np.uint8), None
    yield "mean above the gate, classes below it", image, np.where(image == 1, 1, 0), None
    yield "filled image", np.ones((9, 8), dtype=np.uint8), np.tri(9, 8, 2, dtype=np.uint8), None
    yield "filled volume", np.ones((4, 5, 6), dtype=np.uint8), np.tri(5, 6, 2, dtype=np.uint8)[None].repeat(4, 0), plain
    yield "stored spacing in another order", volume, shifted, plain[::-1]
    for dtype in (bool, np.int16, np.uint16, np.int64, np.uint64, np.float16, np.float64):
        cut = (volume == 1) if dtype is bool else volume
        yield (
            f"prediction as {np.dtype(dtype)}",
            volume,
            (shifted == 1 if dtype is bool else shifted).astype(dtype),
            plain,
        )
        if np.dtype(dtype).kind != "f":
            yield f"reference as {np.dtype(dtype)}", cut.astype(dtype), shifted, plain
    yield (
        "fractions and values out of range",
        volume,
        np.where(rough == 4, 1.5, shifted * (1 - 2.0 * (rough == 3))),
        plain,
    )
    yield "two bytes whose low one is a label", volume, shifted.astype(np.int32) + 256 * (rough == 3), plain
    border = np.zeros_like(volume)
    border[0], border[:, -1], border[:, :, 0] = 1, 2, 3
    yield "objects at the border", border, np.roll(border, 1, 1), plain
    single = np.zeros((5, 6, 70), dtype=np.uint8)
    single[0, 0, 0], single[2, 3, 63], single[4, 5, 69] = 1, 2, 3
    yield "objects of one voxel", single, np.roll(single, 1, 1), plain
    yield "one voxel as the whole volume", np.ones((1, 1, 1), dtype=np.uint8), np.ones((1, 1, 1), dtype=np.uint8), plain
    for spacing in ((12.0, 0.3, 0.7), (0.3, 9.0, 0.3), (0.4, 0.4, 0.07), (0.03, 0.2, 0.3), (0.2, 0.3, 0.03)):
        yield f"spacing {spacing}", volume, rough, spacing
    for spacing in (
        (1.0, 1.0, 1.0),
        (0.1, 0.1, 0.1),
        (0.4, 0.4, 0.4),
        (0.4, 0.4, 0.1),
        (2.0, 2.0, 2.0),
        (1.2, 1.6, 0.5),
    ):
        yield f"ties at spacing {spacing}", volume, rough, spacing
        yield f"far ties at spacing {spacing}", single, np.roll(single, round(2 / spacing[2]), 2), spacing


@pytest.mark.parametrize(("name", "gt", "pred", "spacing"), [pytest.param(*case, id=case[0]) for case in generated()])
def test_generated_set_equals_peer_and_definition(ours, peer, agree, name, gt, pred, spacing):
    found = ours(gt, pred, spacing)
    agree(found, peer.score(gt, pred, spacing))
    agree(found, score_oracle.score(gt, pred, spacing))


def test_real_cases_equal_the_peer(real_reference, ours, peer, agree):
    """Real references, shifted and strewn with islands, one object missing."""
    reference = read_reference(real_reference)
    gt = reference.array
    pred = np.roll(gt, (3, -2), (-1, -2))
    pred[np.random.default_rng(3).random(gt.shape) < 2e-4] = 1
    if gt.max() > 2:
        pred[pred == 2] = 0
    agree(ours(gt, pred, reference.spacing_mm), peer.score(gt, pred, reference.spacing_mm))


# ------------------------------------------------------------------ classes of a case


def test_scores_of_classes_average_to_the_cases(official):
    gt, pred = blocks(), moved(blocks())
    classes = score_classes(Labels(pred, None), Labels(gt, None), official, volume=False)
    assert classes.labels.tolist() == [1, 2, 3]
    assert classes.mean_dsc == classes.dsc.mean()
    assert classes.mean_nsd == classes.nsd.mean()


def test_class_scores_behind_a_closed_gate_are_undefined(official):
    gt = blocks()
    classes = score_classes(Labels(np.zeros_like(gt), None), Labels(gt, None), official, volume=False)
    assert classes.dsc.tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(classes.nsd).all()
    assert classes.mean_nsd == 0.0


def test_boxes_hold_both_masks_and_no_more():
    gt, pred = np.zeros((2, 20, 20), dtype=np.uint8)
    gt[2:4, 5:9], pred[3:8, 6:7] = 1, 1
    pairs = class_pairs(gt, pred)
    assert pairs.box(1) == (slice(2, 8), slice(5, 9))
    ((label, ours, theirs),) = pairs.masks()
    assert (label, ours.shape, int(ours.sum()), int(theirs.sum())) == (1, (6, 4), 8, 5)


def test_shapes_must_agree(official):
    gt = blocks()
    with pytest.raises(ValueError, match="shapes"):
        score_classes(Labels(gt[:1], None), Labels(gt, None), official, volume=False)
    with pytest.raises(ValueError, match="spacing"):
        score_classes(Labels(gt[None], None), Labels(gt[None], None), official, volume=True)
