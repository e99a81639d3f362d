"""Reading npz files that nobody vouches for, and writing them so that their bytes repeat.

The zip directory and each array's header are checked before a byte is inflated, pickles are never loaded,
and memory stays at the arrays asked for plus a few buffers.  What is accepted here,
`numpy.load(allow_pickle=False)` reads to the same arrays.

numpy and the standard library suffice: this module travels into images beside `harness.contract`.  Where isal
is installed, Intel's ISA-L inflates, about four times as fast as zlib.  They differ on one kind of stream, which
no compressor writes: with an incomplete Huffman code, which ISA-L reads where zlib refuses it.
"""

from __future__ import annotations

import ast
import errno
import io
import math
import os
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from harness.errors import HarnessError, HarnessFault, InputError

_deflate: Any
try:
    from isal import isal_zlib

    _deflate = isal_zlib
except ImportError:  # as in containers
    _deflate = zlib

#: Piece size while inflating an array (a processor's cache holds it), and the largest single read of a file.
#: It so bounds the zip directory too, which `zipfile` reads at once: five thousand members, where an honest
#: file has three.
CHUNK = 256 << 10
#: Piece size of what is inflated.  What is left of one is copied each time, and label maps shrink a hundredfold.
_PACKED = 32 << 10
#: What may follow an array's data inside its member, in bytes: padding that numpy would not look at.
_MAX_PADDING = 1 << 20
#: Longest array header accepted, in bytes; numpy writes 128 for these arrays.
_MAX_HEADER = 4096
#: More than the highest ratio that deflate reaches (1032), so that a claim is held against the file's bytes.
_MAX_RATIO = 1040
#: Largest array of a case or reference, in bytes (a CT volume of 1000 x 1024 x 1024 uint32).
MAX_ARRAY_BYTES = 4 << 30

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ArrayHeader:
    """What an array inside an npz file claims to be, read without inflating its data.

    Attributes:
        shape: axis lengths, all >= 0.
        dtype: of kind b, i, u, f or c; never object, string or structured.
        fortran_order: whether the data is stored column by column.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the array's data (exact: Python integers do not overflow)."""
        return math.prod(self.shape) * self.dtype.itemsize


class Fault(Exception):
    """A fault found while reading; turned into the caller's error, which knows file and remedy."""


class _BoundedFile(io.RawIOBase):
    """A file that refuses single reads larger than `CHUNK`.

    `zipfile` reads the whole central directory in one call of the size that the file itself claims.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__()
        self._raw = raw

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > CHUNK:
            size = CHUNK + 1
        data = self._raw.read(size)
        if len(data) > CHUNK:
            raise Fault("its zip directory is too large")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < 0:
            raise Fault("its zip directory points outside the file")
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


#: Errors of the host, not of the file: bad disk, no descriptors, no memory.
_HOST_ERRORS = frozenset({errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
#: Errors of a deflate stream that is damaged or ends early.
_STREAM_ERRORS: tuple[type[Exception], ...] = (zlib.error, _deflate.error, EOFError)


@contextmanager
def untrusted(path: Path) -> Iterator[None]:
    """Turn whatever the file system, `zipfile`, `zlib` and numpy raise on forged bytes into `Fault`.

    Raises:
        HarnessFault: where the host failed, so that nobody is charged for it.
    """
    try:
        yield
    except (Fault, HarnessError):
        raise
    except MemoryError as error:
        raise HarnessFault(f"{path}: too little free memory to read it. Free some and go on.") from error
    except zipfile.BadZipFile as error:
        raise Fault(f"it is not a whole npz file ({str(error)[:120]})") from error
    except _STREAM_ERRORS as error:
        raise Fault(f"its compressed data is damaged ({str(error)[:120] or 'it ends early'})") from error
    except OSError as error:
        if error.errno in _HOST_ERRORS:
            raise HarnessFault(f"{path}: the host cannot read it ({error.strerror}). Mend that and go on.") from error
        raise Fault(f"it cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise Fault(f"it is damaged ({type(error).__name__}: {str(error)[:120]})") from error


class NpzReader:
    """Arrays of one npz file, by key, each checked before it is inflated."""

    def __init__(self, archive: zipfile.ZipFile, raw: IO[bytes], path: Path, file_bytes: int) -> None:
        self._archive = archive
        self._raw = raw
        self._path = path
        self._file_bytes = file_bytes
        self._names = set(archive.namelist())
        #: Of members looked at before: what their headers say, and how many bytes of them that was.
        self._headers: dict[str, tuple[ArrayHeader, int]] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys as numpy names them: member names without ``.npy``, in file order, each once."""
        names = (n[:-4] if n.endswith(".npy") else n for n in self._archive.namelist())
        return tuple(dict.fromkeys(names))

    def __contains__(self, key: str) -> bool:
        return key in self._names or f"{key}.npy" in self._names

    @contextmanager
    def _member(self, key: str) -> Iterator[tuple[ArrayHeader, _Member]]:
        name = key if key in self._names else f"{key}.npy"
        if name not in self._names:
            have = ", ".join(repr(k[:40]) for k in self.keys[:8]) or "none"
            raise Fault(f"key {key!r} is missing (keys: {have})")
        with untrusted(self._path):
            info = self._archive.getinfo(name)
            known = self._headers.get(name)
            if known is None:
                self._check_sizes(key, info)
                self._archive.open(info).close()  # compares the member's own header with the directory
            stream = _Member(self._raw, info)
            if known is None:
                header = _read_header(key, stream)
                if header.nbytes > info.file_size:
                    claimed = f"claims {header.nbytes:.4g} bytes of data, the file holds {info.file_size}"
                    raise Fault(f"array {key!r} {claimed}")
                self._headers[name] = header, stream.done
            else:
                header, header_bytes = known
                stream.read(header_bytes)
            yield header, stream

    def _check_sizes(self, key: str, info: zipfile.ZipInfo) -> None:
        """Hold a member's claims in the zip directory against what the file can hold."""
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Fault(f"array {key!r} uses zip compression method {info.compress_type}, not deflate or none")
        if info.flag_bits & 0x1:
            raise Fault(f"array {key!r} is encrypted")
        if info.header_offset + info.compress_size > self._file_bytes:
            raise Fault(f"array {key!r} is cut off: it ends beyond the file's {self._file_bytes} bytes")
        if info.file_size > _MAX_RATIO * (info.compress_size + 1):
            raise Fault(f"array {key!r} claims {info.file_size} bytes from {info.compress_size} compressed ones")
        # Deflate can be made of empty blocks: many bytes to read that inflate to nothing.
        if info.compress_size > 2 * info.file_size + _MAX_PADDING:
            raise Fault(f"array {key!r} takes {info.compress_size} compressed bytes for {info.file_size}")

    def header(self, key: str) -> ArrayHeader:
        """Shape and dtype of one array, without its data."""
        with self._member(key) as (header, _):
            return header

    def read(self, key: str, max_bytes: int = MAX_ARRAY_BYTES, first: int | None = None) -> Array:
        """One array, in native byte order; at most `max_bytes` of memory besides small buffers.

        Args:
            key: its key.
            max_bytes: a larger one is refused.
            first: only so many rows of the first axis are inflated, if they lie together in the file.  The others are
                zero and take no memory; what the file holds of them is not looked at, nor is its checksum.
        """
        with self._member(key) as (header, stream):
            _check_limit(key, header, max_bytes)
            whole = first is None or header.fortran_order or not header.shape or first >= header.shape[0]
            size = math.prod(header.shape)
            flat = np.empty(size, header.dtype) if whole else np.zeros(size, header.dtype)
            inflated = flat if whole else flat[: (first or 0) * math.prod(header.shape[1:])]
            if inflated.nbytes:
                _fill(key, stream, inflated.view(np.uint8).data)
            if whole:
                _finish(key, stream)
            if header.dtype.kind == "b":
                # Any byte but 0 counts as true; as 1 it does so in every view of the array.
                np.minimum(inflated.view(np.uint8), 1, out=inflated.view(np.uint8))
            if not header.dtype.isnative:
                inflated.byteswap(inplace=True)
                flat = flat.view(header.dtype.newbyteorder("="))
            order: Any = "F" if header.fortran_order else "C"
            return flat.reshape(header.shape, order=order)

    def verify(self, key: str, max_bytes: int = MAX_ARRAY_BYTES) -> ArrayHeader:
        """Inflate one array and check its length and checksum without keeping it."""
        with self._member(key) as (header, stream):
            _check_limit(key, header, max_bytes)
            left = header.nbytes
            while left:
                left -= len(_piece(key, stream, left))
            _finish(key, stream)
            return header


class _Member:
    """A member's bytes, inflated as they are asked for; at their end the checksum must be right.

    As for `zipfile`, the end is where the directory's size is reached or the deflate stream ends.

    Attributes:
        done: bytes handed out.
    """

    def __init__(self, raw: IO[bytes], info: zipfile.ZipInfo) -> None:
        raw.seek(info.header_offset + 26)
        name_bytes, extra_bytes = struct.unpack("<HH", raw.read(4))
        raw.seek(info.header_offset + 30 + name_bytes + extra_bytes)
        self._raw = raw
        self._packed_left = info.compress_size
        self._left = info.file_size
        self.done = 0
        self._crc, self._expected_crc = 0, info.CRC
        self._inflater: Any = None
        if info.compress_type == zipfile.ZIP_DEFLATED:
            self._inflater = _deflate.decompressobj(-zlib.MAX_WBITS)

    def read(self, size: int) -> bytes:
        """The next bytes, `size` of them or as many as are left."""
        pieces = []
        while piece := self.piece(size):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def piece(self, limit: int) -> bytes:
        """The next bytes, as many as come at once, at most `limit` or `CHUNK`; none at the end."""
        limit = min(limit, CHUNK, self._left)
        if not limit:
            return b""
        piece = self._inflated(limit) if self._inflater else self._packed(limit)
        self.done += len(piece)
        self._left = self._left - len(piece) if piece else 0
        self._crc = _deflate.crc32(piece, self._crc)
        if not self._left and self._crc != self._expected_crc:
            raise Fault("it is not a whole npz file (a CRC-32 checksum is wrong)")
        return piece

    def _inflated(self, limit: int) -> bytes:
        inflater = self._inflater
        while not inflater.eof:
            packed = inflater.unconsumed_tail or self._packed(_PACKED)
            # Also with nothing to feed it: an inflater keeps back what passed an earlier limit.
            if piece := inflater.decompress(packed, limit):
                return bytes(piece)
            if not packed:
                break
        return b""

    def _packed(self, limit: int) -> bytes:
        limit = min(limit, self._packed_left)
        packed = self._raw.read(limit)
        if len(packed) < limit:
            raise EOFError
        self._packed_left -= len(packed)
        return packed


def _check_limit(key: str, header: ArrayHeader, max_bytes: int) -> None:
    if header.nbytes > max_bytes:
        raise Fault(f"array {key!r} has {header.nbytes} bytes, more than {max_bytes}")


def _read_header(key: str, stream: _Member) -> ArrayHeader:
    """Parse an npy header, versions 1.0 to 3.0."""
    version = np.lib.format.read_magic(cast(IO[bytes], stream))
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise Fault(f"array {key!r} has npy format version {version}")
    # numpy reads a header of the length it claims, up to 4 GiB, before it looks at that length.
    prefix = stream.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(prefix, "little")
    if length > _MAX_HEADER:
        raise Fault(f"array {key!r} has a header of {length} bytes, more than {_MAX_HEADER}")
    text = stream.read(length)
    # Names of fields are all that may lie outside ASCII, and all that version 3.0 is for.
    if not text.isascii():
        raise Fault(f"array {key!r} has a header that is not plain text")
    try:
        shape, fortran_order, dtype = _parsed(version, prefix, text)
    except (MemoryError, RecursionError) as error:  # the parser's answer to deep nesting, not the host's
        raise Fault(f"array {key!r} has a header nested too deeply") from error
    if dtype.hasobject:
        raise Fault(f"array {key!r} holds pickled objects")
    if dtype.fields is not None or dtype.subdtype is not None or dtype.kind not in "biufc":
        raise Fault(f"array {key!r} has dtype {str(dtype)[:60]}, not a plain number")
    if any(isinstance(n, bool) or n < 0 for n in shape) or len(shape) > 32:
        raise Fault(f"array {key!r} has the impossible shape {str(shape)[:60]}")
    return ArrayHeader(tuple(int(n) for n in shape), dtype, bool(fortran_order))


@lru_cache(maxsize=64)  # of a case and its prediction, and of many cases of a kind, it is the same
def _parsed(version: tuple[int, int], prefix: bytes, text: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What a header says: shape, whether the order is Fortran's, dtype."""
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers written by Python 2 are read, and are not news
        if version == (3, 0):
            ast.literal_eval(text.decode())  # in this version numpy does not repair such headers
        return parse(io.BytesIO(prefix + text), max_header_size=_MAX_HEADER)


def _piece(key: str, stream: _Member, left: int) -> bytes:
    """Some of the array's next `left` bytes."""
    piece = stream.piece(left)
    if not piece:
        raise Fault(f"array {key!r} ends {left} bytes early")
    return piece


def _fill(key: str, stream: _Member, target: memoryview) -> None:
    done = 0
    while done < len(target):
        piece = _piece(key, stream, len(target) - done)
        target[done : done + len(piece)] = piece
        done += len(piece)


def _finish(key: str, stream: _Member) -> None:
    """Read past the last data byte, so that the checksum is compared.

    An honest member ends there; padding that its writer left is skipped up to a limit, since numpy
    ignores it too.
    """
    padding = 0
    while piece := stream.piece(CHUNK):
        padding += len(piece)
        if padding > _MAX_PADDING:
            raise Fault(f"array {key!r} is followed by more than {_MAX_PADDING} bytes that belong to nothing")


def _open_regular(path: Path) -> IO[bytes]:
    """Open a regular file, or raise `Fault`: opening a FIFO the usual way waits for ever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Fault("it is not a regular file")
    return os.fdopen(descriptor, "rb")


@contextmanager
def open_untrusted(path: Path) -> Iterator[NpzReader]:
    """Open an npz file for checked reading.  Raises `Fault` for whatever is wrong with its bytes."""
    with ExitStack() as stack:
        with untrusted(path):
            raw = stack.enter_context(_open_regular(path))
            # A zip file may have anything in front of it; numpy goes by the first bytes.
            if not raw.read(4).startswith((b"PK\x03\x04", b"PK\x05\x06")):
                raise Fault("it is not an npz file: it does not begin as a zip file does")
            archive = stack.enter_context(zipfile.ZipFile(_BoundedFile(raw)))
            reader = NpzReader(archive, raw, path, os.fstat(raw.fileno()).st_size)
        yield reader


@contextmanager
def open_npz(path: str | Path, remedy: str = "Write it again with numpy.savez_compressed") -> Iterator[NpzReader]:
    """Open an npz file of the organizer's for checked reading.

    Raises:
        InputError: naming the file, the fault found and `remedy`, also for faults found in the block.
    """
    try:
        with open_untrusted(Path(path)) as reader:
            yield reader
    except Fault as fault:
        raise InputError(path, str(fault), f"{remedy}.") from fault


def write_npz(path: str | Path, arrays: Mapping[str, Array], level: int = 6) -> None:
    """Write an npz file that numpy reads, the same bytes for the same arrays; whole or not at all.

    Args:
        path: the file; replaced only once the new one is complete.
        arrays: by key, none of them of object dtype.
        level: deflate level, 0 (none) to 9; 1 is eight times faster than 6 on label volumes.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for key, array in arrays.items():
                # Opened by name, a member is dated 1980-01-01, so the bytes repeat.
                with archive.open(f"{key}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
