"""The demo submissions: hand-made arrays, any box that the contract allows, sample cases and real ones."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness import contract
from models import boxfill, ellipse, regions, serve, threshold

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("boxfill", "ellipse", "threshold")
SEGMENT = {name: importlib.import_module(f"models.{name}").segment for name in NAMES}
REAL = Path(os.environ.get("HARNESS_REALCASES", ROOT.parent / "shared" / "realcases"))


def dice(reference: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the reference's objects, written independently of the scorer."""
    scores = []
    for number in range(1, int(reference.max()) + 1):
        a, b = reference == number, labels == number
        scores.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return float(np.mean(scores))


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, None], 3, axis=2).astype(np.uint8)


# --------------------------------------------------------------------------- boxes to pixels


@pytest.mark.parametrize(
    ("box", "shape", "rows", "columns"),
    [
        ([2, 1, 4, 3], (6, 8), (1, 4), (2, 5)),  # both ends belong to the box
        ([0, 0, 8, 6], (6, 8), (0, 6), (0, 8)),  # the size itself means the last index
        ([7, 5, 8, 6], (6, 8), (5, 6), (7, 8)),
        ([1.4, 0.6, 3.5, 2.2], (6, 8), (1, 3), (1, 5)),  # to the nearest index
        ([7.6, 5.7, 8.0, 6.0], (6, 8), (5, 6), (7, 8)),
    ],
)
def test_planar_box(box, shape, rows, columns):
    assert regions.region_of(np.array(box), shape) == (slice(*rows), slice(*columns))


@pytest.mark.parametrize(("z", "want"), [((2, 4), (2, 5)), ((3, 3), (3, 4)), ((0, 0), (0, 1)), ((6, 6), (5, 6))])
def test_z_max_is_a_slice_of_the_box(z, want):
    box = np.array([1, 1, z[0], 3, 3, z[1]])
    assert regions.region_of(box, (6, 9, 9))[0] == slice(*want)


@st.composite
def prompts(draw: st.DrawFn):
    """An image with boxes, ints or floats, that `contract.read_case` would accept."""
    volume = draw(st.booleans())
    shape = tuple(draw(st.integers(1, 9)) for _ in range(3 if volume else 2))
    floats = draw(st.booleans())
    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        low, high = [], []
        for axis, n in enumerate(shape[::-1]):
            if floats:
                pair = sorted(draw(st.tuples(st.floats(0, n, width=32), st.floats(0, n, width=32))))
                if axis < 2 and pair[0] == pair[1]:
                    pair = [0.0, float(n)]
            else:
                a = draw(st.integers(0, n - 1))
                pair = [a, draw(st.integers(a if axis == 2 else a + 1, n))]
            low.append(pair[0])
            high.append(pair[1])
        boxes.append(low + high)
    values = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 255), fill=st.integers(0, 255)))
    return (values if volume else grey(values)), np.array(boxes), shape


@settings(max_examples=150, deadline=None)
@given(prompts())
def test_any_valid_box_gives_labels_inside_it_and_the_last_one_is_never_lost(prompt):
    imgs, boxes, shape = prompt
    for name in NAMES:
        labels = SEGMENT[name](imgs, boxes)
        assert labels.shape == shape
        assert labels.max() <= len(boxes)
        assert (labels == len(boxes)).any(), name
        for number, box in enumerate(boxes, start=1):
            outside = np.ones(shape, dtype=bool)
            outside[regions.region_of(box, shape)] = False
            assert not (labels[outside] == number).any()


@settings(max_examples=60, deadline=None)
@given(prompts())
def test_inputs_stay_as_they_are(prompt):
    imgs, boxes, _ = prompt
    before = imgs.copy(), boxes.copy()
    for name in NAMES:
        SEGMENT[name](imgs, boxes)
    np.testing.assert_array_equal(imgs, before[0])
    np.testing.assert_array_equal(boxes, before[1])


# --------------------------------------------------------------------------- boxfill and ellipse


def test_boxfill_fills_and_later_boxes_lie_over_earlier_ones():
    labels = boxfill.segment(np.zeros((4, 6, 3), np.uint8), np.array([[0, 0, 3, 2], [2, 1, 6, 4]]))
    assert labels.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 2, 2, 2, 2], [1, 1, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2]]


def test_more_than_255_boxes_keep_their_numbers():
    boxes = np.array([[x, y, x + 1, y + 1] for y in range(0, 40, 2) for x in range(0, 40, 2)])
    labels = boxfill.segment(np.zeros((41, 41, 3), np.uint8), boxes)
    assert labels.max() == 400
    assert len(np.unique(labels)) == 401


def test_ellipse_of_five_by_five_by_hand():
    """Centre 2, half axis 2.5: pixels with dx^2 + dy^2 <= 6.25, all but the corners (8)."""
    labels = ellipse.segment(np.zeros((5, 5, 3), np.uint8), np.array([[0, 0, 4, 4]]))
    want = np.ones((5, 5), dtype=int)
    want[::4, ::4] = 0
    assert labels.tolist() == want.tolist()


def test_ellipse_and_ellipsoid_have_their_area_and_volume_and_touch_all_sides():
    flat = ellipse.segment(np.zeros((300, 200, 3), np.uint8), np.array([[20, 30, 180, 270]]))
    assert flat.sum() == pytest.approx(np.pi / 4 * 161 * 241, rel=0.005)
    solid = ellipse.segment(np.zeros((60, 80, 100), np.uint8), np.array([[5, 5, 5, 94, 74, 54]]))
    assert solid.sum() == pytest.approx(np.pi / 6 * 90 * 70 * 50, rel=0.01)
    for labels, axes in ((flat, 2), (solid, 3)):
        span = np.argwhere(labels)
        low, high = ((30, 20), (270, 180)) if axes == 2 else ((5, 5, 5), (54, 74, 94))
        assert span.min(axis=0).tolist() == list(low)
        assert span.max(axis=0).tolist() == list(high)


# --------------------------------------------------------------------------- threshold


def test_otsu_of_a_worked_example():
    """Three 0, one 2, four 10: t = 2 parts {0,0,0,2} from {10 x 4}; variances 24.5, 22.56 by hand."""
    values = np.array([0, 0, 0, 2, 10, 10, 10, 10], dtype=np.uint8)
    assert threshold.otsu(values) == 2


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.uint16, st.integers(1, 60), elements=st.integers(0, 765)))
def test_otsu_is_the_best_split_of_all(values):
    """Against the definition: weighted variance within the two classes, least over every threshold."""
    found = threshold.otsu(values)
    within = {
        int(t): values[values <= t].var() * (values <= t).sum() + values[values > t].var() * (values > t).sum()
        for t in np.unique(values)[:-1]
    }
    if not within:
        assert found is None
    else:
        assert within[found] == pytest.approx(min(within.values()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("inside", "outside"), [(200, 40), (40, 200)])
def test_a_disc_is_found_whether_bright_or_dark_and_its_hole_is_filled(inside, outside):
    y, x = np.mgrid[:60, :80]
    disc = (y - 30) ** 2 + (x - 41) ** 2 < 15**2
    values = np.where(disc, inside, outside)
    values[28:32, 40:44] = outside  # a hole
    values[18:20, 26:28] = inside  # a speck in the box's corner, not connected
    labels = threshold.segment(grey(values), np.array([[24, 13, 58, 47]]))
    np.testing.assert_array_equal(labels == 1, disc)


@pytest.mark.parametrize("z", [(2, 7), (4, 4)])
def test_a_ball_with_a_cavity_is_found_in_volumes_and_in_single_slices(z):
    zz, y, x = np.mgrid[:10, :40, :40]
    ball = (4 * (zz - 4.5)) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < 14**2
    values = np.where(ball, 180, 60).astype(np.uint8)
    values[:, 19:22, 19:22] = 60
    labels = threshold.segment(values, np.array([[5, 5, z[0], 35, 35, z[1]]]))
    want = ball & (zz >= z[0]) & (zz <= z[1])
    np.testing.assert_array_equal(labels == 1, want)


def test_without_contrast_the_box_is_the_answer():
    labels = threshold.segment(np.full((8, 8, 3), 99, np.uint8), np.array([[2, 3, 5, 6]]))
    assert np.argwhere(labels).min(axis=0).tolist() == [3, 2]
    assert labels.sum() == 16


# --------------------------------------------------------------------------- as submissions, on cases


def predict(name: str, inputs: Path, outputs: Path) -> None:
    outputs.mkdir(parents=True)
    assert serve.serve(SEGMENT[name], [str(inputs), str(outputs)]) == 0


def mean_dice(predictions: Path, references: Path) -> dict[str, float]:
    scores = {}
    for path in sorted(predictions.glob("*.npz")):
        reference = contract.read_reference(references / path.name).array
        labels = contract.read_prediction(path, reference.shape)
        assert labels.notes == ()
        scores[path.stem] = dice(reference, labels.array)
    return scores


def test_methods_differ_on_the_sample_cases(tmp_path: Path):
    """The floor that every later comparison stands on: fill < ellipse < threshold, but not everywhere."""
    table = {}
    for name in NAMES:
        predict(name, ROOT / "inputs" / "imgs", tmp_path / name)
        table[name] = mean_dice(tmp_path / name, ROOT / "inputs" / "gts")
        assert len(table[name]) == 13
    mean = {name: np.mean(list(scores.values())) for name, scores in table.items()}
    assert mean["boxfill"] + 0.05 < mean["ellipse"]
    assert mean["ellipse"] + 0.03 < mean["threshold"]
    assert any(table["ellipse"][case] > table["threshold"][case] + 0.05 for case in table["ellipse"])
    assert all(len({round(table[name][case], 4) for name in NAMES}) == 3 for case in table["ellipse"])


@pytest.mark.skipif(not (REAL / "imgs").is_dir(), reason=f"no real cases in {REAL} (HARNESS_REALCASES names them)")
def test_real_cases_give_valid_predictions_and_sensible_scores(tmp_path: Path):
    mean = {}
    for name in NAMES:
        predict(name, REAL / "imgs", tmp_path / name)
        scores = mean_dice(tmp_path / name, REAL / "gts")
        assert len(scores) == len(list((REAL / "imgs").glob("*.npz")))
        mean[name] = np.mean(list(scores.values()))
    assert mean["boxfill"] > 0.6
    assert mean["ellipse"] > mean["boxfill"]
    assert mean["threshold"] > mean["boxfill"]


@pytest.mark.skipif(not (REAL / "imgs").is_dir(), reason=f"no real cases in {REAL} (HARNESS_REALCASES names them)")
def test_boxes_of_real_cases_cover_their_objects_when_both_ends_count():
    """The rule of `regions`: were the last index outside, objects at a box's far edge would be cut."""
    touching = 0
    for path in sorted((REAL / "imgs").glob("*.npz")):
        boxes = contract.read_case(path).boxes
        labels = contract.read_reference(REAL / "gts" / path.name).array
        for number, box in enumerate(boxes, start=1):
            region = regions.region_of(box, labels.shape)
            inside = labels[region] == number
            assert np.count_nonzero(inside) == np.count_nonzero(labels == number), (path.name, number)
            touching += bool(inside[-1].any())
    assert touching > 20


@pytest.mark.parametrize("name", NAMES)
def test_as_a_program(name: str, tmp_path: Path):
    """As predict.sh starts it, with folders of its own in place of the challenge's."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    case = ROOT / "inputs" / "imgs" / "3DBox_PET_0001.npz"
    (tmp_path / "in" / case.name).write_bytes(case.read_bytes())
    command = [sys.executable, "-m", f"models.{name}", str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [case.name]
    assert f"python -m models.{name}" in (ROOT / "docker" / name / "predict.sh").read_text()


def test_an_empty_input_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert serve.serve(boxfill.segment, [str(tmp_path), str(tmp_path)]) == 2
    assert "no .npz file" in capsys.readouterr().err
