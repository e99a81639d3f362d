"""The results table: the file between scoring and ranking, which anyone can make.

One row an attempt.  Only `team`, `case` and the ranked metrics are needed for a ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import InputError

#: Column -> (pandas dtype, what it holds).  Further metric columns may follow.
COLUMNS: dict[str, tuple[str, str]] = {
    "team": ("string", "team name, lower case"),
    "case": ("string", "case name without .npz"),
    "modality": ("string", "task in which the case is ranked"),
    "repeat": ("Int64", "1 for the first attempt"),
    "dsc": ("float64", "Dice; the failure policy's value for a failed attempt; empty: undefined or not scored"),
    "nsd": ("float64", "normalized surface distance at the protocol's tolerance; as dsc"),
    "runtime_s": ("float64", "the ranked runtime; the failure policy's value for a failed attempt"),
    "outcome": ("string", "how the attempt ended (docs/outcomes.md)"),
    "reason": ("string", "why; for outcome ok the flags worth knowing"),
    "exit_code": ("Int64", "the container's exit code"),
    "wall_s": ("float64", "create to removal, as measured"),
    "run_s": ("float64", "inside the container, as measured"),
    "cpu_s": ("float64", "CPU seconds, user and system"),
    "peak_bytes": ("Int64", "memory's high-water mark, page cache included"),
    "peak_anon_bytes": ("Int64", "highest anonymous memory sampled, a lower bound"),
    "oom_kills": ("Int64", "processes killed for memory"),
}


def write_results(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a results table: the columns above in that order, then any further ones; whole or not at all."""
    frame = pd.DataFrame(list(rows))
    for column in COLUMNS:
        if column not in frame:
            frame[column] = pd.NA
    extra = [c for c in frame.columns if c not in COLUMNS]
    write_csv(path, frame[[*COLUMNS, *extra]])


def write_csv(path: str | Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV (full float precision, empty cells for missing); whole or not at all."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.tmp")
    frame.to_csv(draft, index=False)
    draft.replace(path)


def read_results(path: str | Path) -> pd.DataFrame:
    """Read a results table as it is: known columns typed, unknown ones kept, missing ones left out.

    Case names lose ``.npz`` and team names are stripped of blanks.  The meaning of the values is the
    reader's affair (`harness.rank` checks what a ranking needs).

    Raises:
        InputError: no such file, not a CSV, a known column with text where numbers belong.
    """
    path = Path(path)
    remedy = "Give a results table (results.csv of a run)."
    text = {"team": "string", "case": "string"}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=["", "NA", "NaN", "nan"])
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy) from None
    except (OSError, ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise InputError(path, f"it cannot be read as CSV ({error})", remedy) from error
    for column, (dtype, meaning) in COLUMNS.items():
        if column not in frame:
            continue
        try:
            frame[column] = frame[column].astype(dtype)  # type: ignore[call-overload]
        except (ValueError, TypeError) as error:
            fault = f"column {column!r} ({meaning}) holds something that is not {dtype} ({error})"
            raise InputError(path, fault, "Mend the column.") from error
    if "team" in frame:
        frame["team"] = frame["team"].str.strip()
    if "case" in frame:
        frame["case"] = frame["case"].str.strip().str.removesuffix(".npz")
    return frame
