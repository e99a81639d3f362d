"""Networks with random weights whose masks are neither all nor nothing, and how alike two masks are."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")


class Remembering:
    """A network that encodes an image it has seen before no second time: what comes out would be the same."""

    def __init__(self, network) -> None:
        self._network, self._seen = network, {}
        self.decode = network.decode

    def image_encoder(self, image: torch.Tensor) -> torch.Tensor:
        key = image.numpy().tobytes()
        if key not in self._seen:
            self._seen[key] = self._network.image_encoder(image)
        return self._seen[key]


def lively(network: torch.nn.Module, side: int) -> torch.nn.Module:
    """Random weights, of which masks are all or nothing, turned so that a mask is about half of the square."""
    decoder = network.mask_decoder
    with torch.inference_mode():
        image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
        embedding, box = network.image_encoder(image), torch.tensor([[60.0, 60.0, 190.0, 190.0]])
        logits, _ = network.decode(embedding, box)
        low, high = logits.quantile(torch.tensor([0.1, 0.9])).tolist()
        # One feature becomes the constant 1, which carries an offset; GELU(1) is not 1.
        *_, enlarge, activate = decoder.output_upscaling
        last = decoder.output_hypernetworks_mlps[0].layers[2]
        one = activate(torch.tensor(1.0)).item()
    with torch.no_grad():
        gain = 10 / (high - low)
        last.weight *= gain
        last.bias *= gain
        enlarge.weight[:, 0] = 0
        enlarge.bias[0] = 1
        last.weight[0] = 0
        last.bias[0] = 0
        logits, _ = network.decode(embedding, box)
        last.bias[0] = -logits.median() / one
    return network


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
