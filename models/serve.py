"""What every submission here does with its folders: segment each case and write its prediction."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import contract

Segment = Callable[[contract.Array, contract.Array], contract.Array]


def serve(segment: Segment, argv: Sequence[str] | None = None) -> int:
    """Segment every case of a folder; returns the exit code.

    Args:
        segment: from image and boxes to labels; whether it is a volume shows in the boxes' width.
        argv: ``[INPUTS [OUTPUTS]]``, by default the command line's; without them the challenge's folders.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    inputs = Path(given[0] if given else contract.INPUTS_DIR)
    outputs = Path(given[1] if len(given) > 1 else contract.OUTPUTS_DIR)
    paths = sorted(inputs.glob("*.npz"))
    if not paths:
        print(f"{inputs}: no .npz file. Mount a folder with cases there.", file=sys.stderr)
        return 2
    for path in paths:
        case = contract.read_case(path)
        contract.write_prediction(outputs / path.name, segment(case.imgs, case.boxes))
    return 0
