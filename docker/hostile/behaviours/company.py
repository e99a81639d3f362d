"""A valid prediction, and beside it what must not matter."""

import os
import socket
import sys
import zipfile
from pathlib import Path

from prediction import INPUTS, OUTPUTS, case_file, write_valid

FLOOD_BYTES = 1 << 30


def network() -> None:
    """Look for a way out: interfaces, an address, a name.  The address is one reserved for documentation."""
    write_valid()
    lines = Path("/proc/net/dev").read_text().splitlines()[2:]
    print("interfaces:", *sorted(line.split(":")[0].strip() for line in lines))
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=2).close()
        print("connect: got through")
    except TimeoutError:
        print("connect: sent, no answer")
    except OSError as error:
        print(f"connect: {error.strerror}")
    try:
        print("name: found", socket.gethostbyname("example.org"))
    except OSError:
        print("name: not found")


def delete_input() -> None:
    """Delete the case."""
    write_valid()
    path = case_file()
    path.unlink()
    print("input deleted" if not path.exists() else "input still there")


def change_input() -> None:
    """Turn every byte of the case, in place."""
    write_valid()
    path = case_file()
    raw = path.read_bytes()
    path.write_bytes(bytes(255 - b for b in raw))
    print("input changed")


def leave_files() -> None:
    """Leave caches in inputs and outputs, and say what an earlier run of this had left."""
    found = [str(p) for folder in (INPUTS, OUTPUTS, Path.home(), Path("/tmp")) for p in folder.rglob("*leftover*")]
    print("found:", *(found or ["nothing"]))
    write_valid()
    for folder in (INPUTS, OUTPUTS, Path.home(), Path("/tmp")):
        (folder / "leftover_cache").mkdir(exist_ok=True)
        (folder / "leftover_cache" / "leftover.bin").write_bytes(bytes(1000))
        (folder / ".leftover").write_bytes(b"hidden")
    write_valid(OUTPUTS / "2DBox_US_leftover.npz")


def flood() -> None:
    """A gigabyte of stdout that clears the screen, sets titles and colours, and rings."""
    write_valid()
    line = b"\x1b[2J\x1b[H\x1b]0;owned\x07\x1b[31;5m" + b"flood \xff\xfe\x00 \x9b5n" * 200 + b"\r\n"
    piece = line * (1 + (1 << 16) // len(line))
    sent = 0
    while sent < FLOOD_BYTES:
        sent += os.write(sys.stdout.fileno(), piece)


def further_files() -> None:
    """Write other files too, as real submissions do, more than anybody cares to list."""
    write_valid()
    (OUTPUTS / "efficiency.csv").write_text("case,time\n")
    for number in range(30):
        (OUTPUTS / f"mask_{number:02}.png").write_bytes(bytes(100))
    (OUTPUTS / "\x1b[31mred\n").write_text("a name to break a terminal")
    (OUTPUTS / "folder").mkdir()
    (OUTPUTS / "folder" / "file.txt").write_text("deep")


def exit_1() -> int:
    """Exit 1 after a valid prediction."""
    write_valid()
    return 1


def spy() -> None:
    """Print the keys of the case, all files at hand and the environment."""
    write_valid()
    with zipfile.ZipFile(case_file()) as archive:
        print("keys:", *sorted(name.removesuffix(".npy") for name in archive.namelist()))
    print("files:", *sorted(str(p) for p in INPUTS.parent.rglob("*")))
    print("environment:", *sorted(os.environ))


def valid() -> None:
    """Nothing else: the yardstick for what the others leave behind."""
    write_valid()


BEHAVIOURS = {
    "valid": valid,
    "network": network,
    "delete-input": delete_input,
    "change-input": change_input,
    "leave-files": leave_files,
    "flood": flood,
    "further-files": further_files,
    "exit-1": exit_1,
    "spy": spy,
}
