"""Reading an output folder: the results table strictly, everything else only as far as it is there and sound."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.contract import is_volume
from harness.costs import Cost, costs_of
from harness.errors import InputError
from harness.layout import OutDir
from harness.report.data import RUNTIME, SCORES, Bootstrap, ReportData
from harness.report.reading_analysis import SOURCES, Source
from harness.results import COLUMNS, read_results

_RANK_REMEDY = "harness rank writes it"


class _Absent(Exception):
    """An optional file cannot be used; the text is the sentence that the report shows."""


def read_report_data(root: Path) -> ReportData:
    """Read an output folder.

    Raises:
        InputError: the results table is missing, unreadable, empty or lacks team or case.
    """
    out = OutDir(root)
    attempts = _attempts(out.results)
    absent: dict[str, str] = {}

    def optional(path: Path, read: Any) -> Any:
        try:
            return read(path)
        except _Absent as reason:
            absent[path.name] = str(reason)
            return None

    manifest = optional(out.manifest, lambda path: _json(path, "harness run writes it")) or {}
    facts = optional(out.ranking_json, lambda path: _json(path, _RANK_REMEDY)) or {}
    scheme, ranking = optional(out.ranking, lambda path: _ranking(path, facts)) or (None, None)
    ranks = optional(out.ranks, lambda path: _ranks(path, scheme))
    bootstrap = optional(out.bootstrap, _bootstrap)
    wilcoxon = optional(out.wilcoxon, _wilcoxon)
    schemes = optional(out.ranking, _schemes) or {}
    read = {name: optional(root / source.path, partial(_further, source)) for name, source in SOURCES.items()}

    metrics = _metrics(attempts, ranks)
    scores, left_out = _scores(attempts, metrics, _dropped(facts))
    return ReportData(
        out=out,
        attempts=attempts,
        scores=scores,
        corrected=_corrected(attempts),
        left_out=left_out,
        metrics=metrics,
        teams=_order(attempts, ranking),
        scheme=scheme,
        ranking=ranking,
        ranks=ranks,
        ranking_facts=facts,
        bootstrap=bootstrap,
        wilcoxon=wilcoxon,
        schemes=schemes,
        analysis={name: table for name, table in read.items() if table is not None},
        manifest=manifest,
        costs=_costs(attempts, manifest, out),
        absent=absent,
    )


# --------------------------------------------------------------------------- the results table


def _attempts(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(
            path,
            "no such file",
            "A report needs a run's results table: run evaluate.py or harness import first, or mend --out.",
        )
    frame = read_results(path)
    if missing := {"team", "case"} - set(frame.columns):
        raise InputError(path, f"column {sorted(missing)[0]!r} is missing", "Give a results table with team and case.")
    frame = frame[frame["team"].notna() & frame["case"].notna()].reset_index(drop=True)
    if frame.empty:
        raise InputError(path, "it holds no attempt", "Run at least one submission on one case first.")
    for column, (dtype, _) in COLUMNS.items():
        if column not in frame:
            frame[column] = pd.Series([pd.NA] * len(frame), dtype="string" if dtype == "string" else "Float64")
    for column in ("dsc", "nsd", "runtime_s", "wall_s", "run_s", "cpu_s", "peak_bytes", "peak_anon_bytes", "oom_kills"):
        frame[column] = pd.to_numeric(frame[column]).astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    numbers = frame.select_dtypes("float64").columns
    frame[numbers] = frame[numbers].replace([np.inf, -np.inf], np.nan)
    frame["repeat"] = pd.to_numeric(frame["repeat"]).astype("Float64").fillna(1).astype(int)
    for column in ("outcome", "reason", "modality"):
        frame[column] = frame[column].fillna("").astype(str)
    frame["team"], frame["case"] = frame["team"].astype(str), frame["case"].astype(str)
    second = frame["case"].map(lambda case: case.split("_")[1] if case.count("_") else case)
    frame["task"] = frame["modality"].where(frame["modality"] != "", second)
    frame["volume"] = frame["case"].map(is_volume).astype(bool)
    outcome = frame["outcome"].where(frame["outcome"] != "", "ok")
    frame["status"] = outcome.where((outcome != "ok") | (frame["reason"] == ""), "ok, flagged")
    return frame


def _metrics(attempts: pd.DataFrame, ranks: pd.DataFrame | None) -> tuple[str, ...]:
    wanted = [*SCORES, RUNTIME, *(sorted(set(ranks["metric"])) if ranks is not None else ())]
    return tuple(
        name
        for name in dict.fromkeys(wanted)
        if name in attempts and pd.api.types.is_numeric_dtype(attempts[name]) and attempts[name].notna().any()
    )


def _scores(
    attempts: pd.DataFrame, metrics: tuple[str, ...], dropped: dict[str, set[str]] | None
) -> tuple[pd.DataFrame, dict[str, frozenset[str]]]:
    """Fold repeats into one row a team and case, and clear the values of cases left out for all teams."""
    frame = attempts.assign(failed=~attempts["status"].str.startswith("ok"))
    how: dict[str, Any] = {metric: "median" if metric == RUNTIME else "mean" for metric in metrics}
    folded = (
        frame.groupby(["team", "case"], sort=True)
        .agg({"task": "first", "volume": "first", **how, "failed": "sum"})
        .reset_index()
    )
    left_out: dict[str, frozenset[str]] = {}
    for metric in metrics:
        if dropped is not None:
            cases = dropped.get(metric, set())
        elif metric in SCORES:
            cases = set(frame.loc[~frame["failed"] & frame[metric].isna(), "case"])
        else:
            cases = set()
        folded.loc[folded["case"].isin(cases), metric] = np.nan
        left_out[metric] = frozenset(cases)
    return folded, left_out


def _corrected(attempts: pd.DataFrame) -> pd.DataFrame:
    """Mean corrected scores of each team and case, of those metrics that have any."""
    names = [
        name
        for name in (f"{metric}_corrected" for metric in SCORES)
        if name in attempts and pd.api.types.is_numeric_dtype(attempts[name]) and attempts[name].notna().any()
    ]
    return attempts.groupby(["team", "case"], sort=True)[names].mean().reset_index()


def _dropped(facts: Mapping[str, Any]) -> dict[str, set[str]] | None:
    """Metric -> cases that the ranking dropped; None where it does not say."""
    listed = facts.get("dropped_cases")
    if not isinstance(listed, list):
        return None
    dropped: dict[str, set[str]] = {}
    for entry in listed:
        if isinstance(entry, dict) and isinstance(entry.get("metrics"), list):
            for metric in entry["metrics"]:
                dropped.setdefault(str(metric), set()).add(str(entry.get("case")))
    return dropped


def _order(attempts: pd.DataFrame, ranking: Mapping[str, tuple[float, float]] | None) -> tuple[str, ...]:
    names = sorted(set(attempts["team"]))
    if ranking is None:
        return tuple(names)

    def place(team: str) -> tuple[float, str]:
        rank = ranking[team][1] if team in ranking else math.nan
        return (rank if math.isfinite(rank) else math.inf, team)

    return tuple(sorted(names, key=place))


def _costs(attempts: pd.DataFrame, manifest: Mapping[str, Any], out: OutDir) -> tuple[Cost, ...]:
    """Costs of all attempts, if some submission tells its phases."""
    costs = tuple(costs_of(attempts, manifest, out)) if out.logs.is_dir() else ()
    return costs if any(cost.told.phases or cost.told.reason for cost in costs) else ()


# --------------------------------------------------------------------------- the optional files


def _json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _Absent(f"{path.name} is not in the folder; {remedy}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _Absent(f"{path.name} cannot be read as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise _Absent(f"{path.name} does not hold a JSON object.")
    return value


def _table(path: Path, text: Iterable[str], numbers: Iterable[str]) -> pd.DataFrame:
    """A CSV with these columns: text kept to the letter (a team may be called NA), numbers as float64."""
    text, numbers = list(text), list(numbers)
    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False)
        if missing := [column for column in (*text, *numbers) if column not in frame]:
            raise _Absent(f"{path.name} lacks the column {missing[0]!r}.")
        for column in numbers:
            frame[column] = [math.nan if cell in ("", "NA") else float(cell) for cell in frame[column]]
    except FileNotFoundError:
        raise _Absent(f"{path.name} is not in the folder; {_RANK_REMEDY}.") from None
    except (OSError, ValueError, TypeError) as error:
        raise _Absent(f"{path.name} cannot be read as a table ({error}).") from error
    if frame.empty:
        raise _Absent(f"{path.name} is empty.")
    return frame[[*text, *numbers]]


def _further(source: Source, path: Path) -> pd.DataFrame:
    """One of the ranking's further tables; infinite numbers count as undefined ones."""
    return _table(path, source.text, source.numbers).replace([np.inf, -np.inf], np.nan)


def _ranking(path: Path, facts: Mapping[str, Any]) -> tuple[str, dict[str, tuple[float, float]]]:
    frame = _table(path, ("scheme", "team"), ("score", "rank"))
    schemes = list(dict.fromkeys(frame["scheme"]))
    settings = facts.get("settings")
    chosen = settings.get("scheme") if isinstance(settings, dict) else None
    scheme = next((name for name in schemes if name == chosen), schemes[0])
    mine = frame[frame["scheme"] == scheme]
    rows = zip(mine["team"], mine["score"], mine["rank"], strict=True)
    return scheme, {team: (float(score), float(rank)) for team, score, rank in rows}


def _schemes(path: Path) -> dict[str, dict[str, float]]:
    """Scheme -> team -> final rank, schemes in the file's order."""
    frame = _table(path, ("scheme", "team"), ("rank",))
    return {
        str(scheme): dict(zip(mine["team"], mine["rank"].astype(float), strict=True))
        for scheme, mine in frame.groupby("scheme", sort=False)
    }


def _ranks(path: Path, scheme: str | None) -> pd.DataFrame:
    frame = _table(path, ("scheme", "task", "metric", "team"), ("aggregate", "rank"))
    wanted = scheme if scheme is not None else frame["scheme"].iloc[0]
    mine = frame[frame["scheme"] == wanted].drop(columns="scheme").reset_index(drop=True)
    if mine.empty:
        raise _Absent(f"{path.name} holds no ranks of the scheme {wanted!r}.")
    return mine


def _wilcoxon(path: Path) -> pd.DataFrame:
    return _table(path, ("task", "metric", "team_i", "team_j"), ("p_i_better", "p_i_better_adj"))


def _bootstrap(path: Path) -> Bootstrap:
    try:
        with np.load(path, allow_pickle=False) as npz:
            ranks, tau = (np.asarray(npz[key], dtype=np.float64) for key in ("ranks", "tau"))
            units, teams = (tuple(str(name) for name in npz[key]) for key in ("units", "teams"))
    except FileNotFoundError:
        raise _Absent(f"{path.name} is not in the folder; {_RANK_REMEDY}.") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _Absent(f"{path.name} cannot be read ({error}).") from error
    if ranks.ndim != 3 or ranks.shape[1:] != (len(units), len(teams)) or tau.shape != ranks.shape[:2] or not ranks.size:
        raise _Absent(f"{path.name} holds arrays that do not fit one another ({ranks.shape}, {tau.shape}).")
    return Bootstrap(ranks, tau, units, teams)
