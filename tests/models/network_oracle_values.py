"""Fixed pseudo-random checkpoints of the published shapes, such that a comparison sees every detail.

Fresh weights hide faults: a batch norm with mean 0 and variance 1 does nothing, an eps is lost beside a variance of 1.
Here the batch norms' statistics are near those of what reaches them, as training leaves them, and span orders of
magnitude; biases are not zero; residual branches add about a third; tokens are small where a layer norm takes them.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.models import network_oracle
from tests.models.network_oracle_shapes import ALL, Shapes

torch = pytest.importorskip("torch")

#: Factors of what a name's tensor would otherwise be; all that match are multiplied.
FACTORS = (
    # What is added to its own input: the branch's last norm or linear layer.
    (r"layers\.0\.blocks\.\d+\.conv3\.bn\.", 0.4),
    (r"channel_mixer\.m\.2\.bn\.", 0.4),
    (r"\.(point_conv|conv2|proj)\.norm\.(weight|bias)", 0.4),
    (r"(attn\.proj|mlp\.fc2)\.", 0.03),
    # Linear attention sees the whole image at once: one block after the other would amplify rounding.
    (r"context_module\.main\.proj\.norm\.", 0.25),
    # TinyViT's tokens and the decoder's after its first attention, so that the eps of layer norms counts.
    (r"(local_conv|downsample\.conv3)\.bn\.(weight|bias)", 0.05),
    (r"layers\.0\.self_attn\.out_proj\.", 0.02),
    # So that the eps of the norms over channels counts.
    (r"neck\.(0\.weight|output_ops\.)", 0.02),
    (r"output_upscaling\.0\.", 0.05),
    # Attention that is not nearly even.
    (r"(q|k)_proj\.weight", 1.5),
)


def picture(algorithm: str) -> Any:
    """An image (1, 3, S, S) as submissions give: shapes and shades, noise beside them, zeros right and below."""
    side = network_oracle.SIDES[algorithm]
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([x, 0.5 + 0.5 * np.sin(9 * x * y), 1 - y]) * 0.6
    image[:, np.hypot(x - 0.35, y - 0.4) < 0.2] = [[1.0], [0.7], [0.0]]
    image[:, (abs(x - 0.2) < 0.1) & (abs(y - 0.75) < 0.05)] = 0.0
    noisy = x > 0.6
    image[:, noisy] = np.random.default_rng(1).random((3, int(noisy.sum())))
    image[:, y > 0.86], image[:, x > 0.96] = 0.0, 0.0
    return torch.from_numpy(image.astype(np.float32))[None]


def boxes(algorithm: str) -> Any:
    """Boxes (4, 4) in the image's pixels: ordinary, the whole square, small, with fractions and turned round."""
    unit = torch.tensor([[40.0, 60, 140, 150], [0, 0, 255, 255], [100, 50, 108, 60], [200.25, 30.5, 70.75, 180.5]])
    return unit * (network_oracle.SIDES[algorithm] / 256)


def checkpoint(algorithm: str, image: Any, seed: int = 2024) -> tuple[dict[str, Any], Any]:
    """An algorithm's state dictionary of tensors, the same for the same seed, and the image's embedding with it."""
    filled = fill(ALL[algorithm](), seed)
    weights = network_oracle.Learning({name: torch.from_numpy(value) for name, value in filled.items()})
    with torch.inference_mode():
        embedding = network_oracle.embed(algorithm, weights, image)
    return dict(weights), embedding


def fill(shapes: Shapes, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    """Values for names and shapes; batch norms' statistics are still to be learned."""
    random = np.random.default_rng(seed)
    return {name: np.asarray(_value(name, shape, random)) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.generic]:
    if name.endswith("num_batches_tracked"):
        return np.array(int(random.integers(1, 100_000)), dtype=np.int64)
    value = random.standard_normal(shape, dtype=np.float32)
    factor = math.prod(factor for pattern, factor in FACTORS if re.search(pattern, name))
    if name.endswith(("gaussian_matrix", "attention_biases")):
        return value
    if len(shape) == 1 and name.endswith(".weight"):
        return (1 + 0.3 * value) * np.float32(factor)
    if len(shape) == 1 or shape[0] == 1 or name.endswith("mask_tokens.weight"):
        return value * np.float32(0.3 * factor)
    entering = shape[0] if "output_upscaling" in name else math.prod(shape[1:])
    if name.endswith((".c.weight", ".conv.weight")) and ".proj." not in name:
        # Channels of very different size, which the norm that follows makes even.
        value *= np.exp(random.uniform(math.log(0.1), math.log(1.5), (shape[0], 1, 1, 1))).astype(np.float32)
    return value * np.float32(1.3 * factor / math.sqrt(entering))
