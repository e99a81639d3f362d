"""The chain between the stages: what has been run is scored, collected into the results table, ranked, reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import contract
from harness.cases import file_digest, reference_files, remember_digest
from harness.collect import Scores, result_rows, write_tables
from harness.errors import EXIT_FAULT, EXIT_OK, EXIT_SUBMISSION_FAILED, EXIT_USAGE, InputError, UsageError
from harness.layout import OutDir
from harness.ledger import Ledger
from harness.protocol import Protocol
from harness.records import FAILURES, Attempt, Case, Outcome, Score
from harness.score.batch import Job, score_many
from harness.score.files import scorer_key

#: Told of scoring's progress: how many are done, of how many.
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Summary:
    """What a results table amounts to.

    Attributes:
        attempts: rows.
        failed: rows that a submission failed.
        faults: rows that the harness failed.
        bad_references: cases whose reference is broken, with the reason.
    """

    attempts: int
    failed: int
    faults: int
    bad_references: dict[str, str]

    def exit_code(self) -> int:
        """The command's exit code."""
        if self.faults:
            return EXIT_FAULT
        if self.bad_references:
            return EXIT_USAGE
        return EXIT_SUBMISSION_FAILED if self.failed else EXIT_OK


def find_references(gts: Path, cases: list[Case]) -> dict[str, Path]:
    """The reference of every case, checked for being there before anything is run.

    Raises:
        UsageError: no such folder, or cases without a reference.
    """
    found = reference_files(gts)
    if lacking := [case.name for case in cases if case.name not in found]:
        named = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
        raise UsageError(
            f"{gts}: {len(lacking)} of {len(cases)} cases have no reference there ({named}). "
            "Give the folder whose files are named as the cases', or leave those cases out."
        )
    return {case.name: found[case.name] for case in cases}


def score_attempts(
    out: OutDir, ledger: Ledger, protocol: Protocol, attempts: list[Attempt], gts: Path, workers: int, tell: Tell
) -> tuple[Scores, dict[str, str]]:
    """Score every accepted prediction; what was scored before from the same files is not scored again.

    Returns:
        scores by (team, case, repeat), and the cases whose reference is broken with the reason.

    Raises:
        UsageError: references are missing, or a prediction was changed or removed since it was accepted.
    """
    cases = {case.name: case for case in ledger.cases()}
    used = sorted({attempt.case for attempt in attempts})
    references = find_references(gts, [cases[name] for name in used])
    bad = {name: reason for name in used if (reason := _reference_fault(references[name], cases[name], ledger))}
    version = scorer_key(protocol.scoring)
    scores: dict[tuple[str, str, int], Score] = {}
    todo: dict[Job, tuple[str, str]] = {}
    for attempt in attempts:
        key = (attempt.team, attempt.case, attempt.repeat)
        if attempt.case in bad:
            scores[key] = Score({}, Outcome.BAD_REFERENCE, bad[attempt.case])
        elif attempt.prediction_digest is not None:
            reference = remember_digest(references[attempt.case], ledger)
            known = ledger.score(attempt.prediction_digest, reference, version)
            if known is not None:
                scores[key] = known
                continue
            prediction = out.prediction(*key)
            _check_unchanged(prediction, attempt)
            job = Job(attempt.case, prediction, references[attempt.case], attempt.team, attempt.repeat)
            todo[job] = (attempt.prediction_digest, reference)
    tell(0, len(todo))
    for done, scored in enumerate(score_many(todo, protocol.scoring, workers), start=1):
        if scored.score.outcome is not Outcome.HARNESS_FAULT:
            ledger.add_score(*todo[scored.job], version, scored.score)
        scores[scored.job.team, scored.job.case, scored.job.repeat] = scored.score
        tell(done, len(todo))
    return scores, bad


def _check_unchanged(prediction: Path, attempt: Attempt) -> None:
    if not prediction.is_file() or file_digest(prediction) != attempt.prediction_digest:
        raise UsageError(
            f"{prediction}: it is not the file that {attempt.team} left on {attempt.case} (changed or removed since). "
            "Put it back, or run into a new --out folder."
        )


def _reference_fault(path: Path, case: Case, ledger: Ledger) -> str:
    """Why a reference cannot be used, "" if it can; an unchanged file is read once."""
    facts = ledger.file_facts(path, "reference")
    if facts is None:
        seen = path.stat()
        try:
            facts = {"shape": list(contract.read_reference(path).array.shape), "fault": ""}
        except InputError as error:
            facts = {"shape": [], "fault": f"{error.fault}. {error.remedy}"}
        ledger.keep_file_facts(path, "reference", facts, seen)
    if facts["fault"]:
        return str(facts["fault"])
    wanted = contract.segmentation_shape(case.name, case.image_shape)
    if tuple(facts["shape"]) != wanted:
        return f"gts has shape {tuple(facts['shape'])}, the image asks for {wanted}. Mend the reference."
    return ""


def collect(
    out: OutDir,
    protocol: Protocol,
    attempts: list[Attempt],
    scores: Scores,
    bad: dict[str, str],
    runtime: str,
    time_limit_s: float,
) -> Summary:
    """Write ``results.csv`` and the official runtimes; returns what they amount to."""
    rows = result_rows(attempts, scores, protocol, runtime, time_limit_s)
    write_tables(out, rows)
    outcomes = [Outcome(row["outcome"]) for row in rows]
    return Summary(
        attempts=len(rows),
        failed=sum(outcome in FAILURES for outcome in outcomes),
        faults=outcomes.count(Outcome.HARNESS_FAULT),
        bad_references=bad,
    )
