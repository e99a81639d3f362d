"""Watching what a container adds on disk: its scratch space and its writable layer together."""

from __future__ import annotations

import os
from pathlib import Path

from harness.records import Limits
from harness.run.scratch import Scratch, tree_use

#: The writable layer is walked again once the file system under it lost this much.
_WALK_BYTES = 64 << 20
_WALK_INODES = 4096


class DiskWatch:
    """Asked every 50 ms whether the limit is passed; cheap while nothing grows.

    Args:
        space: the run's scratch space.
        folders: the container's writable layer and anonymous volumes, where this host can read them.
        limits: `disk_bytes` and `disk_inodes` hold for the sum of all.
    """

    def __init__(self, space: Scratch, folders: list[Path], limits: Limits) -> None:
        self._space = space
        self._folders = [folder for folder in folders if folder.is_dir()]
        self._limits = limits
        self._base = space.used()
        self._walked = self._host_free()
        self._layer = (0, 0)
        self.highest = 0

    def _host_free(self) -> tuple[int, int]:
        if not self._folders:
            return 0, 0
        now = os.statvfs(self._folders[0])
        return now.f_bfree * now.f_frsize, now.f_ffree

    def over(self) -> bool:
        """Whether the limit is passed now."""
        free_bytes, free_inodes = self._host_free()
        lost = (self._walked[0] - free_bytes, self._walked[1] - free_inodes)
        if lost[0] > _WALK_BYTES or lost[1] > _WALK_INODES:
            self._walk()
        return self._compare()

    def final(self) -> bool:
        """Whether the limit is passed by what is left in scratch, after the container's end."""
        return self._compare()

    def _walk(self) -> None:
        sizes = [tree_use(f, self._limits.disk_bytes, self._limits.disk_inodes) for f in self._folders]
        self._layer = (sum(size[0] for size in sizes), sum(size[1] for size in sizes))
        self._walked = self._host_free()

    def _compare(self) -> bool:
        used_bytes, used_inodes = self._space.used()
        added = used_bytes - self._base[0] + self._layer[0]
        self.highest = max(self.highest, added)
        inodes = used_inodes - self._base[1] + self._layer[1]
        return added > self._limits.disk_bytes or inodes > self._limits.disk_inodes
