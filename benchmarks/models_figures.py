"""What `make bench-models` makes of its measurements: pure functions from seconds and masks to figures and bars."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.phases import ToldPhases


class FiguresError(ValueError):
    """A measurement that no figure can be made of; the message says whose and why."""


@dataclass(frozen=True)
class Run:
    """One container that came to its end.

    Attributes:
        image, case, repeat: which.
        wall_s: from before it was created to after it was removed, as the harness counts.
        told: what the program says of its time; None for the empty container.
    """

    image: str
    case: str
    repeat: int
    wall_s: float
    told: ToldPhases | None


# --------------------------------------------------------------------------- seconds


def paired_ratio(above_s: Sequence[float], below_s: Sequence[float]) -> float:
    """Median of the ratios of what was measured in the same round, so that a drift cancels."""
    return statistics.median(above / below for above, below in zip(above_s, below_s, strict=True))


@dataclass(frozen=True)
class Compared:
    """Seconds of torch and of another, round by round.

    Attributes:
        algorithm: whose networks.
        what: which part of them, on what.
        threads: that both had.
        torch_s: the bare module in eager mode.
        other_s: OpenVINO, or the baseline's own function.
        difference: largest difference of their results, relative to the largest value.
    """

    algorithm: str
    what: str
    threads: int
    torch_s: tuple[float, ...]
    other_s: tuple[float, ...]
    difference: float

    @property
    def speed_up(self) -> float:
        """How many times as fast as torch the other one is."""
        return paired_ratio(self.torch_s, self.other_s)

    @property
    def cost(self) -> float:
        """How many times as long as torch the other one takes."""
        return paired_ratio(self.other_s, self.torch_s)


def median_wall_s(runs: Iterable[Run], image: str, case: str) -> float | None:
    """Median wall seconds of an image on a case; None where it did not run."""
    seconds = [run.wall_s for run in runs if run.image == image and run.case == case]
    return statistics.median(seconds) if seconds else None


def ratio_to(runs: Sequence[Run], baseline: str, image: str, case: str) -> float | None:
    """How many times as fast as the baseline an image is on a case, whole containers; None without both."""
    slow, fast = (median_wall_s(runs, name, case) for name in (baseline, image))
    return None if slow is None or fast is None else slow / fast


def beyond_s(runs: Iterable[Run], image: str, empty_s: float) -> dict[str, float]:
    """Case -> median seconds that an image needs beyond its encoder and an empty container.

    Args:
        runs: of any images.
        image: whose.
        empty_s: median wall seconds of an empty container.
    """
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.image == image and run.told is not None:
            found.setdefault(run.case, []).append(run.wall_s - run.told.encode_s - empty_s)
    return {case: statistics.median(values) for case, values in found.items()}


def encode_s_a_slice(runs: Iterable[Run], image: str) -> float | None:
    """Median seconds of an image's encoder passes by its own account; None where it made none."""
    found = [
        run.told.encode_s / run.told.slices
        for run in runs
        if run.image == image and run.told is not None and run.told.slices
    ]
    return statistics.median(found) if found else None


def passes(runs: Iterable[Run], image: str, case: str) -> tuple[int, int]:
    """Encoder passes and decoded boxes of an image on a case, by its own account.

    Raises:
        FiguresError: its runs do not agree, or there is none.
    """
    told = (run.told for run in runs if run.image == image and run.case == case)
    counts = {(phases.slices or 0, phases.masks or 0) for phases in told if phases is not None}
    if len(counts) != 1:
        raise FiguresError(f"{image} on {case}: its runs tell of {len(counts)} different numbers of encoder passes")
    return counts.pop()


# --------------------------------------------------------------------------- masks


@dataclass(frozen=True)
class Agreement:
    """How well two images' masks of one case agree.

    Attributes:
        case, images: which, and whose.
        objects: that either of the two found anything of.
        worst_dice: over those objects; 1 where there are none.
        worst_object: the object with it; 0 where there are none.
        differing: pixels or voxels with different labels.
        share: of all.
    """

    case: str
    images: tuple[str, str]
    objects: int
    worst_dice: float
    worst_object: int
    differing: int
    share: float


def agreement(case: str, images: tuple[str, str], one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Agreement:
    """Compare two label maps of one shape, object by object.

    Raises:
        FiguresError: their shapes differ.
    """
    if one.shape != other.shape:
        raise FiguresError(f"{case}: masks of {images[0]} and {images[1]} differ in shape, {one.shape}, {other.shape}")
    length = int(max(one.max(initial=0), other.max(initial=0))) + 1
    sizes = np.bincount(one.ravel(), minlength=length) + np.bincount(other.ravel(), minlength=length)
    shared = np.bincount(one[one == other].ravel(), minlength=length)
    found = np.flatnonzero(sizes[1:]) + 1
    dice = 2 * shared[found] / sizes[found]
    worst = int(np.argmin(dice)) if len(found) else None
    differing = int(np.count_nonzero(one != other))
    return Agreement(
        case=case,
        images=images,
        objects=len(found),
        worst_dice=1.0 if worst is None else float(dice[worst]),
        worst_object=0 if worst is None else int(found[worst]),
        differing=differing,
        share=differing / one.size,
    )


def agreements(case: str, masks: Mapping[str, npt.NDArray[Any]]) -> list[Agreement]:
    """Every two of these images' masks of a case."""
    return [agreement(case, pair, masks[pair[0]], masks[pair[1]]) for pair in combinations(masks, 2)]


# --------------------------------------------------------------------------- bars


@dataclass(frozen=True)
class Bar:
    """A figure held against what is asked for.

    Attributes:
        what: the figure, with its unit.
        value: what was found.
        limit: what is asked for.
        at_least: whether the value must reach the limit, or stay within it.
        counts: whether missing it is a failure (in a quick run, figures of time do not count).
    """

    what: str
    value: float
    limit: float
    at_least: bool
    counts: bool

    @property
    def met(self) -> bool:
        """Whether it is; a value that is no number meets nothing."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        asked = f"{'at least' if self.at_least else 'at most'} {self.limit:.4g}"
        judged = "" if self.met else "MISSED" if self.counts else "missed, does not count"
        return f"{self.what:<86} {self.value:9.4g}   {asked:<16} {judged}".rstrip()


@dataclass
class Bars:
    """All bars of a run.

    Attributes:
        timed_count: whether bars of time count.
    """

    timed_count: bool = True
    all: list[Bar] = field(default_factory=list)

    def at_most(self, what: str, value: float, limit: float, *, timed: bool = True) -> None:
        """Hold a value that must not be larger."""
        self.all.append(Bar(what, value, limit, False, self.timed_count or not timed))

    def at_least(self, what: str, value: float, limit: float, *, timed: bool = True) -> None:
        """Hold a value that must not be smaller."""
        self.all.append(Bar(what, value, limit, True, self.timed_count or not timed))

    @property
    def missed(self) -> list[str]:
        """What was missed and counts."""
        return [bar.what for bar in self.all if bar.counts and not bar.met]
