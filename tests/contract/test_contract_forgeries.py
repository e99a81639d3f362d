"""Forged prediction files: headers and directories that lie, bombs, and claims beyond reason."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.errors import PredictionError
from tests.contract.forge import BZIP2, LZMA, STORED, Member, archive, claim, deflate, npy, write
from tests.contract.reading import SEGS, accepted, numpy_reads, refused

# --------------------------------------------------------------------------- lies of the array's header


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (4, 0), (255, 255)])
def test_unknown_npy_versions(tmp_path: Path, version: tuple[int, int]) -> None:
    refused(write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS, version=version))]))


@pytest.mark.parametrize(
    "shape",
    [(2**40,), (2**20, 2**20), (2**32, 2**32), (2**63,), (2**64, 0, 3), (10**400, 3), (-1, -30), (True, 30), (1,) * 80],
)
def test_claims_beyond_reason(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Attack: shapes that overflow 64 bits, are negative, or would need terabytes; also as the wanted shape."""
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(header=claim("|u1", shape), data=SEGS.tobytes()))])
    tracemalloc.start()
    refused(path)
    refused(path, shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "[]",
        "{'descr': '|u1', 'fortran_order': False}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (6, 5)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': [6, 5]}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (6.0, 5)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5), 'more': 1}",
        "{'descr': '|u9', 'fortran_order': False, 'shape': (6, 5)}",
        "{'descr': None, 'fortran_order': False, 'shape': (6, 5)}",
        "{'descr': ('|u1', (5,)), 'fortran_order': False, 'shape': (6,)}",
        "{'descr': 17, 'fortran_order': False, 'shape': (6, 5)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5)",
        "__import__('os').system('true')",
        "-" * 4000 + "1",
        "(" * 4000,
        "[" * 190 + "]" * 190,
        "1" + "+1" * 1900,
        "'\\d'",
        "\xff\xfe\x00",
        "\x00" * 100,
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (3, 0)])
def test_headers_that_are_no_headers(tmp_path: Path, header: str, version: tuple[int, int]) -> None:
    raw = header.encode("latin1")
    refused(write(tmp_path / "a.npz", [Member("segs.npy", npy(header=raw, data=SEGS.tobytes(), version=version))]))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_header_longer_than_it_is(tmp_path: Path, version: tuple[int, int]) -> None:
    """Attack: a version 2.0 header may claim 4 GiB of text, which numpy reads before it looks at the length.

    Here 64 MiB of spaces follow, which deflate packs into 64 KiB.
    """
    length = 0xFFFF if version == (1, 0) else 64 << 20
    data = npy(SEGS, version=version, header_length=length) + b" " * length
    path = write(tmp_path / "a.npz", [Member("segs.npy", data)])
    del data
    tracemalloc.start()
    assert "header of" in refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# --------------------------------------------------------------------------- lies of the zip directory


def test_zip_bomb_behind_the_array(tmp_path: Path) -> None:
    """Attack: a valid array followed by 256 MiB of zeros in the same member."""
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS) + bytes(256 << 20))])
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    assert "belong to nothing" in refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_zip_bomb_in_the_array(tmp_path: Path) -> None:
    """Attack: the array itself is a bomb of another shape: refused by its header, not inflated."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open("segs.npy", "w", force_zip64=True) as stream:
        stream.write(npy(header=claim("|u1", (1 << 28,))))
        for _ in range(256):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    assert "shape" in refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_a_claim_that_deflate_cannot_keep_reserves_no_memory(tmp_path: Path) -> None:
    """Attack: directory and header agree on an array of 2 GiB of the right shape in a file of 300 bytes."""
    shape = (1 << 16, 1 << 15)
    data = npy(header=claim("|u1", shape), data=bytes(100))
    path = write(tmp_path / "a.npz", [Member("segs.npy", data, lies={"size": len(data) + (2 << 30)})])
    tracemalloc.start()
    assert "claims" in refused(path, shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("method", [STORED, 8])
@pytest.mark.parametrize("name", ["size", "compressed"])
@pytest.mark.parametrize("value", [0, 1, 100, 10_000, 0xFFFFFFFE, 1 << 40, (1 << 63) - 1])
def test_sizes_that_lie(tmp_path: Path, method: int, name: str, value: int) -> None:
    """Refused, unless numpy reads the right array all the same (a size somewhat too large)."""
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS), method, lies={name: value})])
    if value in (100, 10_000):
        try:
            np.testing.assert_array_equal(accepted(path), SEGS)
        except PredictionError:
            refused(path)
    else:
        refused(path)


@pytest.mark.parametrize(
    ("lies", "fault"),
    [
        ({"crc": 1}, "CRC"),
        ({"flags": 0x1}, "encrypted"),
        ({"flags": 0x20}, ""),
        ({"flags": 0x40}, ""),
        ({"method": STORED}, ""),
        ({"method": 9}, "compression method 9"),
        ({"method": BZIP2}, "compression method 12"),
        ({"method": LZMA}, "compression method 14"),
        ({"method": 99}, "compression method 99"),
    ],
)
def test_other_lies(tmp_path: Path, lies: dict[str, int], fault: str) -> None:
    assert fault in refused(write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS), lies=lies)]))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_honest_members_of_other_methods(tmp_path: Path, method: int) -> None:
    """bzip2 and lzma are refused: their decoders take memory that the file names, and no numpy writes them."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as z:
        z.writestr("segs.npy", npy(SEGS))
    np.testing.assert_array_equal(numpy_reads(path), SEGS)
    assert "compression method" in refused(path)


def test_members_that_overlap_are_read_as_numpy_reads_them_or_refused(tmp_path: Path) -> None:
    """Attack: a thousand directory entries on the same bytes; only the one asked for is ever inflated."""
    first = Member("segs.npy", npy(SEGS))
    path = write(tmp_path / "a.npz", [first, *(Member(f"{i}.npy", b"", offset=0) for i in range(1000))])
    np.testing.assert_array_equal(accepted(path), SEGS)
    path = write(tmp_path / "a.npz", [first, Member("segs.npy", npy(SEGS), offset=10)])
    refused(path)


def test_directories_that_lie(tmp_path: Path) -> None:
    member = Member("segs.npy", npy(SEGS))
    for size in (0, 1, 45, 1000, 0xFFFFFFFE):
        refused(write(tmp_path / "a.npz", [member], directory_size=size))
    for offset in (1, 10_000, 0xFFFFFFFE):
        refused(write(tmp_path / "a.npz", [member], directory_offset=offset))
    np.testing.assert_array_equal(accepted(write(tmp_path / "a.npz", [member], comment=b"by hand")), SEGS)
    refused(write(tmp_path / "a.npz", [member], comment=b"PK\x05\x06 looks like another end record"))


def test_a_directory_of_very_many_members_is_refused(tmp_path: Path) -> None:
    """Attack: `zipfile` makes an object of each entry; 20,000 of them fit into a megabyte."""
    path = write(tmp_path / "a.npz", [Member("segs.npy", npy(SEGS)), *(Member("", b"") for _ in range(20_000))])
    assert refused(path) == "its zip directory is too large"


def test_a_member_of_empty_blocks_is_refused_unread(tmp_path: Path) -> None:
    """Attack: a deflate stream of many empty blocks takes time and gives nothing."""
    data = npy(SEGS)
    packed = b"\x00\x00\x00\xff\xff" * (1 << 20) + deflate(data)
    path = write(tmp_path / "a.npz", [Member("segs.npy", data, packed=packed)])
    np.testing.assert_array_equal(numpy_reads(path), SEGS)
    assert "compressed bytes for" in refused(path)


def test_names_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for flags in (0, 0x800):
        path.write_bytes(archive([Member("segs\u2028\u202e.npy", npy(SEGS), lies={"flags": flags})]))
        assert "missing" in refused(path)
