"""The journal beside a table of scores: every case scored so far, so that a second run goes on from there.

One JSON object a line, appended as each case is done, so that a killed run loses only what was under way.
An entry stands as long as its key does: the scorer's version and settings, and of both files the size and
the times of last change as the file system keeps them.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError
from harness.protocol import Scoring
from harness.records import Outcome, Score
from harness.score.batch import Job, Scored
from harness.score.files import scorer_key

#: Label, dsc, nsd of one class.
ClassRow = tuple[int, float, float]


@dataclass(frozen=True)
class Entry:
    """A case's scores as kept.

    Attributes:
        case: its name.
        key: what they hold for.
        score: values, outcome, reason.
        classes: a row for each class; None where they were not asked for.
    """

    case: str
    key: str
    score: Score
    classes: tuple[ClassRow, ...] | None


def job_key(job: Job, scoring: Scoring) -> str:
    """What determines a job's score, from the file system's word on its files.

    To be taken before the files are read: a change while they are read then shows at the next run.
    """
    return f"{scorer_key(scoring)};prediction={_stamp(job.prediction)};reference={_stamp(job.reference)}"


def _stamp(path: Path) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "absent"
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def entry_of(scored: Scored, key: str, classes: bool) -> Entry:
    """What is kept of a job done."""
    rows: tuple[ClassRow, ...] | None = None
    if classes:
        each = scored.classes
        rows = (
            () if each is None else tuple(zip(each.labels.tolist(), each.dsc.tolist(), each.nsd.tolist(), strict=True))
        )
    return Entry(scored.job.case, key, scored.score, rows)


class Journal:
    """An open journal."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.entries = dict(_read(stream))

    def add(self, entry: Entry) -> None:
        """Keep an entry, on disk at once; a harness_fault is not kept, for it is to be tried again."""
        if entry.score.outcome is Outcome.HARNESS_FAULT:
            return
        self.entries[entry.case] = entry
        line = {
            "case": entry.case,
            "key": entry.key,
            "outcome": entry.score.outcome.value,
            "reason": entry.score.reason,
            "values": {name: _null(value) for name, value in entry.score.values.items()},
            "classes": None if entry.classes is None else [[i, _null(d), _null(n)] for i, d, n in entry.classes],
        }
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open or start a journal, alone.

    Raises:
        UsageError: it cannot be written, or another command has it open.
    """
    try:
        stream = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}). Choose another --csv.") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"{path}: another `harness score` is writing this table. Wait for it.") from error
        yield Journal(stream)


def _read(stream: IO[str]) -> Iterator[tuple[str, Entry]]:
    """Entries by case; of several the last one counts."""
    stream.seek(0)
    line = "\n"
    for line in stream:
        try:
            yield _parsed(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # torn by a kill: scored again
    if not line.endswith("\n"):
        stream.write("\n")


def _parsed(line: dict[str, Any]) -> tuple[str, Entry]:
    values = {str(name): _number(value) for name, value in line["values"].items()}
    score = Score(values, Outcome(line["outcome"]), str(line["reason"]))
    rows = line["classes"]
    classes = None if rows is None else tuple((int(i), _number(d), _number(n)) for i, d, n in rows)
    return str(line["case"]), Entry(str(line["case"]), str(line["key"]), score, classes)


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
