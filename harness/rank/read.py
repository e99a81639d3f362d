"""From files to one long frame: our results tables, and challengeR's long form.

The long form has the columns ``Task, TestCase, Algorithm, MetricValue``, one metric a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from harness.errors import InputError
from harness.protocol import Protocol
from harness.rank.variants import variant_columns
from harness.records import Outcome
from harness.results import COLUMNS, read_results

#: challengeR's columns -> ours.
LONG_FORM = {"Algorithm": "team", "TestCase": "case", "Task": "modality"}
LONG_FORM_METRIC = "MetricValue"
#: The only task of a long form without a column Task whose case names tell none.
ONLY_TASK = "all"
_TEXT = ("team", "case", "modality", "outcome")
#: Column of the long frame that tells which cases belong together.
CLUSTER = "cluster"


@dataclass(frozen=True)
class Source:
    """A file that was read.

    Attributes:
        path: the table.
        sha256: of its bytes.
        rows: how many it has.
        time_limit_s: what a failed attempt is charged as runtime.
        time_limit_from: "manifest.json" beside the table, or "protocol".
    """

    path: Path
    sha256: str
    rows: int
    time_limit_s: float
    time_limit_from: str


@dataclass(frozen=True)
class LongTable:
    """All rows of all files.

    Attributes:
        frame: columns team, task, case (text), repeat (int), outcome (text, "" where unknown), source
            (index of the file), time_limit_s, the metrics (float, NaN where empty), and what else a
            results table has.
        metrics: columns to rank.
        sources: the files.
        warnings: what was odd.
    """

    frame: pd.DataFrame
    metrics: tuple[str, ...]
    sources: tuple[Source, ...]
    warnings: tuple[str, ...]


def results_path(path: str | Path) -> Path:
    """The table that an argument means: itself, or ``results.csv`` of a run's folder."""
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / "results.csv").is_file():
        raise InputError(path, "the folder holds no results.csv", "Give a run's output folder, or a results table.")
    return path / "results.csv"


def read_tables(
    paths: Sequence[str | Path],
    protocol: Protocol,
    metrics: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    cluster: str | None = None,
) -> LongTable:
    """Read and join results tables.

    Args:
        paths: CSV files, or run folders.
        protocol: names of tasks, default metrics, default time limit.
        metrics: columns to rank; None: the protocol's, or the long form's only one.
        columns: our name -> the name in the files, for tables that call a column otherwise.
        cluster: the files' column that tells which cases belong together; becomes column `CLUSTER`.

    Raises:
        InputError: a file that cannot be read, lacks a column or holds what it must not.
    """
    frames: list[pd.DataFrame] = []
    sources: list[Source] = []
    warnings: list[str] = []
    chosen = tuple(metrics) if metrics else None
    for path in map(results_path, paths):
        frame = _named_columns(path, read_results(path), columns or {}, protocol)
        chosen = chosen or _default_metrics(path, frame, protocol)
        limit, origin, warning = _time_limit(path, protocol)
        warnings += [warning] if warning else []
        rows = _checked(path, frame, chosen, protocol, warnings)
        if cluster is not None:
            rows[CLUSTER] = _clusters(path, frame, cluster)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        frames.append(rows.assign(source=len(sources), time_limit_s=limit))
        sources.append(Source(path, digest, len(rows), limit, origin))
    joined = pd.concat(frames, ignore_index=True)
    return LongTable(joined, chosen or (), tuple(sources), tuple(warnings))


def _named_columns(path: Path, frame: pd.DataFrame, columns: Mapping[str, str], protocol: Protocol) -> pd.DataFrame:
    """The frame under our column names, with ``modality`` filled in where there is none."""
    if absent := [column for column in columns.values() if column not in frame]:
        have = ", ".join(map(str, frame.columns[:20]))
        raise InputError(path, f"it has no column {absent[0]!r} (it has: {have})", "Mend --column NAME=COLUMN.")
    names = dict(columns)
    long_form = "team" not in frame and "Algorithm" in frame and "TestCase" in frame
    if long_form:
        names = {ours: theirs for theirs, ours in LONG_FORM.items() if theirs in frame} | names
    frame = frame.assign(**{ours: frame[theirs] for ours, theirs in names.items()})
    for ours, theirs in names.items():
        if ours in _TEXT:  # read again as text: an identifier 007 is not the number 7
            text = pd.read_csv(path, usecols=[theirs], dtype=str, keep_default_na=False)[theirs]
            frame[ours] = text.str.strip().str.removesuffix(".npz") if ours == "case" else text.str.strip()
    needed = [name for name in ("team", "case") if name not in frame]
    if needed:
        have = ", ".join(map(str, frame.columns[:20]))
        remedy = f"Name it with --column {needed[0]}=COLUMN."
        raise InputError(path, f"it has no column {needed[0]!r} (it has: {have})", remedy)
    if frame.empty:
        raise InputError(path, "the table has no rows", "Give a table with results.")
    for name in ("team", "case"):
        blank = frame[name].isna() | (frame[name] == "")
        if blank.any():
            line = int(np.flatnonzero(blank)[0]) + 2
            raise InputError(path, f"line {line} has no {name}", "Every row needs a team and a case.")
    if "modality" not in frame:
        tasks = frame["case"].map(protocol.task_of)
        told = tasks.isin(set(protocol.tasks.values())).all()
        frame["modality"] = tasks if told or not long_form else ONLY_TASK
    else:
        empty = frame["modality"].isna() | (frame["modality"] == "")
        frame["modality"] = frame["modality"].mask(empty, frame["case"].map(protocol.task_of))
    return frame


def _default_metrics(path: Path, frame: pd.DataFrame, protocol: Protocol) -> tuple[str, ...]:
    there = [name for name in protocol.ranked if name in frame]
    if not there and LONG_FORM_METRIC in frame:
        return (LONG_FORM_METRIC,)
    if absent := [name for name in protocol.ranked if name not in frame]:
        remedy = f"Map it with --column {absent[0]}=COLUMN, or name what to rank with --metrics."
        raise InputError(path, f"column {absent[0]!r}, which protocol {protocol.name} ranks, is missing", remedy)
    return protocol.ranked


def _checked(
    path: Path, frame: pd.DataFrame, metrics: Sequence[str], protocol: Protocol, warnings: list[str]
) -> pd.DataFrame:
    """The columns that count, typed; all faults that one file can have."""
    rows = pd.DataFrame(
        {
            "team": frame["team"].astype(str),
            "task": frame["modality"].astype(str),
            "case": frame["case"].astype(str),
            "repeat": _numbers(path, frame, "repeat").fillna(1).astype(int) if "repeat" in frame else 1,
            "outcome": _outcomes(path, frame),
        }
    )
    known = [*metrics, *protocol.metrics]
    variants = [variant.column for variant in variant_columns(frame.columns, known, protocol.metrics)]
    for name in dict.fromkeys([*known, *variants]):
        if name not in frame:
            if name in metrics:
                remedy = f"Leave it out of --metrics, or map it with --column {name}=COLUMN."
                raise InputError(path, f"it has no column {name!r}", remedy)
            continue
        values = _numbers(path, frame, name)
        if np.isinf(values).any():
            line = int(np.flatnonzero(np.isinf(values))[0]) + 2
            raise InputError(path, f"column {name!r} is infinite in line {line}", "Leave a missing value empty.")
        rows[name] = values
    for name in COLUMNS:  # not ranked, but a joined table keeps them
        if name in frame and name not in rows and name != "modality":
            rows[name] = frame[name]
    empty = (rows["outcome"] == "") & rows[list(metrics)].isna().any(axis=1)
    if empty.any():
        warnings.append(
            f"{path}: {int(empty.sum())} rows lack a value and tell no outcome: they count as missing, "
            "never as a reference without the class."
        )
    return rows


def _clusters(path: Path, frame: pd.DataFrame, column: str) -> pd.Series[str]:
    """A column as text, "" where empty."""
    if column not in frame:
        have = ", ".join(map(str, frame.columns[:20]))
        raise InputError(path, f"it has no column {column!r} (it has: {have})", "Mend --cluster COLUMN.")
    text = pd.read_csv(path, usecols=[column], dtype=str, keep_default_na=False)[column].str.strip()
    return text.set_axis(frame.index)


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> pd.Series[float]:
    try:
        return pd.to_numeric(frame[name]).astype(float)
    except (ValueError, TypeError) as error:
        fault = f"column {name!r} holds something that is not a number ({error})"
        raise InputError(path, fault, "Mend the column, or --column.") from error


def _outcomes(path: Path, frame: pd.DataFrame) -> pd.Series[str]:
    if "outcome" not in frame:
        return pd.Series("", index=frame.index, dtype=object)
    outcomes = frame["outcome"].fillna("").astype(str).str.strip().str.lower()
    strange = sorted(set(outcomes) - set(map(str, Outcome)) - {""})
    if strange:
        known = ", ".join(map(str, Outcome))
        raise InputError(path, f"column 'outcome' holds {strange[0]!r}", f"Outcomes are: {known}; or empty.")
    return outcomes


def _time_limit(path: Path, protocol: Protocol) -> tuple[float, str, str | None]:
    """The run's time limit in seconds, where it is from, and a warning where the manifest did not say."""
    manifest = path.parent / "manifest.json"
    fallback = protocol.limits.time_limit_s
    if not manifest.is_file():
        return fallback, "protocol", None
    try:
        limit = float(json.loads(manifest.read_text(encoding="utf-8"))["limits"]["time_limit_s"])
    except (OSError, ValueError, KeyError, TypeError):
        warning = f"{manifest}: it tells no limits.time_limit_s; failed attempts count {fallback:g} s."
        return fallback, "protocol", warning
    return limit, "manifest.json", None
