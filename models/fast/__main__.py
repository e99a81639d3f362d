"""`python -m models.fast`: segment the cases of a folder with exported networks."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness import contract
from models import daft
from models.fast.pipeline import FILE, MODES, SHARED, Mode, PipelineError, read_pipeline
from models.fast.segment import Network, Segmenter
from models.phases import Phases

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Segment; returns the exit code: 0 done, 2 some case or the networks are not as they must be."""
    phases = Phases()
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
    segmenters, code = _Segmenters(args.networks, args.mode, phases), 0
    for path in paths:
        try:
            _predict(path, args.outputs, segmenters, phases)
        except (PipelineError, contract.InputError) as error:  # one broken file is no reason to leave the others
            print(f"error: {error}", file=sys.stderr)
            code = 2
    return code


def _predict(path: Path, outputs: Path, segmenters: _Segmenters, phases: Phases) -> None:
    """Segment one case and write its prediction."""
    # Inflating runs beside importing and loading.
    reading = _Later(lambda: contract.read_case(path, beyond_boxes=False))
    segment = segmenters.of(contract.case_name(path))
    with phases.within("read"):
        case = reading.result()
    labels = segment(case.imgs, case.boxes)
    with phases.within("write"):
        contract.write_npz(outputs / path.name, {contract.SEGMENTATION_KEY: labels}, level=1)
    phases.report(contract.case_name(path))


def folder_of(root: Path, case: str) -> Path:
    """Where a case's networks lie: the folder itself, or the one in it that the case's name leads to."""
    if (root / FILE).is_file():
        return root
    volumes = root / daft.VOLUMES
    shared = (volumes / FILE).is_file() and read_pipeline(volumes).algorithm == SHARED
    names = daft.candidates(case, shared)
    found = [root / name for name in names if (root / name / FILE).is_file()]
    if not found:
        raise PipelineError(f"{root}: it holds no networks, nor {' or '.join(names)}. Export them there.")
    return found[0]


class _Segmenters:
    """The networks of one case after the other, of which the last ones are kept: cases of a kind follow one another.

    Args:
        root: an exported folder, or one of several.
        mode: instead of the exported one, unless None.
        phases: told of importing, loading, encoding and decoding.
    """

    def __init__(self, root: Path, mode: Mode | None, phases: Phases) -> None:
        self._root, self._mode, self._phases = root, mode, phases
        self._loaded: tuple[Path, Segmenter] | None = None

    def of(self, case: str) -> Segmenter:
        """Those that a case's name leads to, ready to segment."""
        folder = folder_of(self._root, case)
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = None  # not two networks at once
            self._loaded = folder, self._load(folder)
        return self._loaded[1]

    def _load(self, folder: Path) -> Segmenter:
        pipeline = read_pipeline(folder)
        with self._phases.within("import"):  # worth doing beside reading
            from models.fast.network import OpenVinoNetwork
        with self._phases.within("load"):
            network = OpenVinoNetwork(folder, precision=pipeline.precision)
        timed = TimedNetwork(network, self._phases)
        return Segmenter(timed, pipeline if self._mode is None else pipeline.in_mode(self._mode))


class TimedNetwork:
    """A network whose work counts as a phase's."""

    def __init__(self, network: Network, phases: Phases) -> None:
        self.encode = phases.timed("encode", network.encode, "slices")
        self.decode = phases.timed("decode", network.decode, "masks")


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
