"""Scratch space on the engine's host: where a case is laid out for a container and its outputs land.

Every run has a folder of its own under one root, held by a lock as long as the run lives, so that
whatever a killed run left behind (mounts, folders, containers, cgroups) is recognised and removed by
the next run of anybody: a folder whose lock is free belongs to nobody.

    ROOT/RUN/lock             held by that run
    ROOT/RUN/disk.img         file system of limited size and inode count, mounted on
    ROOT/RUN/disk/            inputs/ and outputs/ of the attempt under way

RUN, which also labels containers and control groups, begins with a mark of ROOT: two roots never take
each other's for dead.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessFault, UsageError
from harness.records import Limits
from harness.run.logs import printable

log = logging.getLogger(__name__)

#: Room in the file system beyond the limit, so that passing the limit is seen before space ends.
_SPARE_BYTES = 64 << 20
_SPARE_INODES = 1024
_COPY = 1 << 20
#: Entries of a folder that are looked at; a container can leave a million.
_MAX_ENTRIES = 10_000
#: Freed blocks are handed back to the host once this many bytes of the image file are allocated.
_TRIM_ABOVE = 256 << 20


def scratch_root() -> Path:
    """The host's scratch root: $HARNESS_SCRATCH, or a folder of this user's in the system's temporary files."""
    given = os.environ.get("HARNESS_SCRATCH")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"cvpr24-harness-{os.getuid()}"


def owner_prefix(root: Path) -> str:
    """What the labels of all runs below this root begin with."""
    return hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:8] + "-"


@dataclass(frozen=True)
class LeftBehind:
    """What an attempt left on disk.

    Attributes:
        output: the file of the case's name, moved to where only the harness reaches; None without one.
        output_bytes: its size.
        unusable: why a thing of the right name is no output ("it is a symbolic link"), else "".
        links: hard links that the file had.
        extra: names of other things in outputs, at most 20, control characters replaced.
        bytes: sum of the apparent sizes of all it left in outputs (sparse files count in full).
        input_changes: what became of the input: "", "changed", "deleted".
        input_extra: whether other things were left beside the input.
    """

    output: Path | None
    output_bytes: int
    unusable: str
    links: int
    extra: tuple[str, ...]
    bytes: int
    input_changes: str
    input_extra: bool


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
        self._lock = _lock_file(self.folder / "lock")
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

    def collect(self, name: str) -> LeftBehind:
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
        return LeftBehind(
            output=output,
            output_bytes=size,
            unusable=unusable,
            links=links,
            extra=tuple(_shown(entry) for entry in extra if entry != name)[:20],
            bytes=total + (size if output else 0),
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


# --------------------------------------------------------------------------- locks and leftovers


def _lock_file(path: Path, mode: int = 0o600) -> int | None:
    """Lock a file for this process alone; its descriptor, or None where another process holds it."""
    try:
        # Another user's file in a sticky folder may be opened, but not with O_CREAT.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        os.fchmod(descriptor, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def make_root(root: Path) -> None:
    """Make the scratch root where it is not there.

    Raises:
        UsageError: it cannot be made, or somebody else made it first where everybody may write.
    """
    remedy = "Set HARNESS_SCRATCH to a folder that you can write to."
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found, above = os.lstat(root), os.stat(root.parent)
    except OSError as error:
        raise UsageError(f"{root}: scratch space cannot be made there ({error.strerror}). {remedy}") from error
    if above.st_mode & stat.S_IWOTH and (found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode)):
        raise UsageError(f"{root}: this scratch space is another user's. {remedy}")


def host_lock_path(root: Path) -> Path:
    """The lock of this host: one for all users, unless a scratch root of one's own was asked for."""
    if os.environ.get("HARNESS_SCRATCH"):
        return root / "host.lock"
    return Path(tempfile.gettempdir()) / "cvpr24-harness.lock"


@contextmanager
def host_lock(root: Path) -> Iterator[None]:
    """Hold the host for one timed run.

    Raises:
        UsageError: another run is being timed here.
    """
    make_root(root)
    path = host_lock_path(root)
    try:
        descriptor = _lock_file(path, mode=0o666)
    except OSError as error:
        raise UsageError(f"{path}: the lock of this host cannot be opened ({error.strerror}). Remove it.") from error
    if descriptor is None:
        raise UsageError(
            f"another run is being timed on this host (it holds {path}), and two at once would "
            "disturb each other's runtimes. Wait for it or stop it, then give the same command again."
        )
    try:
        yield
    finally:
        os.close(descriptor)


def is_alive(root: Path, label: str) -> bool:
    """Whether the run with this label still holds its scratch folder."""
    path = root / label / "lock"
    if not path.exists():
        return False
    descriptor = _lock_file(path)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def reap_folders(root: Path) -> list[str]:
    """Remove scratch folders (and mounts) of runs that died, and nothing else; returns their labels."""
    dead = []
    run = re.compile(re.escape(owner_prefix(root)) + "[0-9a-f]{12}")
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        ours = run.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
        if ours and not is_alive(root, folder.name):
            remove_folder(folder)
            dead.append(folder.name)
    return dead


def remove_folder(folder: Path) -> None:
    """Unmount and remove a run's scratch folder."""
    disk = folder / "disk"
    while os.path.ismount(disk):
        done = subprocess.run(["umount", str(disk)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            subprocess.run(["umount", "--lazy", str(disk)], capture_output=True, check=False)
            break
    remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder; folders inside that lack the user's own permission bits are opened first.

    Folders are moved up before they are emptied: a container can nest them deeper than recursion or the
    longest path reaches.

    Raises:
        HarnessFault: something in it belongs to another user.
    """
    top, mark, moved = str(folder), secrets.token_hex(8), 0
    if not os.path.lexists(top):
        return
    todo = [top]
    try:
        while todo:
            here = todo.pop()
            for inner in _remove_files(here):
                if here != top:
                    moved += 1
                    higher = f"{top}/{mark}-{moved}"
                    os.rename(inner, higher)
                    inner = higher
                todo.append(inner)
            if here != top:
                os.rmdir(here)
        os.rmdir(top)
    except OSError as error:
        raise HarnessFault(f"{error.filename}: cannot be removed ({error.strerror})") from error


def _remove_files(folder: str) -> list[str]:
    """Remove all but the folders of a folder; returns those, opened to this user."""
    with suppress(OSError):
        os.chmod(folder, 0o700)
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    os.chmod(entry.path, 0o700)
                folders.append(entry.path)
            else:
                os.unlink(entry.path)
    return folders


# --------------------------------------------------------------------------- small tools


def copy_and_hash(source: Path, target: Path) -> str:
    """Copy a file; returns the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while piece := reader.read(_COPY):
            digest.update(piece)
            writer.write(piece)
    return digest.hexdigest()


def tree_use(folder: Path, most_bytes: int, most_inodes: int) -> tuple[int, int]:
    """Allocated bytes and inodes of a tree; stops counting once either limit is passed."""
    total, inodes, todo = 0, 0, [str(folder)]
    while todo and total <= most_bytes and inodes <= most_inodes:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    inodes += 1
                    try:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            todo.append(entry.path)
                    except FileNotFoundError:
                        continue
                    if total > most_bytes or inodes > most_inodes:
                        break
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # no path leads there, so nobody knows how much it is
                return most_bytes + 1, inodes
            continue  # removed while we looked
    return total, inodes


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
