"""A folder of imported runs: ``results.csv`` with their rows, ``manifest.json`` with what they were made from.

It never holds a ledger: a run makes its table from that anew, and imported rows would be gone.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.cases import file_digest
from harness.errors import InputError, UsageError
from harness.imports import Imported
from harness.layout import OutDir
from harness.protocol import Protocol
from harness.records import Outcome
from harness.results import write_results

#: What the manifest of such a folder has under ``made_by``.
MADE_BY = "harness import"


@dataclass(frozen=True)
class ImportFolder:
    """An open folder of imports.

    Attributes:
        out: where it is.
        protocol: the challenge that all its rows are of.
        rows: those of ``results.csv``, as they are written there.
        sources: of each team by name, as in the manifest.
    """

    out: OutDir
    protocol: Protocol
    rows: tuple[dict[str, str], ...]
    sources: Mapping[str, dict[str, Any]]

    @property
    def teams(self) -> tuple[str, ...]:
        """Teams that have rows, by name."""
        return tuple(sorted({row["team"] for row in self.rows}))

    def refuse_twice(self, team: str) -> None:
        """Refuse a team that is there.

        Raises:
            UsageError: it has rows.
        """
        if team in self.teams:
            raise UsageError(
                f"{self.out.results}: team {team} is there already. Add --replace to put these results in the place "
                "of those, or give another --team."
            )

    def put(self, team: str, imported: Imported, sources: Mapping[str, Any]) -> tuple[str, ...]:
        """Write a team's rows in the place of those that it may have; the other teams' stay to the letter.

        Args:
            team: whose rows these are.
            imported: rows and remarks.
            sources: what they were made from, as `source_of` gives it.

        Returns:
            all teams in the folder now.

        Raises:
            UsageError: it cannot be written; the folder is then as it was.
        """
        others = [row for row in self.rows if row["team"] != team]
        teams = set(self.teams) - {team}
        kept = {name: facts for name, facts in self.sources.items() if name in teams}
        outcomes = [row["outcome"] for row in imported.rows]
        entry = {
            "team": team,
            "imported": datetime.now(UTC).isoformat(timespec="seconds"),
            "cases": len(outcomes),
            "ok": outcomes.count(Outcome.OK),
            **sources,
            "notes": list(imported.notes),
        }
        table, manifest = (path.with_name(f".{path.name}.import") for path in (self.out.results, self.out.manifest))
        try:
            write_results(table, [*others, *imported.rows])
            manifest.write_text(json.dumps(self._manifest(kept | {team: entry}), indent=1) + "\n", encoding="utf-8")
            manifest.replace(self.out.manifest)  # first: a table without it would be taken for another's
            table.replace(self.out.results)
        except OSError as error:
            fault = f"{self.out.root}: cannot be written to ({error.strerror}). Make room, or give another --out."
            raise UsageError(fault) from error
        finally:
            for draft in (table, manifest):
                draft.unlink(missing_ok=True)
        return tuple(sorted({team, *teams}))

    def _manifest(self, sources: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """What ranking and report read of a run's manifest, as far as it is known of an imported one."""
        notes = [(team, note) for team in sorted(sources) for note in sources[team].get("notes", [])]
        return {
            "harness": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "made_by": MADE_BY,
            "protocol": {
                "name": self.protocol.name,
                "title": self.protocol.title,
                "digest": self.protocol.digest,
            },
            "limits": {"time_limit_s": self.protocol.limits.time_limit_s},
            "runtime": "wall_s",
            "submissions": [sources[team] for team in sorted(sources)],
            "warnings": [f"{team}: {note}{'' if note.endswith('.') else '.'}" for team, note in notes],
        }


@contextmanager
def open_import_folder(root: Path, protocol: Protocol) -> Iterator[ImportFolder]:
    """Open or start a folder of imports, alone.

    Raises:
        UsageError: it holds a run or another's table, another challenge's imports, or is in use.
    """
    out = OutDir(root)
    made = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"--out {root}: it cannot be made ({error.strerror}). Give another folder.") from error
    try:
        if not os.access(root, os.W_OK):
            raise UsageError(f"--out {root}: it cannot be written to. Give another folder.")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"--out {root}: another `harness import` is at work there. Wait for it.") from error
        except OSError:
            pass  # a file system without locks
        yield ImportFolder(out, protocol, *_read(out, protocol))
    finally:
        os.close(handle)
        if made:
            with suppress(OSError):  # not empty: something was imported
                root.rmdir()


def _read(out: OutDir, protocol: Protocol) -> tuple[tuple[dict[str, str], ...], dict[str, dict[str, Any]]]:
    """The rows and sources that are there."""
    if out.ledger.exists():
        raise UsageError(
            f"--out {out.root}: it holds a run (ledger.sqlite), which makes its results table anew and would lose "
            "imported rows. Give a folder of its own, and rank both: python rank.py RUN IMPORTED --out BOTH"
        )
    if not (out.manifest.exists() or out.results.exists()):
        return (), {}
    told = imports_manifest(out.root)
    if told is None:
        raise UsageError(
            f"--out {out.root}: its results.csv or manifest.json is not of `harness import` and would be written over. "
            "Give a folder of its own, and rank both: python rank.py THAT IMPORTED --out BOTH"
        )
    digest, name = told["protocol"]["digest"], told["protocol"]["name"]
    if digest != protocol.digest:
        raise UsageError(
            f"--out {out.root}: what is there was imported under another protocol ({name}, {digest[:12]}), not this "
            f"({protocol.name}, {protocol.digest[:12]}). Give the same --protocol, or another --out."
        )
    sources = {str(entry["team"]): dict(entry) for entry in told["submissions"]}
    return _rows(out.results) if out.results.exists() else (), sources


def imports_manifest(root: Path) -> dict[str, Any] | None:
    """The manifest of a folder of imports; None where there is none or it is another's."""
    try:
        told: dict[str, Any] = json.loads(OutDir(root).manifest.read_text(encoding="utf-8"))
        mine = told["made_by"] == MADE_BY and {"digest", "name"} <= told["protocol"].keys()
        return told if mine and all("team" in entry for entry in told["submissions"]) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _rows(path: Path) -> tuple[dict[str, str], ...]:
    """A results table as text, so that numbers written again are the same to the last digit."""
    remedy = "Mend it, or import everything anew into another --out."
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values() or not row.get("team"):
                    raise InputError(path, f"line {reader.line_num} is no row of a results table", remedy)
                rows.append(row)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(path, f"it cannot be read ({error})", remedy) from error
    return tuple(rows)


def source_of(times: Path, scores: Path | None = None) -> dict[str, Any]:
    """Paths and SHA-256 digests of the tables that a team's rows were made from."""
    facts: dict[str, Any] = {"times": str(times.resolve()), "times_sha256": file_digest(times)}
    if scores is not None:
        facts |= {"scores": str(scores.resolve()), "scores_sha256": file_digest(scores)}
    return facts


def files_source(name: str, folder: Path, files: Iterable[Path]) -> dict[str, Any]:
    """A folder's path and the digest of its files that count.

    The digest is SHA-256 over the lines that ``sha256sum`` writes of them, in the order of their names.
    """
    whole = hashlib.sha256()
    for path in sorted(files):
        if path.is_file():
            whole.update(f"{file_digest(path)}  {path.name}\n".encode())
    return {name: str(folder.resolve()), f"{name}_sha256": whole.hexdigest()}
