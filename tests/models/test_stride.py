"""Stride: chains that leave slices out, and logits interpolated between, against slow and plain code, to the pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from models.fast import segment
from models.fast.chains import Span, sweeps
from models.fast.pipeline import PUBLISHED
from models.fast.segment import Segmenter
from tests.models.sequential import Sequential
from tests.models.stub_network import StubNetwork, StubRuntime
from tests.models.synthetic import volume_of_blobs

NAMES = tuple(PUBLISHED)
VOLUME, BOXES = volume_of_blobs((16, 70, 90), 3)


def segmented(name: str, mode: str, stride: int, volume=VOLUME, boxes=BOXES, kept: int = 384):
    """Labels, and how many slices were encoded."""
    pipeline = replace(PUBLISHED[name].in_mode(mode), stride=stride)
    network = StubNetwork(pipeline.input_size)
    return Segmenter(StubRuntime(network), pipeline, kept)(volume, boxes), network.encoded


@pytest.mark.parametrize("stride", [3, 50])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_pixels_as_box_after_box(name: str, stride: int):
    labels, encoded = segmented(name, "published", stride)
    reference = Sequential(StubNetwork(PUBLISHED[name].input_size), name, "published", stride)
    np.testing.assert_array_equal(labels, reference(VOLUME, BOXES))
    assert reference.moved_boxes > 2
    assert len(np.unique(labels)) > 3
    every, encoded_of_every = segmented(name, "published", 1)
    assert encoded < encoded_of_every
    assert (labels != every).any()


def test_fixed_with_stale_embeddings_gone():
    labels, _ = segmented("medficientsam", "fixed", 3)
    reference = Sequential(StubNetwork(512), "medficientsam", "fixed", 3)
    np.testing.assert_array_equal(labels, reference(VOLUME, BOXES))


def test_many_boxes_are_done_in_groups(monkeypatch: pytest.MonkeyPatch):
    """Each chain holds a map of logits, so not all are under way at once; the masks are the same."""
    together, encoded = segmented("daft", "published", 3)
    monkeypatch.setattr(segment, "INTERPOLATED_AT_ONCE", 2)
    in_groups, again = segmented("daft", "published", 3, kept=1)
    np.testing.assert_array_equal(in_groups, together)
    assert again > encoded


def test_a_slice_between_is_weighed_by_its_distance():
    """Logits 8 on slice 0 and -24 on slice 4: positive on slice 0 alone; 40 and -8 are so up to slice 3."""

    class Network:
        def __init__(self, values: dict[int, float]) -> None:
            self.values = values

        def encode(self, image: np.ndarray) -> np.ndarray:
            return np.full((1, 256, 64, 64), round(float(image[0, 0, 0, 0] * 255)), np.float32)

        def decode(self, embedding: np.ndarray, box: np.ndarray) -> np.ndarray:
            return np.full((256, 256), self.values[int(embedding[0, 0, 0, 0])], np.float32)

    volume = np.zeros((9, 16, 16), np.uint8)
    volume[:, 1, :2] = [0, 255]  # so that min-max leaves values as they are
    volume[:, 0, 0] = np.arange(9)
    pipeline = replace(PUBLISHED["litemedsam"], stride=100)

    def shares(values: dict[int, float]) -> list[float]:
        labels = Segmenter(Network(values), pipeline)(volume, np.array([[2, 2, 0, 9, 9, 8]]))
        return labels.mean(axis=(1, 2)).tolist()

    middle = 4
    assert shares({0: 8, middle: -24, 8: -1}) == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert shares({0: 40, middle: -8, 8: 8.5}) == [1, 1, 1, 1, 0, 0, 1, 1, 1]


# --------------------------------------------------------------------------- order of work


def test_what_chains_visit():
    span = Span(first=1, middle=5, last=10)
    assert (span.up(3), span.down(3)) == ([5, 6, 9, 10], [3, 1])
    assert (span.up(), span.down()) == ([5, 6, 7, 8, 9, 10], [4, 3, 2, 1])
    assert (span.up(99), span.down(99)) == ([5, 10], [1])
    assert (Span(4, 4, 4).up(2), Span(4, 4, 4).down(2)) == ([4], [])


@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 3).map(lambda t: Span(*sorted(t))), min_size=1),
    st.integers(0, 9),
    st.integers(1, 12),
)
def test_sweeps_visit_ends_and_a_common_grid(spans: list[Span], kept: int, stride: int):
    up, down = sweeps(spans, kept, stride)
    for i, span in enumerate(spans):
        grid = {z for z in range(31) if z % stride == 0}
        above = (grid & set(range(span.middle, span.last))) | {span.middle, span.last}
        below = (grid & set(range(span.first, span.middle))) | {span.first} - {span.middle}
        assert [v.z for v in up if i in v.boxes] == sorted(above)
        assert [v.z for v in down if i in v.boxes] == sorted(below, reverse=True)
