"""A network of the segment-anything interface whose masks can be foreseen: bright pixels in and near the box."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

#: How far beyond its box, in pixels of the 256-map, an object may still be found at full brightness.
REACH = 5.0


class StubNetwork:
    """Torch's side: `image_encoder` and `decode` as `models.sam.network.SegmentAnything` has them.

    The embedding holds the image's mean colour at 256 x 256.  Boxes never influence one another.
    """

    def __init__(self, side: int = 256) -> None:
        self.side = side
        self.encoded = 0
        self.batches: list[int] = []

    def image_encoder(self, image: torch.Tensor) -> torch.Tensor:
        assert image.shape == (1, 3, self.side, self.side)
        self.encoded += 1
        grey = functional.avg_pool2d(image.mean(dim=1, keepdim=True), self.side // 256)
        return functional.pad(functional.pixel_unshuffle(grey, 4), (0, 0, 0, 0, 0, 240))

    def decode(self, embedding: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.batches.append(len(boxes))
        grey = functional.pixel_shuffle(embedding[:, :16], 4)[0, 0]
        place = torch.arange(256, dtype=torch.float32) + 0.5
        x_min, y_min, x_max, y_max = ((boxes + 0.5) * (256 / self.side)).T[:, :, None]
        beyond_x = torch.maximum(x_min - place, place - x_max).clamp(min=0)
        beyond_y = torch.maximum(y_min - place, place - y_max).clamp(min=0)
        beyond = torch.maximum(beyond_x[:, None, :], beyond_y[:, :, None])
        return 2 * REACH * (grey - 0.5) - beyond, torch.ones(len(boxes))


class StubRuntime:
    """The same for the fast pipeline, in numpy."""

    def __init__(self, network) -> None:
        self.network = network

    def encode(self, image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.network.image_encoder(torch.from_numpy(image)).numpy()

    def decode(self, embedding: np.ndarray, box: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self.network.decode(torch.from_numpy(embedding), torch.from_numpy(box)[None])[0][0].numpy()
