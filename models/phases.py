"""Where a case's time goes, as a line on stderr that the harness finds in the submission's log.

    phases CASE import 0.512 load 0.210 read 0.012 encode 9.310 decode 1.201 other 0.080 write 0.009 slices 28 masks 129

Seconds of wall time on the main thread, in the order of work.  Their sum is the time from the process's start (of
later cases from the line before) to the line itself; what a container's run takes beyond it is the container's.

=======  ==========================================================================================
import   from the process's start to the program's first own line, and what it imports later; once
load     networks: reading, compiling or importing them, making them ready
read     waiting for the case; what another thread reads meanwhile does not count
encode   the image encoder, as often as ``slices`` says
decode   the mask decoder, on as many boxes as ``masks`` says
other    everything else before writing: resizing, boxes, masks, painting
write    the prediction, and whatever else the program leaves in files
=======  ==========================================================================================
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO, TypeVar

Phase = Literal["import", "load", "read", "encode", "decode", "write"]
R = TypeVar("R")


class Phases:
    """A stopwatch of one program; made in its first own line after its imports.

    Phases never overlap: time within an inner one is not the outer one's.

    Args:
        clock: seconds, monotonic.
        import_s: seconds that the process has run; by default since the kernel started it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, import_s: float | None = None) -> None:
        self._clock = clock
        self._since = clock()
        self._seconds: Counter[str] = Counter({"import": process_age_s() if import_s is None else import_s})
        self._counts: Counter[str] = Counter()
        self._inner = 0.0

    @contextmanager
    def within(self, phase: Phase) -> Iterator[None]:
        """What happens inside belongs to a phase."""
        begun, outside = self._clock(), self._inner
        self._inner = 0.0
        try:
            yield
        finally:
            whole = self._clock() - begun
            self._seconds[phase] += whole - self._inner
            self._inner = outside + whole

    def timed(self, phase: Phase, call: Callable[..., R], counted: Literal["slices", "masks"]) -> Callable[..., R]:
        """A call whose time is a phase's.

        Args:
            phase: which.
            call: what is called.
            counted: each call is one of these.
        """

        def within_phase(*given) -> R:
            self._counts[counted] += 1
            with self.within(phase):
                return call(*given)

        return within_phase

    def report(self, case: str, stream: TextIO | None = None) -> None:
        """Write the case's line, by default to stderr, and begin with the next case."""
        now, spent = self._clock(), self._seconds
        spent["other"] = now - self._since - self._inner
        shown = {name: spent[name] for name in ("import", "load", "read", "encode", "decode", "other", "write")}
        words = [f"{name} {seconds:.3f}" for name, seconds in shown.items()]
        words += [f"{name} {self._counts[name]}" for name in ("slices", "masks")]
        print("phases", case, *words, file=stream or sys.stderr, flush=True)
        self._since, self._inner, self._seconds, self._counts = now, 0.0, Counter(), Counter()


def process_age_s() -> float:
    """Seconds since the kernel started this process; 0 where it does not tell."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as stream:
            # The second field is a name, which may hold spaces and brackets; the start time is the 22nd.
            ticks = int(stream.read().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
