"""Codes, areas and the NSD of one class: worked by hand, from the definition, and against the peer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.score import nsd as nsd_module
from harness.score.nsd import class_nsd, transformed_nsd
from harness.score.reach import reach_of
from harness.score.surface import image_areas, is_surface, neighbour_codes, surface_areas
from tests.score import score_oracle

UNIT = (1.0, 1.0, 1.0)
#: Spacings without ties at 2 mm that rounding could tear apart.
PLAIN = [UNIT, (0.7, 0.8, 3.1), (2.5, 0.9, 0.9), (5.1, 5.1, 0.6), (3.3, 3.3, 3.3), (0.45, 0.45, 0.31)]
#: Spacings with elements exactly at 2 mm: 20 x 0.1, 5 x 0.4, 3 x 0.4 by 4 x 0.4, ...
TIED = [(0.1, 0.1, 0.1), (0.4, 0.4, 0.4), (0.4, 0.1, 2.0), (1.2, 1.6, 0.5), (float(np.float32(0.4)),) * 3]
#: Spacings where distances of 2 mm are rounded to both sides of it.
TORN = [(0.4, 0.2666666666666667, 0.5), (0.6, 0.1454545454545455, 0.5), (1.2, 0.1777777778, 0.5)]


def voxels(shape, *places):
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def masks(shape):
    return st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))


# ------------------------------------------------------------------ surface


@pytest.mark.parametrize("spacing", [*PLAIN, *TIED, (1e-3, 1.0, 1e3)])
def test_areas_are_the_peers_to_the_bit(spacing):
    from surface_distance.lookup_tables import create_table_neighbour_code_to_surface_area

    assert np.array_equal(surface_areas(spacing), create_table_neighbour_code_to_surface_area(spacing))


def test_codes_are_those_of_the_peers_kernel():
    from scipy import ndimage
    from surface_distance.lookup_tables import ENCODE_NEIGHBOURHOOD_3D_KERNEL

    mask = np.random.default_rng(1).random((5, 6, 7)) < 0.5
    padded = np.pad(mask.astype(np.uint8), (0, 1))
    expected = ndimage.correlate(padded, ENCODE_NEIGHBOURHOOD_3D_KERNEL, mode="constant", cval=0)
    assert np.array_equal(neighbour_codes(mask), expected)


def test_surface_is_every_code_but_none_and_all():
    codes = np.arange(256, dtype=np.uint8)
    assert is_surface(codes).tolist() == [0 < code < 255 for code in range(256)]


def test_area_of_one_voxel_is_eight_cut_corners():
    codes = neighbour_codes(voxels((1, 1, 1), (0, 0, 0)))
    assert surface_areas(UNIT)[codes].sum() == pytest.approx(8 * math.sqrt(3) / 8)


def test_area_of_a_cubes_face_grows_with_the_other_two_sides():
    codes = neighbour_codes(np.ones((4, 4, 4), dtype=bool))
    face_0, face_2 = codes[0, 2, 2], codes[2, 2, 0]
    areas = surface_areas((2.0, 3.0, 5.0))
    assert areas[face_0] == 15.0
    assert areas[face_2] == 6.0


def test_an_image_is_a_volume_one_voxel_thick():
    image = np.random.default_rng(2).random((9, 8)) < 0.5
    flat = neighbour_codes(image)
    thick = neighbour_codes(image[..., None])
    for spacing in (UNIT, (0.5, 2.0, 3.0)):
        assert np.allclose(image_areas(spacing)[flat], surface_areas(spacing)[thick].sum(axis=-1), rtol=1e-15)


def test_every_pixel_of_a_filled_image_carries_surface():
    codes = neighbour_codes(np.ones((6, 6), dtype=bool))
    assert image_areas(UNIT)[codes[1:-1, 1:-1]].tolist() == [[2.0] * 5] * 5  # front and back


# ------------------------------------------------------------------ NSD by hand


def test_two_voxels_three_apart_meet_with_half_their_corners():
    # Corners at 0 and 1 here, at 3 and 4 there: the inner ones are 2 mm apart, the outer ones 3 mm.
    gt, pred = voxels((4, 1, 1), (0, 0, 0)), voxels((4, 1, 1), (3, 0, 0))
    assert class_nsd(gt, pred, UNIT, 2.0) == 0.5
    assert class_nsd(gt, pred, (1.01, 1.0, 1.0), 2.0) == 0.0
    assert class_nsd(gt, pred, UNIT, 3.0) == 1.0


def test_spacing_belongs_to_array_axes_in_the_order_given():
    gt, pred = voxels((1, 1, 4), (0, 0, 0)), voxels((1, 1, 4), (0, 0, 3))
    assert class_nsd(gt, pred, (9.0, 9.0, 1.0), 2.0) == 0.5
    assert class_nsd(gt, pred, (1.0, 9.0, 9.0), 2.0) == 0.0


def test_empty_masks():
    none, some = voxels((3, 3), ()), voxels((3, 3), (1, 1))
    none[:] = False
    assert class_nsd(some, none, UNIT, 2.0) == 0.0
    assert class_nsd(none, some, UNIT, 2.0) == 0.0
    assert math.isnan(class_nsd(none, none, UNIT, 2.0))


def test_tolerance_zero_asks_for_the_same_place_and_negative_ones_are_refused():
    gt, pred = voxels((1, 4), (0, 0)), voxels((1, 4), (0, 1))
    assert class_nsd(gt, gt, UNIT, 0.0) == 1.0
    assert class_nsd(gt, pred, UNIT, 0.0) == pytest.approx(score_oracle.class_nsd(gt, pred, UNIT, 0.0))
    with pytest.raises(ValueError, match="negative"):
        class_nsd(gt, pred, UNIT, -1.0)


# ------------------------------------------------------------------ NSD against others


@pytest.mark.parametrize("spacing", PLAIN)
@settings(max_examples=12, deadline=None)
@given(pair=masks((5, 6, 4)), tolerance=st.sampled_from([0.5, 1.05, 2.0, 3.7]))
def test_volumes_equal_the_definition(spacing, pair, tolerance):
    found = class_nsd(*pair, spacing, tolerance)
    np.testing.assert_allclose(found, score_oracle.class_nsd(*pair, spacing, tolerance), rtol=0, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(pair=masks((6, 9)), tolerance=st.sampled_from([1.0, 1.5, 2.0]))
def test_images_equal_the_definition(pair, tolerance):
    found = class_nsd(*pair, UNIT, tolerance)
    np.testing.assert_allclose(found, score_oracle.class_nsd(*pair, UNIT, tolerance), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spacing", [*PLAIN, *TIED, *TORN, (1e-3, 0.05, 6.0), (0.02, 0.02, 0.02), (40.0, 3.0, 0.3)])
def test_sparse_and_dense_masks_equal_the_peer(spacing, peer):
    rng = np.random.default_rng(7)
    for density in (0.002, 0.02, 0.3):
        gt, pred = rng.random((2, 24, 21, 13)) < density
        gt[3, 4, 5] = pred[-1, -1, -1] = True
        expected = peer.class_nsd(gt, pred, spacing)
        assert class_nsd(gt, pred, spacing, 2.0) == pytest.approx(expected, rel=0, abs=1e-12)
        assert transformed_nsd(gt, pred, spacing, 2.0) == expected  # also the order of summation


@pytest.fixture
def asked(monkeypatch):
    """Calls of scipy's transform about tied elements, as they come."""
    calls = []
    judge = nsd_module._tied_beyond

    def counted(*args):
        calls.append(args)
        return judge(*args)

    monkeypatch.setattr(nsd_module, "_tied_beyond", counted)
    return calls


@pytest.mark.parametrize("spacing", TORN)
def test_torn_ties_are_left_to_the_transform(spacing, peer, asked):
    """Elements at 2 mm on both sides of it by rounding: only scipy's choice can tell."""
    torn = reach_of(spacing, 2.0, (99, 99, 99)).torn
    within = next((a, b, d) for a, b, c, d, e in torn.tolist() if d > c)
    beyond = next((a, b, e) for a, b, c, d, e in torn.tolist() if e > d)
    start = np.abs(np.minimum(np.minimum(within, beyond), 0))
    shape = tuple(start + np.maximum(np.maximum(within, beyond), 0) + 1)
    gt = voxels(shape, tuple(start))
    pred = voxels(shape, tuple(start + within), tuple(start + beyond))
    assert class_nsd(gt, pred, spacing, 2.0) == pytest.approx(peer.class_nsd(gt, pred, spacing), rel=0, abs=1e-12)
    assert asked


@pytest.mark.parametrize("spacing", [UNIT, *TIED])
def test_whole_ties_need_no_transform(spacing, asked):
    rng = np.random.default_rng(3)
    gt, pred = rng.random((2, 12, 12, 12)) < 0.01
    assert 0.0 <= class_nsd(gt, pred, spacing, 2.0) <= 1.0
    assert not asked


# ------------------------------------------------------------------ properties


@settings(max_examples=40, deadline=None)
@given(pair=masks((6, 5, 4)), spacing=st.sampled_from([*PLAIN, *TIED, *TORN]))
def test_symmetry_range_and_identity(pair, spacing):
    gt, pred = pair
    found = class_nsd(gt, pred, spacing, 2.0)
    if not (gt.any() or pred.any()):
        assert math.isnan(found)
        return
    assert 0.0 <= found <= 1.0
    assert found == class_nsd(pred, gt, spacing, 2.0)
    assert class_nsd(gt, gt, spacing, 2.0) == 1.0 or not gt.any()


@settings(max_examples=40, deadline=None)
@given(pair=masks((6, 7)), tolerances=st.tuples(st.floats(0, 6), st.floats(0, 6)))
def test_a_larger_tolerance_never_lowers_it(pair, tolerances):
    gt, pred = pair
    gt[0, 0] = True
    low, high = sorted(tolerances)
    assert class_nsd(gt, pred, UNIT, low) <= class_nsd(gt, pred, UNIT, high)


@settings(max_examples=30, deadline=None)
@given(pair=masks((4, 5, 6)), margin=st.integers(0, 3), spacing=st.sampled_from([*PLAIN, *TORN]))
def test_background_around_changes_nothing(pair, margin, spacing):
    gt, pred = pair
    gt[0, 0, 0] = True
    wide = [np.pad(mask, margin) for mask in pair]
    assert class_nsd(gt, pred, spacing, 2.0) == class_nsd(*wide, spacing, 2.0)
