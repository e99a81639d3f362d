"""`python -m models.fast`: segment the cases of a folder with exported networks."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness import contract
from models.daft import candidates
from models.fast.pipeline import FILE, MODES, PipelineError, read_pipeline
from models.fast.segment import Segmenter

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Segment; returns the exit code: 0 done, 2 nothing to do it with."""
    parser = argparse.ArgumentParser(
        prog="python -m models.fast", description="Segment cases with networks exported by `python -m models export`."
    )
    add = parser.add_argument
    add("-i", "--inputs", type=Path, default=Path(contract.INPUTS_DIR), metavar="DIR", help="default: %(default)s")
    add("-o", "--outputs", type=Path, default=Path(contract.OUTPUTS_DIR), metavar="DIR", help="default: %(default)s")
    add(
        "--networks", type=Path, required=True, metavar="DIR",
        help="an exported folder, or one of several named as DAFT's models (3D, CT, ..., general)",
    )  # fmt: skip
    add("--mode", choices=MODES, help="default: as exported")
    args = parser.parse_args(argv)
    paths = sorted(args.inputs.glob("*.npz"))
    if not paths:
        print(f"error: {args.inputs}: no .npz file. Mount a folder with cases there.", file=sys.stderr)
        return 2
    segmenters: dict[Path, Segmenter] = {}
    try:
        for path in paths:
            # Inflating and importing run side by side.
            reading = _Later(lambda path=path: contract.read_case(path))
            folder = folder_of(args.networks, contract.case_name(path))
            if folder not in segmenters:
                segmenters[folder] = load(folder, args.mode)
            case = reading.result()
            labels = segmenters[folder](case.imgs, case.boxes)
            contract.write_npz(args.outputs / path.name, {contract.SEGMENTATION_KEY: labels}, level=1)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def folder_of(root: Path, case: str) -> Path:
    """Where a case's networks lie: the folder itself, or the one in it that the case's name leads to."""
    if (root / FILE).is_file():
        return root
    names = candidates(case)
    found = [root / name for name in names if (root / name / FILE).is_file()]
    if not found:
        raise PipelineError(f"{root}: it holds no networks, nor {' or '.join(names)}. Export them there.")
    return found[0]


def load(folder: Path, mode: str | None) -> Segmenter:
    """The networks of a folder, ready to segment."""
    from models.fast.network import OpenVinoNetwork  # brings OpenVINO, whose import is worth doing beside reading

    pipeline = read_pipeline(folder)
    return Segmenter(OpenVinoNetwork(folder), pipeline if mode is None else pipeline.in_mode(mode))


class _Later:
    """A call that runs in a thread of its own until its result is asked for."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result, self._error = self._call(), None
        except BaseException as error:
            self._error = error

    def result(self):
        """What the call returned or raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result


if __name__ == "__main__":
    sys.exit(main())
