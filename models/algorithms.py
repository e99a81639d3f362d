"""The published algorithms of the segment-anything family: what each is made of and takes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from models.fast.pipeline import PUBLISHED, SHARED, Pipeline
from models.sam.efficientvit import L0, L1, EfficientViT
from models.sam.network import SegmentAnything
from models.sam.repvit import RepViT
from models.sam.tinyvit import TinyViT


@dataclass(frozen=True)
class Algorithm:
    """One algorithm.

    Attributes:
        name: as the command line has it.
        title: as papers have it.
        encoder: what its image encoder is.
        make_encoder: builds it.
        pipeline: what it does around its networks, as published.
    """

    name: str
    title: str
    encoder: str
    make_encoder: Callable[[], nn.Module]
    pipeline: Pipeline

    @property
    def input_size(self) -> int:
        """Side in pixels of the square that the encoder takes and boxes refer to."""
        return self.pipeline.input_size


def _algorithm(name: str, title: str, encoder: str, make_encoder: Callable[[], nn.Module]) -> Algorithm:
    return Algorithm(name, title, encoder, make_encoder, PUBLISHED[name])


_ALL = (
    _algorithm("litemedsam", "LiteMedSAM (baseline)", "TinyViT, 64 x 64 grid", TinyViT),
    _algorithm("medficientsam", "MedficientSAM", "EfficientViT-SAM L1", lambda: EfficientViT(L1)),
    _algorithm("daft", "DAFT", "EfficientViT-SAM L0", lambda: EfficientViT(L0)),
    _algorithm("repmedsam", "RepMedSAM", "RepViT-M1.0, 64 x 64 grid", RepViT),
)
ALGORITHMS = {algorithm.name: algorithm for algorithm in _ALL}


def networks_of(name: str) -> Algorithm:
    """The algorithm whose networks a pipeline of `models.fast.pipeline.PUBLISHED` runs."""
    return ALGORITHMS["daft" if name == SHARED else name]


def build(algorithm: Algorithm, seed: int = 0) -> SegmentAnything:
    """The network with random weights, the same for the same seed, ready for inference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentAnything(algorithm.make_encoder(), algorithm.input_size)
    return network.eval()
