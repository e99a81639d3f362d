"""`harness score`: score a folder of predictions against a folder of references."""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.cli.console import error_console, output_console
from harness.errors import EXIT_FAULT, EXIT_OK, EXIT_SUBMISSION_FAILED, EXIT_USAGE, UsageError
from harness.protocol import DEFAULT_PROTOCOL, Protocol, Scoring, load_protocol
from harness.records import FAILURES, Outcome
from harness.score.further import FURTHER, checked_names
from harness.score.workers import default_workers, prepare

SUMMARY = "Score predictions against references: DSC, NSD and, if asked for, more of every case, as a CSV."

_FURTHER_LINES = "\n".join(f"  {name:<16} {meaning}" for name, meaning in FURTHER.items())

EPILOG = f"""\
The references decide which cases there are; a case without a prediction gets the outcome no_output.
A failed prediction gets the protocol's failure values, a broken reference none (docs/scoring.md).

Run again, the command scores only what is missing or whose files have changed since; what it knows
is kept beside the CSV in FILE.journal, also when it is interrupted. Delete that to score all anew.

further metrics, for --also (definitions: docs/scoring.md):
{_FURTHER_LINES}

exit codes:
  0 every case scored   1 some prediction failed   2 a broken reference, or usage   3 a fault of ours

examples:
  harness score --preds outputs/ --gts references/ --csv metrics.csv
  harness score --preds outputs/ --gts references/ --csv metrics.csv --workers 8 --per-class classes.csv
  harness score --preds outputs/ --gts references/ --csv full.csv --digits 17
  harness score --preds outputs/ --gts references/ --csv cells.csv --also dsc_corrected,nsd_corrected,f1,pq
"""

#: Faults named on the terminal; the CSV holds all of them.
_SHOWN = 20
#: Seconds between two lines of progress where there is no terminal.
_PROGRESS_S = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--preds", type=Path, required=True, metavar="DIR", help="folder with predictions, CASE.npz with key segs")
    add("--gts", type=Path, required=True, metavar="DIR", help="folder with references, CASE.npz with key gts")
    add("--csv", type=Path, required=True, metavar="FILE", help="table to write: case,dsc,nsd,outcome,reason")
    add("--also", type=further_names, default=(), metavar="NAME,...", help="further columns, named below")
    add("--per-class", type=Path, metavar="FILE", help="also write every class's scores: case,label,dsc,nsd")
    add("--workers", type=int, metavar="N", help="processes (default: the CPUs that may be used)")
    add("--digits", type=int, metavar="N", help="decimals, 17 for all (default: the protocol's, 4)")
    add("--protocol", default=DEFAULT_PROTOCOL, metavar="NAME|FILE", help="tolerance, gate and failure values")


def execute(args: argparse.Namespace) -> int:
    """Score; the exit code says how it went."""
    protocol = load_protocol(args.protocol)
    scoring = _scoring(args, protocol)
    references, predictions = _npz_files(args.gts, "--gts"), _npz_files(args.preds, "--preds")
    if not references:
        raise UsageError(f"{args.gts}: holds no .npz file. Give the folder of the references with --gts.")
    if (args.workers or default_workers()) > 1 and len(references) > 1:
        prepare()
    _name_strays(sorted(set(predictions) - set(references)))
    rows, classes = _score(args, scoring, references)
    _write_scores(args.csv, rows, protocol, scoring.also)
    if args.per_class:
        _write(args.per_class, ("case", "label", "dsc", "nsd"), _class_rows(classes, scoring.digits))
    return _conclude(args.csv, rows, scoring.also)


def further_names(text: str) -> tuple[str, ...]:
    """Names of metrics, separated by commas; which there are, the protocol's reader says."""
    return tuple(name for name in (word.strip() for word in text.split(",")) if name)


def _scoring(args: argparse.Namespace, protocol: Protocol) -> Scoring:
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: at least 1.")
    if args.digits is not None and not 0 <= args.digits <= 17:
        raise UsageError(f"--digits {args.digits}: from 0 to 17.")
    for path in filter(None, (args.csv, args.per_class)):
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{path}: not a file in an existing folder. Make the folder or choose another file.")
    if args.per_class and args.per_class.resolve() == args.csv.resolve():
        raise UsageError("--csv and --per-class name the same file. Give each its own.")
    digits = protocol.scoring.digits if args.digits is None else args.digits
    return replace(protocol.scoring, digits=digits, also=checked_names(args.also, protocol))


def _npz_files(folder: Path, option: str) -> dict[str, Path]:
    """Files of a folder by case name, in order."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder. Give an existing one with {option}.")
    paths = sorted(p for p in folder.iterdir() if p.suffix == ".npz" and not p.name.startswith("."))
    return {path.stem: path for path in paths}


def _name_strays(strays: list[str]) -> None:
    if strays:
        more = f" and {len(strays) - _SHOWN} more" if len(strays) > _SHOWN else ""
        _warn(f"{len(strays)} predictions have no reference and are not scored: {', '.join(strays[:_SHOWN])}{more}")


def _warn(text: str) -> None:
    error_console().print(f"warning: {text}", style="yellow", markup=False, highlight=False)


ScoreRow = dict[str, Any]
ClassRows = dict[str, tuple[tuple[int, float, float], ...]]


def _score(args: argparse.Namespace, scoring: Scoring, references: dict[str, Path]) -> tuple[list[ScoreRow], ClassRows]:
    """Rows of all cases and of their classes, from the journal where it still holds."""
    from harness.score.batch import Job, score_many
    from harness.score.journal import entry_of, job_key, open_journal

    by_class = args.per_class is not None
    jobs = [Job(case, args.preds / f"{case}.npz", path) for case, path in references.items()]
    keys = {job.case: job_key(job, scoring) for job in jobs}
    found = {}
    with open_journal(args.csv.with_name(f"{args.csv.name}.journal")) as journal:
        for case, entry in journal.entries.items():
            if keys.get(case) == entry.key and not (by_class and entry.classes is None):
                found[case] = entry
        if found:
            error_console().print(f"{len(found)} of {len(jobs)} cases were scored before", highlight=False)
        todo = [job for job in jobs if job.case not in found]
        with _progress(len(todo)) as advance:
            for scored in score_many(todo, scoring, args.workers or default_workers()):
                entry = entry_of(scored, keys[scored.job.case], by_class)
                journal.add(entry)
                found[entry.case] = entry
                advance()
    rows: list[ScoreRow] = [
        {"case": case, "outcome": found[case].score.outcome, "reason": found[case].score.reason}
        | found[case].score.values
        for case in references
    ]
    return rows, {case: found[case].classes or () for case in references}


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A function to call at each case done: a bar on a terminal, else a line now and then."""
    console = error_console()
    if console.is_terminal:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, refresh_per_second=4, transient=True) as progress:
            task = progress.add_task("scoring", total=total)
            yield lambda: progress.advance(task)
        return
    done, last = 0, time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last >= _PROGRESS_S:
            last = time.monotonic()
            console.print(f"scored {done} of {total}", highlight=False)

    yield advance


def _write_scores(path: Path, rows: list[ScoreRow], protocol: Protocol, also: tuple[str, ...]) -> None:
    from harness.score.policy import apply_policy

    rows[:] = [apply_policy(row, protocol, protocol.limits.time_limit_s) for row in rows]
    columns = ("case", "dsc", "nsd", "outcome", "reason", *also)
    _write(path, columns, ([row.get(column, math.nan) for column in columns] for row in rows))


def _class_rows(classes: ClassRows, digits: int) -> Iterator[list[Any]]:
    from harness.score.evaluate import rounded

    for case, rows in classes.items():
        for label, dsc, nsd in rows:
            yield [case, label, rounded(dsc, digits), rounded(nsd, digits)]


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[list[Any]]) -> None:
    """Write a CSV, whole or not at all; NaN as an empty cell, floats as short as they can be told apart."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        with open(draft, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            for row in rows:
                writer.writerow(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row])
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}). Choose another file.") from error
    finally:
        draft.unlink(missing_ok=True)


def _conclude(path: Path, rows: list[ScoreRow], also: tuple[str, ...]) -> int:
    """Name the faults, sum up, and give the exit code."""
    bad = [row for row in rows if row["outcome"] is not Outcome.OK]
    for row in bad[:_SHOWN]:
        _warn(f"{row['case']}: {row['outcome']}: {row['reason']}")
    if len(bad) > _SHOWN:
        _warn(f"{len(bad) - _SHOWN} more rows are not ok, see {path}")
    counts = Counter(row["outcome"] for row in rows)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    means = ", ".join(
        f"mean {name} {_mean([row.get(name, math.nan) for row in rows])}" for name in ("dsc", "nsd", *also)
    )
    output_console().print(f"{len(rows)} cases ({outcomes}): {means}; {path}", markup=False, highlight=False)
    if counts[Outcome.HARNESS_FAULT]:
        return EXIT_FAULT
    if counts[Outcome.BAD_REFERENCE]:
        return EXIT_USAGE
    return EXIT_SUBMISSION_FAILED if counts.keys() & FAILURES else EXIT_OK


def _mean(values: list[float]) -> str:
    """Mean of the values that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return f"{sum(defined) / len(defined):.4f}" if defined else "undefined"
