"""In which order a volume's slices are encoded, so that boxes share them.

Each box is two chains that begin at its middle slice: upwards to its last slice, and downwards to its first.  A
chain's slices wait for one another; chains do not.  So all upward chains go up through the volume in step, and
then all downward ones down: each slice once.

With a stride a chain visits its ends and, between them, slices of a grid that all boxes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models import geometry
from models.geometry import Array


@dataclass(frozen=True)
class Span:
    """The slices of one box, all included.

    Attributes:
        first: the lowest.
        middle: where both chains begin.
        last: the highest.
    """

    first: int
    middle: int
    last: int

    def up(self, stride: int = 1) -> list[int]:
        """The slices that the upward chain visits, the middle among them."""
        return _visited(self.middle, self.last, stride)

    def down(self, stride: int = 1) -> list[int]:
        """The slices that the downward chain visits after the middle."""
        return _visited(self.first, self.middle, stride)[-2::-1]


@dataclass(frozen=True)
class Visit:
    """One slice of a sweep.

    Attributes:
        z: the slice.
        boxes: indices of the boxes whose chains visit it, ascending.
        keep: whether its embedding is kept for the other sweep.
    """

    z: int
    boxes: tuple[int, ...]
    keep: bool = False


def span_of(box: Array, depth: int, last_included: bool) -> Span:
    """The slices of a box (6,) in a volume so deep."""
    return Span(*geometry.slice_range(box, depth, last_included))


def sweeps(spans: Sequence[Span], kept_at_most: int, stride: int = 1) -> tuple[list[Visit], list[Visit]]:
    """The upward sweep and the downward one.

    Args:
        spans: of the boxes.
        kept_at_most: number of embeddings that memory holds between the sweeps.  Slices of both sweeps beyond
            it are encoded twice.
        stride: of the grid of slices between a chain's ends; 1 is every slice.
    """
    up, down = _visitors(span.up(stride) for span in spans), _visitors(span.down(stride) for span in spans)
    shared = set(sorted(up.keys() & down.keys())[:kept_at_most])
    return (
        [Visit(z, tuple(up[z]), z in shared) for z in sorted(up)],
        [Visit(z, tuple(down[z])) for z in sorted(down, reverse=True)],
    )


def _visited(low: int, high: int, stride: int) -> list[int]:
    """Both ends and what lies on the grid between them, ascending."""
    return [z for z in range(low, high + 1) if z in (low, high) or z % stride == 0]


def _visitors(chains: Iterable[Sequence[int]]) -> dict[int, list[int]]:
    """By slice the boxes that visit it."""
    boxes: dict[int, list[int]] = {}
    for index, slices in enumerate(chains):
        for z in slices:
            boxes.setdefault(z, []).append(index)
    return boxes
