"""The ledger: every attempt and every score of an output folder, in SQLite.

The truth that all tables are made from.  One transaction an attempt, durable before the next begins,
one writer.  An attempt is keyed by everything that determines its result, so that a changed image,
case or limit is never answered from an old one; what is no longer current stays as history.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import LedgerError
from harness.records import Attempt, Case, Outcome, Phases, Resources, Score, Submission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS teams (
    team TEXT PRIMARY KEY, identity TEXT NOT NULL, image_id TEXT NOT NULL, source TEXT NOT NULL,
    bytes INTEGER NOT NULL, labels TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS cases (
    name TEXT PRIMARY KEY, task TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,
    image_shape TEXT NOT NULL, boxes INTEGER NOT NULL, hidden_keys TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS file_facts (
    path TEXT NOT NULL, use TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    facts TEXT NOT NULL, PRIMARY KEY (path, use)
);
CREATE TABLE IF NOT EXISTS attempts (
    key TEXT PRIMARY KEY,
    team TEXT NOT NULL, case_name TEXT NOT NULL, repeat INTEGER NOT NULL,
    identity TEXT NOT NULL, case_digest TEXT NOT NULL, settings TEXT NOT NULL, host_class TEXT NOT NULL,
    host TEXT, lease TEXT,
    tries INTEGER NOT NULL, outcome TEXT NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS attempts_by_team ON attempts (team, case_name, repeat);
CREATE TABLE IF NOT EXISTS scores (
    prediction TEXT NOT NULL, reference TEXT NOT NULL, scorer TEXT NOT NULL,
    outcome TEXT NOT NULL, reason TEXT NOT NULL, vals TEXT NOT NULL,
    PRIMARY KEY (prediction, reference, scorer)
);
"""
_VERSION = "1"


@dataclass(frozen=True)
class AttemptKey:
    """Everything that determines an attempt's result.

    Attributes:
        team, case, repeat: whose, on what, which time.
        identity: the image's identity.
        case_digest: SHA-256 of the case file.
        settings: digest of limits, protocol and conditions.
        host_class: digest of the host's processor and memory.
    """

    team: str
    case: str
    repeat: int
    identity: str
    case_digest: str
    settings: str
    host_class: str

    def digest(self) -> str:
        """The key as one string."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class Ledger:
    """An open ledger; see `open_ledger`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._db:
                yield self._db
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: {error}. Is the disk full, or is another process writing?") from error

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: {error}. If it is damaged, move it away to begin anew.") from error

    # -- what is current

    def register_submission(self, submission: Submission) -> None:
        """Make this image the team's current one."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO teams VALUES (?,?,?,?,?,?)",
                (
                    submission.team,
                    submission.identity,
                    submission.image_id,
                    submission.source,
                    submission.bytes,
                    json.dumps(submission.labels),
                ),
            )

    def submissions(self) -> list[Submission]:
        """The current image of every team, by team name."""
        rows = self._rows("SELECT team, source, image_id, identity, bytes, labels FROM teams ORDER BY team")
        return [Submission(t, s, i, d, b, json.loads(labels)) for t, s, i, d, b, labels in rows]

    def register_cases(self, cases: list[Case]) -> None:
        """Make these the current cases; others that were known stay."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO cases VALUES (?,?,?,?,?,?,?,?)",
                [
                    (
                        case.name,
                        case.task,
                        str(case.path),
                        case.digest,
                        case.bytes,
                        json.dumps(case.image_shape),
                        case.boxes,
                        json.dumps(case.hidden_keys),
                    )
                    for case in cases
                ],
            )

    def cases(self) -> list[Case]:
        """The current cases, by name."""
        rows = self._rows(
            "SELECT name, task, path, digest, bytes, image_shape, boxes, hidden_keys FROM cases ORDER BY name"
        )
        return [
            Case(n, t, Path(p), d, b, tuple(json.loads(shape)), boxes, tuple(json.loads(hidden)))
            for n, t, p, d, b, shape, boxes, hidden in rows
        ]

    def file_facts(self, path: Path, use: str) -> dict[str, Any] | None:
        """What was found out about a file earlier, if it has not changed since (size, dates of content and inode)."""
        now = path.stat()
        rows = self._rows(
            "SELECT facts FROM file_facts WHERE path=? AND use=? AND size=? AND mtime_ns=? AND ctime_ns=?",
            (os.path.realpath(path), use, now.st_size, now.st_mtime_ns, now.st_ctime_ns),
        )
        return json.loads(rows[0][0]) if rows else None

    def keep_file_facts(self, path: Path, use: str, facts: dict[str, Any], seen: os.stat_result) -> None:
        """Keep what was found out about a file; `seen` is its state from before it was read."""
        row = (os.path.realpath(path), use, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, json.dumps(facts))
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO file_facts VALUES (?,?,?,?,?,?)", row)

    # -- attempts

    def add_attempt(self, key: AttemptKey, attempt: Attempt, host: str) -> None:
        """Record a finished attempt, durably.  Only a harness fault may be replaced.

        Raises:
            LedgerError: this attempt has a result already.
        """
        digest = key.digest()
        with self._transaction() as db:
            row = db.execute("SELECT outcome, tries FROM attempts WHERE key=?", (digest,)).fetchone()
            if row is not None and row[0] != Outcome.HARNESS_FAULT:
                raise LedgerError(f"{self.path}: {key.team} on {key.case} has a result already ({row[0]})")
            tries = 1 if row is None else row[1] + 1
            db.execute(
                "INSERT OR REPLACE INTO attempts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    digest,
                    key.team,
                    key.case,
                    key.repeat,
                    key.identity,
                    key.case_digest,
                    key.settings,
                    key.host_class,
                    host,
                    None,
                    tries,
                    attempt.outcome.value,
                    json.dumps(asdict(attempt)),
                ),
            )

    def settled(self) -> set[str]:
        """Digests of the keys that have a result (a harness fault is none)."""
        rows = self._rows("SELECT key FROM attempts WHERE outcome != ?", (Outcome.HARNESS_FAULT.value,))
        return {key for (key,) in rows}

    def attempts(self, settings: str | None = None) -> list[Attempt]:
        """Attempts of the teams' current images on the current cases, by team, case and repeat.

        Timings of two kinds of host are never mixed: those of the host class that ran last are given.

        Args:
            settings: only those made under these settings; None for those of the last run.
        """
        settings = settings or self.meta("settings")
        rows = self._rows(
            "SELECT record FROM attempts JOIN teams USING (team) JOIN cases ON cases.name = attempts.case_name "
            "WHERE attempts.identity = teams.identity AND attempts.case_digest = cases.digest "
            "AND attempts.settings = ? AND attempts.host_class = "
            "(SELECT host_class FROM attempts WHERE settings = ? ORDER BY rowid DESC LIMIT 1) "
            "ORDER BY attempts.team, case_name, repeat",
            (settings, settings),
        )
        return [_attempt(json.loads(record)) for (record,) in rows]

    def outdated(self) -> int:
        """Attempts that are history: made with another image, case or other settings than the current ones."""
        ((total,),) = self._rows("SELECT count(*) FROM attempts")
        return int(total) - len(self.attempts())

    # -- scores

    def score(self, prediction: str, reference: str, scorer: str) -> Score | None:
        """A score computed earlier, by the digests of both files and the scorer's version."""
        rows = self._rows(
            "SELECT vals, outcome, reason FROM scores WHERE prediction=? AND reference=? AND scorer=?",
            (prediction, reference, scorer),
        )
        return Score(json.loads(rows[0][0]), Outcome(rows[0][1]), rows[0][2]) if rows else None

    def add_score(self, prediction: str, reference: str, scorer: str, score: Score) -> None:
        """Keep a score."""
        row = (prediction, reference, scorer, score.outcome.value, score.reason, json.dumps(score.values))
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO scores VALUES (?,?,?,?,?,?)", row)

    # -- settings

    def meta(self, name: str) -> str:
        """A named setting, "" where it was never set."""
        rows = self._rows("SELECT value FROM meta WHERE name=?", (name,))
        return str(rows[0][0]) if rows else ""

    def set_meta(self, name: str, value: str) -> None:
        """Set a named setting."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, value))


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open a ledger, made if it is not there; closed at the end of the block.

    Raises:
        LedgerError: it is no ledger, is damaged, or was written by another version.
    """
    try:
        connection = sqlite3.connect(path, timeout=10)
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error
    try:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise LedgerError(
                f"{path}: {error}. It is no ledger, or is damaged: move it away to begin anew."
            ) from error
        ledger = Ledger(connection, path)
        version = ledger.meta("version")
        if version not in ("", _VERSION):
            raise LedgerError(
                f"{path}: ledger version {version}, this harness writes {_VERSION}. Use a new --out folder."
            )
        if not version:
            ledger.set_meta("version", _VERSION)
        yield ledger
    finally:
        connection.close()


def _attempt(record: dict[str, Any]) -> Attempt:
    return Attempt(
        **{
            **record,
            "outcome": Outcome(record["outcome"]),
            "phases": Phases(**record["phases"]),
            "resources": Resources(**record["resources"]),
            "extra_files": tuple(record["extra_files"]),
        }
    )
