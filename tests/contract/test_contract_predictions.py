"""Predictions: what is accepted, and that everything else ends in a PredictionError with file, fault and remedy."""

from __future__ import annotations

import os
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from harness.contract import read_prediction
from tests.contract.forge import Member, claim, npy, write
from tests.contract.reading import SEGS, SHAPE, accepted, refused

# --------------------------------------------------------------------------- accepted


@pytest.mark.parametrize("code", "?bBhHiIlLqQefdg")
@pytest.mark.parametrize("order", "<>")
def test_every_real_dtype_in_both_byte_orders(tmp_path: Path, code: str, order: str) -> None:
    """Bool, all integers and finite floats are accepted; floats are noted."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, segs=SEGS.astype(np.dtype(code).newbyteorder(order)))
    np.testing.assert_array_equal(accepted(path), SEGS.astype(code))
    labels = read_prediction(path, SHAPE)
    assert labels.array.dtype.isnative
    assert bool(labels.notes) == (np.dtype(code).kind == "f")
    assert labels.spacing_mm is None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stored_and_deflated_with_further_arrays_beside(tmp_path: Path, save) -> None:
    """Other keys, pickled ones included, are not looked at."""
    path = tmp_path / "a.npz"
    save(path, segs=SEGS, other=np.array([{}], dtype=object))
    np.testing.assert_array_equal(accepted(path), SEGS)


def test_fortran_order(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    volume = np.arange(24, dtype=">u2").reshape(2, 3, 4)
    np.savez(path, segs=np.asfortranarray(volume))
    np.testing.assert_array_equal(accepted(path, (2, 3, 4)), volume)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(tmp_path: Path, version: tuple[int, int]) -> None:
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS, version=version))])
    np.testing.assert_array_equal(accepted(path), SEGS)


def test_headers_of_python_2(tmp_path: Path) -> None:
    """Version 1.0 headers with long integers are read, without a warning; numpy warns."""
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (6L, 5L), }"
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(header=header, data=SEGS.tobytes()))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_prediction(path, SHAPE).array, SEGS)
    # numpy refuses the same header under version 3.0
    write(path, [Member("segs.npy", npy(header=header, data=SEGS.tobytes(), version=(3, 0)))])
    assert "damaged" in refused(path)


def test_a_member_without_npy_in_its_name_wins_as_in_numpy(tmp_path: Path) -> None:
    other = np.zeros_like(SEGS)
    path = write(tmp_path / "a.npz", [Member("segs", npy(SEGS)), Member("segs.npy", npy(other))])
    np.testing.assert_array_equal(accepted(path), SEGS)


def test_of_two_members_of_one_name_the_last_counts_as_in_numpy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(np.zeros_like(SEGS))), Member("segs.npy", npy(SEGS))])
    np.testing.assert_array_equal(accepted(path), SEGS)


def test_padding_behind_the_data_is_skipped_as_in_numpy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS) + bytes(1000))])
    np.testing.assert_array_equal(accepted(path), SEGS)


def test_odd_bytes_of_a_bool_array_are_true_in_every_view(tmp_path: Path) -> None:
    """Attack: bytes 2 to 255 in a bool array, which count more than once where code sums its bytes."""
    data = np.array([0, 1, 2, 255, 128, 0] * 5, np.uint8)
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(header=claim("|b1", SHAPE), data=data.tobytes()))])
    array = accepted(path)
    assert array.view(np.uint8).max() == 1
    assert array.view(np.uint8).sum() == np.count_nonzero(data)


def test_a_symlink_is_followed_since_the_engine_has_the_say_about_links(tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", segs=SEGS)
    (tmp_path / "a.npz").symlink_to("real.npz")
    np.testing.assert_array_equal(accepted(tmp_path / "a.npz"), SEGS)


@pytest.mark.parametrize("dtype", ["?", "u1", ">i4", "<f4"])
def test_memory_is_the_array_and_little_more(tmp_path: Path, dtype: str) -> None:
    path, shape = tmp_path / "a.npz", (20, 512, 512)
    np.savez_compressed(path, segs=np.asfortranarray(np.ones(shape, dtype)))
    tracemalloc.start()
    array = read_prediction(path, shape).array
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert array.sum() == array.size
    assert peak < array.nbytes + (4 << 20)


# --------------------------------------------------------------------------- the array is not a prediction


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 5), (6, 1), (1, 1), (6, 5, 1), (1, 6, 5), (5, 6), (30,), (0, 5)])
def test_other_shapes_even_those_that_broadcast(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, segs=np.ones(shape, np.uint8))
    assert "segs has shape" in refused(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "g"])
def test_nan_and_infinity_anywhere(tmp_path: Path, value: float, dtype: str) -> None:
    segs = np.zeros((700, 500), dtype)
    segs[-1, -1] = value  # behind the first piece that is looked at
    path = tmp_path / "a.npz"
    np.savez_compressed(path, segs=segs)
    assert refused(path, segs.shape) == "segs holds NaN or infinity"


@pytest.mark.parametrize("dtype", ["F", "D", "G", ">c8"])
def test_complex(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, segs=SEGS.astype(dtype))
    assert "segs is complex" in refused(path)


@pytest.mark.parametrize(
    "array",
    [
        np.full(SHAPE, "1"),
        np.full(SHAPE, b"1"),
        np.zeros(SHAPE, [("a", "i4"), ("b\x1b[2J", "u1")]),
        np.zeros(SHAPE, "V3"),
        np.zeros(SHAPE, "M8[s]"),
        np.zeros(SHAPE, "m8[D]"),
    ],
    ids=["unicode", "bytes", "structured", "void", "datetime", "timedelta"],
)
def test_dtypes_that_are_no_numbers(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, segs=array)
    assert "not a plain number" in refused(path)


@pytest.mark.parametrize("array", [np.full(SHAPE, None), np.zeros(SHAPE, [("a", "O")])], ids=["object", "field"])
def test_pickled_objects_are_named_as_such(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, segs=array)
    assert "pickled objects" in refused(path)


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    """Attack: a file that is a pickle with a side effect, in place of an npz file and as a member."""
    trap = tmp_path / "executed"
    evil = f"cposix\nsystem\n(S'touch {trap}'\ntR.".encode()
    path = tmp_path / "a.npz"
    path.write_bytes(evil)
    assert "not an npz file" in refused(path)
    write(path, [Member("segs.npy", npy(header=claim("|O", SHAPE), data=evil))])
    assert "pickled objects" in refused(path)
    write(path, [Member("segs.npy", evil)])
    refused(path)
    assert not trap.exists()


def test_wrong_key_says_which_there_are(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, seg=SEGS, **{"\x1b[2Jx": SEGS})
    assert refused(path) == "key 'segs' is missing (keys: 'seg', '\\x1b[2Jx')"
    np.savez(path)
    assert refused(path) == "key 'segs' is missing (keys: none)"


# --------------------------------------------------------------------------- no regular npz file


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "not a regular file" in refused(tmp_path / "folder.npz")
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    assert "cannot be read" in refused(tmp_path / "loop.npz")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    assert "not a regular file" in refused(tmp_path / "device.npz")


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    """Attack: reading a FIFO that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "fifo.npz")
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(refused(tmp_path / "fifo.npz")), daemon=True)
    thread.start()
    thread.join(10)
    assert found == ["it is not a regular file"]


def test_every_truncation(tmp_path: Path) -> None:
    """A file cut off after any of its bytes is refused, and so is one byte more in front."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, segs=SEGS)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        refused(path)
    path.write_bytes(b"#" + whole)
    assert "does not begin as a zip file" in refused(path)


def test_a_bare_npy_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npy(SEGS))
    assert "not an npz file" in refused(tmp_path / "a.npz")
