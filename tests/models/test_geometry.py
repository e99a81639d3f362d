"""Arithmetic around the networks: hand-worked examples, and OpenCV's and torch's own resizing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cv2")

import cv2

from models import geometry
from models.geometry import Placed


@pytest.mark.parametrize(
    ("shape", "side", "want"),
    [
        ((512, 512), 256, (256, 256)),
        ((300, 400), 256, (192, 256)),
        ((333, 500), 256, (170, 256)),  # 333 * 0.512 = 170.496
        ((251, 500), 256, (129, 256)),  # 251 * 0.512 = 128.512
        ((100, 50), 512, (512, 256)),  # small ones grow
        ((1, 1000), 256, (1, 256)),  # 0.256 would round to nothing
    ],
)
def test_fitted_size(shape, side, want):
    assert geometry.fitted_size(*shape, side) == want


def test_the_image_is_scaled_by_its_own_range_then_filled_up():
    image = np.full((100, 200), 50, dtype=np.uint8)
    image[:, 100:] = 150
    square = geometry.network_input(image, 200)
    assert square.shape == (1, 3, 200, 200)
    assert square.dtype == np.float32
    assert (square[0, :, :100, :100] == 0).all()
    assert (square[0, :, :100, 100:] == 1).all()
    assert (square[0, :, 100:] == 0).all()


def test_a_flat_image_is_black():
    assert not geometry.network_input(np.full((5, 9), 77, dtype=np.uint8), 256).any()


def test_grey_is_three_equal_colours():
    image = np.random.default_rng(1).integers(0, 256, (90, 70), dtype=np.uint8)
    colours = np.repeat(image[:, :, None], 3, axis=2)
    assert (geometry.network_input(image, 64) == geometry.network_input(colours, 64)).all()


def test_floored_box():
    # 256 / 400 = 0.64: 101 -> 64.64, 27 -> 17.28, 399 -> 255.36, 300 -> 192
    assert geometry.box_in_square(np.array([101, 27, 399, 300]), (300, 400), 256).tolist() == [64, 17, 255, 192]


def test_exact_box_in_the_prompt_encoders_units():
    box = geometry.exact_box_in_square(np.array([101, 27, 399, 300]), (300, 400), 512)
    # The prompt encoder adds half a pixel and divides by the square's side; the published graph takes v / max(H, W).
    assert ((box + 0.5) / 512).tolist() == pytest.approx([101 / 400, 27 / 400, 399 / 400, 300 / 400], abs=1e-6)


def test_box_of_a_mask():
    mask = np.zeros((512, 512), dtype=np.uint8)
    mask[100:201, 40:61] = 1  # rows 100..200 -> 50..100, columns 40..60 -> 20..30
    # Half-filled cells: four pixels, two or one of them set.  OpenCV rounds a mean of 2/4 up: (2 + 2) >> 2 = 1.
    assert geometry.box_of_mask(mask, np.uint8(1), 256).tolist() == [17, 47, 33, 103]
    assert geometry.box_of_mask(mask, np.uint8(1), 256, margin=0).tolist() == [20, 50, 30, 100]


def test_a_higher_number_lets_thinner_parts_survive():
    mask = np.zeros((1024, 1024), dtype=np.uint8)
    mask[:, 400] = 1  # a quarter of each cell of 4 x 4
    assert geometry.box_of_mask(mask, np.uint8(1), 256) is None
    assert geometry.box_of_mask(mask, np.uint8(2), 256) is None  # 0.5 rounds to the even number
    assert geometry.box_of_mask(mask, np.uint8(3), 256).tolist() == [97, 0, 103, 256]
    assert geometry.box_of_mask(mask, np.uint16(300), 256).tolist() == [97, 0, 103, 256]
    assert geometry.box_of_mask(mask, np.uint8(0), 256) is None


def test_margins_end_at_the_square():
    mask = np.ones((256, 256), dtype=np.uint8)
    assert geometry.box_of_mask(mask, np.uint8(1), 256).tolist() == [0, 0, 256, 256]


@pytest.mark.parametrize(
    ("z", "depth", "included", "want"),
    [
        ((2, 9), 20, True, (2, 5, 9)),
        ((2, 9), 20, False, (2, 5, 8)),
        ((2, 10), 10, True, (2, 6, 9)),  # the volume's size means its last slice
        ((2, 10), 10, False, (2, 6, 9)),
        ((4, 4), 10, True, (4, 4, 4)),
        ((4, 4), 10, False, (4, 4, 4)),  # the middle slice always belongs
        ((10, 10), 10, True, (9, 9, 9)),
        ((0, 1), 10, False, (0, 0, 0)),
    ],
)
def test_slices_of_a_box(z, depth, included, want):
    assert geometry.slice_range(np.array([0, 0, z[0], 5, 5, z[1]]), depth, included) == want


# --------------------------------------------------------------------------- logits to masks


def smooth_logits(seed: int, scale: float) -> np.ndarray:
    """A blob-like map (256, 256) whose sign changes along curves."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(12, 12)).astype(np.float32) - np.float32(scale)
    return cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC)


def whole(placed: Placed | None, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    if placed is not None:
        mask[placed.region] = placed.mask
    return mask


SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 700))


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 1000), scale=st.sampled_from([-1.0, 0.0, 1.0, 1.7, 2.5]))
def test_masks_are_those_of_whole_resized_maps(shape, seed, scale):
    torch = pytest.importorskip("torch")
    logits = smooth_logits(seed, scale)
    height, width = geometry.fitted_size(*shape, 256)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None, None, :height, :width], size=shape, mode="bilinear"
    )[0, 0].numpy()
    got = whole(geometry.mask_of_logits(logits, shape, 256), shape)
    assert (got == (resized > 0))[np.abs(resized) > 1e-5].all()


@settings(deadline=None, max_examples=60)
@given(shape=SHAPES, seed=st.integers(0, 1000), scale=st.sampled_from([0.0, 1.0, 2.5]))
def test_masks_of_a_larger_square_take_two_steps(shape, seed, scale):
    logits = smooth_logits(seed, scale)
    square = cv2.resize(logits, (512, 512), interpolation=cv2.INTER_LINEAR)
    height, width = geometry.fitted_size(*shape, 512)
    resized = cv2.resize(square[:height, :width], shape[::-1], interpolation=cv2.INTER_LINEAR)
    got = whole(geometry.mask_of_logits(logits, shape, 512), shape)
    assert (got == (resized > 0))[np.abs(resized) > 1e-5].all()


def test_a_single_positive_logit_by_hand():
    logits = np.full((256, 256), -1, dtype=np.float32)
    logits[10, 20] = 3
    placed = geometry.mask_of_logits(logits, (512, 512), 256)
    # Rows 20 and 21, columns 40 and 41 lie a quarter pixel off its centre, the next ones three: weights 3/4 and 1/4 a
    # side, so 3 * 9/16 - 7/16 > 0, 3 * 3/16 - 13/16 < 0.
    assert (placed.top, placed.left) == (19, 39)
    assert placed.mask.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_no_positive_logit_is_no_mask():
    logits = np.full((256, 256), -1, dtype=np.float32)
    assert geometry.mask_of_logits(logits, (30, 70), 256) is None
    logits[200, 100] = 5  # in what was filled up below the image
    assert geometry.mask_of_logits(logits, (30, 70), 256) is None
    assert geometry.mask_of_logits(logits, (30, 70), 512) is None
