"""Arrays are inflated to what numpy reads, by ISA-L and by zlib, in little memory beside them."""

from __future__ import annotations

import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from isal import isal_zlib

from harness import npz
from harness.errors import InputError
from harness.npz import CHUNK, open_npz
from tests.contract.forge import Member, deflate, npy, write

NOISE = np.random.default_rng(0)
ARRAYS = {
    "zeros": np.zeros(3 * CHUNK + 17, np.uint8),
    "noise": NOISE.integers(0, 256, 2 * CHUNK + 5, np.uint8),
    "labels": np.repeat(NOISE.integers(0, 9, 40_000), NOISE.integers(1, 99, 40_000)).astype(np.uint16),
    "a header's length short of a piece": np.ones(CHUNK - 128, np.uint8),
    "one": np.ones(1, np.int64),
    "none": np.ones((0, 4), np.float32),
}


@pytest.fixture(params=[isal_zlib, zlib], ids=["isal", "zlib"], autouse=True)
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that inflates: what is installed here, and what images with only numpy have."""
    monkeypatch.setattr(npz, "_deflate", request.param)
    return request.param


@pytest.mark.parametrize("level", [None, 0, 1, 6, 9])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_those_that_numpy_reads(tmp_path: Path, name: str, level: int | None) -> None:
    path = tmp_path / "a.npz"
    method = zipfile.ZIP_STORED if level is None else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", method, compresslevel=level) as archive:
        archive.writestr("first.npy", npy(np.arange(5)))
        archive.writestr("segs.npy", npy(ARRAYS[name]))
    with open_npz(path) as file:
        assert file.verify("segs") == file.header("segs")
        np.testing.assert_array_equal(file.read("segs"), ARRAYS[name])
        np.testing.assert_array_equal(file.read("first"), np.arange(5))
        np.testing.assert_array_equal(file.read("segs"), ARRAYS[name])  # again, after another member
    with np.load(path) as oracle:
        np.testing.assert_array_equal(oracle["segs"], ARRAYS[name])


@pytest.mark.parametrize("name", ARRAYS)
def test_a_wrong_checksum_is_found_at_the_end(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(ARRAYS[name]), lies={"crc": 1})])
    with pytest.raises(InputError, match="CRC-32"), open_npz(path) as file:
        file.read("segs")
    with pytest.raises(InputError, match="CRC-32"), open_npz(path) as file:
        file.verify("segs")


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000, -20])
def test_a_stream_that_ends_early_is_refused(tmp_path: Path, kept: int) -> None:
    """The directory is right in itself: the stream has not its end, and the next member begins there."""
    data = npy(ARRAYS["labels"])
    members = [Member("segs.npy", data, packed=deflate(data)[:kept]), Member("next.npy", npy(np.ones(9)))]
    path = write(tmp_path / "a.npz", members)
    with pytest.raises(InputError), open_npz(path) as file:
        file.read("segs")


def test_memory_stays_at_the_array(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(np.zeros(32 << 20, np.uint8)))])
    tracemalloc.start()
    with open_npz(path) as file:
        file.verify("segs")
        small = tracemalloc.get_traced_memory()[1]
        array = file.read("segs")
        large = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert small < 2 << 20
    assert large < array.nbytes + (2 << 20)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "?", "<f4"])
@pytest.mark.parametrize("first", [0, 1, 5, 8, 9, 99])
def test_the_first_rows_alone(tmp_path: Path, first: int, dtype: str) -> None:
    array = NOISE.integers(0, 2 if dtype == "?" else 250, (9, 40, 50)).astype(dtype)
    np.savez_compressed(tmp_path / "a.npz", segs=array)
    array[first:] = 0
    with open_npz(tmp_path / "a.npz") as file:
        read = file.read("segs", first=first)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype.newbyteorder("=")


def test_rows_that_do_not_lie_together_are_all_read(tmp_path: Path) -> None:
    array = np.asfortranarray(NOISE.integers(0, 9, (4, 30, 20)))
    np.savez_compressed(tmp_path / "a.npz", segs=array)
    with open_npz(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file.read("segs", first=1), array)


def test_rows_not_asked_for_are_not_inflated(tmp_path: Path) -> None:
    """A stream cut after two thirds: its first half is read, whose end nothing vouches for."""
    array = np.repeat(NOISE.integers(0, 256, (32, 1 << 12), np.uint8), 4, axis=1)
    data = npy(array)
    path = write(tmp_path / "a.npz", [Member("segs.npy", data, packed=deflate(data)[: len(deflate(data)) * 2 // 3])])
    with open_npz(path) as file:
        np.testing.assert_array_equal(file.read("segs", first=16)[:16], array[:16])
        with pytest.raises(InputError), open_npz(path) as again:
            again.read("segs", first=31)
