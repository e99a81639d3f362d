"""Progress of long work on stderr: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.records import FAILURES, Attempt, Outcome
from harness.run.plan import Planned

#: Seconds between plain lines where there is no terminal.
_PLAIN_EVERY_S = 10.0


class Bar:
    """A counted piece of work with a line of text beside its bar."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[now]}", markup=False),
            console=console,
            refresh_per_second=4,  # drawing must not disturb what is being timed
            disable=not self._live,
        )
        self._task = self._progress.add_task(title, total=None, now="")
        self._began = time.monotonic()
        self._spoke = 0.0

    def total(self, total: int) -> None:
        """So much is to be done."""
        self._progress.update(self._task, total=total)

    def now(self, text: str) -> None:
        """What is under way."""
        self._progress.update(self._task, now=text)

    def advance(self, done: int, total: int, last: str) -> None:
        """So much of all is done, `last` the newest."""
        self._progress.update(self._task, completed=done, total=total)
        clock = time.monotonic()
        if not self._live and total and (clock - self._spoke >= _PLAIN_EVERY_S or done == total):
            elapsed = clock - self._began
            left = elapsed / done * (total - done) if done else 0.0
            line = f"{self._title} {done}/{total}, {elapsed:.0f} s elapsed, about {left:.0f} s left; {last}"
            self._console.print(line, markup=False, highlight=False)
            self._spoke = clock

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self._console.print(text, style=style or None, markup=False, highlight=False)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class RunProgress:
    """Shows a run (`harness.run.runner.Listener`): team, case, elapsed and estimated time, and each failure."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._missing = 0
        self._done = 0

    def planned(self, total: int, missing: int) -> None:
        """The run's size."""
        self._missing = missing
        self._bar.total(missing)
        if missing < total:
            self._bar.say(f"{total - missing} of {total} attempts have their result already")

    def began(self, planned: Planned) -> None:
        """An attempt begins."""
        repeat = f" repeat {planned.repeat}" if planned.repeat > 1 else ""
        self._bar.now(f"{planned.team} on {planned.case}{repeat}")

    def ended(self, attempt: Attempt) -> None:
        """An attempt is recorded."""
        self._done += 1
        last = f"{attempt.team} on {attempt.case}: {attempt.outcome}"
        if attempt.outcome in FAILURES or attempt.outcome is Outcome.HARNESS_FAULT:
            self._bar.say(f"{last} ({attempt.reason})", style="yellow")
        self._bar.advance(self._done, self._missing, last)


@contextmanager
def bar(console: Console, title: str) -> Iterator[Bar]:
    """A bar for the time of a block."""
    with Bar(console, title) as shown:
        yield shown
