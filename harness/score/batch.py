"""Many predictions scored in worker processes, of which none can take the others with it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.protocol import Scoring
from harness.records import Outcome, Score
from harness.score.files import score_files_by_class
from harness.score.workers import default_workers, spread

if TYPE_CHECKING:
    from harness.score.evaluate import ClassScores

__all__ = ["Job", "Scored", "default_workers", "pooled", "score_job", "score_many"]


@dataclass(frozen=True)
class Job:
    """One prediction to score.

    Attributes:
        case: the case's name.
        prediction, reference: the files; the prediction may be missing.
        team: whose it is, "" where that does not matter.
        repeat: which of the team's attempts.
    """

    case: str
    prediction: Path
    reference: Path
    team: str = ""
    repeat: int = 1


@dataclass(frozen=True)
class Scored:
    """A job done.

    Attributes:
        job: what was asked.
        score: as `files.score_files`; harness_fault where scoring itself failed.
        classes: scores of its classes; None where the outcome is not ok.
    """

    job: Job
    score: Score
    classes: ClassScores | None


def score_many(jobs: Iterable[Job], scoring: Scoring, workers: int = 1) -> Iterator[Scored]:
    """Score predictions, yielding each as it is done, in any order.

    A broken file costs its own row alone.  So does a worker that is killed: its case is scored again when all
    others are done, in a process of its own, and what kills that too is a harness_fault.

    Args:
        jobs: what to score.
        scoring: tolerance, gate, digits.
        workers: processes; with 1, or for a single job, all is done in this one.
    """
    todo = list(jobs)
    if workers <= 1 or len(todo) <= 1:
        for job in todo:
            yield score_job(job, scoring)
    else:
        yield from pooled(todo, scoring, workers, score_job)


def score_job(job: Job, scoring: Scoring) -> Scored:
    """Score one prediction; an unforeseen error becomes a harness_fault."""
    try:
        score, classes = score_files_by_class(job.case, job.prediction, job.reference, scoring)
    except Exception as error:  # one case of thousands must not end the command
        return _fault(job, scoring, f"scoring failed ({type(error).__name__}: {str(error)[:200]}). Score it again.")
    return Scored(job, score, classes)


def pooled(jobs: list[Job], scoring: Scoring, workers: int, work: Callable[[Job, Scoring], Scored]) -> Iterator[Scored]:
    """Do `work` on every job in up to `workers` processes, as `score_many` promises.

    Args:
        work: a function of a module, so that workers can import it.
    """
    # The largest first, so that none is left over at the end to keep one process busy alone.
    by_size = sorted(jobs, key=_file_bytes, reverse=True)
    for job, found in spread(_Work(work, scoring), by_size, workers):
        yield _fault(job, scoring, _KILLED) if found is None else Scored(job, *found)


@dataclass(frozen=True)
class _Work:
    """What workers do: a function of a job alone; the job itself need not travel back."""

    work: Callable[[Job, Scoring], Scored]
    scoring: Scoring

    def __call__(self, job: Job) -> tuple[Score, ClassScores | None]:
        scored = self.work(job, self.scoring)
        return scored.score, scored.classes


def _file_bytes(job: Job) -> int:
    """Size of both files; 0 for one that is not there."""
    total = 0
    for path in (job.prediction, job.reference):
        with suppress(OSError):
            total += os.stat(path).st_size
    return total


_KILLED = "the scoring process was killed, most likely for memory. Score it again with --workers 1."


def _fault(job: Job, scoring: Scoring, reason: str) -> Scored:
    values = dict.fromkeys(("dsc", "nsd", *scoring.also), math.nan)
    return Scored(job, Score(values, Outcome.HARNESS_FAULT, reason), None)
