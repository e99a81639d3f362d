"""Winograd's convolutions against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from models.sam.winograd import TiledConvolution, Tiling, rows_of  # noqa: E402


def convolved(convolution: torch.nn.Conv2d, image: torch.Tensor) -> torch.Tensor:
    """The image, cut, convolved and put together."""
    tiling = Tiling(*image.shape[2:])
    return tiling.image(TiledConvolution(convolution, tiling)(tiling.cut(rows_of(image))))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_any_size(inputs: int, outputs: int, down: int, across: int, seed: int):
    """In 64 bits, where the two differ by rounding alone."""
    torch.manual_seed(seed)
    convolution = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False).double()
    image = torch.randn(1, inputs, 4 * down, 4 * across, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(convolved(convolution, image), convolution(image), rtol=0, atol=1e-13)


def test_each_tap_reaches_its_neighbour():
    """Filters of a single one shift the image, and zeros come in."""
    image = torch.arange(1.0, 97).reshape(1, 1, 8, 12).double()
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            convolution = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
            with torch.inference_mode():
                convolution.weight.zero_()
                convolution.weight[0, 0, 1 + down, 1 + across] = 1
                got = convolved(convolution, image)[0, 0].numpy()
            want = np.zeros((8, 12))
            y, x = np.mgrid[:8, :12]
            inside = (y + down >= 0) & (y + down < 8) & (x + across >= 0) & (x + across < 12)
            want[inside] = 1 + 12 * (y + down)[inside] + (x + across)[inside]
            np.testing.assert_allclose(got, want, atol=1e-12)


def test_rounding_in_32_bits_stays_small():
    torch.manual_seed(3)
    convolution = torch.nn.Conv2d(256, 64, 3, padding=1, bias=False)
    image = torch.randn(1, 256, 32, 32)
    with torch.inference_mode():
        exact = convolution.double()(image.double())
        found = convolved(convolution.float(), image)
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"groups": 2}, {"kernel_size": 1, "padding": 0}]
)
def test_other_convolutions_are_refused(options: dict[str, int]):
    convolution = torch.nn.Conv2d(2, 2, **{"kernel_size": 3, "padding": 1, **options})
    with pytest.raises(ValueError, match="no 3x3 convolution of stride 1"):
        TiledConvolution(convolution, Tiling(8, 8))
