"""What an algorithm does around its networks, as data: the facts that tell the published programs apart.

`pipeline.json`, beside the exported networks, holds them; any program that runs the networks reads them there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

#: published: with the program's defects.  fixed: without them.
Mode = Literal["published", "fixed"]
MODES: tuple[Mode, ...] = get_args(Mode)
#: What networks compute in.
Precision = Literal["f32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: What weights lie in the file as.
Stored = Literal["f32", "int24", "f16", "int8"]
STORED: tuple[Stored, ...] = get_args(Stored)

FILE = "pipeline.json"
#: Networks of an exported algorithm, by the names of their files: the image encoder in two halves, which two threads
#: load; what the decoding of all boxes of an image shares; the decoding of one box.
PARTS = ("encoder1", "encoder2", "shared", "decoder")
ENCODER_PARTS = PARTS[:2]
#: Weights of a network nobody trained are drawn from this seed.
SEED = 2024


class PipelineError(ValueError):
    """A folder that holds no exported algorithm; the message names file, fault and remedy."""


@dataclass(frozen=True)
class Pipeline:
    """One algorithm's arithmetic.

    Attributes:
        algorithm: as the command line has it.
        input_size: side in pixels of the square that images are fitted into and boxes refer to.
        resize: how images get there: mean over the covered area, or bilinear.
        box: a box's corners in the square, rounded down or exact.  Exact corners are positions, floored ones are
            indices of pixels, to which the prompt encoder adds half a pixel.
        next_box: a slice's box is that of the neighbouring slice's mask: shrunk to the square by area and rounded,
            or at full size.
        margin: how far that box then reaches beyond the mask, in pixels of the square.
        last_slice: whether slice z_max belongs to the box.
        label_value: what a mask's pixels are while it is shrunk: the object's number, or one.
        mode: with the published program's defects or without.
        weights: where they are from: "random, seed N", or "checkpoint SHA256".
        precision: what the networks compute in.  This and the two below trade accuracy where they are not the default.
        stored: what weights lie in the file as.
        stride: of a volume's slices between a box's middle and its ends, those whose number it divides are
            segmented; logits of the others are interpolated.  1: all are segmented.
    """

    algorithm: str
    input_size: int
    resize: Literal["area", "linear"]
    box: Literal["floored", "exact"]
    next_box: Literal["shrunk", "full"]
    margin: int
    last_slice: Literal["included", "excluded"]
    label_value: Literal["number", "one"]
    mode: Mode = "published"
    weights: str = f"random, seed {SEED}"
    precision: Precision = "f32"
    stored: Stored = "f32"
    stride: int = 1

    def in_mode(self, mode: Mode) -> Pipeline:
        """The same algorithm with its defects, or without."""
        value = PUBLISHED[self.algorithm].label_value if mode == "published" else "one"
        return replace(self, label_value=value, mode=mode)

    @property
    def label_bits(self) -> int | None:
        """Width of the labels that are written; None: as many as the number of boxes needs.

        With 8 bits object 256 becomes background.
        """
        return _LABEL_BITS[self.algorithm] if self.mode == "published" else None

    @property
    def stale_embeddings(self) -> bool:
        """Whether a slice seen before is decoded on the slice encoded last.

        The published cache keeps references to one output tensor, which each inference overwrites.
        """
        return self.mode == "published" and self.algorithm == "medficientsam"

    @property
    def clipped_to_box(self) -> bool:
        """Whether a 2D mask ends at its box, as DAFT's filter was meant to have it; as published it never acts."""
        return self.mode == "fixed" and self.algorithm in ("daft", SHARED)


#: DAFT after the challenge: one model for all volumes, run by a C++ program.
SHARED = "daft-shared"
#: The algorithms as published.
PUBLISHED = {
    pipeline.algorithm: pipeline
    for pipeline in (
        Pipeline("litemedsam", 256, "area", "floored", "shrunk", 3, "included", "number"),
        Pipeline("medficientsam", 512, "linear", "exact", "full", 0, "excluded", "one"),
        Pipeline("daft", 256, "area", "floored", "shrunk", 3, "excluded", "number"),
        Pipeline(SHARED, 256, "area", "floored", "full", 3, "excluded", "one"),
        Pipeline("repmedsam", 256, "area", "floored", "shrunk", 3, "included", "number"),
    )
}
_LABEL_BITS = {"litemedsam": 8, "medficientsam": 16, "daft": 16, SHARED: 16, "repmedsam": 8}


def write_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Write `pipeline.json`."""
    (folder / FILE).write_text(json.dumps(asdict(pipeline), indent=1) + "\n", encoding="utf-8")


def read_pipeline(folder: Path) -> Pipeline:
    """Read `pipeline.json`.

    Raises:
        PipelineError: there is none, or it says something that no algorithm does.
    """
    path = folder / FILE
    remedy = "Make the folder with: python -m models export"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pipeline = Pipeline(**content)
    except (OSError, TypeError, ValueError) as error:
        raise PipelineError(f"{path}: it cannot be read ({error}). {remedy}") from error
    for name, kind in get_type_hints(Pipeline).items():
        value: Any = getattr(pipeline, name)
        if not (value in get_args(kind) if get_args(kind) else type(value) is kind):
            raise PipelineError(f"{path}: {name} is {value!r}. {remedy}")
    if pipeline.stride < 1:
        raise PipelineError(f"{path}: stride is {pipeline.stride}, not 1 or more. {remedy}")
    if pipeline.algorithm not in PUBLISHED:
        raise PipelineError(f"{path}: algorithm is {pipeline.algorithm!r}. {remedy}")
    return pipeline
