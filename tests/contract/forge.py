"""npz files written byte by byte, so that every field of them can lie.

Sources: the zip format's application note (local header, central directory, end record) and numpy's
description of the npy format.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14


def npy(
    array: np.ndarray | None = None,
    *,
    header: str | bytes | None = None,
    version: tuple[int, int] = (1, 0),
    data: bytes | None = None,
    header_length: int | None = None,
) -> bytes:
    """An npy file's bytes; `header`, `data` and `header_length` replace what the array would give."""
    if header is None:
        assert array is not None
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        header = f"{{'descr': {array.dtype.str!r}, 'fortran_order': {fortran}, 'shape': {array.shape}, }}"
    if data is None:
        data = b"" if array is None else array.tobytes(order="A")
    raw = header.encode() if isinstance(header, str) else header
    size = 2 if version[0] == 1 else 4
    raw += b" " * (-(8 + size + len(raw) + 1) % 64) + b"\n"
    length = len(raw) if header_length is None else header_length
    return b"\x93NUMPY" + bytes(version) + length.to_bytes(size, "little") + raw + data


def claim(descr: str, shape: tuple[int, ...], *, fortran: bool = False) -> str:
    """An npy header with this dtype and shape, whatever the data."""
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


@dataclass
class Member:
    """One member of a zip file.

    Attributes:
        name: its name, as "segs.npy".
        data: its bytes before compression.
        method: compression method; the bytes are deflated for 8 and stored as they are otherwise.
        packed: its bytes in the file, where they are not simply `data` compressed.
        lies: replaces fields in both headers: flags, method, crc, compressed, size.
        offset: where the directory says that it begins, if not where it does.
    """

    name: str
    data: bytes
    method: int = DEFLATED
    packed: bytes | None = None
    lies: dict[str, int] = field(default_factory=dict)
    offset: int | None = None


def deflate(data: bytes, level: int = 6) -> bytes:
    """A raw deflate stream."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def archive(
    members: Sequence[Member],
    *,
    prefix: bytes = b"",
    directory_size: int | None = None,
    directory_offset: int | None = None,
    comment: bytes = b"",
) -> bytes:
    """A zip file of these members; sizes beyond 32 bits go into zip64 fields of the directory."""
    body, directory = bytearray(prefix), bytearray()
    for member in members:
        packed = member.packed
        if packed is None:
            packed = deflate(member.data) if member.method == DEFLATED else member.data
        facts = {
            "flags": 0,
            "method": member.method,
            "crc": zlib.crc32(member.data),
            "compressed": len(packed),
            "size": len(member.data),
        } | member.lies
        name, extra = member.name.encode(), b""
        sizes = [facts["size"], facts["compressed"]]
        if large := [n for n in sizes if n >= 0xFFFFFFFF]:
            extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large)
            sizes = [min(n, 0xFFFFFFFF) for n in sizes]
        fields = (facts["flags"], facts["method"], 0, 33, facts["crc"], sizes[1], sizes[0], len(name), len(extra))
        common = struct.pack("<HHHHIIIHH", *fields)
        offset = len(body) if member.offset is None else member.offset
        body += b"PK\x03\x04" + struct.pack("<H", 20) + common + name + extra + packed
        directory += b"PK\x01\x02" + struct.pack("<HH", 20, 20) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, offset) + name + extra
    size = len(directory) if directory_size is None else directory_size
    start = len(body) if directory_offset is None else directory_offset
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(members), len(members), size, start, len(comment))
    return bytes(body + directory + end + comment)


def write(path: Path, members: Sequence[Member], **fields: int | bytes) -> Path:
    """Write such a zip file and return its path."""
    path.write_bytes(archive(members, **fields))
    return path
