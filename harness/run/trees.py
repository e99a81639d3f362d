"""Trees of files that a container left, which may be as deep and as full as its author liked."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessFault

_COPY = 1 << 20


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
