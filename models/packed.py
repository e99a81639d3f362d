"""Weights as whole numbers of 24 bits: a model's .bin in three quarters of its bytes, expanded before OpenVINO sees it.

Of every `RUN` weights the largest magnitude becomes 2^23 - 1; the others are rounded to whole numbers beside it, and
one float32 multiplies them back.  So a weight changes by at most 2^-24 of the largest in its run and by a float32's own
rounding, which is no more than computing in float32 does to it.  OpenVINO knows no such type: FILE.int24 stands for the
FILE.bin beside FILE.xml, and gives its very layout back.  Whole numbers are little-endian:

======================  =====================================================================
8 bytes                 `MAGIC`
u32, u32, u64           `VERSION`; number of segments; bytes of the .bin
for each segment        u64 offset in the .bin, u64 bytes there, u32 kind (`RAW`, `INT24`), u32 0
for each segment        its data, from the next multiple of `ALIGNMENT` bytes of this file on
======================  =====================================================================

Segments follow one another without a gap.  Raw data are the .bin's bytes; data of N weights are a float32 for every
`RUN` of them (the last may be shorter), then the upper 16 bits of each, and then the lower 8, which processors widen
many at a time.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

MAGIC = b"weights\0"
VERSION = 2
RAW, INT24 = 0, 1
ALIGNMENT = 64
SUFFIX = ".int24"
#: Weights that share a factor.
RUN = 1024
#: Constants of fewer elements stay as they are: they take no room.
WORTH_PACKING = 4096

_HEADER = struct.Struct("<8sIIQ")
_SEGMENT = struct.Struct("<QQII")
_LARGEST = 2**23 - 1

Bytes = npt.NDArray[np.uint8]


class PackedError(ValueError):
    """Packed weights that are not what they must be; the message says the fault and, of a file, its name and remedy."""


@dataclass(frozen=True)
class Segment:
    """A part of the .bin.

    Attributes:
        offset: where it begins there, in bytes.
        size: its bytes there.
        kind: `RAW` or `INT24`.
    """

    offset: int
    size: int
    kind: int

    @property
    def packed_size(self) -> int:
        """Its bytes in the packed file."""
        count = self.size // 4
        return self.size if self.kind == RAW else 3 * count + 4 * _runs(count)


def pack(weights: bytes, xml: str) -> bytes:
    """A .bin packed; ``xml`` is the model's .xml, which tells where its float32 constants lie.

    Constants that hold NaN, or numbers of 2^127 and beyond, stay as they are.

    Raises:
        PackedError: the .xml names constants that lie beyond the .bin.
    """
    segments = [_checked(segment, weights) for segment in _segments(xml, len(weights))]
    parts = [_HEADER.pack(MAGIC, VERSION, len(segments), len(weights))]
    parts += [_SEGMENT.pack(segment.offset, segment.size, segment.kind, 0) for segment in segments]
    at = sum(map(len, parts))
    for segment in segments:
        data = weights[segment.offset : segment.offset + segment.size]
        if segment.kind == INT24:
            data = _narrowed(np.frombuffer(data, dtype="<f4"))
        padding = -at % ALIGNMENT
        parts += [bytes(padding), data]
        at += padding + len(data)
    return b"".join(parts)


def unpack(packed: bytes | mmap.mmap) -> bytes:
    """The .bin, its packed weights rounded.

    Raises:
        PackedError: the bytes are not packed weights, or are cut off.
    """
    segments = read_segments(packed)
    out = np.empty(sum(segment.size for segment, _ in segments), dtype=np.uint8)
    _expand(packed, segments, out)
    return out.tobytes()


def pack_beside(xml: Path) -> Path:
    """Put FILE.int24 in the place of the FILE.bin beside FILE.xml; returns its path."""
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
        if kind not in (RAW, INT24) or zero or (kind == INT24 and (offset % 4 or size % 4)):
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
            segments.append(Segment(begin, end - begin, INT24))
            at = end
    if total > at:
        segments.append(Segment(at, total - at, RAW))
    return segments


# ----------------------------------------------------------------------- numbers


def _checked(segment: Segment, weights: bytes) -> Segment:
    """The segment, raw where one of its numbers is none or could be rounded to infinity."""
    if segment.kind == RAW:
        return segment
    values = np.frombuffer(weights, dtype="<f4", count=segment.size // 4, offset=segment.offset)
    return segment if (np.abs(values) < 2.0**127).all() else replace(segment, kind=RAW)


def _runs(count: int) -> int:
    return -(-count // RUN)


def _narrowed(values: npt.NDArray[np.float32]) -> bytes:
    """Factors, upper 16 bits, lower 8 of finite numbers."""
    runs = np.zeros((_runs(len(values)), RUN), dtype=np.float64)
    runs.reshape(-1)[: len(values)] = values
    factors = (np.abs(runs).max(axis=1, keepdims=True) / _LARGEST).astype("<f4")
    nearest = np.rint(np.divide(runs, factors, out=np.zeros_like(runs), where=factors != 0))
    whole = np.clip(nearest, -_LARGEST, _LARGEST).astype(np.int32).reshape(-1)[: len(values)]
    return factors.tobytes() + (whole >> 8).astype("<i2").tobytes() + (whole & 0xFF).astype(np.uint8).tobytes()


def _expand(packed: bytes | mmap.mmap, segments: list[tuple[Segment, int]], out: Bytes) -> None:
    for segment, at in segments:
        to = out[segment.offset : segment.offset + segment.size]
        if segment.kind == RAW:
            to[:] = np.frombuffer(packed, dtype=np.uint8, count=segment.size, offset=at)
            continue
        count = segment.size // 4
        factors = np.frombuffer(packed, dtype="<f4", count=_runs(count), offset=at)
        at += factors.nbytes
        whole = np.frombuffer(packed, dtype="<i2", count=count, offset=at).astype(np.int32)
        whole <<= 8
        whole |= np.frombuffer(packed, dtype=np.uint8, count=count, offset=at + 2 * count)
        np.multiply(whole.astype(np.float32), np.repeat(factors, RUN)[:count], out=to.view("<f4"))
