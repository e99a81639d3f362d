"""The tables that the challenge's own scripts leave: runtimes (``CaseName,RunningTime``), scores (``case,dsc,nsd``).

``CVPR24_time_eval.py`` writes the first as ``TEAM_running_time.csv``, ``evaluation/compute_metrics.py`` the second
(both in the branch LiteMedSAM of bowang-lab/MedSAM).  `harness score` writes the second with outcomes.

Tables that have been through a spreadsheet are read as well: with a byte order mark, with semicolons or tabs between
the cells (and decimal commas then), with columns in another order or spelling (``case_name``, ``DSC``) and
further ones, with and without ``.npz``.  What remains unclear is refused by file and line, never guessed.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError
from harness.records import Outcome, Score

_TIMES = "Give a table as the official run writes it: CaseName,RunningTime."
_SCORES = "Give a table as the official evaluator or `harness score` writes it: case,dsc,nsd."
#: Other names of a column, in small letters and digits alone.
_ALSO_CALLED = {"case": ("casename",)}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_MISSING = frozenset({"", "nan", "na"})


def read_times(path: Path) -> dict[str, float]:
    """Runtimes in seconds by case.

    Raises:
        InputError: not such a table; a case twice; a time that is missing, negative or no number.
    """
    times: dict[str, float] = {}
    for row in _rows(path, ("case", "RunningTime"), (), _TIMES):
        seconds = row.number("RunningTime")
        if math.isnan(seconds):
            raise row.error("RunningTime is empty", "Give the seconds, or take the line out.")
        if seconds < 0:
            raise row.error(f"RunningTime is {seconds:g}, below zero", "Mend it, or take the line out.")
        times[row.case] = seconds
    return times


def read_scores(path: Path, also: Sequence[str] = ()) -> dict[str, Score]:
    """Scores by case; DSC is NaN where it is undefined.  A table without outcomes has the outcome ok everywhere.

    Args:
        path: the table.
        also: further metrics, taken along where the table has them.

    Raises:
        InputError: not such a table; a case twice; a score that is no number from 0 to 1; no such outcome.
    """
    scores: dict[str, Score] = {}
    for row in _rows(path, ("case", "dsc", "nsd"), ("outcome", "reason", *also), _SCORES):
        outcome = row.outcome()
        further = [name for name in also if name in row.cells]
        values = dict.fromkeys(("dsc", "nsd", *further), math.nan)
        if outcome is Outcome.OK:
            values = {name: row.share(name) for name in ("dsc", "nsd")} | {name: row.number(name) for name in further}
            if math.isnan(values["nsd"]) and not math.isnan(values["dsc"]):
                raise row.error("it has a dsc and no nsd", "Score it again with NSD.")
        scores[row.case] = Score(values, outcome, row.text("reason"))
    return scores


@dataclass(frozen=True)
class _Row:
    """A line of a table.

    Attributes:
        case: the case's name, without ``.npz``.
        cells: by column.
        error: makes the error that names this line.
        decimal_comma: whether 0,5 is a half.
    """

    case: str
    cells: dict[str, str]
    error: Callable[[str, str], InputError]
    decimal_comma: bool

    def text(self, column: str) -> str:
        return self.cells.get(column, "").strip()

    def number(self, column: str) -> float:
        """A finite number, NaN where the cell is empty or says so."""
        text = self.text(column)
        if text.lower() in _MISSING:
            return math.nan
        plain = text.replace(",", ".", 1) if self.decimal_comma else text
        value = float(plain) if _NUMBER.fullmatch(plain) else math.inf
        if math.isinf(value):
            raise self.error(f"{column} is {text[:40]!r}, no number", "Mend the cell, or take the line out.")
        return value

    def share(self, column: str) -> float:
        """A number from 0 to 1, or NaN."""
        value = self.number(column)
        if not math.isnan(value) and not 0 <= value <= 1:
            remedy = (
                "Mend the cell. The official evaluator gives more than 1 where a prediction has another shape than its "
                "reference: import with --preds and --gts instead of --scores, which tells them apart."
            )
            raise self.error(f"{column} is {value:g}, not from 0 to 1", remedy)
        return value

    def outcome(self) -> Outcome:
        """The outcome; ok where none is told."""
        text = self.text("outcome").lower() or Outcome.OK.value
        try:
            return Outcome(text)
        except ValueError:
            raise self.error(f"there is no outcome {text[:40]!r}", f"Outcomes: {', '.join(Outcome)}.") from None


def _rows(path: Path, needed: tuple[str, ...], optional: tuple[str, ...], remedy: str) -> Iterator[_Row]:
    """The lines of a table with these columns, each case once."""
    text = _text(path, remedy)
    header = next((line for line in text.splitlines() if line.strip()), "")
    if not header:
        raise InputError(path, "it is empty", remedy)
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    seen: dict[str, int] = {}
    places: dict[str, int] = {}
    width = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not places:
                places, width = _places(path, cells, needed, optional, remedy), len(cells)
                continue
            line = reader.line_num

            def error(fault: str, mend: str, line: int = line) -> InputError:
                return InputError(path, f"line {line}: {fault}", mend)

            if len(cells) != width:
                raise error(f"it has {len(cells)} cells, the head {width}", "Mend the line.")
            case = cells[places["case"]].strip().removesuffix(".npz")
            if case.lower() in _MISSING or not case.isprintable() or "/" in case or "\\" in case:
                raise error(f"{case[:80]!r} is no case", "Give the file name of a case, with or without .npz.")
            if case in seen:
                raise error(f"case {case} is in line {seen[case]} already", "Keep one of the two lines.")
            seen[case] = line
            named = {column: cells[place] for column, place in places.items()}
            yield _Row(case, named, error, decimal_comma=separator != ",")
    except csv.Error as fault:
        raise InputError(path, f"line {reader.line_num}: it is no CSV ({fault})", remedy) from fault
    if not seen:
        raise InputError(path, "it has a head and no rows", remedy)


def _text(path: Path, remedy: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy) from None
    except OSError as error:
        raise InputError(path, f"it cannot be read ({error.strerror})", remedy) from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"it is not text in UTF-8 ({error.reason})", "Save it as CSV UTF-8.") from error


def _places(
    path: Path, head: list[str], needed: tuple[str, ...], optional: tuple[str, ...], remedy: str
) -> dict[str, int]:
    """Where the columns are."""
    plain = [_plain(cell) for cell in head]
    places = {}
    for column in (*needed, *optional):
        found = [place for place, name in enumerate(plain) if name in (_plain(column), *_ALSO_CALLED.get(column, ()))]
        if len(found) > 1:
            named = " and ".join(repr(head[place].strip()) for place in found)
            raise InputError(path, f"more than one column is {column!r} ({named})", "Keep one of them.")
        if found:
            places[column] = found[0]
        elif column in needed:
            have = ", ".join(cell.strip()[:40] for cell in head[:20])
            raise InputError(path, f"it has no column {column!r} (it has: {have})", remedy)
    return places


def _plain(name: str) -> str:
    """A column's name in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
