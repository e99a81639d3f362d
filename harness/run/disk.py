"""Watching what a container adds on disk: its scratch space and its writable layer together."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from harness.records import Limits
from harness.run.scratch import Scratch
from harness.run.trees import tree_use

#: The writable layer is walked again once the file system under it lost this much.
_WALK_BYTES = 64 << 20
_WALK_INODES = 4096
#: Where only the engine can tell the layer's size, it is asked at every so many looks: that costs it time.
_ASK_EVERY = 20


class DiskWatch:
    """Asked every 50 ms whether the limit is passed; cheap while nothing grows.

    Args:
        space: the run's scratch space.
        before: bytes and inodes used in it before the container was made.
        folders: the container's writable layer and anonymous volumes on the engine's host.
        limits: `disk_bytes` and `disk_inodes` hold for the sum of all.
        ask: the engine's word on the layer's bytes, for where this user may not look into it.
    """

    def __init__(
        self,
        space: Scratch,
        before: tuple[int, int],
        folders: list[Path],
        limits: Limits,
        ask: Callable[[], int],
    ) -> None:
        self._space = space
        readable = [folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)]
        self._folders = readable
        self._ask = ask if len(readable) < len(folders) or not folders else None
        self._limits = limits
        self._base = before
        self._walked = self._host_free()
        self._layer = (0, 0)
        self._looks = 0
        self.highest = 0

    def _host_free(self) -> tuple[int, int]:
        if not self._folders:
            return 0, 0
        now = os.statvfs(self._folders[0])
        return now.f_bfree * now.f_frsize, now.f_ffree

    def over(self) -> bool:
        """Whether the limit is passed now."""
        self._looks += 1
        free_bytes, free_inodes = self._host_free()
        lost = (self._walked[0] - free_bytes, self._walked[1] - free_inodes)
        if lost[0] > _WALK_BYTES or lost[1] > _WALK_INODES:
            self._walk()
        elif self._ask is not None and self._looks % _ASK_EVERY == 0:
            self._layer = (self._ask(), 0)
        # What others set free must not hide what the container takes.
        self._walked = (max(self._walked[0], free_bytes), max(self._walked[1], free_inodes))
        return self.final()

    def final(self) -> bool:
        """Whether the limit is passed by what is in scratch now and what was last seen of the layer."""
        used_bytes, used_inodes = self._space.used()
        added = used_bytes - self._base[0] + self._layer[0]
        self.highest = max(self.highest, added)
        inodes = used_inodes - self._base[1] + self._layer[1]
        return added > self._limits.disk_bytes or inodes > self._limits.disk_inodes

    def _walk(self) -> None:
        sizes = [tree_use(f, self._limits.disk_bytes, self._limits.disk_inodes) for f in self._folders]
        sizes.append(unlinked_use(self._folders[0].parent / "merged"))
        self._layer = (sum(size[0] for size in sizes), sum(size[1] for size in sizes))
        self._walked = self._host_free()


def unlinked_use(root: Path) -> tuple[int, int]:
    """Allocated bytes and inodes of files that a container's processes hold open though no folder has them any more.

    Args:
        root: the container's root as the engine mounts it on its host; where there is none, nothing is found.
    """
    try:
        device = os.stat(root).st_dev
    except OSError:
        return 0, 0
    held: dict[int, int] = {}
    for process in (entry for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        with suppress(OSError):  # it ended meanwhile
            if os.stat(process / "root").st_dev != device:
                continue
            for entry in (*os.listdir(process / "fd"), *os.listdir(process / "map_files")):
                where = "map_files" if "-" in entry else "fd"
                with suppress(OSError):
                    found = os.stat(process / where / entry)
                    if found.st_dev == device and found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                        held[found.st_ino] = found.st_blocks * 512
    return sum(held.values()), len(held)
