"""Corrected variants of DSC and NSD: against the peer, by hand, and each apart from the others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.contract import Labels, read_reference
from harness.errors import UsageError
from harness.protocol import load_protocol
from harness.score.contour import LENGTHS, contour_nsd, corner_codes
from harness.score.evaluate import score_classes
from harness.score.further import FURTHER, checked_names, further_scores
from tests.score.conftest import OFFICIAL

ALL = tuple(FURTHER)
VARIANTS = tuple(name for name in FURTHER if name.startswith(("dsc_", "nsd_")))


def further(gt, pred, spacing=None, also=ALL, scoring=OFFICIAL):
    """All further metrics of two label maps, and the official two."""
    reference = Labels(gt, None if spacing is None else np.array(spacing))
    prediction, volume = Labels(pred, None), spacing is not None
    scoring = replace(scoring, also=also)
    classes = score_classes(prediction, reference, scoring, volume)
    found = further_scores(prediction, reference, scoring, volume, classes)
    return found | {"dsc": classes.mean_dsc, "nsd": classes.mean_nsd}


def blocks(shape=(30, 40), labels=3):
    """Squares of labels 1, 2, 3 in a row."""
    gt = np.zeros(shape, dtype=np.uint8)
    for label in range(1, labels + 1):
        gt[..., 4:14, 12 * label - 10 : 12 * label - 2] = label
    return gt


def moved(labels, step=2):
    return np.roll(labels, step, axis=-1)


# ------------------------------------------------------------------ contours


def test_lengths_and_codes_are_the_peers(peer):
    from scipy import ndimage
    from surface_distance import lookup_tables as tables

    np.testing.assert_allclose(LENGTHS, tables.create_table_neighbour_code_to_contour_length((1.0, 1.0)), rtol=1e-15)
    mask = np.random.default_rng(1).random((7, 9)) < 0.5
    padded = np.pad(mask.astype(np.uint8), (0, 1))
    expected = ndimage.correlate(padded, tables.ENCODE_NEIGHBOURHOOD_2D_KERNEL, mode="constant", cval=0)
    assert np.array_equal(corner_codes(mask), expected)


def test_a_contour_worked_by_hand():
    """A square of 4 x 4 pixels and one of 4 x 8 that goes on where the first ends."""
    gt, pred = np.zeros((2, 12, 16), dtype=bool)
    gt[4:8, 4:8] = pred[4:8, 4:12] = True
    corner = math.sqrt(0.5)
    square, oblong = 12 + 4 * corner, 20 + 4 * corner
    # All of the square is near. Of the oblong the far side with its corners is 4 pixels off, and on each long
    # side one element is 3 off.
    beyond = 3 + 2 * corner + 2
    assert contour_nsd(gt, pred, 2.0) == pytest.approx(1 - beyond / (square + oblong), abs=1e-15)
    assert contour_nsd(gt, pred, 4.0) == 1.0
    # Without tolerance only corners where both have contour count: the square's but for the middle of its last
    # side; the oblong's first side, and of its long ones those that the square reaches.
    common = (square - 3) + (3 + 2 * corner + 2 * 4)
    assert contour_nsd(gt, pred, 0.0) == pytest.approx(common / (square + oblong), abs=1e-15)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), tolerance=st.sampled_from([0.0, 0.9, 1.0, 2.0, 2.5, 7.0]))
def test_any_contour_nsd_is_the_peers(peer, data, tolerance):
    gt, pred = (data.draw(hnp.arrays(bool, (8, 9))) for _ in range(2))
    found = contour_nsd(gt, pred, tolerance)
    if not gt.any() or not pred.any():
        assert math.isnan(found) if not (gt.any() or pred.any()) else found == 0.0
        return
    assert found == pytest.approx(peer.class_nsd(gt, pred, (1.0, 1.0), tolerance), abs=1e-12)


def test_a_filled_contour_is_no_contour(ours):
    """The official figure rewards area: inside a large disc every pixel is near, whatever the outline does."""
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(y - 40, x - 40)
    gt, pred = (distance < 30).astype(np.uint8), (distance < 25).astype(np.uint8)
    found = further(gt, pred)
    assert found["nsd"] > 0.8
    assert found["nsd_contour"] == 0.0
    assert ours(gt, pred)[1] == found["nsd"]


# ------------------------------------------------------------------ single corrections


def test_of_a_plain_case_only_the_contour_differs():
    """No extra labels, no empty classes: in 2D only contours are left to correct, in 3D only the spacing."""
    flat = further(blocks(), moved(blocks(), 3))
    for name in VARIANTS:
        if name in ("nsd_contour", "nsd_corrected"):
            assert flat[name] == flat["nsd_contour"] < flat["nsd"]
        else:
            assert flat[name] == flat[name[:3]]
    gt = blocks((8, 30, 40))
    spacing = (0.7, 0.9, 5.0)
    deep = further(gt, moved(gt), spacing)
    for name in VARIANTS:
        if name in ("nsd_array_order", "nsd_corrected"):
            assert deep[name] == further(gt, moved(gt), spacing[::-1])["nsd"] != deep["nsd"]
        else:
            assert deep[name] == deep[name[:3]]


def test_extra_labels_are_classes_that_score_0():
    gt = blocks()
    pred = moved(gt)
    pred[20:22], pred[24:26] = 9, 200
    clean, found = further(gt, moved(gt)), further(gt, pred)
    assert found["dsc"] == clean["dsc"]
    for name in ("dsc_penalised", "nsd_penalised", "dsc_corrected", "nsd_corrected", "iou"):
        assert found[name] == pytest.approx(clean[name] * 3 / 5, abs=1e-15)
    assert found["dsc_skip"] == found["dsc_one"] == found["dsc"]
    assert math.isnan(found["hd95_mm"])


def test_a_gap_that_the_prediction_fills_scores_0_as_officially():
    gt, pred = blocks(), moved(blocks())
    gt[gt == 2] = 0
    found = further(gt, pred)
    for name in VARIANTS:
        if name.startswith("dsc"):
            assert found[name] == found["dsc"]


def test_classes_empty_in_both_by_each_rule():
    gt = blocks()
    gt[gt == 2] = 0
    pred = moved(gt)
    found, each = further(gt, pred), further(blocks(), moved(blocks()))
    assert math.isnan(found["dsc"])
    assert found["nsd"] == 0.0
    for name in ("dsc_penalised", "nsd_contour", "nsd_array_order", "nsd_penalised"):  # as officially
        assert np.array_equal(found[name], found[name[:3]], equal_nan=True)
    for name in ("dsc", "nsd"):  # all three squares are alike, so two of them have the mean of three
        assert found[f"{name}_skip"] == pytest.approx(each[name], abs=1e-15)
        assert found[f"{name}_one"] == pytest.approx((2 * each[name] + 1) / 3, abs=1e-15)
        assert found[f"{name}_corrected"] == pytest.approx(each[f"{name}_corrected"], abs=1e-15)
    assert found["iou"] == pytest.approx(each["dsc"] / (2 - each["dsc"]))


def test_a_reference_without_a_class():
    nothing = np.zeros((9, 9), dtype=np.uint8)
    right, wrong = further(nothing, nothing), further(nothing, blocks((9, 9), 1))
    for name in ("dsc_corrected", "nsd_corrected", "iou", "f1", "pq", "sq"):
        assert (right[name], wrong[name]) == (1.0, 0.0)
    for name in ("dsc_skip", "nsd_skip", "dsc_one", "nsd_one", "hd95_mm", "assd_mm"):
        assert math.isnan(right[name])
        assert math.isnan(wrong[name])
    assert math.isnan(right["dsc_penalised"])
    assert wrong["dsc_penalised"] == 0.0
    assert right["nsd_penalised"] == right["nsd_contour"] == 0.0


def test_the_gate_is_that_of_the_same_rules():
    """One class above the gate officially, and below it with the extra labels counted."""
    gt = blocks((30, 16), 1)
    pred = moved(gt, 4)
    pred[20], pred[22] = 5, 6
    found = further(gt, pred)
    assert found["dsc"] == 0.5
    assert found["dsc_penalised"] == pytest.approx(1 / 6)
    assert found["nsd"] > 0.0
    assert found["nsd_penalised"] == found["nsd_corrected"] == 0.0
    opened = further(gt, pred, scoring=replace(OFFICIAL, gate_dsc=0.1))
    assert opened["nsd_penalised"] == pytest.approx(opened["nsd"] / 3)


def test_a_gate_closed_officially_does_not_close_the_others():
    gt = blocks()
    gt[gt == 2] = 0
    spacing = (0.7, 0.9, 5.0)
    volume = np.repeat(gt[None], 6, axis=0)
    found = further(volume, moved(volume), spacing)
    filled = np.repeat(blocks()[None], 6, axis=0)
    assert found["nsd"] == 0.0
    assert found["nsd_skip"] == pytest.approx(further(filled, moved(filled), spacing)["nsd"], abs=1e-12)


@pytest.mark.parametrize("top", [60_000, 10**6, 2**63 - 1])
def test_labels_far_apart_are_scored_as_labels_in_a_row(top):
    """Too many classes for a list, and so undefined officially, but for those that occur."""
    gt = blocks(labels=2).astype(np.int64)
    far = np.where(gt == 2, top, gt)
    near, found = further(gt, moved(gt)), further(far, moved(far).astype(np.uint64))
    assert math.isnan(found["dsc"])
    for name in ("dsc_corrected", "nsd_corrected", "dsc_skip", "nsd_skip", "iou", "hd95_mm", "assd_mm", "f1", "pq"):
        assert found[name] == near[name]
    assert found["dsc_one"] == pytest.approx((top - 2 + 2 * near["dsc"]) / top, abs=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.uint64, np.float16, np.float64])
def test_dtypes_do_not_matter(dtype):
    gt, pred = blocks(labels=1), moved(blocks(labels=1))
    assert further(gt.astype(dtype), pred.astype(dtype)) == further(gt, pred)
    both = further(gt, pred.astype(dtype))
    assert both == further(gt, pred)


def test_fractions_and_negative_labels_are_no_extra_labels():
    gt = blocks()
    pred = moved(gt).astype(np.float32)
    pred[20], pred[21], pred[22] = 9.5, -3.0, 300.25
    assert further(gt, pred)["dsc_corrected"] == further(gt, moved(gt))["dsc_corrected"]
    pred[23] = 12.0
    assert further(gt, pred)["dsc_corrected"] < further(gt, moved(gt))["dsc_corrected"]


# ------------------------------------------------------------------ against the definitions


def by_definition(peer, gt, pred, spacing):
    """dsc_corrected and nsd_corrected by the peer, class by class."""
    classes = [label for label in np.union1d(gt, pred) if label > 0]
    if not classes:
        return 1.0, 1.0
    dsc = np.mean([peer.class_dsc(gt == c, pred == c) for c in classes])
    if not dsc > 0.2:
        return dsc, 0.0
    spacing = (1.0, 1.0) if spacing is None else spacing[::-1]
    return dsc, np.mean(
        [peer.class_nsd(gt == c, pred == c, spacing) if (gt == c).any() and (pred == c).any() else 0.0 for c in classes]
    )


@pytest.mark.parametrize("spacing", [None, (0.8, 0.9, 2.5), (1.0, 1.0, 1.0), (3.0, 0.7, 0.6)])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_corrected_is_the_peers_mean_over_what_occurs(peer, spacing, data):
    shape = (9, 8) if spacing is None else (6, 5, 7)
    labels = hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 2, 4]), fill=st.nothing())
    gt = data.draw(labels)
    pred = np.where(data.draw(hnp.arrays(bool, shape, fill=st.nothing())), gt, data.draw(labels))
    found = further(gt, pred, spacing)
    expected = by_definition(peer, gt, pred, spacing)
    np.testing.assert_allclose((found["dsc_corrected"], found["nsd_corrected"]), expected, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(data=st.data(), volume=st.booleans())
def test_properties_of_any_case(data, volume):
    shape, spacing = ((4, 5, 6), (0.8, 0.9, 2.5)) if volume else ((9, 8), None)
    labels = hnp.arrays(np.uint8, shape, elements=st.integers(0, 4), fill=st.nothing())
    gt, pred = data.draw(labels), data.draw(labels)
    found, swapped, same = further(gt, pred, spacing), further(pred, gt, spacing), further(gt, gt, spacing)
    for name in ("dsc_corrected", "nsd_corrected", "iou", "f1", "pq", "sq", "hd95_mm", "assd_mm"):
        np.testing.assert_allclose(found[name], swapped[name], rtol=0, atol=1e-12, err_msg=name)
    for name in ("dsc_corrected", "nsd_corrected", "iou", "f1", "pq", "sq"):
        assert same[name] == 1.0
        assert 0.0 <= found[name] <= 1.0
    if gt.any():
        assert (same["hd95_mm"], same["assd_mm"]) == (0.0, 0.0)
        assert found["dsc_penalised"] <= found["dsc"] or math.isnan(found["dsc"])
    extra = pred.copy()
    extra.reshape(-1)[np.flatnonzero(gt == 0)[:3]] = [9, 10, 11][: min(3, int((gt == 0).sum()))]
    if (extra != pred).any() and (pred.reshape(-1)[np.flatnonzero(gt == 0)[:3]] == 0).all():
        assert further(gt, extra, spacing)["dsc_corrected"] <= found["dsc_corrected"]


def test_real_cases_equal_the_peer(real_reference, peer):
    """Real references, shifted, one object missing and one too many."""
    reference = read_reference(real_reference)
    gt = reference.array
    if gt.size > 2_000_000:
        pytest.skip("the peer takes long")
    pred = np.roll(gt, (3, -2), (-1, -2)).astype(np.int32)
    if gt.max() > 2:
        pred[pred == 2] = 0
    pred[..., :2, :5] = int(gt.max()) + 3
    spacing = None if reference.spacing_mm is None else tuple(reference.spacing_mm)
    found = further(gt, pred, spacing, also=("dsc_corrected", "nsd_corrected"))
    expected = by_definition(peer, gt, pred, spacing)
    np.testing.assert_allclose((found["dsc_corrected"], found["nsd_corrected"]), expected, rtol=0, atol=1e-12)


# ------------------------------------------------------------------ names


def test_every_metric_is_in_the_protocol_and_in_the_docs():
    from pathlib import Path

    docs = (Path(__file__).resolve().parents[2] / "docs" / "scoring.md").read_text()
    protocol = load_protocol()
    assert checked_names(FURTHER, protocol) == tuple(FURTHER)
    for name in FURTHER:
        assert f"`{name}`" in docs
        assert protocol.metrics[name].smaller_is_better == name.endswith("_mm")
        assert protocol.metrics[name].unit == ("mm" if name.endswith("_mm") else "")
        assert math.isnan(protocol.metrics[name].failure_value(60.0)) == name.endswith("_mm")


def test_only_what_is_asked_for_is_given_in_that_order():
    gt = blocks()
    names = ("pq", "dsc_one", "assd_mm")
    assert tuple(further(gt, moved(gt), also=names))[:3] == names
    assert checked_names(["pq", "f1", "pq"], load_protocol()) == ("pq", "f1")


def test_names_that_are_not_known():
    protocol = load_protocol()
    with pytest.raises(UsageError, match="no further metric is named 'dice'"):
        checked_names(["dice"], protocol)
    bare = replace(protocol, metrics={})
    with pytest.raises(UsageError, match="does not define iou"):
        checked_names(["iou"], bare)
    with pytest.raises(KeyError):
        further(blocks(), blocks(), also=("dsc_unheard",))
