"""What is written: numpy reads it back, the bytes repeat, and a file appears whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.contract import read_prediction, write_prediction
from harness.npz import open_npz, write_npz


@settings(max_examples=60, deadline=None)
@given(
    array=hnp.arrays(
        st.one_of(hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes()),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    ),
    level=st.integers(0, 9),
    fortran=st.booleans(),
)
def test_round_trip_against_numpy(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, level: int, fortran: bool
) -> None:
    """For any array: numpy reads what we write, and we read what numpy writes."""
    folder = tmp_path_factory.mktemp("trip")
    array = np.asfortranarray(array) if fortran else array
    write_npz(folder / "ours.npz", {"segs": array, "spacing": np.ones(3)}, level=level)
    np.savez_compressed(folder / "theirs.npz", segs=array)
    with np.load(folder / "ours.npz", allow_pickle=False) as npz:
        assert npz.files == ["segs", "spacing"]
        assert npz["segs"].dtype == array.dtype
        np.testing.assert_array_equal(npz["segs"], array)
    for name in ("ours.npz", "theirs.npz"):
        with open_npz(folder / name) as reader:
            assert "segs" in reader
            header = reader.verify("segs")
            assert (header.shape, header.dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(reader.read("segs"), array)


WIDTHS = {0: "u1", 1: "u1", 127: "u1", 255: "u1", 256: "u2", 70_000: "u4"}
FITTING = [(d, h) for d in ("?", "i1", "i8", "u4", "f4", "f8") for h in WIDTHS if h <= {"?": 1, "i1": 127}.get(d, h)]


@pytest.mark.parametrize(("dtype", "highest"), FITTING)
def test_predictions_take_the_smallest_dtype(tmp_path: Path, dtype: str, highest: int) -> None:
    smallest = WIDTHS[highest]
    segs = np.zeros((4, 5), dtype)
    segs[2, 3] = highest
    write_prediction(tmp_path / "a.npz", segs)
    labels = read_prediction(tmp_path / "a.npz", (4, 5))
    assert labels.array.dtype == smallest
    assert labels.notes == ()
    np.testing.assert_array_equal(labels.array, segs.astype(smallest))


def test_an_empty_prediction_can_be_written(tmp_path: Path) -> None:
    write_prediction(tmp_path / "a.npz", np.zeros((0, 5), int))
    assert read_prediction(tmp_path / "a.npz", (0, 5)).array.dtype == np.uint8


@pytest.mark.parametrize("bad", [-1, 1.5, np.nan, np.inf])
def test_labels_that_are_no_numbers_of_boxes(tmp_path: Path, bad: float) -> None:
    with pytest.raises(ValueError, match="labels are numbers of boxes"):
        write_prediction(tmp_path / "a.npz", np.array([[0, bad]]))
    assert list(tmp_path.iterdir()) == []


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    arrays = {"imgs": np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "boxes": np.ones((2, 4))}
    write_npz(tmp_path / "a.npz", arrays)
    time.sleep(2.1)  # a zip date counts in steps of two seconds
    write_npz(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_object_array_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"segs": np.ones(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(path, {"segs": np.array([None])})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
