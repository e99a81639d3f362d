"""Processes that work through a list of jobs, of which none can take the others with it.

Each is told its jobs through a pipe of its own and answers there.  So the caller waits in one thread, knows
what a killed process was at, and passes nothing larger than jobs and their results.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

J = TypeVar("J")
R = TypeVar("R")

#: Jobs that a process is told of before it has answered: two at first, so that it never idles, and up to so many
#: while they are quick, since each message costs as much as a tiny job.
_AHEAD, _MOST_AHEAD = 2, 64
#: Seconds that a process may keep an answer to send it with the next ones.
_KEPT_S = 0.05


def default_workers() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare() -> None:
    """Begin to load what workers share, in another process and without waiting for it.

    For a command that knows early that it will need workers; without this the first of them is waited for.
    """
    if _context().get_start_method() == "forkserver":
        forkserver.ensure_running()


def spread(work: Callable[[J], R], jobs: Sequence[J], workers: int) -> Iterator[tuple[J, R | None]]:
    """Do `work` on every job in up to `workers` processes, yielding each with its result as it is done.

    A job whose process was killed is done again when all others are done, in a process of its own, for most
    likely memory was short; where that one is killed too, the result is None.  Giving the iterator up ends the
    processes.

    Args:
        work: pickles, so a function of a module; what it raises ends its process.
        jobs: small, and so are the results: files by their names, not volumes.
    """
    waiting, suspects = deque(jobs), deque[J]()
    crew = _crew(work, min(workers, len(waiting)))
    try:
        while waiting or any(worker.jobs for worker in crew):
            for worker in crew:
                if len(worker.jobs) <= worker.ahead // 2:
                    worker.give([waiting.popleft() for _ in range(min(worker.ahead, len(waiting)))])
            for worker in _answering(crew):
                try:
                    results = worker.answer()
                except (EOFError, OSError):
                    suspects.append(worker.jobs.popleft())
                    waiting.extendleft(reversed(worker.jobs))
                    worker.stop()
                    crew[crew.index(worker)] = _Worker(work)
                else:
                    yield from results
    finally:
        for worker in crew:
            worker.stop()
    for job in suspects:
        yield job, _alone(work, job)


def _crew(work: Callable[[J], R], workers: int) -> list[_Worker[J, R]]:
    return [_Worker(work) for _ in range(workers)]


def _answering(crew: list[_Worker[J, R]]) -> list[_Worker[J, R]]:
    """Workers that have answered or died, after waiting for the first of them."""
    busy: dict[Any, _Worker[J, R]] = {worker.pipe: worker for worker in crew if worker.jobs}
    return [busy[pipe] for pipe in wait(list(busy))]


def _alone(work: Callable[[J], R], job: J) -> R | None:
    worker = _Worker(work)
    try:
        worker.give([job])
        return worker.answer()[0][1]
    except (EOFError, OSError):
        return None
    finally:
        worker.stop()


class _Worker(Generic[J, R]):
    """One process.

    Attributes:
        jobs: what it was told to do and has not answered, in order; when killed it was most likely at the first.
        ahead: how many jobs it is told of at once.
        pipe: this side's end.
    """

    def __init__(self, work: Callable[[J], R]) -> None:
        context = _context()
        self.jobs: deque[J] = deque()
        self.ahead = _AHEAD
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()

    def give(self, jobs: list[J]) -> None:
        """Tell it of jobs; that it is dead shows when it is asked for an answer."""
        if jobs:
            self.jobs.extend(jobs)
            with suppress(OSError):
                self.pipe.send(jobs)

    def answer(self) -> list[tuple[J, R]]:
        """Jobs done, with results, after waiting for one.  Raises EOFError or OSError where it has died."""
        results: list[R] = self.pipe.recv()
        self.ahead = min(max(2 * len(results), _AHEAD), _MOST_AHEAD)
        return [(self.jobs.popleft(), result) for result in results]

    def stop(self) -> None:
        """End it, at once if it is at something."""
        self.pipe.close()  # to an idle one the end of its work
        if self.jobs:
            self._process.terminate()
        self._process.join()
        self._process.close()


def _context() -> BaseContext:
    """Processes started afresh: forking one with threads (a progress display) can deadlock."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # Loaded once and shared by all workers; heeded only until the first one starts.
    context.set_forkserver_preload(["harness.score.preload"])
    return context


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """A worker's whole life: until the other end of its pipe is closed, also by the caller's death."""
    # An interrupt from the keyboard reaches workers too; the caller alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pipe, suppress(EOFError, ConnectionError):
        while True:
            results, began = [], time.monotonic()
            for job in pipe.recv():
                results.append(work(job))
                if time.monotonic() - began > _KEPT_S:
                    pipe.send(results)
                    results, began = [], time.monotonic()
            if results:
                pipe.send(results)
