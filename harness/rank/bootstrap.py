"""How stable ranks are when other cases had been drawn.

Cases are drawn with replacement within each task, as many as the task has, independently of the other
tasks.  All metrics of a task see the same draw.  Cases that belong together (of one patient, of one
institution) can be drawn together: then clusters are drawn, as many as the task has, each with all its
cases, and the number of cases differs from sample to sample.

Sources: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 6; for clusters
C. A. Field, A. H. Welsh, Bootstrapping clustered data, J. R. Statist. Soc. B 69, 2007 ("cluster bootstrap").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.errors import InputError
from harness.rank.order import FloatArray, IntArray, Ties, kendall_tau_b, rank
from harness.rank.schemes import Unit, final_ranks, final_scores
from harness.rank.table import TaskTable, shorten

#: Most samples that are drawn and ranked together, and most draw counts at a time (64 MB).
_SAMPLES = 1000
_COUNTS = 8_000_000

#: Draw counts of a task, (B, cases), block by block.
Draws = Iterator[IntArray]
#: Draw counts of a task as they are kept, (B, cases), in the smallest type that holds them.
KeptDraws = npt.NDArray[np.unsignedinteger[Any]]
#: For each task its cases' clusters, (cases,) in the order of its cases.
Clusters = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Bootstrap:
    """Every sample's ranking.

    Attributes:
        ranks: (B, units + 1, teams) float32, the last unit the final ranking; NaN: not ranked.
        tau: (B, units + 1) Kendall's tau-b with the full data's ranking; NaN where it is undefined.
    """

    ranks: npt.NDArray[np.float32]
    tau: FloatArray


@dataclass(frozen=True)
class Resampling:
    """How samples are drawn: at random, by clusters, or as a file says.

    Attributes:
        tasks: whose cases are drawn.
        samples: how many.
        seed: of random draws.
        clusters: cases that are drawn together; None: each case by itself.
        given: task -> (B, cases) draw counts made elsewhere, in place of random ones.
    """

    tasks: tuple[TaskTable, ...]
    samples: int
    seed: int = 0
    clusters: Clusters | None = None
    given: Mapping[str, KeptDraws] | None = None

    def draws(self) -> list[Draws]:
        """Each task's draws from the first on; the same at every call."""
        block = block_size(self.tasks)
        if self.given is not None:
            return [given_draws(self.given[task.name], block) for task in self.tasks]
        if self.clusters is not None:
            of = self.clusters
            return [cluster_draws(task, of[task.name], self.samples, self.seed, block) for task in self.tasks]
        return [random_draws(task, self.samples, self.seed, block) for task in self.tasks]


def block_size(tasks: Sequence[TaskTable]) -> int:
    """How many samples to work on together so that memory stays within bounds; it changes no result."""
    return max(1, min(_SAMPLES, _COUNTS // sum(len(task.cases) for task in tasks)))


def random_draws(task: TaskTable, samples: int, seed: int, block: int) -> Draws:
    """Random draws of a task.  They depend on the seed, the task's name and its number of cases alone:
    other tasks do not change them, and more samples only append to them."""
    yield from _random_counts(task.name, len(task.cases), samples, seed, block)


def cluster_draws(task: TaskTable, clusters: Sequence[str], samples: int, seed: int, block: int) -> Draws:
    """Random draws of a task's clusters, each with all its cases.

    Clusters are numbered by their first case, so that clusters of one case each give `random_draws`.

    Args:
        clusters: (cases,) the cluster of each case.
    """
    numbers = _cluster_numbers(clusters)
    for counts in _random_counts(task.name, int(numbers.max()) + 1, samples, seed, block):
        yield counts[:, numbers]


def given_draws(draws: npt.NDArray[np.integer[Any]], block: int) -> Draws:
    """Draws made elsewhere, (B, cases) counts."""
    for start in range(0, len(draws), block):
        yield draws[start : start + block].astype(np.int64)


def _random_counts(name: str, n: int, samples: int, seed: int, block: int) -> Draws:
    """How often each of n things is drawn when n are drawn with replacement, again and again."""
    random = np.random.default_rng([seed, *name.encode()])
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = random.integers(0, n, size=(size, n))
        drawn += n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def _cluster_numbers(clusters: Sequence[str]) -> IntArray:
    """Clusters as numbers from 0 in the order in which they first occur."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)


def read_resamples(
    path: str | Path, tasks: Sequence[TaskTable], clusters: Clusters | None = None
) -> Mapping[str, KeptDraws]:
    """Draws from a CSV ``task,b,idx``: idx holds 0-based positions into the task's cases sorted by name.

    A sample has as many positions as its task has cases.  Where clusters were drawn it has those of as many
    clusters as the task has, each with all its cases as often as it was drawn.

    Returns:
        Task -> (B, cases) counts, in the order of b.

    Raises:
        InputError: a column, task or sample is missing, a position is none of the task's, or a sample
            is not one of all its cases or clusters.
    """
    path = Path(path)
    try:
        frame = pd.read_csv(path, dtype={"task": str, "idx": str}, keep_default_na=False)
        if lacking := sorted({"task", "b", "idx"} - set(frame.columns)):
            raise ValueError(f"column {lacking[0]!r} is missing")
        samples = frame["b"].astype(int)
        if frame.duplicated(["task", "b"]).any():
            raise ValueError("a task has two rows of the same b")
    except FileNotFoundError:
        raise InputError(path, "no such file", "Give the file of resamples.") from None
    except (OSError, ValueError, TypeError) as error:
        remedy = "It needs the columns task, b (a whole number) and idx, one row for each task and b."
        raise InputError(path, f"it is not a file of resamples ({error})", remedy) from error
    names = [task.name for task in tasks]
    if strange := sorted(set(frame["task"]) - set(names)):
        raise InputError(path, f"it has draws of {shorten(strange)}, which is no task", f"Tasks: {', '.join(names)}.")
    every = np.unique(samples)
    draws = {}
    for task in tasks:
        rows = frame[frame["task"] == task.name].set_axis(samples[frame["task"] == task.name], axis=0).sort_index()
        if len(rows) != len(every):
            fault = f"task {task.name} has {len(rows)} of {len(every)} samples"
            raise InputError(path, fault, "Every task needs a row for each b.")
        numbers = None if clusters is None else _cluster_numbers(clusters[task.name])
        kept = np.empty((len(rows), len(task.cases)), dtype=np.min_scalar_type(len(task.cases)))
        for row, (b, idx) in enumerate(rows["idx"].items()):
            kept[row] = _counts(path, task, b, idx, numbers)
        draws[task.name] = kept
    return draws


def _counts(path: Path, task: TaskTable, sample: object, idx: str, clusters: IntArray | None) -> IntArray:
    """How often a sample has each case: (cases,)."""
    n = len(task.cases)
    fault = f"task {task.name}, b {sample}"
    try:
        drawn = np.fromstring(idx, dtype=np.int64, sep=" ") if idx.strip() else np.empty(0, np.int64)
    except ValueError as error:
        raise InputError(
            path, f"{fault}: idx holds something that is no position", "Separate them by blanks."
        ) from error
    if not len(drawn) or drawn.min() < 0 or drawn.max() >= n or (clusters is None and len(drawn) != n):
        remedy = "Draw from the same table; where clusters were drawn, give --cluster as well."
        raise InputError(path, f"{fault}: idx is not {n} positions from 0 to {n - 1}", remedy)
    counts = np.bincount(drawn, minlength=n)
    if clusters is not None:
        of_cluster = np.zeros(int(clusters.max()) + 1, dtype=np.int64)
        of_cluster[clusters] = counts
        if (of_cluster[clusters] != counts).any() or of_cluster.sum() != len(of_cluster):
            remedy = "Draw whole clusters, or leave out --cluster."
            raise InputError(path, f"{fault}: idx is not {len(of_cluster)} whole clusters", remedy)
    return counts


def resamples_frames(resampling: Resampling) -> Iterator[pd.DataFrame]:
    """The draws as `read_resamples` takes them, ``task,b,idx``, in frames of bounded size: task by task, b upward."""
    for task, blocks in zip(resampling.tasks, resampling.draws(), strict=True):
        positions = [str(position) for position in range(len(task.cases))]
        first = 0
        for counts in blocks:
            idx = [" ".join([positions[k] for k in np.repeat(np.arange(len(row)), row).tolist()]) for row in counts]
            yield pd.DataFrame({"task": task.name, "b": np.arange(first, first + len(idx)), "idx": idx})
            first += len(idx)


def write_resamples(path: str | Path, resampling: Resampling) -> None:
    """Write the draws as a CSV that ``--resamples`` reads back to the same ranking; whole or not at all."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.tmp")
    with draft.open("w", encoding="utf-8", newline="") as file:
        for number, frame in enumerate(resamples_frames(resampling)):
            frame.to_csv(file, index=False, header=number == 0, lineterminator="\n")
    draft.replace(path)


def bootstrap(
    units: Sequence[Sequence[Unit]], draws: Sequence[Draws], weights: FloatArray, full: FloatArray, ties: Ties
) -> Bootstrap:
    """Rank every sample.

    Args:
        units: for each task its metrics' units, tasks in the order of `draws`.
        draws: for each task its draws, block by block.
        weights: (units,) of the final score, task by task.
        full: (units + 1, teams) ranks of the full data, the last the final ones.
        ties: how equal ranks are shared.
    """
    parts = []
    for blocks in zip(*draws, strict=True):
        ranks = [
            rank(unit.aggregates(counts), ties, unit.smaller_is_better)
            for counts, metrics in zip(blocks, units, strict=True)
            for unit in metrics
        ]
        by_unit = np.stack(ranks, axis=1)
        final = final_ranks(final_scores(by_unit, weights), ties)
        parts.append(np.concatenate([by_unit, final[:, None]], axis=1).astype(np.float32))
    ranks_of_all = np.concatenate(parts)
    tau = [kendall_tau_b(full[u], ranks_of_all[:, u].astype(np.float64)) for u in range(len(full))]
    return Bootstrap(ranks_of_all, np.stack(tau, axis=1))


def rank_shares(ranks: npt.NDArray[np.float32]) -> list[dict[float, float]]:
    """For each team the share of samples in which it had each rank that it ever had: (B, teams) -> T."""
    shares = []
    for column in ranks.T:
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        shares.append({float(v): float(c) / len(column) for v, c in zip(values, counts, strict=True)})
    return shares


def share_won(ranks: npt.NDArray[np.float32]) -> FloatArray:
    """(B, teams) -> (teams,): share of samples in which nobody ranked better; several may win one."""
    won: FloatArray = (ranks == np.nanmin(ranks, axis=1, keepdims=True)).mean(axis=0)
    return won


def rank_interval(ranks: npt.NDArray[np.float32], level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """(B, teams) -> lowest and highest rank of the middle `level` of the samples, ranks that occurred."""
    tail = (1 - level) / 2
    low = np.quantile(ranks, tail, axis=0, method="inverted_cdf")
    high = np.quantile(ranks, 1 - tail, axis=0, method="inverted_cdf")
    return low.astype(np.float64), high.astype(np.float64)
