"""HD95 and ASSD: by hand, against the peer, and what an empty mask does."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from harness.contract import read_reference
from harness.score import distances as module
from harness.score.distances import _transform, assd, hd95, surface_distances
from tests.score.test_score_variants import blocks, further, moved

SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.8, 3.1), (5.1, 0.3, 0.6), (1e-3, 1.0, 1e3)]


def peer_distances(gt, pred, spacing):
    """The peer's surfaces, in 2D its contours."""
    from surface_distance import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of scipy that are going away
        return metrics.compute_surface_distances(gt, pred, spacing)


def peers(gt, pred, spacing):
    """HD95 and ASSD by the peer, whose two directed means are put together by area."""
    from surface_distance import metrics

    found = peer_distances(gt, pred, spacing)
    areas = found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()
    means = metrics.compute_average_surface_distance(found)
    return metrics.compute_robust_hausdorff(found, 95), np.average(means, weights=areas)


def both(gt, pred, spacing):
    distances = surface_distances(gt, pred, spacing)
    return hd95(distances), assd(distances)


@pytest.mark.parametrize("spacing", [*SPACINGS, (0.1, 0.4, 0.2)])
def test_transform_is_scipys(spacing):
    rng = np.random.default_rng(5)
    for density in (0.5, 0.02, 0.0005):
        targets = rng.random((17, 24, 19)) < density
        targets[rng.integers(17), rng.integers(24), rng.integers(19)] = True
        expected = ndimage.distance_transform_edt(~targets, sampling=spacing)
        np.testing.assert_allclose(_transform(targets, spacing), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("points_a_far_one", [1, 10**4, 10**9])
def test_a_search_gives_what_the_transform_gives(monkeypatch, points_a_far_one):
    """Objects with an island far away, in a box that holds little else; many far elements bring the transform back."""
    gt, pred = np.zeros((2, 40, 50, 60), dtype=bool)
    gt[5:12, 5:15, 5:15], pred[7:13, 5:14, 7:16], pred[38, 48, 57:] = True, True, True
    expected = surface_distances(gt, pred, (2.5, 0.8, 0.9))
    monkeypatch.setattr(module, "_SMALL", 0)
    monkeypatch.setattr(module, "_POINTS_A_FAR_ONE", points_a_far_one)
    found = surface_distances(gt, pred, (2.5, 0.8, 0.9))
    np.testing.assert_allclose(found.from_gt, expected.from_gt, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.from_pred, expected.from_pred, rtol=1e-12, atol=1e-12)


def test_one_voxel_and_another_three_off():
    gt, pred = np.zeros((2, 5, 5, 9), dtype=bool)
    gt[2, 2, 2] = pred[2, 2, 5] = True
    assert both(gt, pred, (1.0, 1.0, 0.5)) == pytest.approx((1.5, (1.5 + 1.0) / 2))  # near corners and far ones
    assert both(gt, gt, (1.0, 1.0, 0.5)) == (0.0, 0.0)


def test_95_percent_forgive_a_small_island():
    """A slab of 40 x 40 and an island far away that has less than a twentieth of the surface."""
    gt, pred = np.zeros((2, 60, 60), dtype=bool)
    gt[10:50, 10:50] = pred[10:50, 10:50] = True
    pred[1, 1] = True
    assert both(gt, pred, (1.0, 1.0))[0] == 0.0
    pred[0:4, 0:4] = True
    assert both(gt, pred, (1.0, 1.0))[0] > 5.0


def test_a_shifted_plate_worked_by_hand():
    """Plates of one voxel's thickness, 3 mm apart: every element is 3 mm off, but for none."""
    gt, pred = np.zeros((2, 9, 6, 6), dtype=bool)
    gt[2], pred[5] = True, True
    distances = surface_distances(gt, pred, (1.5, 1.0, 1.0))
    assert hd95(distances) == 4.5
    assert set(np.round(distances.from_gt, 12)) == {3.0, 4.5}
    assert assd(distances) == pytest.approx(3.75)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), *SPACINGS])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_masks_equal_the_peer(peer, spacing, data):
    shape = (9, 8) if len(spacing) == 2 else (5, 6, 4)
    gt, pred = (data.draw(hnp.arrays(bool, shape, fill=st.nothing())) for _ in range(2))
    if gt.any() and pred.any():
        np.testing.assert_allclose(both(gt, pred, spacing), peers(gt, pred, spacing), rtol=1e-12, atol=1e-12)


def test_real_cases_equal_the_peer(real_reference, peer):
    """The largest object of each real case, shifted, its spacing turned to the array's order."""
    reference = read_reference(real_reference)
    label = int(np.bincount(reference.array.reshape(-1))[1:].argmax()) + 1
    gt = reference.array == label
    box = ndimage.find_objects(gt.view(np.uint8))[0]
    gt = np.pad(gt[box], 4)
    pred = np.roll(gt, (2, -3), (-1, -2))
    if gt.size > 500_000:
        pytest.skip("the peer takes long")
    spacing = (1.0, 1.0) if gt.ndim == 2 else tuple(reference.spacing_mm[::-1])
    np.testing.assert_allclose(both(gt, pred, spacing), peers(gt, pred, spacing), rtol=1e-12, atol=1e-12)


def test_mean_over_classes_in_array_order(peer):
    gt = blocks((8, 30, 40))
    pred = moved(gt, 3)
    pred[2] = 0
    found = further(gt, pred, (0.5, 1.0, 4.0))
    expected = np.mean([peers(gt == i, pred == i, (4.0, 1.0, 0.5)) for i in (1, 2, 3)], axis=0)
    assert (found["hd95_mm"], found["assd_mm"]) == pytest.approx(tuple(expected), abs=1e-12)


def test_images_are_measured_in_pixels(peer):
    gt, pred = blocks(), moved(blocks(), 3)
    found = further(gt, pred)
    expected = np.mean([peers(gt == i, pred == i, (1.0, 1.0)) for i in (1, 2, 3)], axis=0)
    assert (found["hd95_mm"], found["assd_mm"]) == pytest.approx(tuple(expected), abs=1e-12)


def test_a_missed_class_leaves_the_case_without_a_distance():
    gt, pred = blocks(), moved(blocks())
    pred[pred == 3] = 0
    for a, b in ((gt, pred), (pred, gt)):
        found = further(a, b)
        assert math.isnan(found["hd95_mm"])
        assert math.isnan(found["assd_mm"])
    gap = np.where(gt == 2, 0, gt)
    assert further(gap, moved(gap))["hd95_mm"] == pytest.approx(further(gt, moved(gt))["hd95_mm"])


def test_empty_masks_have_no_distance():
    empty, full = np.zeros((4, 4), dtype=bool), np.ones((4, 4), dtype=bool)
    for gt, pred in ((empty, full), (full, empty), (empty, empty)):
        with pytest.raises(ValueError, match="empty"):
            surface_distances(gt, pred, (1.0, 1.0))
