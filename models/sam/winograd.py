"""3x3 convolutions by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.

The result is cut into tiles of 4 x 4 pixels.  Each depends on 6 x 6 pixels; these and the filter are brought by sums to
36 values each, multiplied one by one and summed over channels, which makes 36 matrix products over channels and tiles,
and the sums brought back.  Pixels are rows of channels, in the order that these products leave them in: first all
tiles' first pixels, then their second ones.  What works on each pixel alone does so in any order.

Rounding errors are three to four times those of a plain convolution, 5e-6 of the largest value in 32 bits; in 16 bits
they would show.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_SIDE = 4
_REACH = _SIDE + 2

# For one dimension, of the points 0, 1, -1, 2, -2 and infinity.
_INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_FILTER = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUT = [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
]


def rows_of(image: Tensor) -> Tensor:
    """(1, C, H, W) -> (HW, C)."""
    return image.permute(0, 2, 3, 1).reshape(1, -1, image.shape[1])[0]


class Tiling(nn.Module):
    """How images of one size are cut; for all convolutions on them.

    Args:
        height, width: of the images, multiples of 4.
    """

    order: Tensor
    back: Tensor
    around: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        pixels = torch.arange(height * width).view(height, width)
        tiles = pixels.view(height // _SIDE, _SIDE, width // _SIDE, _SIDE)
        order = tiles.permute(1, 3, 0, 2).flatten()
        back = order.argsort()
        # Beyond the image stands the row behind the last.
        places = functional.pad(back.view(height, width), (1, 1, 1, 1), value=len(back))
        windows = places.unfold(0, _REACH, _SIDE).unfold(1, _REACH, _SIDE)
        self.register_buffer("order", order)
        self.register_buffer("back", back)
        self.register_buffer("around", windows.permute(2, 3, 0, 1).flatten())

    def cut(self, rows: Tensor) -> Tensor:
        """Rows (HW, C) in the image's order, brought to that of tiles."""
        return rows[self.order]

    def image(self, rows: Tensor) -> Tensor:
        """Rows in the order of tiles, (HW, C) -> (1, C, H, W)."""
        return rows[self.back][None].transpose(1, 2).reshape(1, -1, self.height, self.width)

    def windows(self, rows: Tensor) -> Tensor:
        """(HW, C) -> (36, HW/16, C): the pixels of all tiles and around them, zeros beyond the image."""
        return functional.pad(rows, (0, 0, 0, 1))[self.around].view(_REACH**2, -1, rows.shape[1])


class TiledConvolution(nn.Module):
    """A 3x3 convolution of stride 1 that keeps the image's size, without its bias: (HW, C) -> (HW, D).

    Args:
        convolution: whose weights it takes as they are now.
        tiling: of the images.

    Raises:
        ValueError: it is another convolution.
    """

    weight: Tensor
    input: Tensor
    filter: Tensor
    output: Tensor

    def __init__(self, convolution: nn.Conv2d, tiling: Tiling) -> None:
        super().__init__()
        facts = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
        if facts != ((3, 3), (1, 1), (1, 1), (1, 1)) or convolution.groups != 1:
            raise ValueError(f"{convolution}: no 3x3 convolution of stride 1 that keeps the size. Leave it as it is.")
        weight = convolution.weight.detach()
        self.tiling = tiling
        self._outputs, self._inputs = weight.shape[:2]
        self.register_buffer("weight", weight.permute(2, 3, 1, 0).flatten(2).flatten(0, 1).clone())
        for name, matrix in (("input", _INPUT), ("filter", _FILTER), ("output", _OUTPUT)):
            one = torch.tensor(matrix, dtype=torch.float64)
            self.register_buffer(name, torch.kron(one, one).to(weight.dtype))

    def forward(self, rows: Tensor) -> Tensor:
        # Transformed filters are four times the filters.  As a product of constants they would be in the file of an
        # exported network; a factor that depends on the input, though it is always one, keeps them out of it.
        filters = (self.filter * rows[0, 0].clamp(1, 1)) @ self.weight
        values = self.input @ self.tiling.windows(rows).flatten(1)
        sums = values.unflatten(1, (-1, self._inputs)) @ filters.unflatten(1, (-1, self._outputs))
        return (self.output @ sums.flatten(1)).reshape(-1, self._outputs)
