"""How long a ranking takes: bootstraps of the whole competition, against the bars and against a plain program.

    make bench-rank        or        .venv/bin/python benchmarks/ranking.py [--quick] [--json FILE]

A made-up table of the competition's size: 23 teams, 4,414 cases in 9 modalities of unequal size, 3 metrics, the
final rank in each sample.  What is timed for a scheme is everything between table and stability: ranks within
cases, draws, aggregates, ranks, final ranks, Kendall's tau.  Each measurement has a process of its own with one
thread and a warm compiler; seconds are those of its processor.  Then the growth, then a peer in the same run: one
sample at a time as challengeR does it, by pandas and scipy, on few samples, whose ranks must be ours.  Last, rank.py
from the table to the report on all cores, wall-clock.  Exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from harness.rank.bootstrap import Bootstrap, Resampling, bootstrap
from harness.rank.order import FloatArray, IntArray, rank
from harness.rank.schemes import BOOT_MODES, BootMode, Scheme, final_ranks, final_scores, make_scheme
from harness.rank.table import TaskTable

ROOT = Path(__file__).resolve().parents[1]
#: Cases of each modality, 4,414 in all.
MODALITIES = {
    "CT": 750, "MR": 950, "PET": 60, "US": 420, "X-Ray": 990,
    "Endoscopy": 310, "Fundus": 280, "Microscopy": 460, "OCT": 194,
}  # fmt: skip
#: Metric -> whether smaller is better.
METRICS = {"dsc": False, "nsd": False, "runtime_s": True}
#: The bars of 1,000 bootstraps in seconds, and of memory in MB.
BARS = {
    ("cvpr24", "mean"): 2.0,
    ("rank-then-aggregate", "mean"): 2.0,
    ("rank-then-aggregate", "median"): 2.0,
    ("test-then-rank", "share"): 60.0,
}
MEMORY_BAR_MB = 1000.0
#: Schemes with their aggregates, as they are timed.
AGGREGATES = (*BARS, ("aggregate-then-rank", "median"))
#: Bars of rank.py: seconds with each scheme, and the report's size in MB.
RANK_BARS = {"cvpr24": 60.0, "test-then-rank": 120.0}
REPORT_BAR_MB = 15.0


@dataclass(frozen=True)
class Size:
    """What is ranked: teams, cases of each modality, and how many samples are drawn."""

    teams: int
    cases: dict[str, int]
    samples: int

    def __str__(self) -> str:
        return f"{self.teams} teams x {sum(self.cases.values()):,} cases, {self.samples:,} samples"


@dataclass(frozen=True)
class Figure:
    """A measurement, the bar it should stay under, and what else was seen (name with unit -> value)."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    also: dict[str, float] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        """Whether there is a bar, and it is not met."""
        return self.bar is not None and self.value >= self.bar

    def __str__(self) -> str:
        also = "".join(f", {value:,.4g} {name}" for name, value in self.also.items())
        judged = "" if self.bar is None else f"   [{'MISSED' if self.missed else 'ok'}: bar {self.bar:g} {self.unit}]"
        return f"{self.name:<78}{self.value:>10,.4g} {self.unit}{also}{judged}"


def made_tasks(size: Size, seed: int = 0) -> tuple[TaskTable, ...]:
    """Results in which teams differ, cases differ more, and one attempt in 200 failed."""
    random = np.random.default_rng(seed)
    skill = np.linspace(0.6, -0.6, size.teams)
    tasks = []
    for name, n in size.cases.items():
        logit = 1.8 + random.normal(0, 1.2, (n, 1)) + skill + random.normal(0, 0.6, (n, size.teams))
        dsc = np.round(1 / (1 + np.exp(-logit)), 4)
        nsd = np.round(1 / (1 + np.exp(-logit - random.normal(0.3, 0.3, logit.shape))), 4)
        seconds = np.round(random.lognormal(2, 0.7, (n, 1)) * np.exp(random.permutation(skill)), 3)
        seconds = np.round(seconds * random.lognormal(0, 0.05, logit.shape), 3)
        failed = random.random(logit.shape) < 0.005
        values = {
            "dsc": np.where(failed, 0.0, dsc),
            "nsd": np.where(failed, 0.0, nsd),
            "runtime_s": np.where(failed, 3600.0, seconds),
        }
        cases = tuple(f"2DBox_{name.replace('-', '')}_{k:05d}" for k in range(n))
        tasks.append(TaskTable(name, cases, values, np.zeros(n, dtype=bool)))
    return tuple(tasks)


def stability(tasks: Sequence[TaskTable], scheme: Scheme, mode: BootMode, resampling: Resampling) -> Bootstrap:
    """Full ranks, then every sample's."""
    weights = np.ones(len(tasks) * len(METRICS))
    units = [[scheme.unit(task.values[name], smaller, mode) for name, smaller in METRICS.items()] for task in tasks]
    ranks = [
        rank(unit.aggregates(np.ones((1, len(task.cases)), dtype=np.int64))[0], scheme.ties, unit.smaller_is_better)
        for task, metrics in zip(tasks, units, strict=True)
        for unit in metrics
    ]
    full = np.stack([*ranks, final_ranks(final_scores(np.stack(ranks), weights), scheme.ties)])
    return bootstrap(units, resampling.draws(), weights, full, scheme.ties)


# --------------------------------------------------------------------------- measuring


def in_a_process_of_its_own(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a fresh process makes of it: its peak memory is that of this function alone."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def timed(name: str, aggregate: str, mode: BootMode, size: Size) -> tuple[float, float]:
    """Processor seconds and peak MB of one scheme."""
    scheme = make_scheme(name, aggregate, "drop")
    small = made_tasks(Size(3, {"CT": 5}, 4))
    stability(small, scheme, mode, Resampling(small, 4))  # loads or compiles what there is to compile
    tasks = made_tasks(size)
    began = time.process_time()
    stability(tasks, scheme, mode, Resampling(tasks, size.samples))
    # Not ru_maxrss, which a process inherits from whoever started it.
    peak_kib = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return time.process_time() - began, peak_kib / 1024


def measured(name: str, aggregate: str, mode: BootMode, size: Size, bar: float | None, quick: bool) -> Figure:
    """One scheme, in this process when quick."""
    arguments = (name, aggregate, mode, size)
    seconds, memory = timed(*arguments) if quick else in_a_process_of_its_own(timed, *arguments)
    also = {"ms a sample": seconds / size.samples * 1000, "MB at most": memory}
    return Figure(f"{name} {aggregate}, {mode}: {size}", seconds, "s", bar, also)


def of_schemes(size: Size, quick: bool) -> Iterator[Figure]:
    """Every scheme in both modes, with the bars where the size is the competition's."""
    most = 0.0
    for name, aggregate in AGGREGATES:
        for mode in BOOT_MODES:
            figure = measured(name, aggregate, mode, size, None if quick else BARS.get((name, aggregate)), quick)
            most = max(most, figure.also["MB at most"])
            yield figure
    yield Figure("peak memory of any of them", most, "MB", MEMORY_BAR_MB)


def growth(quick: bool) -> Iterator[Figure]:
    """More samples, more teams and cases.  test-then-rank is left out of the large table: it would take hours."""
    scale = 40 if quick else 1
    small = {name: n // scale + 3 * quick for name, n in MODALITIES.items()}
    large = {name: n * 22 // scale + 400 // scale * (name != "PET") for name, n in MODALITIES.items()}
    large["US"] += 0 if quick else 100_000 - sum(large.values())
    for size in (Size(23, small, 10_000 // scale), Size(100, large, 1000 // scale)):
        for name in ("cvpr24", "rank-then-aggregate"):
            yield measured(name, "mean", "distinct", size, None, quick)


# --------------------------------------------------------------------------- the peer


def peer_ranks(frame: pd.DataFrame, cases: Sequence[str], drawn: IntArray, name: str, smaller: bool) -> FloatArray:
    """One sample of one task and metric: rows of the drawn cases joined, then ranked as the scheme says.

    Args:
        frame: team, case, value.
        drawn: positions of the drawn cases.
    """
    sample = pd.DataFrame({"case": np.array(cases)[drawn]}).merge(frame, on="case")
    if name == "test-then-rank":
        once = sample.drop_duplicates(["team", "case"]).pivot(index="case", columns="team", values="value")
        better = "less" if smaller else "greater"
        aggregates = pd.Series(
            {a: np.mean([_significant(once[a], once[b], better) for b in once.columns if b != a]) for a in once.columns}
        )
    elif name == "rank-then-aggregate":
        sample["value"] = sample.groupby("case")["value"].rank(method="min", ascending=smaller)
        aggregates = sample.groupby("team")["value"].mean()
    else:
        aggregates = sample.groupby("team")["value"].mean()
    upward = smaller if name == "cvpr24" else name == "rank-then-aggregate"
    ranks: FloatArray = aggregates.round(10).rank(method="min", ascending=upward).to_numpy(np.float64)
    return ranks


def _significant(x: pd.Series[float], y: pd.Series[float], better: str) -> bool:
    if (x == y).all():
        return False
    p = stats.wilcoxon(x, y, zero_method="wilcox", correction=True, alternative=better, method="approx").pvalue
    return bool(p <= 0.05)


def against_the_peer(name: str, aggregate: str, tasks: Sequence[TaskTable], samples: int, whole: int) -> float:
    """Processor seconds of the peer for one sample of a whole table of `whole` tasks; its ranks are checked.

    Raises:
        SystemExit: they are not ours.
    """
    resampling = Resampling(tuple(tasks), samples, seed=1)
    ours = stability(tasks, make_scheme(name, aggregate, "drop"), "challenger", resampling).ranks
    teams = [f"team{t:03d}" for t in range(ours.shape[2])]
    seconds = 0.0
    for t, (task, blocks) in enumerate(zip(tasks, resampling.draws(), strict=True)):
        counts = np.concatenate(list(blocks))
        for m, (metric, smaller) in enumerate(METRICS.items()):
            wide = pd.DataFrame(task.values[metric], index=list(task.cases), columns=teams)
            frame = wide.rename_axis("case").reset_index().melt("case", var_name="team")
            for b in range(samples):
                drawn = np.repeat(np.arange(len(task.cases)), counts[b])
                began = time.process_time()
                ranks = peer_ranks(frame, task.cases, drawn, name, smaller)
                seconds += time.process_time() - began
                if (ranks != ours[b, t * len(METRICS) + m]).any():
                    sys.exit(f"{name}, {task.name}/{metric}, sample {b}: the peer has other ranks than ours")
    return seconds / samples * whole / len(tasks)


def ratios(size: Size, figures: Sequence[Figure]) -> Iterator[Figure]:
    """How many times our time for one sample the peer takes; `figures` are those of our schemes."""
    for name, aggregate, tasks_used, samples in [
        ("cvpr24", "mean", len(size.cases), 3),
        ("rank-then-aggregate", "mean", len(size.cases), 3),
        ("test-then-rank", "share", 1, 1),  # its smallest task stands for all: the cost of a test is overhead
    ]:
        tasks = sorted(made_tasks(size), key=lambda task: len(task.cases))[:tasks_used]
        peer = 1000 * against_the_peer(name, aggregate, tasks, samples, len(size.cases))
        ours = next(f.also["ms a sample"] for f in figures if f.name == f"{name} {aggregate}, challenger: {size}")
        also = {"ms a sample by pandas and scipy": peer, "ms by ours": ours}
        yield Figure(f"{name} {aggregate}, challenger: the peer's time over ours", peer / ours, "times", None, also)


# --------------------------------------------------------------------------- the command


def of_the_command(size: Size, quick: bool) -> Iterator[Figure]:
    """rank.py on a results table, files and report included; without the report in a quick run."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.csv"
        write_table(table, size)
        for scheme, bar in RANK_BARS.items():
            out = Path(folder) / scheme
            command = [sys.executable, str(ROOT / "rank.py"), str(table), "--out", str(out), "--scheme", scheme]
            command += ["--bootstrap", str(size.samples), *(["--no-report"] if quick else [])]
            environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode:
                sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
            also = {"s of processors": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
            yield Figure(f"rank.py --scheme {scheme}: {size}", seconds, "s", None if quick else bar, also)
            if not quick:
                megabytes = (out / "report.html").stat().st_size / 1e6
                yield Figure(f"rank.py --scheme {scheme}: report.html", megabytes, "MB", REPORT_BAR_MB)


def write_table(path: Path, size: Size) -> None:
    """The made-up results as a results table."""
    parts = []
    for task in made_tasks(size):
        of_metric = {name: values.ravel() for name, values in task.values.items()}
        failed = of_metric["runtime_s"] == 3600
        parts.append(
            pd.DataFrame(
                {
                    "team": [f"team{t:03d}" for _ in task.cases for t in range(size.teams)],
                    "case": np.repeat(task.cases, size.teams),
                    "modality": task.name,
                    **of_metric,
                    "outcome": np.where(failed, "timeout", "ok"),
                }
            )
        )
    pd.concat(parts).to_csv(path, index=False)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small table, no bars of time, no report")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    size = Size(23, MODALITIES, 1000)
    if args.quick:
        size = Size(5, {name: max(8, n // 40) for name, n in MODALITIES.items()}, 50)
    print(f"{size}, {len(METRICS)} metrics, {len(size.cases)} modalities; seconds of one processor\n")
    figures: list[Figure] = []
    parts = (
        of_schemes(size, args.quick),
        growth(args.quick),
        ratios(size, figures),
        of_the_command(size, args.quick),
    )
    for part in parts:
        for figure in part:
            figures.append(figure)
            print(figure, flush=True)
        print()
    missed = [figure for figure in figures if figure.missed]
    print(f"{len(missed)} bars missed" if missed else "all bars met")
    if args.json:
        told = [asdict(figure) | {"missed": figure.missed} for figure in figures]
        args.json.write_text(json.dumps({"processors": os.cpu_count(), "figures": told}, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    if any(os.environ.get(name) != "1" for name in threads):  # read by libraries when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **dict.fromkeys(threads, "1")})
    sys.exit(main())
