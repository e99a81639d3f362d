"""From the ledger to the results table: attempts joined with their scores, after the failure policy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from harness.layout import OutDir
from harness.protocol import Protocol
from harness.records import Attempt, Outcome, Score
from harness.results import write_results
from harness.score.policy import apply_policy

#: An attempt's score by (team, case, repeat).
Scores = Mapping[tuple[str, str, int], Score]


def result_rows(
    attempts: list[Attempt], scores: Scores, protocol: Protocol, runtime: str, time_limit_s: float
) -> list[dict[str, Any]]:
    """Rows of the results table.

    Args:
        attempts: what was run.
        scores: of those that were scored; attempts without one get no DSC, NSD and further metrics.
        protocol: the further metrics, and the failure policy's values.
        runtime: which measured time is ranked, "wall_s" or "run_s".
        time_limit_s: the run's time limit, which the policy refers to.
    """
    rows = []
    for attempt in attempts:
        score = scores.get((attempt.team, attempt.case, attempt.repeat))
        phases, used = attempt.phases, attempt.resources
        outcome, reason = attempt.outcome, attempt.reason
        if score is not None and score.outcome is not Outcome.OK:
            outcome, reason = score.outcome, score.reason
        row: dict[str, Any] = {
            "team": attempt.team,
            "case": attempt.case,
            "modality": attempt.task,
            "repeat": attempt.repeat,
            "dsc": None,
            "nsd": None,
            "runtime_s": phases.run_s if runtime == "run_s" else phases.wall_s,
            "outcome": outcome.value,
            "reason": reason,
            "exit_code": attempt.exit_code,
            "wall_s": phases.wall_s,
            "run_s": phases.run_s,
            "cpu_s": used.cpu_s,
            "peak_bytes": used.peak_bytes,
            "peak_anon_bytes": used.peak_anon_bytes,
            "oom_kills": used.oom_kills,
            **dict.fromkeys(protocol.scoring.also),
        }
        if score is not None:
            row.update(score.values)
        filled = apply_policy(row, protocol, time_limit_s)
        rows.append({column: filled[column] for column in row})  # not every metric of the protocol is asked for
    return rows


def write_tables(out: OutDir, rows: list[dict[str, Any]]) -> None:
    """Write ``results.csv``, and each team's runtimes in the official format (first attempts, as measured there)."""
    write_results(out.results, rows)
    teams: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["repeat"] == 1 and row["wall_s"] is not None:
            teams.setdefault(row["team"], []).append(row)
    for team, own in teams.items():
        path = out.running_times(team)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["CaseName", "RunningTime"])
        writer.writerows([f"{row['case']}.npz", row["wall_s"]] for row in own)
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_text(text.getvalue(), encoding="utf-8")
        draft.replace(path)
