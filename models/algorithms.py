"""The published algorithms of the segment-anything family: what each is made of and takes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

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
        input_size: side in pixels of the square that the encoder takes and boxes refer to.
    """

    name: str
    title: str
    encoder: str
    make_encoder: Callable[[], nn.Module]
    input_size: int


_ALL = (
    Algorithm("litemedsam", "LiteMedSAM (baseline)", "TinyViT, 64 x 64 grid", TinyViT, 256),
    Algorithm("medficientsam", "MedficientSAM", "EfficientViT-SAM L1", lambda: EfficientViT(L1), 512),
    Algorithm("daft", "DAFT", "EfficientViT-SAM L0", lambda: EfficientViT(L0), 256),
    Algorithm("repmedsam", "RepMedSAM", "RepViT-M1.0, 64 x 64 grid", RepViT, 256),
)
ALGORITHMS = {algorithm.name: algorithm for algorithm in _ALL}


def build(algorithm: Algorithm, seed: int = 0) -> SegmentAnything:
    """The network with random weights, the same for the same seed, ready for inference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SegmentAnything(algorithm.make_encoder(), algorithm.input_size)
    return network.eval()
