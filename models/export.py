"""`python -m models export`: an algorithm's networks and arithmetic, for programs without torch.

The folder holds encoder1.xml and .bin (`image` (1, 3, S, S) float32 -> what the encoder's second half begins with),
encoder2.xml and .bin (that, under the same names -> `embedding` (1, 256, 64, 64)), shared.xml and .bin (`embedding` ->
what decoding any box on it begins with), decoder.xml and .bin (that, under the same names, and `boxes` (1, 4) in input
pixels -> `low_res_logits` (1, 256, 256)), and pipeline.json (`models.fast.pipeline`).
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

from models.algorithms import Algorithm, build, networks_of
from models.checkpoints import load_network
from models.fast.pipeline import ENCODER_PARTS, MODES, PRECISIONS, PUBLISHED, SEED, STORED, Pipeline, write_pipeline

SUMMARY = "Write an algorithm's networks as OpenVINO models, and its arithmetic beside them."
DETAILS = """\
`python -m models.fast` and the C++ program run what this writes:

  python -m models export --algorithm litemedsam --checkpoint lite_medsam.pth --out networks
  python -m models.fast --networks networks -i inputs/imgs -o outputs

daft-shared is DAFT as it became after the challenge: its networks, one of them (3D) for all volumes.  A folder of
checkpoints makes a folder of exports; each case's name then chooses among them by DAFT's rule.

Variants trade accuracy, so each is a submission of its own, and pipeline.json names it:

  --precision bf16  the networks compute in 16-bit floats of 8 bits precision, for CPUs that have instructions for
                    them (AVX512-BF16, AMX).
  --stored int24    the encoder's matrices lie in the file as whole numbers of 24 bits with a factor for each 1024,
                    three quarters of the bytes, and are widened at each encoding (by Python once, when it starts, and
                    nothing is compiled beforehand).  Rounding is no more than computing in 32 bits does itself.
  --stored f16      weights lie in the file as half floats, half the bytes.  Networks compute as --precision says.
  --stored int8     weights lie in the file as whole numbers of 8 bits with a factor per channel, a quarter.
  --stride N        of a volume, a box's middle slice, its ends and every Nth slice are segmented; the logits of the
                    slices between are interpolated.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog, parser.formatter_class = DETAILS, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--algorithm", required=True, choices=sorted(PUBLISHED))
    add("--pipeline", choices=sorted(PUBLISHED), help="with this one's arithmetic (DAFT has use for LiteMedSAM's)")
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument(
        "--checkpoint", type=Path, metavar="FILE",
        help="weights, as published; or a folder of NAME.pth, each written to DIR/NAME (lite_medsam.pth holds "
        "LiteMedSAM's networks, the others the algorithm's)",
    )  # fmt: skip
    weights.add_argument("--seed", type=int, metavar="N", default=SEED, help="random weights (default: %(default)s)")
    add("--mode", choices=MODES, default="published", help="with the published program's defects (default), or without")
    add("--precision", choices=PRECISIONS, default="f32", help="what networks compute in (default: %(default)s)")
    add("--stored", choices=STORED, default="f32", help="what weights lie in the file as (default: %(default)s)")
    add("--stride", type=_stride, metavar="N", default=1, help="segment every Nth slice of volumes (default: all)")
    add("--out", type=Path, required=True, metavar="DIR", help="made where it is not there")


def execute(args: argparse.Namespace) -> int:
    """Load, convert, write.

    Raises:
        ValueError: a checkpoint is not the algorithm's, a folder holds none, or the other algorithm's square is of
            another size.
    """
    pipeline = PUBLISHED[args.pipeline or args.algorithm].in_mode(args.mode)
    pipeline = replace(pipeline, precision=args.precision, stored=args.stored, stride=args.stride)
    networks = networks_of(args.algorithm)
    if args.checkpoint is None:
        _export(networks, None, args.seed, pipeline, args.out)
    elif not args.checkpoint.is_dir():
        _export(networks, args.checkpoint, args.seed, pipeline, args.out)
    else:
        from models import daft

        files = sorted(args.checkpoint.glob("*.pth"))
        if not files:
            raise ValueError(f"{args.checkpoint}: it holds no checkpoint. Put some there, named as DAFT's: 3D.pth.")
        for file in files:
            of_file = networks_of("litemedsam") if file.stem == daft.ELSE else networks
            _export(of_file, file, args.seed, pipeline, args.out / file.stem)
    return 0


def _export(algorithm: Algorithm, checkpoint: Path | None, seed: int, pipeline: Pipeline, out: Path) -> None:
    """Write one folder: networks with a checkpoint's weights, or with random ones, and the arithmetic around them."""
    import openvino

    from models import convert

    if pipeline.input_size != algorithm.input_size:
        raise ValueError(
            f"--pipeline {pipeline.algorithm}: its square has {pipeline.input_size} pixels, that of {algorithm.name} "
            f"{algorithm.input_size}. Name an algorithm whose square is as large."
        )
    network = load_network(algorithm, checkpoint) if checkpoint else build(algorithm, seed)
    weights = f"checkpoint {sha256(checkpoint)}" if checkpoint else f"random, seed {seed}"
    out.mkdir(parents=True, exist_ok=True)
    # Winograd's filters want all 32 bits, in computing and of the weights.
    tiled = pipeline.precision == "f32" and pipeline.stored != "int8"
    for name, model in convert.models_of(network, algorithm.input_size, tiled).items():
        xml = out / f"{name}.xml"
        # What is used again for every box is not to be widened again for every box.
        stored = "f32" if pipeline.stored == "int24" and name not in ENCODER_PARTS else pipeline.stored
        for mark in out.glob(f"{name}-*.baked"):  # the C++ program would take it for this export's
            mark.unlink()
        openvino.save_model(convert.stored_as(model, stored), xml, compress_to_fp16=False)
    write_pipeline(replace(pipeline, weights=weights), out)
    print(f"{out}: {algorithm.title}, {weights}")


def _stride(text: str) -> int:
    """A whole number of 1 or more."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def sha256(path: Path) -> str:
    """Of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
