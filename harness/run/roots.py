"""Scratch roots and locks: who holds this host, which runs live, and clearing away what dead ones left.

    ROOT/RUN/lock             held as long as the run lives

A run's folder whose lock is free belongs to nobody, so whatever a killed run left behind (mounts, folders,
containers, control groups) is recognised and removed by the next run of anybody.  RUN, which also labels
containers and control groups, begins with a mark of ROOT: two roots never take each other's for dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.run.trees import remove_tree


def scratch_root() -> Path:
    """The host's scratch root: $HARNESS_SCRATCH, or a folder of this user's in the system's temporary files."""
    given = os.environ.get("HARNESS_SCRATCH")
    return Path(given) if given else Path(tempfile.gettempdir()) / f"cvpr24-harness-{os.getuid()}"


def owner_prefix(root: Path) -> str:
    """What the labels of all runs below this root begin with."""
    return hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:8] + "-"


def lock_file(path: Path, mode: int = 0o600) -> int | None:
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
        descriptor = lock_file(path, mode=0o666)
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
    descriptor = lock_file(path)
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
