"""Fills the disk.  Each stops by itself: at 6 GiB or a million files, or after half a minute."""

import os
import time
from pathlib import Path

from prediction import OUTPUTS, output_file

MOST_BYTES = 6 << 30
MOST_FILES = 1_000_000
LONGEST_S = 30.0
#: Not zeros, so that no file system stores it as a hole.
PIECE = bytes(range(256)) * 4096


def hold(deadline: float) -> None:
    """Keep the disk full for a while, as a process would that waits for room."""
    time.sleep(max(0.0, min(10.0, deadline - time.monotonic())))


def grow(path: Path) -> None:
    """Write a file that grows; at a full disk or an error, go on in small pieces."""
    deadline = time.monotonic() + LONGEST_S
    written, piece = 0, PIECE
    with open(path, "wb", buffering=0) as file:
        while written < MOST_BYTES and time.monotonic() < deadline:
            try:
                written += file.write(piece)
            except OSError as error:
                print(f"{path}: {error.strerror} after {written} bytes")
                piece = piece[: max(1, len(piece) // 16)]
                time.sleep(0.5)
    hold(deadline)


def huge_file() -> None:
    """A file of the right name that grows without end."""
    grow(output_file())


def sparse_file() -> None:
    """A file of the right name of a terabyte, all of it a hole."""
    with open(output_file(), "wb") as file:
        for bits in (40, 36, 33):
            try:
                file.truncate(1 << bits)
            except OSError as error:
                print(f"2^{bits} bytes: {error.strerror}")
                continue
            break


def many_files() -> None:
    """A million small files."""
    deadline = time.monotonic() + LONGEST_S
    for number in range(MOST_FILES):
        if time.monotonic() > deadline:
            break
        folder = OUTPUTS / f"{number // 1000}"
        try:
            if number % 1000 == 0:
                folder.mkdir()
            os.close(os.open(folder / f"{number}", os.O_CREAT | os.O_WRONLY))
        except OSError as error:
            print(f"{error.strerror} after {number} files")
            break
    hold(deadline)


def fill_tmp() -> None:
    """Fill /tmp."""
    grow(Path("/tmp/filled"))


def fill_layer() -> None:
    """Fill the container's own layer, in the user's home."""
    grow(Path.home() / "filled")


BEHAVIOURS = {
    "huge-file": huge_file,
    "sparse-file": sparse_file,
    "many-files": many_files,
    "fill-tmp": fill_tmp,
    "fill-layer": fill_layer,
}
