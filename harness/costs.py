"""What attempts cost: time, memory and phases of a finished run, from its table, manifest and logs."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.contract import is_volume
from harness.layout import OutDir
from harness.phases import PHASES, Told, read_phases
from harness.records import Outcome

#: Parts of an attempt's wall time, in order: the container around the submission, then what the submission
#: tells, or where it tells nothing, one part for all of the time inside.
CONTAINER, UNTOLD = "container", "inside, not told"
PARTS = (CONTAINER, *PHASES, UNTOLD)

#: Attempts whose time and memory are those of a case worked through; a broken reference is not the submission's fault.
_FINISHED = ("", Outcome.OK.value, Outcome.BAD_REFERENCE.value)


@dataclass(frozen=True)
class Cost:
    """What one attempt cost; None where it is not known.

    Attributes:
        case, task, team, repeat: who, on what.
        size: of the image, "DxHxW" or "HxW"; "" where the manifest does not say.
        boxes: box prompts.
        outcome: how it ended, as the results table has it.
        wall_s, run_s, cpu_s: create to removal; inside the container; CPU seconds of all its processes.
        peak_bytes, peak_anon_bytes: memory's high-water mark; anonymous memory, a lower bound.
        told: its phases line.
    """

    case: str
    task: str
    size: str
    boxes: int | None
    team: str
    repeat: int
    outcome: str
    wall_s: float | None
    run_s: float | None
    cpu_s: float | None
    peak_bytes: int | None
    peak_anon_bytes: int | None
    told: Told

    @property
    def finished(self) -> bool:
        """Whether the case was worked through."""
        return self.outcome in _FINISHED

    @property
    def container_s(self) -> float | None:
        """What the phases leave of the wall time: the container's start and removal, the shell, the process's end."""
        if self.told.phases is None or self.wall_s is None:
            return None
        return max(0.0, self.wall_s - self.told.phases.total_s)

    def parts(self) -> dict[str, float]:
        """Seconds by part (`PARTS`), which add up to the wall time; empty where that is not known.

        Without phases the container is what the time inside leaves of the wall time; where that is not
        known either, all of it is not told.
        """
        if self.wall_s is None:
            return {}
        if self.told.phases is not None:
            told = dict(zip(PHASES, self.told.phases.seconds, strict=True))
            return {CONTAINER: self.container_s or 0.0, **told}
        inside = self.wall_s if self.run_s is None else min(self.run_s, self.wall_s)
        return {CONTAINER: self.wall_s - inside, UNTOLD: inside}


@dataclass(frozen=True)
class CaseCost:
    """What a team's attempts on one case cost, repeats folded over those that finished.

    Attributes:
        team, case: whose, on what.
        outcome: "ok" where any repeat finished, else how the first ended.
        wall_s: median; None where none finished or it is not known.
        peak_bytes: median of the high-water marks; the same.
        middle: the attempt of the median wall time (of two middle ones the shorter), None without one.
    """

    team: str
    case: str
    outcome: str
    wall_s: float | None
    peak_bytes: float | None
    middle: Cost | None


@dataclass(frozen=True)
class Ratio:
    """A team's wall times over a baseline's, on the cases that both finished.

    Attributes:
        team: whose.
        volume: of the 3D cases, else of the 2D ones.
        cases: how many.
        median, geometric_mean: of the cases' ratios; below 1 is faster than the baseline.
    """

    team: str
    volume: bool
    cases: int
    median: float
    geometric_mean: float


def costs_of(attempts: pd.DataFrame, manifest: Mapping[str, Any], out: OutDir) -> list[Cost]:
    """The attempts of a results table with what they cost, in the table's order.

    Args:
        attempts: a results table (`harness.results`); columns that it lacks are not known.
        manifest: the run's manifest, for sizes and boxes; empty where there is none.
        out: the run's folder, for the logs.
    """
    known = _cases(manifest)
    table = {name: _numbers(attempts, name) for name in ("repeat", *_MEASURED)}
    texts = {name: _texts(attempts, name) for name in ("team", "case", "modality", "outcome")}
    logs = _Logs(out)
    found = []
    for i in range(len(attempts)):
        team, case, task, outcome = (texts[name][i] for name in ("team", "case", "modality", "outcome"))
        repeat = table["repeat"][i]
        wall_s, run_s, cpu_s, peak, anon = (table[name][i] for name in _MEASURED)
        size, boxes = known.get(case, ("", None))
        number = 1 if repeat is None else int(repeat)
        cost = Cost(
            case=case,
            task=task,
            size=size,
            boxes=boxes,
            team=team,
            repeat=number,
            outcome=outcome,
            wall_s=wall_s,
            run_s=run_s,
            cpu_s=cpu_s,
            peak_bytes=None if peak is None else int(peak),
            peak_anon_bytes=None if anon is None else int(anon),
            # A fault of the harness leaves no log: one that lies there is of an earlier attempt.
            told=Told() if outcome == Outcome.HARNESS_FAULT else logs.told(team, case, number, wall_s),
        )
        found.append(cost)
    return found


_MEASURED = ("wall_s", "run_s", "cpu_s", "peak_bytes", "peak_anon_bytes")


def fold(costs: Iterable[Cost]) -> dict[tuple[str, str], CaseCost]:
    """(team, case) -> what the repeats cost, in order of first appearance."""
    groups: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for cost in costs:
        groups[cost.team, cost.case].append(cost)
    return {key: _folded(own) for key, own in groups.items()}


def _folded(own: Sequence[Cost]) -> CaseCost:
    done = [cost for cost in own if cost.finished]
    timed = sorted((cost for cost in done if cost.wall_s is not None), key=lambda cost: (cost.wall_s, cost.repeat))
    walls = [cost.wall_s for cost in timed if cost.wall_s is not None]
    peaks = [cost.peak_bytes for cost in done if cost.peak_bytes is not None]
    return CaseCost(
        team=own[0].team,
        case=own[0].case,
        outcome=Outcome.OK.value if done else own[0].outcome,
        wall_s=statistics.median(walls) if walls else None,
        peak_bytes=statistics.median(peaks) if peaks else None,
        middle=timed[(len(timed) - 1) // 2] if timed else None,
    )


def mean_parts(folded: Iterable[CaseCost], volume: bool) -> dict[str, tuple[int, dict[str, float]]]:
    """Team -> (cases, mean seconds by part) over the 3D or the 2D cases that it finished, where there are any.

    A part that no attempt of the team tells of is left out of its means.
    """
    sums: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = defaultdict(int)
    for own in folded:
        if own.middle is None or is_volume(own.case) != volume:
            continue
        counts[own.team] += 1
        total = sums.setdefault(own.team, {})
        for part, value in own.middle.parts().items():
            total[part] = total.get(part, 0.0) + value
    return {
        team: (counts[team], {part: value / counts[team] for part, value in total.items()})
        for team, total in sums.items()
    }


def ratios(folded: Mapping[tuple[str, str], CaseCost], baseline: str) -> list[Ratio]:
    """Every other team's wall times over the baseline's, 2D and 3D apart; kinds without a common case left out."""
    values: dict[tuple[str, bool], list[float]] = {}
    for (team, case), own in folded.items():
        base = folded.get((baseline, case))
        if team == baseline or base is None or own.wall_s is None or base.wall_s is None:
            continue
        if own.wall_s > 0 and base.wall_s > 0:  # anyone may have written the table
            values.setdefault((team, is_volume(case)), []).append(own.wall_s / base.wall_s)
    return [
        Ratio(team, volume, len(found), statistics.median(found), statistics.geometric_mean(found))
        for (team, volume), found in values.items()
    ]


# --------------------------------------------------------------------------- reading


class _Logs:
    """The logs of a run's folder; a name that would lead out of it is not followed."""

    def __init__(self, out: OutDir) -> None:
        self._out = out
        self._teams: dict[str, bool] = {}

    def told(self, team: str, case: str, repeat: int, wall_s: float | None) -> Told:
        """What an attempt's log tells; nothing where there is none."""
        if any(name in ("", ".", "..") or "/" in name or "\0" in name for name in (team, case)):
            return Told()
        path = self._out.log(team, case, repeat)
        if not self._teams.setdefault(team, path.parent.is_dir()):
            return Told()
        try:
            return read_phases(path.read_text(encoding="utf-8", errors="replace"), case, wall_s)
        except OSError:
            return Told()


def _cases(manifest: Mapping[str, Any]) -> dict[str, tuple[str, int | None]]:
    """Case -> (size, boxes), of those that a manifest describes soundly."""
    listed = manifest.get("cases")
    found = {}
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            boxes = entry.get("boxes")
            size = image_size(entry["name"], entry.get("image_shape"))
            found[entry["name"]] = (size, boxes if _is_whole(boxes) else None)
    return found


def image_size(case: str, shape: object) -> str:
    """An image's size as text: "DxHxW" of a volume, "HxW" of a planar image without its colours; "" where unknown."""
    if not isinstance(shape, Sequence) or not all(_is_whole(side) for side in shape):
        return ""
    sides = list(shape) if is_volume(case) else list(shape)[:2]
    return "x".join(map(str, sides))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _numbers(frame: pd.DataFrame, column: str) -> list[float | None]:
    if column not in frame:
        return [None] * len(frame)
    values = pd.to_numeric(frame[column]).astype("Float64").to_numpy(dtype=float, na_value=math.nan)
    return [float(value) if math.isfinite(value) else None for value in values]


def _texts(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame:
        return [""] * len(frame)
    return [str(value) for value in frame[column].fillna("")]
