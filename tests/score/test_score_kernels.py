"""The compiled loops behind scoring: against numpy, against brute force, and at their seams."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract import Labels
from harness.score import classes, nsd
from harness.score.classes import class_pairs
from harness.score.evaluate import score_classes
from harness.score.nsd import class_nsd, nsd_of_classes, transformed_nsd
from harness.score.preload import load
from harness.score.reach import Reach, reach_of

UNIT = (1.0, 1.0, 1.0)
#: Spacings whose grids have many offsets of 2 mm.
TIED = [
    UNIT,
    (0.1, 0.1, 0.1),
    (0.4, 0.4, 0.4),
    (0.4, 0.4, 0.1),
    (0.1, 0.4, 0.4),
    (1.2, 1.2, 1.2),
    (2 / 3, 2 / 3, 2 / 3),
]
#: Spacings whose offsets of 2 mm are rounded to both sides of it.
TORN = [(0.4, 0.2666666666666667, 0.5), (0.6, 0.1454545454545455, 0.5), (1.2, 0.1777777778, 0.5)]


def strewn(rng, shape, labels, density):
    """Labels 1..labels on a share of the voxels."""
    return np.where(rng.random(shape) < density, rng.integers(1, labels + 1, shape), 0)


def pair(rng, shape, density):
    """Two masks, none of them empty, alike in half of their voxels."""
    gt = rng.random(shape) < density
    pred = np.where(rng.random(shape) < 0.5, gt, rng.random(shape) < density)
    gt.flat[0] = pred.flat[-1] = True
    return gt, pred


# ------------------------------------------------------------------ counts and boxes

SHAPES = [(1, 1, 1), (5, 6, 7), (3, 70, 130), (4, 4, 64), (2, 3, 65), (2, 3, 200), (20, 30), (300, 64), (1, 1), (9, 1)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("shape", SHAPES)
def test_voxels_and_boxes_are_numpys(shape, dtype):
    rng = np.random.default_rng(1)
    for density in (0.01, 0.4, 1.0):
        gt = strewn(rng, shape, 2, density).astype(dtype)
        pred = np.where(rng.random(shape) < 0.3, strewn(rng, shape, 4, 0.7), gt).astype(dtype)
        pairs = class_pairs(gt, pred)
        assert pairs.count == gt.max()
        for label in range(1, pairs.count + 1):
            ours, theirs = gt == label, pred == label
            assert pairs.voxels[label - 1].tolist() == [ours.sum(), theirs.sum(), (ours & theirs).sum()]
            places = (ours | theirs).nonzero()
            expected = tuple(slice(p.min(), p.max() + 1) for p in places) if places[0].size else None
            assert pairs.box(label) == expected


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", ">u2", "i4", ">i8", "u8", "f2", "f4", ">f8"])
def test_any_dtype_and_layout_gives_the_same_classes(dtype):
    rng = np.random.default_rng(2)
    gt = strewn(rng, (7, 9, 80), 1 if dtype == "?" else 5, 0.5).astype(np.uint8)
    pred = np.roll(gt, 1, axis=1)
    expected = class_pairs(gt, pred)
    for layout in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=2)[..., ::2]):
        other = layout(pred.astype(dtype))
        for found in (class_pairs(gt, other), class_pairs(layout(gt.astype(dtype)), other)):
            assert np.array_equal(found.voxels, expected.voxels)
            assert np.array_equal(found.corners, expected.corners)


def test_maps_that_fit_are_not_copied_and_may_be_read_only():
    for dtype in (np.uint8, np.uint16, np.uint32):
        gt = np.ones((4, 5, 6), dtype=dtype)
        gt.flags.writeable = False
        pairs = class_pairs(gt, gt)
        assert np.shares_memory(pairs.reference, gt)
        assert nsd_of_classes(pairs, UNIT, 2.0).tolist() == [1.0]


def test_floats_too_short_for_a_label_share_it_among_classes():
    """2049 as float16 is 2048: numpy then holds a voxel equal to both."""
    gt = np.zeros((60, 60), dtype=np.int32)
    gt.reshape(-1)[:2060] = np.arange(1, 2061)
    for ours, theirs in ((gt, gt.astype(np.float16)), (gt.astype(np.float16), gt), (gt.astype(np.float16),) * 2):
        pairs = class_pairs(ours, theirs)
        for label in (1, 2047, 2048, 2049, 2050, 2051, pairs.count):
            a, b = ours == label, theirs == label
            assert pairs.voxels[label - 1].tolist() == [a.sum(), b.sum(), (a & b).sum()]
        for label, a, b in pairs.masks():
            assert (a.sum(), b.sum()) == ((ours == label).sum(), (theirs == label).sum())
        some = [2046, 2047, 2048]
        expected = [class_nsd(ours == i + 1, theirs == i + 1, UNIT, 2.0) for i in some]
        np.testing.assert_array_equal(nsd_of_classes(pairs, UNIT, 2.0)[some], expected)


# ------------------------------------------------------------------ reach


@pytest.mark.parametrize("spacing", [*TIED[:1], *TIED[2:5], *TORN, (0.8, 0.8, 2.5), (5.0, 0.3, 0.9), (3.0, 3.0, 3.0)])
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0])
def test_columns_hold_the_offsets_in_reach_and_no_others(spacing, tolerance):
    reach = reach_of(spacing, tolerance, (30, 30, 30))
    kinds = {}
    for a, b, step in reach.columns.tolist():
        kinds |= {(a, b, k): "near" for k in range(-step, step + 1)}
    for a, b, surely, rounded, barely in reach.torn.tolist():
        for k in range(-barely, barely + 1):
            kinds[a, b, k] = "near" if abs(k) <= surely else "within" if abs(k) <= rounded else "beyond"
    for offset in itertools.product(range(-21, 22), repeat=3):
        length = np.sqrt(np.add.reduce([np.square(np.float64(n) * s) for n, s in zip(offset, spacing, strict=True)]))
        kind = kinds.get(offset, "beyond")
        assert (kind != "beyond") == (length <= tolerance)
        assert kind != "near" or len(reach.torn) == 0 or length < tolerance * (1 - 1e-9)
        assert abs(length - tolerance) > 1e-9 * tolerance or len(reach.torn) == 0 or offset in kinds


def test_columns_come_with_falling_steps():
    columns = reach_of((0.4, 0.4, 0.1), 2.0, (99, 99, 99)).columns
    assert columns[0].tolist() == [0, 0, 20]
    assert (np.diff(columns[:, 2]) <= 0).all()


def test_reach_ends_where_the_box_does():
    reach = reach_of((1e-3, 1e-9, 1e-3), 2.0, (4, 3, 2))
    assert reach.radius == (4, 3)
    assert reach.columns[:, 2].max() == 2


# ------------------------------------------------------------------ surfaces

GRIDS = [
    UNIT,
    (0.8, 0.8, 2.5),
    (0.4, 0.4, 0.1),
    (0.3, 0.3, 0.3),
    (0.5, 0.5, 0.033),  # 60 steps along the last axis: just shifted
    (0.5, 0.9, 0.03),  # 66: searched
    (12.0, 0.3, 0.7),
    (40.0, 3.0, 0.3),
]


@pytest.mark.parametrize("spacing", GRIDS)
def test_rows_longer_than_a_word(spacing, peer):
    rng = np.random.default_rng(3)
    for shape in ((3, 4, 63), (4, 3, 64), (3, 3, 65), (2, 3, 200), (1, 1, 300)):
        for density in (0.005, 0.3):
            gt, mask = pair(rng, shape, density)
            expected = peer.class_nsd(gt, mask, spacing)
            assert class_nsd(gt, mask, spacing, 2.0) == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("image", [False, True])
def test_islands_with_empty_planes_between_them(spacing, image, peer):
    """Planes are kept in rings and cleared: nothing of an island may be left when the next one comes."""
    rng = np.random.default_rng(4)
    for _ in range(6):
        sides = np.zeros((2, 60, 40, 90) if not image else (2, 200, 90), dtype=bool)
        for mask in sides:
            for _ in range(4):
                corner = [rng.integers(0, n - 6) for n in mask.shape]
                mask[tuple(slice(c, c + rng.integers(1, 7)) for c in corner)] = True
        thick = sides[..., None] if image else sides
        expected = peer.class_nsd(*thick, spacing)
        assert class_nsd(*sides, spacing, 2.0) == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("spacing", GRIDS)
def test_images_of_many_bands(spacing, peer):
    """Rows of an image are judged some at a time: all must be, once, by what lies in reach in the next ones too."""
    rng = np.random.default_rng(10)
    for height, density in ((127, 0.0), (300, 0.002)):
        gt = rng.random((height, 75)) < density
        gt[:, 70:72] = gt[:, :2] = True
        gt[height // 3 : height // 3 + 80, 20:60] = True
        pred = np.roll(gt, rng.integers(-3, 4, 2), axis=(0, 1))
        expected = peer.class_nsd(gt[..., None], pred[..., None], spacing)
        assert class_nsd(gt, pred, spacing, 2.0) == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("cap", [1, 40, 100])
def test_slabs_of_planes_change_nothing(cap, monkeypatch):
    rng = np.random.default_rng(5)
    gt = strewn(rng, (37, 8, 9), 6, 0.02).astype(np.uint8)
    gt[0, 0, :6] = np.arange(1, 7)
    pred = np.roll(gt, (3, 1), (0, 2))
    expected = class_pairs(gt, pred)
    monkeypatch.setattr(classes, "_MAX_EXTENTS", cap)
    found = class_pairs(gt, pred)
    assert found.thickness > expected.thickness == 1
    assert np.array_equal(found.corners, expected.corners)
    assert np.array_equal(nsd_of_classes(found, UNIT, 2.0), nsd_of_classes(expected, UNIT, 2.0))


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_slabs_of_an_images_rows_change_nothing(rows, monkeypatch):
    rng = np.random.default_rng(11)
    gt = strewn(rng, (290, 75), 5, 0.01).astype(np.uint8)
    gt[0, :5] = np.arange(1, 6)
    pred = np.roll(gt, (3, 1), (0, 1))
    expected = class_pairs(gt, pred)
    monkeypatch.setattr(classes, "_ROWS_OF_SLAB", rows)
    found = class_pairs(gt, pred)
    assert found.thickness == rows != expected.thickness
    assert np.array_equal(found.corners, expected.corners)
    assert np.array_equal(nsd_of_classes(found, UNIT, 2.0), nsd_of_classes(expected, UNIT, 2.0))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.float32])
def test_more_classes_than_are_counted_at_once(dtype, official):
    rng = np.random.default_rng(6)
    gt = np.zeros((130, 130), dtype=dtype)
    gt[::5, ::5] = np.arange(1, 677).reshape(26, 26)
    gt[1::5, ::5] = gt[::5, ::5]
    pred = np.where(rng.random(gt.shape) < 0.2, 0, np.roll(gt, 1, axis=1) if dtype == np.uint32 else gt)
    pred = np.where(rng.random(gt.shape) < 0.01, 3, pred).astype(dtype)
    found = score_classes(Labels(pred, None), Labels(gt, None), official, volume=False)
    nsd_values = nsd_of_classes(class_pairs(gt, pred), UNIT, 2.0)
    for label in range(1, 677, 25):
        ours, theirs = gt == label, pred == label
        assert found.dsc[label - 1] == 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        expected = transformed_nsd(ours, theirs, UNIT, 2.0) if theirs.any() else 0.0
        assert nsd_values[label - 1] == pytest.approx(expected, rel=0, abs=1e-12)


def test_each_loop_is_compiled_once_for_all_dtypes():
    from harness.score import kernels

    load()
    for dtype in (np.uint8, np.uint16, np.int64, np.float32):
        for shape in ((4, 4), (3, 4, 5)):
            labels = np.ones(shape, dtype=dtype)
            nsd_of_classes(class_pairs(labels, labels), TORN[0], 2.0)
    assert len(kernels.count_labels.signatures) == 1
    assert len(kernels.image_surfaces.signatures) == len(kernels.volume_surfaces.signatures) == 1


# ------------------------------------------------------------------ ties


def every_tie_torn(spacing, tolerance, shape):
    """The reach with all offsets at the tolerance left to the transform, as if rounding always tore them."""
    plain = reach_of(spacing, tolerance, shape)
    surely = reach_of(spacing, tolerance * (1 - 1e-9), shape)
    first, second, steps = plain.columns.T
    near = {(a, b): k for a, b, k in surely.columns.tolist()}
    low = np.array([near.get((a, b), -1) for a, b in zip(first.tolist(), second.tolist(), strict=True)], dtype=np.int64)
    if len(plain.torn):
        return plain
    torn = np.column_stack((first, second, low, steps, steps))[low < steps]
    torn = np.ascontiguousarray(torn)
    torn.flags.writeable = False  # as numba knows them
    return Reach(plain.radius, surely.columns, torn)


@pytest.mark.parametrize("spacing", TORN)
@pytest.mark.parametrize("cell", [1, 4, 32])
def test_parts_decide_ties_as_the_whole_transform_does(spacing, cell, monkeypatch):
    """Tie-heavy masks whose nearest elements lie at 2 mm on both sides of it by rounding."""
    monkeypatch.setattr(nsd, "_CELL", cell)
    rng = np.random.default_rng(7)
    torn = reach_of(spacing, 2.0, (99, 99, 99)).torn
    torn = torn[(torn[:, :2] >= 0).all(axis=1)]
    kinds = [torn[torn[:, 3] > torn[:, 2]][:, [0, 1, 3]], torn[torn[:, 4] > torn[:, 3]][:, [0, 1, 4]]]
    asked = 0
    for _ in range(12):
        gt = np.zeros((26, 60, 26), dtype=bool)
        pred = gt.copy()
        for place in rng.integers(0, gt.shape, (6, 3)):
            gt[tuple(place)] = True
            # Both in one octant, so that one corner of the voxel has its nearest elements there.
            octant = np.where(place < np.array(gt.shape) // 2, 1, -1)
            for offsets in kinds:
                pred[tuple(place + octant * rng.choice(offsets))] = True
        pred[0, 0, 0] = True
        monkeypatch.setattr(nsd, "_tied_beyond", _counting(calls := [], _TIED_BEYOND))
        found = class_nsd(gt, pred, spacing, 2.0)
        asked += sum(calls)
        assert found == pytest.approx(transformed_nsd(gt, pred, spacing, 2.0), rel=0, abs=1e-12)
    assert asked > 20


_TIED_BEYOND = nsd._tied_beyond


def _counting(calls, function):
    def counted(pairs, label, side, corners, *rest):
        calls.append(len(corners))
        return function(pairs, label, side, corners, *rest)

    return counted


@settings(max_examples=25, deadline=None)
@given(
    data=st.data(),
    spacing=st.sampled_from([*TIED, *TORN]),
    image=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.002, 0.01, 0.05]),
)
def test_parts_of_the_transform_are_the_whole_where_elements_are_near(data, spacing, image, seed, density):
    """Distances up to the tolerance that a part gives are those of the whole, to the bit, wherever it is cut."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    shape = (70, 60) if image else (30, 34, 28)
    spacing = spacing[: len(shape)]
    surface = rng.random(shape) < density
    surface.flat[0] = True
    whole = ndimage.distance_transform_edt(~surface, sampling=spacing)
    margin = np.array([int(2.0 * (1 + 1e-9) / s) + 1 for s in spacing])
    low = np.array([data.draw(st.integers(0, n - 1)) for n in shape])
    high = np.minimum(low + data.draw(st.integers(0, 8)), np.array(shape) - 1)
    first, last = np.maximum(low - margin, 0), np.minimum(high + margin + 1, shape)
    part = surface[tuple(map(slice, first, last))]
    if part.any():
        there = ndimage.distance_transform_edt(~part, sampling=spacing)[
            tuple(map(slice, low - first, high - first + 1))
        ]
        here = whole[tuple(map(slice, low, high + 1))]
        near = here <= 2.0 * (1 + 1e-9)
        assert np.array_equal(there[near], here[near])
        assert (there[~near] > 2.0 * (1 + 1e-9)).all()


@pytest.mark.parametrize("spacing", [*TIED, *TORN])
@pytest.mark.parametrize("room", [1, 1 << 12])
def test_ties_that_rounding_does_not_tear_can_be_left_to_the_transform_too(spacing, room, monkeypatch):
    monkeypatch.setattr(nsd, "reach_of", every_tie_torn)
    monkeypatch.setattr(nsd, "_TIES", room)
    rng = np.random.default_rng(8)
    for shape in ((14, 17, 21), (40, 44)):
        gt, pred = pair(rng, shape, 0.01)
        found = class_nsd(gt, pred, spacing, 2.0)
        assert found == pytest.approx(transformed_nsd(gt, pred, spacing, 2.0), rel=0, abs=1e-12)


# ------------------------------------------------------------------ memory

MEASURE = """
from pathlib import Path
import numpy as np
from harness.contract import Labels
from harness.protocol import Scoring
from harness.score.evaluate import score_prediction

shape = {shape}
gt = np.zeros(shape, dtype=np.uint8)
gt[tuple(slice(n // 8, n - n // 8) for n in shape)] = 1
pred = np.roll(gt, 5, axis=-1)
pred[..., :2] = 1
spacing = None if len(shape) == 2 else np.array({spacing})
score_prediction(Labels(pred, None), Labels(gt, spacing), Scoring(2.0, 0.2, 4), volume=len(shape) == 3)
# Not getrusage, whose maximum a process inherits from the one that started it.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024 - gt.nbytes - pred.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("shape", "spacing"), [((3024, 4032), None), ((160, 400, 400), (0.8, 0.8, 0.8)), ((100, 300, 300), (0.1, 0.1, 0.1))]
)
def test_memory_beside_the_label_maps_is_bounded(shape, spacing):
    """The official evaluator takes 1.7 GB for the photograph."""
    load()
    code = MEASURE.format(shape=shape, spacing=spacing)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 512 << 20
