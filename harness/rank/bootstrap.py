"""How stable ranks are when other cases had been drawn.

Cases are drawn with replacement within each task, as many as the task has, independently of the other
tasks.  All metrics of a task see the same draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.errors import InputError
from harness.rank.order import FloatArray, IntArray, Ties, kendall_tau_b, rank
from harness.rank.schemes import Unit, final_ranks, final_scores
from harness.rank.table import TaskTable, shorten

#: Most samples that are drawn and ranked together, and most draw counts in one array (64 MB).
_SAMPLES = 1000
_COUNTS = 8_000_000


@dataclass(frozen=True)
class Bootstrap:
    """Every sample's ranking.

    Attributes:
        ranks: (B, units + 1, teams) float32, the last unit the final ranking; NaN: not ranked.
        tau: (B, units + 1) Kendall's tau-b with the full data's ranking; NaN where it is undefined.
    """

    ranks: npt.NDArray[np.float32]
    tau: FloatArray


#: Draw counts of a task, (B, cases), block by block.
Draws = Iterator[IntArray]


def block_size(tasks: Sequence[TaskTable]) -> int:
    """How many samples to work on together so that memory stays within bounds; it changes no result."""
    return max(1, min(_SAMPLES, _COUNTS // max(len(task.cases) for task in tasks)))


def random_draws(task: TaskTable, samples: int, seed: int, block: int) -> Draws:
    """Random draws of a task.  They depend on the seed, the task's name and its number of cases alone:
    other tasks do not change them, and more samples only append to them."""
    random = np.random.default_rng([seed, *task.name.encode()])
    n = len(task.cases)
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = random.integers(0, n, size=(size, n))
        drawn += n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def given_draws(draws: IntArray, block: int) -> Draws:
    """Draws made elsewhere, (B, cases) counts."""
    for start in range(0, len(draws), block):
        yield draws[start : start + block]


def read_resamples(path: str | Path, tasks: Sequence[TaskTable]) -> Mapping[str, IntArray]:
    """Draws from a CSV ``task,b,idx``: idx holds 0-based positions into the task's cases sorted by name.

    Returns:
        Task -> (B, cases) counts, in the order of b.

    Raises:
        InputError: a column, task or sample is missing, or a position is none of the task's.
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
    counts = {}
    for task in tasks:
        rows = frame[frame["task"] == task.name].set_axis(samples[frame["task"] == task.name], axis=0).sort_index()
        if len(rows) != len(every):
            fault = f"task {task.name} has {len(rows)} of {len(every)} samples"
            raise InputError(path, fault, "Every task needs a row for each b.")
        counts[task.name] = np.stack([_positions(path, task, b, idx) for b, idx in rows["idx"].items()])
    return counts


def _positions(path: Path, task: TaskTable, sample: object, idx: str) -> IntArray:
    n = len(task.cases)
    fault = f"task {task.name}, b {sample}"
    try:
        drawn = np.array(idx.split(), dtype=np.int64)
    except ValueError as error:
        raise InputError(
            path, f"{fault}: idx holds something that is no position", "Separate them by blanks."
        ) from error
    if len(drawn) != n or drawn.min() < 0 or drawn.max() >= n:
        raise InputError(path, f"{fault}: idx is not {n} positions from 0 to {n - 1}", "Draw from the same table.")
    return np.bincount(drawn, minlength=n)


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
