"""A valid prediction by the standard library alone: every box filled with its number.

Axes are in numpy order: (H, W) or (D, H, W); boxes are x_min y_min x_max y_max, or x y z minima then
maxima.
"""

import ast
import os
import struct
import zipfile
from pathlib import Path

INPUTS = Path(os.environ.get("HOSTILE_INPUTS", "/workspace/inputs"))
OUTPUTS = Path(os.environ.get("HOSTILE_OUTPUTS", "/workspace/outputs"))
KEY = "segs.npy"

_FORMATS = {"b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}
_FORMATS |= {"f2": "e", "f4": "f", "f8": "d"}


def case_file() -> Path:
    """The case: the only npz file in inputs."""
    return min(INPUTS.glob("*.npz"))


def output_file() -> Path:
    """Where the prediction is expected."""
    return OUTPUTS / case_file().name


def parse_npy(raw: bytes) -> tuple[dict, bytes]:
    """An npy file's header and data."""
    wide = raw[6] > 1
    length = int.from_bytes(raw[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + length
    return ast.literal_eval(raw[start - length : start].decode("latin1")), raw[start:]


def read_member(path: Path, name: str) -> tuple[dict, bytes]:
    """Header and data of one array."""
    with zipfile.ZipFile(path) as archive:
        return parse_npy(archive.read(name))


def read_shape(path: Path, name: str) -> tuple[int, ...]:
    """Shape of one array, by its header alone."""
    with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
        return parse_npy(stream.read(256))[0]["shape"]


def label_shape() -> tuple[int, ...]:
    """The shape that the prediction must have: the image's without colours."""
    path = case_file()
    shape = read_shape(path, "imgs.npy")
    return shape if path.name.startswith("3D") else shape[:2]


def boxes() -> list[list[int]]:
    """Boxes as whole numbers, each a list of 4 or 6."""
    header, data = read_member(case_file(), "boxes.npy")
    count, width = header["shape"]
    order = ">" if header["descr"][0] == ">" else "<"
    values = struct.unpack(f"{order}{count * width}{_FORMATS[header['descr'][1:]]}", data[: count * width * 8])
    if header["fortran_order"]:
        return [[int(v) for v in values[i::count]] for i in range(count)]
    return [[int(v) for v in values[i * width : (i + 1) * width]] for i in range(count)]


def filled() -> bytes:
    """Labels as little-endian uint16: box i holds i, later boxes over earlier ones."""
    shape = label_shape()
    depth, height, width = shape if len(shape) == 3 else (1, *shape)
    labels = bytearray(2 * depth * height * width)
    for number, box in enumerate(boxes(), start=1):
        x0, y0, z0, x1, y1, z1 = box if len(box) == 6 else (box[0], box[1], 0, box[2], box[3], 1)
        z0 = min(z0, depth - 1)
        row = struct.pack("<H", number) * (x1 - x0)
        for z in range(z0, max(z1, z0 + 1)):
            for y in range(y0, y1):
                at = 2 * ((z * height + y) * width + x0)
                labels[at : at + len(row)] = row
    return bytes(labels)


def npy(descr: str, shape: tuple[int, ...], data: bytes) -> bytes:
    """An npy file, version 1.0."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def write(path: Path, member: bytes, name: str = KEY) -> None:
    """One array as an npz file; as a draft first, so that no half of it is ever there."""
    draft = path.with_name(path.name + ".draft")
    with (
        zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w") as stream,  # opened by name it bears no date, so the bytes repeat
    ):
        stream.write(member)
    draft.rename(path)


def valid() -> bytes:
    """The array of a valid prediction."""
    return npy("<u2", label_shape(), filled())


def write_valid(path: Path | None = None) -> None:
    """A valid prediction, where it is expected or at `path`."""
    write(path or output_file(), valid())
