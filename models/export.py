"""`python -m models export`: an algorithm's networks and arithmetic, for programs without torch.

The folder holds encoder.xml and .bin (`image` (1, 3, S, S) float32 -> `embedding` (1, 256, 64, 64)), decoder.xml and
.bin (`embedding`, `boxes` (N, 4) in input pixels -> `low_res_logits` (N, 256, 256), `iou` (N,)), and pipeline.json
(`models.fast.pipeline`).  Weights are 32-bit floats.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

from models.algorithms import ALGORITHMS, build
from models.checkpoints import load_network
from models.fast.pipeline import MODES, SEED, write_pipeline

SUMMARY = "Write an algorithm's networks as OpenVINO models, and its arithmetic beside them."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--algorithm", required=True, choices=sorted(ALGORITHMS))
    add("--pipeline", choices=sorted(ALGORITHMS), help="with this one's arithmetic (DAFT takes in LiteMedSAM's)")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights, as published")
    weights.add_argument("--seed", type=int, metavar="N", default=SEED, help="random weights (default: %(default)s)")
    add("--mode", choices=MODES, default="published", help="with the published program's defects (default), or without")
    add("--out", type=Path, required=True, metavar="DIR", help="made where it is not there")


def execute(args: argparse.Namespace) -> int:
    """Load, convert, write.

    Raises:
        ValueError: the checkpoint is not the algorithm's, or the other algorithm's square is of another size.
    """
    import openvino

    from models import convert

    algorithm = ALGORITHMS[args.algorithm]
    pipeline = ALGORITHMS[args.pipeline or args.algorithm].pipeline
    if pipeline.input_size != algorithm.input_size:
        raise ValueError(
            f"--pipeline {args.pipeline}: its square has {pipeline.input_size} pixels, that of {args.algorithm} "
            f"{algorithm.input_size}. Name an algorithm whose square is as large."
        )
    network = load_network(algorithm, args.checkpoint) if args.checkpoint else build(algorithm, args.seed)
    weights = f"checkpoint {sha256(args.checkpoint)}" if args.checkpoint else f"random, seed {args.seed}"
    args.out.mkdir(parents=True, exist_ok=True)
    for name, model in (
        ("encoder", convert.encoder_model(network, algorithm.input_size)),
        ("decoder", convert.decoder_model(network)),
    ):
        openvino.save_model(model, args.out / f"{name}.xml", compress_to_fp16=False)
    write_pipeline(replace(pipeline.in_mode(args.mode), weights=weights), args.out)
    print(f"{args.out}: {algorithm.title}, {weights}")
    return 0


def sha256(path: Path) -> str:
    """Of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
