"""Many predictions scored in worker processes, of which none can take the others with it."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from pathlib import Path

from harness.protocol import Scoring
from harness.records import Outcome, Score
from harness.score.evaluate import ClassScores
from harness.score.files import score_files_by_class


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


def default_workers() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def score_many(jobs: Iterable[Job], scoring: Scoring, workers: int = 1) -> Iterator[Scored]:
    """Score predictions, yielding each as it is done, in any order.

    A broken file costs its own row alone.  So does a worker that is killed: what was under way with it is
    scored again, each in a process of its own, and what kills that too is a harness_fault.

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
        return _fault(job, f"scoring failed ({type(error).__name__}: {str(error)[:200]}). Score it again.")
    return Scored(job, score, classes)


def pooled(jobs: list[Job], scoring: Scoring, workers: int, work: Callable[[Job, Scoring], Scored]) -> Iterator[Scored]:
    """Do `work` on every job in up to `workers` processes, as `score_many` promises.

    Args:
        work: a function of a module, so that workers can import it.
    """
    waiting = deque(jobs)
    while waiting:
        running: dict[Future[Scored], Job] = {}
        pool = _pool(min(workers, len(waiting)))
        try:
            while waiting or running:
                # Two jobs a worker: none idles, and a killed one puts few under suspicion.
                while waiting and len(running) < 2 * workers:
                    future = pool.submit(work, waiting[0], scoring)
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    scored = future.result()
                    del running[future]
                    yield scored
        except BrokenProcessPool:
            pass
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for job in running.values():
            yield _alone(job, scoring, work)


def _alone(job: Job, scoring: Scoring, work: Callable[[Job, Scoring], Scored]) -> Scored:
    with _pool(1) as pool:
        try:
            return pool.submit(work, job, scoring).result()
        except BrokenProcessPool:
            reason = "the scoring process was killed, most likely for memory. Score it again with --workers 1."
            return _fault(job, reason)


def _fault(job: Job, reason: str) -> Scored:
    return Scored(job, Score({"dsc": math.nan, "nsd": math.nan}, Outcome.HARNESS_FAULT, reason), None)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=_context(), initializer=_start_worker)


def _context() -> BaseContext:
    """Processes started afresh: forking one with threads (a progress display) can deadlock."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.score.batch", "scipy.ndimage"])
    return context


def _start_worker() -> None:
    # An interrupt from the keyboard reaches workers too; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
