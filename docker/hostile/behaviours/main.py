"""Run one behaviour by its name: python3 main.py NAME."""

import sys
from collections.abc import Callable

import archives
import arrays
import company
import disk
import endings
import memory
import processes

BEHAVIOURS: dict[str, Callable[[], int | None]] = {
    **endings.BEHAVIOURS,
    **memory.BEHAVIOURS,
    **arrays.BEHAVIOURS,
    **archives.BEHAVIOURS,
    **disk.BEHAVIOURS,
    **processes.BEHAVIOURS,
    **company.BEHAVIOURS,
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in BEHAVIOURS:
        sys.exit(f"usage: main.py NAME, one of: {' '.join(BEHAVIOURS)}")
    sys.exit(BEHAVIOURS[sys.argv[1]]() or 0)
