"""Weights as floats of 24 bits: a model's .bin in three quarters of its bytes, expanded again before OpenVINO sees it.

An f24 is the upper 24 bits of a float32 (sign, 8 of exponent, 15 of fraction), rounded to the nearest and on a tie to
even, so at most 2^-16 of a weight is lost, a 32nd of what a half float loses.  OpenVINO knows no such type:
FILE.f24 stands for the FILE.bin beside FILE.xml, and gives its very layout back.  Whole numbers are little-endian:

======================  =====================================================================
8 bytes                 `MAGIC`
u32, u32, u64           `VERSION`; number of segments; bytes of the .bin
for each segment        u64 offset in the .bin, u64 bytes there, u32 kind (`RAW`, `F24`), u32 0
for each segment        its data, from the next multiple of `ALIGNMENT` bytes of this file on
======================  =====================================================================

Segments follow one another without a gap.  Raw data are the .bin's bytes; data of N f24 are their upper 16 bits, N
times 2 bytes, and then their lower 8, N times 1 byte, which processors widen many at a time.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

MAGIC = b"weights\0"
VERSION = 1
RAW, F24 = 0, 1
ALIGNMENT = 64
SUFFIX = ".f24"
#: Constants of fewer elements stay as they are: they take no room.
WORTH_PACKING = 4096

_HEADER = struct.Struct("<8sIIQ")
_SEGMENT = struct.Struct("<QQII")
#: The largest f24: what is larger would be rounded to infinity.
_LARGEST = np.uint32(0x7F7FFF00)
_SIGN, _INFINITY, _QUIET = np.uint32(0x80000000), np.uint32(0x7F800000), np.uint32(0x00400000)

Bytes = npt.NDArray[np.uint8]


class PackedError(ValueError):
    """Packed weights that are not what they must be; the message says the fault and, of a file, its name and remedy."""


@dataclass(frozen=True)
class Segment:
    """A part of the .bin.

    Attributes:
        offset: where it begins there, in bytes.
        size: its bytes there.
        kind: `RAW` or `F24`.
    """

    offset: int
    size: int
    kind: int

    @property
    def packed_size(self) -> int:
        """Its bytes in the packed file."""
        return self.size if self.kind == RAW else self.size // 4 * 3


def pack(weights: bytes, xml: str) -> bytes:
    """A .bin packed; ``xml`` is the model's .xml, which tells where its float32 constants lie.

    Raises:
        PackedError: the .xml names constants that lie beyond the .bin.
    """
    segments = _segments(xml, len(weights))
    parts = [_HEADER.pack(MAGIC, VERSION, len(segments), len(weights))]
    parts += [_SEGMENT.pack(segment.offset, segment.size, segment.kind, 0) for segment in segments]
    at = sum(map(len, parts))
    for segment in segments:
        data = weights[segment.offset : segment.offset + segment.size]
        if segment.kind == F24:
            data = _planes(_rounded(np.frombuffer(data, dtype="<u4")))
        padding = -at % ALIGNMENT
        parts += [bytes(padding), data]
        at += padding + len(data)
    return b"".join(parts)


def unpack(packed: bytes | mmap.mmap) -> bytes:
    """The .bin, its packed floats rounded.

    Raises:
        PackedError: the bytes are not packed weights, or are cut off.
    """
    segments = read_segments(packed)
    out = np.empty(sum(segment.size for segment, _ in segments), dtype=np.uint8)
    _expand(packed, segments, out)
    return out.tobytes()


def pack_beside(xml: Path) -> Path:
    """Put FILE.f24 in the place of the FILE.bin beside FILE.xml; returns its path."""
    weights, packed = xml.with_suffix(".bin"), xml.with_suffix(SUFFIX)
    packed.write_bytes(pack(weights.read_bytes(), xml.read_text(encoding="utf-8")))
    weights.unlink()
    return packed


@contextmanager
def expanded(path: Path) -> Iterator[str]:
    """A packed file expanded in memory; gives the path of a file that is the .bin, there until the end.

    What has mapped it before may use it for longer.

    Raises:
        PackedError: the file is not packed weights, or is cut off.
    """
    packed = path.read_bytes()
    try:
        segments = read_segments(packed)
    except PackedError as error:
        raise PackedError(f"{path}: {error}. Make it again: python -m models export") from error
    descriptor = os.memfd_create(path.name)
    try:
        if size := sum(segment.size for segment, _ in segments):
            os.ftruncate(descriptor, size)
            with mmap.mmap(descriptor, size) as memory:
                _expand(packed, segments, np.frombuffer(memory, dtype=np.uint8))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def read_segments(packed: bytes | mmap.mmap) -> list[tuple[Segment, int]]:
    """Each segment, and where its data begin in the packed file.

    Raises:
        PackedError: the bytes are not packed weights, or are cut off.
    """
    if packed[: len(MAGIC)] != MAGIC or len(packed) < _HEADER.size:
        raise PackedError("it does not begin as packed weights do")
    _, version, count, total = _HEADER.unpack_from(packed)
    if version != VERSION:
        raise PackedError(f"its format is {version}, and this program knows {VERSION}")
    at, end, segments = _HEADER.size + count * _SEGMENT.size, 0, []
    if at > len(packed):
        raise PackedError("its segments are cut off")
    for index in range(count):
        offset, size, kind, zero = _SEGMENT.unpack_from(packed, _HEADER.size + index * _SEGMENT.size)
        segment = Segment(offset, size, kind)
        if kind not in (RAW, F24) or zero or (kind == F24 and (offset % 4 or size % 4)):
            raise PackedError(f"segment {index} is of no known kind")
        if offset != end or size > total - end:
            raise PackedError(f"segment {index} does not follow the one before it")
        at += -at % ALIGNMENT
        if segment.packed_size > len(packed) - at:
            raise PackedError(f"segment {index} is cut off")
        segments.append((segment, at))
        at += segment.packed_size
        end += size
    if end != total or at != len(packed):
        raise PackedError("its segments are not all of it")
    return segments


# ----------------------------------------------------------------------- what is packed


def _segments(xml: str, total: int) -> list[Segment]:
    """A .bin's parts, which alternate.

    Constants of equal bytes share them, whatever their types: only what large float32 constants alone use is packed.
    """
    spans: list[tuple[int, int, bool]] = []  # begin, end, whether it may be packed
    for layer in ElementTree.fromstring(xml).iter("layer"):
        if layer.get("type") == "Const" and (data := layer.find("data")) is not None:
            offset, size = int(data.get("offset", 0)), int(data.get("size", 0))
            if not 0 <= offset <= offset + size <= total:
                raise PackedError(f"constant {layer.get('name')} lies beyond the weights")
            floats = data.get("element_type") == "f32" and offset % 4 == 0 and size % 4 == 0
            if size:
                spans.append((offset, offset + size, floats and size >= 4 * WORTH_PACKING))
    joined: list[tuple[int, int, bool]] = []
    for begin, end, packable in sorted(spans):
        if joined and begin < joined[-1][1]:
            before = joined.pop()
            begin, end, packable = before[0], max(before[1], end), before[2] and packable
        joined.append((begin, end, packable))
    segments, at = [], 0
    for begin, end, packable in joined:
        if packable:
            if begin > at:
                segments.append(Segment(at, begin - at, RAW))
            segments.append(Segment(begin, end - begin, F24))
            at = end
    if total > at:
        segments.append(Segment(at, total - at, RAW))
    return segments


# ----------------------------------------------------------------------- numbers


def _rounded(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Bits of float32 (N,) rounded to 24; no number becomes infinite, and what is none stays so, quiet."""
    magnitude, sign = bits & ~_SIGN, bits & _SIGN
    nearest = (magnitude + np.uint32(0x7F) + (magnitude >> np.uint32(8) & np.uint32(1))) & np.uint32(0xFFFFFF00)
    finite = sign | np.minimum(nearest, _LARGEST)
    other = np.where(magnitude == _INFINITY, bits, (bits | _QUIET) & np.uint32(0xFFFFFF00))
    return np.where(magnitude < _INFINITY, finite, other)


def _planes(bits: npt.NDArray[np.uint32]) -> bytes:
    """The upper 16 bits of each, and then the 8 below them."""
    return (bits >> np.uint32(16)).astype("<u2").tobytes() + (bits >> np.uint32(8)).astype(np.uint8).tobytes()


def _expand(packed: bytes | mmap.mmap, segments: list[tuple[Segment, int]], out: Bytes) -> None:
    for segment, at in segments:
        to = out[segment.offset : segment.offset + segment.size]
        if segment.kind == RAW:
            to[:] = np.frombuffer(packed, dtype=np.uint8, count=segment.size, offset=at)
            continue
        count = segment.size // 4
        upper = np.frombuffer(packed, dtype="<u2", count=count, offset=at).astype(np.uint32)
        lower = np.frombuffer(packed, dtype=np.uint8, count=count, offset=at + 2 * count)
        floats = to.view("<u4")
        np.left_shift(upper, np.uint32(16), out=floats)
        floats |= lower.astype(np.uint32) << np.uint32(8)
