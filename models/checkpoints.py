"""Published checkpoints: reading their files and loading them strictly."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.algorithms import Algorithm, build
from models.sam.network import SegmentAnything

#: Where files keep the weights among other things: trainers' own files, Lightning's.
_NESTED = ("model", "state_dict")
#: What trainers put before every name: data-parallel wrappers, Lightning modules, compiled modules.
_PREFIXES = ("module.", "model.", "_orig_mod.")
#: Names shown in a message at most.
_SHOWN = 3


class CheckpointError(ValueError):
    """A file that is no checkpoint of the algorithm; the message names file, fault and remedy."""


def load_network(algorithm: Algorithm, path: Path) -> SegmentAnything:
    """The network with a checkpoint's weights, ready for inference.

    Raises:
        CheckpointError: the file cannot be read, or its weights are not exactly the algorithm's.
    """
    weights = read_weights(path)
    network = build(algorithm)
    expected = network.state_dict()
    missing, strange = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    shapes = [name for name in expected if name in weights and expected[name].shape != weights[name].shape]
    faults = [
        f"{what}: {len(names)} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for names, what in (
            (missing, "missing weights"),
            (strange, "unknown weights"),
            (shapes, "weights of another shape"),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{path}: not a checkpoint of {algorithm.title}: {'; '.join(faults)}. "
            "Name the algorithm that it was made for."
        )
    network.load_state_dict(weights, strict=True)
    return network


def read_weights(path: Path) -> dict[str, Tensor]:
    """A file's weights by name, without the nesting and the prefixes that trainers add.

    Nothing in the file is executed: only tensors and plain containers are read.

    Raises:
        CheckpointError: no such file, not a file of torch, or one that holds more than tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # of a plain pickle; the error says more
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except IsADirectoryError:
        raise CheckpointError(f"{path}: it is a folder. Give a checkpoint file in it (.pth, .ckpt).") from None
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file. Give a checkpoint (.pth, .ckpt).") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: it holds more than tensors and is not trusted ({str(error).splitlines()[0][:200]}). "
            "Save its state dictionary alone with torch.save and give that."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path}: torch cannot read it ({error}). Give a checkpoint (.pth, .ckpt).") from error
    for key in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path}: it holds no dictionary of tensors. Give a state dictionary.")
    return _bare({str(name): tensor for name, tensor in content.items()})


def _bare(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes that all of them share."""
    for _ in range(len(_PREFIXES)):
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in weights):
                weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    return weights
