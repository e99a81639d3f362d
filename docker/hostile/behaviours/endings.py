"""Ends without a prediction: hangs, exits, and things of the right name that are no files."""

import os
import signal
import socket
import stat
import sys
import time

from prediction import OUTPUTS, case_file, output_file, write_valid

#: Longer than any time limit of a test, and an end all the same.
HANG_S = 120.0


def hang() -> None:
    """Sleep beyond the time limit."""
    time.sleep(HANG_S)


def hang_ignoring_signals() -> None:
    """Sleep beyond the time limit, deaf to SIGTERM and its kin."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        time.sleep(1)


def exit_nonzero() -> int:
    """Leave no output and say so by the exit code."""
    sys.stderr.write("no model found\n")
    return 3


def exit_137() -> int:
    """End as a process that the kernel killed for memory would, without one."""
    return 137


def segfault() -> None:
    """Die by a signal."""
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(5)


def write_nothing() -> None:
    """Exit 0, leaving nothing."""


def wrong_name() -> None:
    """A valid prediction under another name."""
    write_valid(OUTPUTS / f"prediction_{case_file().name}")


def symlink() -> None:
    """The right name is a symlink to a valid prediction beside it."""
    write_valid(OUTPUTS / "hidden.npz")
    output_file().symlink_to("hidden.npz")


def symlink_out() -> None:
    """The right name is a symlink to a file of the host, if it were followed there."""
    output_file().symlink_to("/etc/passwd")


def fifo() -> None:
    """The right name is a FIFO: whoever opens it waits for a writer."""
    os.mkfifo(output_file())


def device() -> None:
    """The right name is the device /dev/zero; without the right to make one, nothing is left."""
    try:
        os.mknod(output_file(), 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        print("no right to make a device")


def unix_socket() -> None:
    """The right name is a socket."""
    os.chdir(OUTPUTS)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(case_file().name)


def folder() -> None:
    """The right name is a folder with a valid prediction in it."""
    output_file().mkdir()
    write_valid(output_file() / case_file().name)


BEHAVIOURS = {
    "hang": hang,
    "hang-ignoring-signals": hang_ignoring_signals,
    "exit-nonzero": exit_nonzero,
    "exit-137": exit_137,
    "segfault": segfault,
    "write-nothing": write_nothing,
    "wrong-name": wrong_name,
    "symlink": symlink,
    "symlink-out": symlink_out,
    "fifo": fifo,
    "device": device,
    "socket": unix_socket,
    "folder": folder,
}
