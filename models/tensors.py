"""`python -m models tensors`: what a network makes of given tensors, for anyone who checks a port."""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.algorithms import ALGORITHMS, Algorithm, build
from models.checkpoints import load_network
from models.sam.network import SegmentAnything

SUMMARY = "Write a network's embedding, logits and IoU for an image and boxes."
FloatArray = npt.NDArray[np.float32]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--algorithm", required=True, choices=sorted(ALGORITHMS))
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights, as published")
    weights.add_argument("--seed", type=int, metavar="N", help="random weights of this seed instead")
    parser.add_argument(
        "--input", type=Path, required=True, metavar="X.npz",
        help="image (1, 3, S, S) float32 in [0, 1], boxes (N, 4) in its pixels",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="Y.npz",
        help="gets embedding (1, 256, 64, 64), low_res_logits (N, 256, 256), iou (N,)",
    )  # fmt: skip
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch", help="default: torch")


def execute(args: argparse.Namespace) -> int:
    """Load, run, write."""
    algorithm = ALGORITHMS[args.algorithm]
    image, boxes = read_input(args.input, algorithm)
    network = build(algorithm, args.seed) if args.checkpoint is None else load_network(algorithm, args.checkpoint)
    run = run_torch if args.runtime == "torch" else run_openvino
    embedding, logits, iou = run(network, algorithm, image, boxes)
    np.savez(args.out, embedding=embedding, low_res_logits=logits, iou=iou)
    print(f"{args.out}: embedding {embedding.shape}, low_res_logits {logits.shape}, iou {iou.shape}")
    return 0


def read_input(path: Path, algorithm: Algorithm) -> tuple[FloatArray, FloatArray]:
    """Image (1, 3, S, S) and boxes (N, 4) of a file.

    Raises:
        ValueError: the file lacks them, or they have another shape; the message names file, fault and remedy.
    """
    side = algorithm.input_size
    remedy = f"Give image (1, 3, {side}, {side}) and boxes (N, 4), both finite numbers."
    try:
        # numpy leaves a file open that turns out to be no zip.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            image, boxes = (np.asarray(file[key], dtype=np.float32) for key in ("image", "boxes"))
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: it cannot be read ({error}). {remedy}") from error
    if image.shape != (1, 3, side, side) or boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise ValueError(f"{path}: image is {image.shape}, boxes are {boxes.shape}. {remedy}")
    if not (np.isfinite(image).all() and np.isfinite(boxes).all()):
        raise ValueError(f"{path}: it holds NaN or infinity. {remedy}")
    return image, boxes


def run_torch(
    network: SegmentAnything, algorithm: Algorithm, image: FloatArray, boxes: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Embedding, logits and IoU by torch."""
    with torch.inference_mode():
        embedding, logits, iou = network(torch.from_numpy(image), torch.from_numpy(boxes))
    return embedding.numpy(), logits.numpy(), iou.numpy()


def run_openvino(
    network: SegmentAnything, algorithm: Algorithm, image: FloatArray, boxes: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same by OpenVINO in 32-bit floats."""
    import openvino

    from models import convert

    core = openvino.Core()
    begin, end, shared, decoder = (
        core.compile_model(model, "CPU", convert.F32)
        for model in convert.models_of(network, algorithm.input_size).values()
    )
    between = {output.any_name: tensor for output, tensor in begin({"image": image}).items()}
    embedding = end(between)["embedding"]
    begun = {output.any_name: tensor for output, tensor in shared({"embedding": embedding}).items()}
    logits = [decoder({**begun, "boxes": box[None]})["low_res_logits"] for box in boxes]
    iou = core.compile_model(convert.iou_model(network), "CPU", convert.F32)
    return embedding, np.concatenate(logits), iou({"embedding": embedding, "boxes": boxes})["iou"]
