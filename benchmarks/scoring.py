"""How fast files are scored: ours against DeepMind's package, and what `harness score` takes as a whole.

    make bench-score    or    .venv/bin/python -m benchmarks.scoring [--quick] [--json FILE] [--seed N]

Ten cases of realistic size are generated in a temporary folder (`benchmarks.label_maps`).  Each is scored by us
and by the package surface-distance-based-measures, called per label as the official script does, one thread
against one thread; both must give the same scores to 1e-12.  Then: two workers against two processes of their
own, the CPU time of one small case, and the peak memory of the largest cases.  docs/benchmarks.md says what each
figure means.  The exit code is 1 where a bar is missed; --quick runs the small cases only and holds only the
scores against each other, for small cases and few repeats make poor figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label_maps import CASES, Case, write_case
from benchmarks.scoring_processes import peak_bytes, warm_cpu_s, worker_ratio
from harness.contract import read_prediction, read_reference
from harness.protocol import Scoring, load_protocol
from harness.score.evaluate import score_classes
from harness.score.files import score_files
from tests.score.score_peer import Peer

#: One thread against one thread: read by the libraries as they are loaded, so set before this process starts.
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM", "BLIS")}

GEOMETRIC_MEAN, MINIMUM = 50.0, 6.0
READING_FACTOR, READING_S = 1.5, 0.030
WORKER_RATIO, WARM_CPU_S, MEMORY_BYTES = 0.9, 1.5, 512 << 20
EQUAL_WITHIN = 1e-12
#: Seconds to repeat a measurement for, and how often at least and at most; in a quick run.
REPEAT, QUICK_REPEAT = (3.0, 5, 25), (0.2, 2, 5)


@dataclass(frozen=True)
class Row:
    """One case's figures, medians in seconds.

    Attributes:
        case, what, shape, labels: which.
        dsc, nsd: its scores, ours.
        peer_s, ours_s: scoring of arrays in memory.
        reading_s: ours from the two files to the scores.
        load_s: `numpy.load` of the same arrays of the two files.
        difference: the larger one of |ours - peer's| of DSC and NSD.
    """

    case: str
    what: str
    shape: tuple[int, ...]
    labels: int
    dsc: float
    nsd: float
    peer_s: float
    ours_s: float
    reading_s: float
    load_s: float
    difference: float

    @property
    def ratio(self) -> float:
        """Speed-up."""
        return self.peer_s / self.ours_s

    @property
    def reading_ratio(self) -> float:
        """Seconds with reading over those that they may take."""
        return self.reading_s / (READING_FACTOR * self.load_s + READING_S)


@dataclass
class Bars:
    """What was found against what is asked for."""

    missed: list[str] = field(default_factory=list)

    def hold(self, what: str, value: float, limit: float, *, at_least: bool) -> None:
        """Print one and note whether it was missed."""
        good = value >= limit if at_least else value <= limit
        asked = f"{'at least' if at_least else 'at most'} {limit:.3g}"
        print(f"{what:<58} {value:8.3g}   {asked:<14} {'' if good else 'MISSED'}".rstrip(), flush=True)
        if not good:
            self.missed.append(what)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small cases only, few repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.scoring", *sys.argv[1:]], os.environ | THREADS)
    for name, value in (("Inf", math.inf), ("NaN", math.nan)):
        if not hasattr(np, name):
            setattr(np, name, value)  # what the peer still uses and NumPy 2 has dropped
    bars = Bars()
    with tempfile.TemporaryDirectory() as name:
        rows, files = _cases(args, Path(name))
        figures = {"cases": [asdict(row) for row in rows], **_summary(rows, bars), **_commands(args, files, bars)}
    if args.json:
        args.json.write_text(json.dumps(figures | {"missed": bars.missed}, indent=1) + "\n")
    if any(row.difference > EQUAL_WITHIN for row in rows):
        return 1
    return 1 if bars.missed and not args.quick else 0


def _cases(args: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[Case, tuple[Path, Path]]]:
    """Generate and measure the cases, a line each."""
    scoring = replace(load_protocol().scoring, also=())  # what the peer computes, and no more
    files: dict[Case, tuple[Path, Path]] = {}
    rows: list[Row] = []
    print(f"{'case':<11} {'shape':<15} {'labels':>6} {'dsc':>6} {'nsd':>6}", end=" ")
    print(f"{'peer s':>8} {'ours s':>8} {'ratio':>7} {'reading s':>10} {'np.load s':>10} {'of allowed':>11}")
    for case in CASES:
        if args.quick and not case.small:
            continue
        files[case] = write_case(case, args.seed, folder)
        row = _measured(case, *files[case], scoring, QUICK_REPEAT if args.quick else REPEAT)
        rows.append(row)
        size = "x".join(map(str, row.shape))
        print(f"{row.what:<11} {size:<15} {row.labels:>6} {row.dsc:6.3f} {row.nsd:6.3f}", end=" ")
        print(f"{row.peer_s:8.3f} {row.ours_s:8.4f} {row.ratio:7.1f}", end=" ")
        print(f"{row.reading_s:10.4f} {row.load_s:10.4f} {row.reading_ratio:11.2f}", flush=True)
    return rows, files


def _measured(case: Case, gt_path: Path, pred_path: Path, scoring: Scoring, repeat: tuple[float, int, int]) -> Row:
    reference = read_reference(gt_path)
    prediction = read_prediction(pred_path, case.shape)
    arrays = reference.array, prediction.array, case.spacing_mm
    found = score_classes(prediction, reference, scoring, case.volume)  # the first call loads what is compiled
    ours_s, reading_s, load_s = _medians_s(
        lambda: score_classes(prediction, reference, scoring, case.volume),
        lambda: score_files(case.name, pred_path, gt_path, scoring),
        lambda: _load(gt_path, pred_path),
        repeat=repeat,
    )
    theirs: list[tuple[float, float]] = []
    (peer_s,) = _medians_s(
        lambda: theirs.append(Peer().score(*arrays, scoring.tolerance_mm, scoring.gate_dsc)),
        repeat=(repeat[0], 1, 3),
    )
    difference = max(abs(found.mean_dsc - theirs[0][0]), abs(found.mean_nsd - theirs[0][1]))
    if not difference <= EQUAL_WITHIN:
        print(f"{case.name}: ours {found.mean_dsc!r}, {found.mean_nsd!r}; the peer's {theirs[0]}", file=sys.stderr)
    names = case.name, case.what, case.shape, case.labels
    return Row(*names, found.mean_dsc, found.mean_nsd, peer_s, ours_s, reading_s, load_s, float(difference))


def _load(*paths: Path) -> None:
    """All arrays of the files, as anyone reads them."""
    for path in paths:
        with np.load(path) as npz:
            for key in npz.files:
                npz[key]


def _medians_s(*works: Callable[[], Any], repeat: tuple[float, int, int]) -> list[float]:
    """Median wall seconds of each, called in turns, so that whatever else the machine does falls on all alike."""
    enough_s, least, most = repeat
    seconds: list[list[float]] = [[] for _ in works]
    while len(seconds[0]) < least or (sum(map(sum, seconds)) < enough_s and len(seconds[0]) < most):
        for work, found in zip(works, seconds, strict=True):
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
    return [statistics.median(found) for found in seconds]


def _summary(rows: list[Row], bars: Bars) -> dict[str, float]:
    print()
    ratios = [row.ratio for row in rows]
    mean, least = statistics.geometric_mean(ratios), min(ratios)
    reading = max(row.reading_ratio for row in rows)
    bars.hold("speed-up, geometric mean", mean, GEOMETRIC_MEAN, at_least=True)
    bars.hold("speed-up, least", least, MINIMUM, at_least=True)
    bars.hold("with reading / (1.5 x np.load + 30 ms), worst", reading, 1.0, at_least=False)
    difference = max(row.difference for row in rows)
    bars.hold("difference from the peer's scores, largest", difference, EQUAL_WITHIN, at_least=False)
    return {"geometric_mean": mean, "least": least, "reading_worst": reading}


def _commands(args: argparse.Namespace, files: dict[Case, tuple[Path, Path]], bars: Bars) -> dict[str, Any]:
    """Figures of whole commands."""
    small = [pair for case, pair in files.items() if case.small]
    repeats, copies = (1, 2) if args.quick else (3, 40)
    ratio, seconds = worker_ratio(small, copies, repeats)
    bars.hold("throughput, two workers / two processes of their own", ratio, WORKER_RATIO, at_least=True)
    warm = warm_cpu_s(small[0], repeats)
    bars.hold("`harness score` of one small case, CPU s", warm, WARM_CPU_S, at_least=False)
    peaks: dict[str, dict[str, int]] = {}
    largest = sorted(files, key=_volumes_bytes)[-1:] if args.quick else sorted(files, key=_volumes_bytes)[-3:]
    largest += [case for case in files if not case.volume and case.shape[0] > 3000]
    for case in largest:
        for copies in (1, 3) if case is largest[-1] else (1,):
            peak, volumes = peak_bytes(files[case], copies), _volumes_bytes(case)
            name = f"{case.what} {'x'.join(map(str, case.shape))}, {copies} in a row"
            peaks[name] = {"peak_bytes": peak, "volumes_bytes": volumes}
            beside = (peak - volumes) / 2**20
            bars.hold(f"MiB beside both volumes: {name}", beside, MEMORY_BYTES / 2**20, at_least=False)
    return {"worker_ratio": ratio, "two_workers_s": seconds, "warm_cpu_s": warm, "peaks": peaks}


def _volumes_bytes(case: Case) -> int:
    """Bytes of reference and prediction as arrays."""
    return 2 * math.prod(case.shape) * np.min_scalar_type(case.labels).itemsize


if __name__ == "__main__":
    sys.exit(main())
