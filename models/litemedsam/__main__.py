"""`python -m models.litemedsam`: segment the cases of a folder, as the published script did."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness import contract
from models.algorithms import ALGORITHMS, build
from models.checkpoints import CheckpointError, load_network
from models.fast.pipeline import MODES, SEED
from models.litemedsam.segment import Network, Segmenter
from models.phases import Phases


def main(argv: Sequence[str] | None = None) -> int:
    """Segment; returns the exit code."""
    phases = Phases()
    parser = argparse.ArgumentParser(prog="python -m models.litemedsam", description="LiteMedSAM as it was submitted.")
    add = parser.add_argument
    add("-i", "--inputs", type=Path, default=Path(contract.INPUTS_DIR), metavar="DIR", help="default: %(default)s")
    add("-o", "--outputs", type=Path, default=Path(contract.OUTPUTS_DIR), metavar="DIR", help="default: %(default)s")
    add("--checkpoint", type=Path, metavar="FILE", help=f"lite_medsam.pth; without it random weights of seed {SEED}")
    add("--mode", choices=MODES, default="published", help="with the script's defects (default), or without")
    add("--overlay", type=Path, metavar="DIR", help="draw image and masks there, as the script did")
    args = parser.parse_args(argv)
    algorithm = ALGORITHMS["litemedsam"]
    paths = sorted(args.inputs.glob("*.npz"))
    if not paths:
        print(f"error: {args.inputs}: no .npz file. Mount a folder with cases there.", file=sys.stderr)
        return 2
    try:
        with phases.within("load"):
            network = load_network(algorithm, args.checkpoint) if args.checkpoint else build(algorithm, SEED)
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    segment = Segmenter(TimedNetwork(network, phases), args.mode)
    seconds = {path.name: _predict(segment, path, args.outputs, args.overlay, phases) for path in paths}
    with open(args.outputs / "efficiency.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("case", "time"), *seconds.items()])
    return 0


def _predict(segment: Segmenter, path: Path, outputs: Path, overlay: Path | None, phases: Phases) -> float:
    """Segment one case and write its prediction; returns the seconds that it took."""
    started = time.monotonic()
    with phases.within("read"), np.load(path, allow_pickle=False) as file:
        imgs, boxes = file["imgs"], file["boxes"]
    labels = segment(imgs, boxes)
    with phases.within("write"):
        np.savez_compressed(outputs / path.name, segs=labels)
        if overlay is not None:
            from models.litemedsam.overlay import draw

            draw(overlay / f"{path.stem}.png", imgs, boxes, labels)
    phases.report(contract.case_name(path))
    return time.monotonic() - started


class TimedNetwork:
    """A network whose work counts as a phase's."""

    def __init__(self, network: Network, phases: Phases) -> None:
        self.image_encoder = phases.timed("encode", network.image_encoder, "slices")
        self.decode = phases.timed("decode", network.decode, "masks")


if __name__ == "__main__":
    sys.exit(main())
