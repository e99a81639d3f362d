"""`python -m models.fast.bake DIR`: compile the networks in a folder, and in the folders in it, for this processor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from models.fast.network import compile_beforehand
from models.fast.pipeline import FILE, read_pipeline


def main(argv: Sequence[str] | None = None) -> int:
    """Compile; returns the exit code."""
    (root,) = sys.argv[1:] if argv is None else argv
    for file in sorted(Path(root).rglob(FILE)):
        for path in compile_beforehand(file.parent, read_pipeline(file.parent).precision):
            print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
