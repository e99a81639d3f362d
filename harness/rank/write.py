"""A ranking as files: ``ranks.csv``, ``ranking.csv``, ``ranking.json``, ``wilcoxon.csv``, ``bootstrap.npz``,
``consensus.csv``, and further tables in ``analysis/``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from harness.layout import OutDir
from harness.rank.analysis import FINAL, Ranking
from harness.rank.bootstrap import rank_interval, rank_shares, share_won, write_resamples
from harness.rank.further import Further
from harness.rank.order import FloatArray
from harness.results import write_csv, write_results

#: Further tables that a ranking may have; those that this one lacks are removed.
_TABLES = (
    "effects",
    "friedman",
    "groups",
    "confidence",
    "sensitivity",
    "influence",
    "cases_needed",
    "comparisons",
    "repeats",
)
_RESAMPLES = "resamples"


def write_ranking(ranking: Ranking, more: Further, out: OutDir, resamples: bool = False) -> None:
    """Write all files of a ranking into a run's folder, which is made where it is not there.

    Files of an earlier ranking that this one has none of are removed.  Where the ranked tables lie elsewhere,
    the folder gets a ``results.csv`` of their rows, so that a report can be made from the folder alone; a table
    of another run is left as it is.
    """
    out.root.mkdir(parents=True, exist_ok=True)
    copy = None
    paths = [source.path for source in ranking.table.sources]
    if not _lies_in(paths, out) and not holds_other_results(paths, out):
        write_results(out.results, cast("list[dict[str, Any]]", ranking.rows.to_dict("records")))
        copy = _digest(out.results)
    write_csv(out.ranks, ranks_frame(ranking))
    write_csv(out.ranking, ranking_frame(ranking))
    write_csv(out.wilcoxon, wilcoxon_frame(ranking))
    write_csv(out.consensus, _whole_ranks(more.consensus_table))
    _write_bootstrap(ranking, out.bootstrap)
    out.analysis("").parent.mkdir(exist_ok=True)
    for name in _TABLES:
        if name in more.tables:
            write_csv(out.analysis(name), more.tables[name])
        else:
            out.analysis(name).unlink(missing_ok=True)
    if resamples and ranking.resampling is not None:
        write_resamples(out.analysis(_RESAMPLES), ranking.resampling)
    else:
        out.analysis(_RESAMPLES).unlink(missing_ok=True)
    told = ranking_json(ranking) | {"consensus": _consensus_json(more), "results_copy": copy}
    _write_text(out.ranking_json, json.dumps(told, indent=1, allow_nan=False) + "\n")


def remove_ranking(out: OutDir) -> None:
    """Remove all files of an earlier ranking, where there is nothing to rank any more."""
    tables = [out.analysis(name) for name in (*_TABLES, _RESAMPLES)]
    for stale in (out.ranking, out.ranking_json, out.ranks, out.consensus, out.wilcoxon, out.bootstrap, *tables):
        stale.unlink(missing_ok=True)


def holds_other_results(paths: Sequence[Path], out: OutDir) -> bool:
    """Whether the folder's ``results.csv`` is neither among the ranked tables nor an earlier ranking's copy."""
    if _lies_in(paths, out) or not out.results.exists():
        return False
    try:
        told = json.loads(out.ranking_json.read_text(encoding="utf-8"))
        return bool(told["results_copy"] != _digest(out.results))
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _lies_in(paths: Sequence[Path], out: OutDir) -> bool:
    return any(path.resolve() == out.results.resolve() for path in paths)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ranks_frame(ranking: Ranking) -> pd.DataFrame:
    """``scheme,task,metric,team,aggregate,rank``: a row for each scheme, unit and team."""
    rows = [
        (result.scheme.name, task, metric, team, aggregates[t], ranks[t])
        for result in ranking.schemes
        for (task, metric), aggregates, ranks in zip(ranking.units, result.aggregates, result.ranks, strict=True)
        for t, team in enumerate(ranking.table.teams)
    ]
    frame = pd.DataFrame(rows, columns=["scheme", "task", "metric", "team", "aggregate", "rank"])
    return _whole_ranks(frame)


def ranking_frame(ranking: Ranking) -> pd.DataFrame:
    """``scheme,team,score,rank``: the final ranking, schemes in order, the best team first."""
    rows = [
        (result.scheme.name, ranking.table.teams[t], result.scores[t], result.final[t])
        for result in ranking.schemes
        for t in _best_first(result.final)
    ]
    return _whole_ranks(pd.DataFrame(rows, columns=["scheme", "team", "score", "rank"]))


def wilcoxon_frame(ranking: Ranking) -> pd.DataFrame:
    """``task,metric,team_i,team_j,n,n_nonzero,V,p_i_better,p_i_better_adj,p_two_sided``."""
    teams = np.array(ranking.table.teams, dtype=object)
    parts = [
        pd.DataFrame(
            {
                "task": task,
                "metric": metric,
                "team_i": teams[tests.i],
                "team_j": teams[tests.j],
                "n": tests.n,
                "n_nonzero": tests.n_nonzero,
                "V": tests.v,
                "p_i_better": tests.p_i_better,
                "p_i_better_adj": tests.p_i_better_adj,
                "p_two_sided": tests.p_two_sided,
            }
        )
        for (task, metric), tests in zip(ranking.units, ranking.tests, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """The ranking with settings, stability and notes, as plain data; None where a number is undefined."""
    table, main, boot = ranking.table, ranking.main, ranking.bootstrap
    entries: list[dict[str, Any]] = []
    for t in _best_first(main.final):
        entries.append(
            {
                "team": table.teams[t],
                "rank": _number(main.final[t]),
                "score": _number(main.scores[t]),
                "summary": {name: _number(values[t]) for name, values in ranking.summaries.items()},
            }
        )
    if boot is not None:
        final = boot.ranks[:, -1]
        low, high = rank_interval(final)
        won, shares = share_won(final), rank_shares(final)
        for entry, t in zip(entries, _best_first(main.final), strict=True):
            entry["rank_interval_95"] = [_number(low[t]), _number(high[t])]
            entry["share_won"] = _number(won[t])
            entry["rank_shares"] = {f"{_number(rank):g}": share for rank, share in shares[t].items()}
    return {
        "settings": _settings_json(ranking),
        "teams": list(table.teams),
        "tasks": [{"name": task.name, "cases": len(task.cases)} for task in table.tasks],
        "ranking": entries,
        "other_schemes": {
            result.scheme.name: {table.teams[t]: _number(result.final[t]) for t in _best_first(result.final)}
            for result in ranking.schemes[1:]
        },
        "tau": None if boot is None else _tau_json(ranking, boot.tau),
        "missing": [{"team": row.team, "task": row.task, "case": row.case} for row in table.missing],
        "dropped_cases": [
            {"task": case.task, "case": case.case, "metrics": list(case.metrics), "reason": case.reason}
            for case in (*table.left_out, *main.dropped)
        ],
        "warnings": list(ranking.warnings),
    }


def _consensus_json(more: Further) -> list[dict[str, Any]]:
    """The exact consensus rankings: how far they are proven, and whether another order is as good."""
    return [
        {
            "method": one.method,
            "metric": one.metric,
            "objective": _number(one.scores[0]),
            "bound": _number(one.bound),
            "unique": one.unique,
        }
        for one in more.consensus
        if one.bound is not None
    ]


def _settings_json(ranking: Ranking) -> dict[str, Any]:
    settings, scheme = ranking.settings, ranking.main.scheme
    samples = 0 if ranking.bootstrap is None else len(ranking.bootstrap.ranks)
    return {
        "protocol": {"name": ranking.protocol.name, "digest": ranking.protocol.digest},
        "scheme": scheme.name,
        "aggregate": scheme.aggregate,
        "na": scheme.missing,
        "fill": dict(settings.fill),
        "ties": scheme.ties,
        "schemes": [
            {"scheme": s.scheme.name, "aggregate": s.scheme.aggregate, "na": s.scheme.missing} for s in ranking.schemes
        ],
        "metrics": [
            {
                "name": metric.name,
                "label": metric.label,
                "smaller_is_better": metric.smaller_is_better,
                "weight": settings.weights.get(metric.name, 1.0),
                "failure_value": metric.failure_value,
                "summary": "median" if metric.is_time else "mean",
            }
            for metric in ranking.table.metrics
        ],
        "p_adjust": settings.p_adjust or "holm",
        "scheme_p_adjust": scheme.adjustment if scheme.name == "test-then-rank" else None,
        "wilcoxon_digits": settings.wilcoxon_digits,
        "wilcoxon_method": settings.wilcoxon_method,
        "zeros": settings.zeros,
        "bootstrap": samples,
        "boot_mode": settings.boot_mode,
        "seed": None if settings.resamples else settings.seed,
        "resamples": None if settings.resamples is None else str(settings.resamples),
        "cluster": settings.cluster,
        "baseline": settings.baseline,
        "successors": [list(pair) for pair in settings.successors],
        "reproductions": [list(pair) for pair in settings.reproductions],
        "margins": dict(settings.margins),
        "strict": settings.strict,
        "allow_incomplete": settings.allow_incomplete,
        "columns": dict(settings.columns),
        "tables": [
            {
                "path": str(source.path),
                "sha256": source.sha256,
                "rows": source.rows,
                "time_limit_s": source.time_limit_s,
                "time_limit_from": source.time_limit_from,
            }
            for source in ranking.table.sources
        ],
    }


def _tau_json(ranking: Ranking, tau: FloatArray) -> dict[str, Any]:
    """Mean tau over the samples where it is defined, and in how many it is not."""
    units = {
        name: {"mean": _mean(column), "undefined": int(np.isnan(column).sum())}
        for name, column in zip(ranking.unit_names, tau.T, strict=True)
    }
    return {**units[FINAL], "units": units}


def _write_bootstrap(ranking: Ranking, path: Path) -> None:
    """``ranks`` (B, U, T), ``tau`` (B, U), ``units`` (U,), ``teams`` (T,); removed where there is none."""
    if ranking.bootstrap is None:
        path.unlink(missing_ok=True)  # one left from an earlier ranking would not belong to this one
        return
    draft = path.with_name(f".{path.stem}.tmp.npz")
    np.savez_compressed(
        draft,
        ranks=ranking.bootstrap.ranks,
        tau=ranking.bootstrap.tau,
        units=np.array(ranking.unit_names),
        teams=np.array(ranking.table.teams),
    )
    draft.replace(path)


def _write_text(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _best_first(final: FloatArray) -> list[int]:
    """Positions of the teams by final rank; equal ones by name."""
    return [int(t) for t in np.argsort(final, kind="stable")]


def _whole_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Ranks without decimals where all are whole (they are unless equal ones share the middle)."""
    ranks = frame["rank"].dropna()
    return frame.astype({"rank": "Int64"}) if (ranks == ranks.round()).all() else frame


def _mean(values: FloatArray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _number(value: float | None) -> float | int | None:
    """For JSON: whole numbers without decimals, None for NaN."""
    if value is None or math.isnan(value):
        return None
    value = float(value)
    return int(value) if value.is_integer() else value
