"""Whole npz files whose array is no acceptable prediction."""

import math
import struct

from prediction import filled, label_shape, npy, output_file, valid, write


def wrong_shape() -> None:
    """One row too many."""
    shape = label_shape()
    shape = (*shape[:-2], shape[-2] + 1, shape[-1])
    write(output_file(), npy("|u1", shape, bytes(math.prod(shape))))


def broadcastable_shape() -> None:
    """One row of ones, which numpy would stretch over the whole image."""
    shape = label_shape()
    shape = (*(1 for _ in shape[:-1]), shape[-1])
    write(output_file(), npy("|u1", shape, b"\x01" * shape[-1]))


def nan() -> None:
    """Floats, the last of them not a number."""
    labels = filled()
    values = [float(v) for (v,) in struct.iter_unpack("<H", labels)]
    values[-1] = math.nan
    write(output_file(), npy("<f4", label_shape(), struct.pack(f"<{len(values)}f", *values)))


def complex_numbers() -> None:
    """Complex numbers whose real part is right."""
    parts = [part for (v,) in struct.iter_unpack("<H", filled()) for part in (float(v), 0.0)]
    write(output_file(), npy("<c8", label_shape(), struct.pack(f"<{len(parts)}f", *parts)))


def pickled() -> None:
    """An object array, whose pickle ends the process that loads it."""
    write(output_file(), npy("|O", label_shape(), b"cbuiltins\nexit\n(I77\ntR."))


def wrong_key() -> None:
    """A valid array under another key."""
    write(output_file(), valid(), name="seg.npy")


BEHAVIOURS = {
    "wrong-shape": wrong_shape,
    "broadcastable-shape": broadcastable_shape,
    "nan": nan,
    "complex": complex_numbers,
    "pickled": pickled,
    "wrong-key": wrong_key,
}
