"""Finished runs of others: their runtimes and scores, joined into rows of a results table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cases import reference_files
from harness.contract import case_name
from harness.errors import UsageError
from harness.protocol import Protocol, Scoring
from harness.records import Outcome, Score
from harness.score.policy import apply_policy

#: Cases that one remark names.
_MOST_NAMED = 5
_TEAM = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Imported:
    """A team's rows, and what a reader of them should know.

    Attributes:
        rows: of the results table.
        notes: sentences about what was missing or odd.
        lacking: how many cases have only one of runtime and score, where both are due.
    """

    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    lacking: int


def team_name(text: str) -> str:
    """A team's name as tables have it: in small letters.

    Raises:
        UsageError: no name that a run could have given.
    """
    name = text.lower()
    if not _TEAM.fullmatch(name) or name == "nan":  # which a table could not tell from no name
        raise UsageError(f"--team {text!r}: no team name. Use at most 100 letters, digits, '-', '_' and '.'.")
    return name


# --------------------------------------------------------------------------- rows


def import_rows(
    team: str,
    times: Mapping[str, float],
    scores: Mapping[str, Score] | None,
    protocol: Protocol,
    notes: Sequence[str] = (),
) -> Imported:
    """Join runtimes and scores.

    A case with a runtime and no score left no prediction: no_output, under the failure policy.  A case with a score
    and no runtime keeps its score; its runtime stays empty.  Without any scores nothing is known but the times:
    outcome and scores stay empty.

    Args:
        team: the team's name.
        times: seconds by case, as measured there.
        scores: by case; None where there are none yet.
        protocol: tasks, and what a failed case gets.
        notes: remarks made before.

    Raises:
        UsageError: runtimes and scores have no case in common.
    """
    known = scores or {}
    if scores is not None and not times.keys() & known.keys():
        raise UsageError(
            f"team {team}: none of the {len(times)} cases with a runtime ({_some(sorted(times))}) is among the "
            f"{len(known)} with a score ({_some(sorted(known))}). Give both of the same run."
        )
    limit_s = protocol.limits.time_limit_s
    metrics = dict.fromkeys(name for score in known.values() for name in score.values)
    rows = []
    for case in sorted(times.keys() | known.keys()):
        score, seconds = known.get(case), times.get(case)
        outcome, reason = _outcome(score, seconds, scores is None)
        row: dict[str, Any] = {
            "team": team,
            "case": case,
            "modality": protocol.task_of(case),
            "repeat": 1,
            "dsc": None,
            "nsd": None,
            "runtime_s": seconds,
            "outcome": outcome,
            "reason": reason,
            "wall_s": seconds,
        }
        row |= metrics | (score.values if score else {})
        filled = apply_policy(row, protocol, limit_s) if outcome else row
        rows.append({column: filled[column] for column in row})  # not every metric of the protocol was scored
    unscored = sorted(times.keys() - known.keys()) if scores is not None else []
    untimed = sorted(case for case in known.keys() - times.keys() if known[case].outcome is Outcome.OK)
    slow = sorted(case for case, seconds in times.items() if seconds > limit_s)
    remarks = list(notes)
    if scores is None:
        remarks.append("runtimes only: a ranking of scores needs --scores, or --preds and --gts")
    if unscored:
        remarks.append(f"{_cases(unscored)} with a runtime and no score: counted as no_output ({_some(unscored)})")
    if untimed:
        remarks.append(f"{_cases(untimed)} with a score and no runtime: the runtime stays empty ({_some(untimed)})")
    if slow:
        remarks.append(
            f"{_cases(slow)} took longer than the {limit_s:g} s that a failed case is charged ({_some(slow)}): "
            "a --protocol file with a larger limits.time_limit_s mends that"
        )
    return Imported(tuple(rows), tuple(remarks), len(unscored) + len(untimed))


def _outcome(score: Score | None, seconds: float | None, times_only: bool) -> tuple[str, str]:
    """Outcome and reason of a case, both empty where they are not known."""
    if times_only:
        return "", ""
    if score is None:
        return Outcome.NO_OUTPUT.value, "it has a runtime and no score"
    reason = "; ".join(filter(None, [score.reason, "" if seconds is not None else "no runtime"]))
    return score.outcome.value, reason


def score_folders(
    times: Mapping[str, float],
    preds: Path,
    gts: Path,
    scoring: Scoring,
    workers: int,
    tell: Callable[[int, int], None],
) -> tuple[dict[str, Score], list[str]]:
    """Score a team's predictions: of every case with a runtime, and of every other with prediction and reference.

    Args:
        times: whose cases count.
        preds, gts: folders of predictions and references.
        scoring: tolerance, gate, digits.
        workers: processes.
        tell: told how many are done, of how many.

    Returns:
        scores by case, and remarks.

    Raises:
        UsageError: a folder is missing, timed cases have no reference, or no prediction is of such a case.
    """
    from harness.score.batch import Job, score_many

    references = reference_files(gts)
    if not preds.is_dir():
        raise UsageError(f"{preds}: no such folder. Give the folder of the team's predictions with --preds.")
    predictions = {case_name(p): p for p in preds.iterdir() if p.suffix == ".npz" and not p.name.startswith(".")}
    if lacking := sorted(times.keys() - references.keys()):
        raise UsageError(
            f"{gts}: {len(lacking)} of {len(times)} cases with a runtime have no reference there ({_some(lacking)}). "
            "Give the folder whose files are named as the cases, or leave those cases out of --times."
        )
    if predictions and not predictions.keys() & times.keys():
        raise UsageError(
            f"{preds}: none of the {len(predictions)} predictions there is of a case with a runtime "
            f"({_some(sorted(times))}). Give the folder of this team's predictions."
        )
    notes = []
    if strays := sorted(predictions.keys() - references.keys()):
        notes.append(f"{_cases(strays)} with a prediction and no reference are left out: {_some(strays)}")
    cases = sorted(times.keys() | (predictions.keys() & references.keys()))
    jobs = [Job(case, preds / f"{case}.npz", references[case]) for case in cases]
    scores: dict[str, Score] = {}
    tell(0, len(jobs))
    for done, scored in enumerate(score_many(jobs, scoring, workers), start=1):
        scores[scored.job.case] = scored.score
        tell(done, len(jobs))
    return scores, notes


def _cases(names: Sequence[str]) -> str:
    return f"{len(names)} case{'' if len(names) == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
