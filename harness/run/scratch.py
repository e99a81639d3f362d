"""Scratch space on the engine's host: where a case is laid out for a container and its outputs land.

ROOT/RUN/disk.img         file system of limited size and inode count, mounted on
ROOT/RUN/disk/            inputs/ and outputs/ of the attempt under way
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessFault
from harness.records import Limits
from harness.run.engine import Output
from harness.run.logs import printable
from harness.run.roots import lock_file, make_root, owner_prefix, remove_folder
from harness.run.trees import copy_and_hash, remove_tree, tree_use

log = logging.getLogger(__name__)

#: Room in the file system beyond the limit, so that passing the limit is seen before space ends.
_SPARE_BYTES = 64 << 20
_SPARE_INODES = 1024
#: Entries of a folder that are looked at; a container can leave a million.
_MAX_ENTRIES = 10_000
#: Freed blocks are handed back to the host once this many bytes of the image file are allocated.
_TRIM_ABOVE = 256 << 20


class Scratch:
    """A run's scratch folder; use as a context manager."""

    def __init__(self, root: Path, limits: Limits, largest_input: int) -> None:
        self._root = root
        self._limits = limits
        self._largest_input = largest_input
        self.label = f"{owner_prefix(root)}{secrets.token_hex(6)}"
        self.folder = root / self.label
        self._lock: int | None = None
        self._mounted = False
        self._input_stat: os.stat_result | None = None

    # -- life

    def __enter__(self) -> Scratch:
        make_root(self._root)
        self.folder.mkdir(mode=0o700)
        self._lock = lock_file(self.folder / "lock")
        if self._lock is None:
            raise HarnessFault(f"{self.folder}: a new scratch folder is locked already")
        self.disk.mkdir()
        try:
            self._mounted = self._mount()
            self._lay_out()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        remove_folder(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def disk(self) -> Path:
        """The limited file system (or a plain folder where none can be mounted)."""
        return self.folder / "disk"

    @property
    def inputs(self) -> Path:
        """Mounted as the container's inputs."""
        return self.disk / "inputs"

    @property
    def outputs(self) -> Path:
        """Mounted as the container's outputs."""
        return self.disk / "outputs"

    @property
    def quarantine(self) -> Path:
        """On the same file system, out of the container's sight."""
        return self.disk / "quarantine"

    @property
    def hard_limit(self) -> bool:
        """Whether the kernel enforces the disk limit (a mounted file system), or only watching does."""
        return self._mounted

    def _mount(self) -> bool:
        """Mount a file system of the limit's size, where that is allowed."""
        if os.getuid() != 0 or shutil.which("mkfs.ext4") is None or not Path("/dev/loop-control").exists():
            return False
        image = self.folder / "disk.img"
        inodes = self._limits.disk_inodes + _SPARE_INODES
        # ext4's own tables need about 256 bytes an inode and 2 % of the space.
        size = self._limits.disk_bytes + self._largest_input + _SPARE_BYTES
        size += inodes * 256 + size // 50
        with open(image, "wb") as file:
            file.truncate(size)
        options = "^has_journal,^resize_inode"
        commands = (
            ["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-O", options, "-N", str(inodes), str(image)],
            ["mount", "-o", "loop,nosuid,nodev,noatime", str(image), str(self.disk)],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                log.warning("no limited file system for outputs, watching a folder instead: %s", done.stderr.strip())
                image.unlink()
                return False
        _use_direct_io(self.disk)
        return True

    def _lay_out(self) -> None:
        for folder, mode in ((self.inputs, 0o777), (self.outputs, 0o777), (self.quarantine, 0o700)):
            folder.mkdir()
            os.chmod(folder, mode)

    # -- one attempt

    def put(self, case_file: Path, name: str) -> str:
        """Lay out a private, writable copy of the case as ``inputs/name``; returns its SHA-256."""
        target = self.inputs / name
        digest = copy_and_hash(case_file, target)
        os.chmod(target, 0o666)
        self._input_stat = target.stat()
        return digest

    def readable(self, name: str) -> bool:
        """Whether this user may read the output, if there is one."""
        path = self.outputs / name
        return path.is_symlink() or not path.is_file() or os.access(path, os.R_OK)

    def collect(self, name: str) -> Output:
        """Look at what an ended container left, trusting nothing, and take its output into quarantine."""
        for folder in (self.inputs, self.outputs):
            with suppress(OSError):  # a container of this user's own id can close them to this user
                os.chmod(folder, 0o700)
        output, links, size, unusable = None, 0, 0, ""
        try:
            found = os.lstat(self.outputs / name)
        except OSError:
            pass
        else:
            links, size = found.st_nlink, found.st_size
            unusable = "" if stat.S_ISREG(found.st_mode) else f"it is {_kind(found.st_mode)}"
            if not unusable:
                output = self.quarantine / name
                os.rename(self.outputs / name, output)
                with suppress(OSError):
                    os.chmod(output, 0o600)
        extra, total = _list_folder(self.outputs)
        before, changes = self._input_stat, ""
        try:
            after = os.lstat(self.inputs / name)
        except OSError:
            changes = "deleted"
        else:
            # A container cannot set ctime: the capability for the clock is dropped.
            if before is None or (after.st_ino, after.st_size, after.st_ctime_ns, after.st_mtime_ns) != (
                before.st_ino,
                before.st_size,
                before.st_ctime_ns,
                before.st_mtime_ns,
            ):
                changes = "changed"
        inputs, _ = _list_folder(self.inputs)
        return Output(
            file=output,
            bytes=size,
            unusable=unusable,
            links=links,
            extra=tuple(_shown(entry) for entry in extra if entry != name)[:20],
            total_bytes=total + (size if output else 0),
            input_changes=changes,
            input_extra=any(entry != name for entry in inputs),
        )

    def empty(self) -> None:
        """Remove everything an attempt left, so that the next one starts with nothing of it."""
        for folder in (self.inputs, self.outputs, self.quarantine):
            if folder.exists():
                remove_tree(folder)
        self._lay_out()
        self._input_stat = None
        if self._mounted:
            image = os.stat(self.folder / "disk.img")
            if image.st_blocks * 512 > _TRIM_ABOVE:
                subprocess.run(["fstrim", str(self.disk)], capture_output=True, check=False)

    def used(self) -> tuple[int, int]:
        """Bytes and inodes in use on the scratch file system; of the folder's tree where none is mounted."""
        if not self._mounted:
            # Counted beyond the limit, as far as the mounted file system would reach: the input is not the container's.
            most_bytes = self._limits.disk_bytes + self._largest_input + _SPARE_BYTES
            return tree_use(self.disk, most_bytes, self._limits.disk_inodes + _SPARE_INODES)
        now = os.statvfs(self.disk)
        return (now.f_blocks - now.f_bfree) * now.f_frsize, now.f_files - now.f_ffree


def _list_folder(folder: Path) -> tuple[tuple[str, ...], int]:
    """Names in a folder (sorted) and the apparent size of the files right in it; a bounded look."""
    names, total = [], 0
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= _MAX_ENTRIES:
                break
            names.append(entry.name)
            total += entry.stat(follow_symlinks=False).st_size
    return tuple(sorted(names)), total


def _shown(name: str) -> str:
    """A file's name on one line, safe to show on a terminal."""
    return printable(os.fsencode(name)).replace("\n", "\N{REPLACEMENT CHARACTER}")[:255]


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((name for test, name in kinds if test(mode)), "a device node")


def _use_direct_io(mountpoint: Path) -> None:
    """Let the loop device bypass the host's page cache: else each page is cached, and charged, twice."""
    source = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE", str(mountpoint)], capture_output=True, text=True, check=False
    ).stdout.strip()
    if source.startswith("/dev/loop"):
        subprocess.run(["losetup", "--direct-io=on", source], capture_output=True, check=False)
