"""The networks alone, in this process: the baseline's encoding, and torch against OpenVINO.

All algorithms have their random weights of one seed, in torch and exported.  What is compared is called in turns,
so that whatever else the machine does falls on all alike.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID251

from benchmarks.models_figures import Compared, FiguresError
from models import geometry
from models.algorithms import ALGORITHMS, Algorithm, build
from models.fast.network import OpenVinoNetwork
from models.fast.pipeline import SEED
from models.geometry import Array, FloatArray
from models.litemedsam.segment import Segmenter
from models.sam.network import SegmentAnything

ROOT = Path(__file__).resolve().parents[1]
#: Boxes of one decoder pass.
BOXES = (1, 8)
#: Side in pixels of the picture that the baseline also has to prepare.
PICTURE_SIDE = 1024
#: Threads that have just worked spin for some milliseconds before they sleep; the next one's turn comes after that.
_SETTLE_S = 0.02


def in_turns(works: Sequence[Callable[[], Any]], rounds: int, settle_s: float = _SETTLE_S) -> list[tuple[float, ...]]:
    """Wall seconds of each work in each round, after a call of each that does not count.

    Every second round goes backwards, so that none always follows the same other one.
    """
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        order = range(len(works)) if number % 2 == 0 else reversed(range(len(works)))
        for index in order:
            time.sleep(settle_s)
            began = time.perf_counter()
            works[index]()
            seconds[index].append(time.perf_counter() - began)
    return [tuple(found) for found in seconds]


def relative_difference(one: Array, other: Array) -> float:
    """Largest |a - b| over the largest |b|.

    Raises:
        FiguresError: of other shapes, or not finite.
    """
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise FiguresError(f"results of shapes {one.shape} and {other.shape} cannot be compared, or are not finite")
    return float(np.abs(one - other).max() / np.abs(other).max())


# --------------------------------------------------------------------------- the baseline


def baseline(rounds: int, threads: int) -> list[Compared]:
    """The baseline's encoding of a picture, prepared already and not, against its bare encoder."""
    algorithm = ALGORITHMS["litemedsam"]
    network = build(algorithm, SEED)
    segmenter = Segmenter(network)
    random = np.random.default_rng(SEED)
    small, large = (
        random.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (algorithm.input_size, PICTURE_SIDE)
    )
    tensors = {
        side: torch.from_numpy(geometry.network_input(image, algorithm.input_size))
        for side, image in ((algorithm.input_size, small), (PICTURE_SIDE, large))
    }
    torch.set_num_threads(threads)
    with torch.inference_mode():
        bare_s, small_s, large_s = in_turns(
            (
                lambda: network.image_encoder(tensors[algorithm.input_size]),
                lambda: segmenter._encode(small),
                lambda: segmenter._encode(large),
            ),
            rounds,
        )
        found = []
        for what, image, own_s in (("prepared", small, small_s), ("with preparation", large, large_s)):
            bare = network.image_encoder(tensors[image.shape[0]])
            difference = relative_difference(segmenter._encode(image).numpy(), bare.numpy())
            side = image.shape[0]
            found.append(Compared("litemedsam", f"{side} x {side}, {what}", threads, bare_s, own_s, difference))
    return found


# --------------------------------------------------------------------------- torch and OpenVINO


def against_openvino(name: str, rounds: int, threads: Sequence[int]) -> Iterator[Compared]:
    """Encoder and decoder of an algorithm in torch and on OpenVINO.

    Args:
        name: the algorithm's.
        rounds: with the first number of threads; half as many with the others, which are information.
        threads: numbers of them.

    Raises:
        FiguresError: the algorithm cannot be exported.
    """
    algorithm = ALGORITHMS[name]
    network = build(algorithm, SEED)
    with tempfile.TemporaryDirectory() as folder:
        _export(name, Path(folder))
        for count in threads:
            enough = rounds if count == threads[0] else (rounds + 1) // 2
            yield from _with_threads(algorithm, network, Path(folder), enough, count)


def _export(name: str, folder: Path) -> None:
    """By the command that images are made with."""
    command = [sys.executable, "-m", "models", "export", "--algorithm", name, "--seed", str(SEED)]
    done = subprocess.run([*command, "--out", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FiguresError(f"`python -m models export --algorithm {name}` failed: {done.stderr.strip()[-2000:]}")


def _with_threads(
    algorithm: Algorithm, network: SegmentAnything, folder: Path, rounds: int, threads: int
) -> list[Compared]:
    torch.set_num_threads(threads)
    exported = OpenVinoNetwork(folder, threads)
    random = np.random.default_rng(SEED)
    side = algorithm.input_size
    picture = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    image = geometry.network_input(picture, side)
    tensor = torch.from_numpy(image)
    with torch.inference_mode():
        embedding = network.image_encoder(tensor)
        difference = relative_difference(exported.encode(image), embedding.numpy())
        seconds = in_turns((lambda: network.image_encoder(tensor), lambda: exported.encode(image)), rounds)
        found = [Compared(algorithm.name, "encoder", threads, *seconds, difference)]
        for count in BOXES:
            boxes = made_boxes(random, count, side)
            found.append(_decoding(algorithm.name, network, exported, embedding, boxes, rounds, threads))
    return found


def _decoding(
    name: str,
    network: SegmentAnything,
    exported: OpenVinoNetwork,
    embedding: torch.Tensor,
    boxes: FloatArray,
    rounds: int,
    threads: int,
) -> Compared:
    tensor, array = torch.from_numpy(boxes), embedding.numpy()

    def decode() -> list[FloatArray]:
        anew = array[:]  # as another embedding: what boxes share is part of the work
        return [exported.decode(anew, box).copy() for box in boxes]

    difference = relative_difference(np.stack(decode()), network.decode(embedding, tensor)[0].numpy())
    seconds = in_turns((lambda: network.decode(embedding, tensor), decode), rounds)
    what = f"decoder, {len(boxes)} box{'es' if len(boxes) > 1 else ''}"
    return Compared(name, what, threads, *seconds, difference)


def made_boxes(random: np.random.Generator, count: int, side: int) -> FloatArray:
    """Boxes (N, 4) in whole pixels of a square, minima before maxima."""
    corners = np.sort(random.integers(0, side // 2, (count, 2, 2)), axis=1)
    corners[:, 1] += side // 3
    return corners.reshape(count, 4).astype(np.float32)
