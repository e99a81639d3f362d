"""The main job: every planned attempt that has no result yet is made, judged and recorded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from harness.cases import visible_file
from harness.errors import HarnessFault
from harness.layout import OutDir
from harness.ledger import AttemptKey, Ledger
from harness.protocol import Protocol as Challenge
from harness.records import Attempt, Case, Limits, Outcome, Phases, Resources, Submission
from harness.run import host
from harness.run.engine import Engine, Execution, Job
from harness.run.judge import Verdict, judge
from harness.run.plan import Order, Planned, make_plan

#: Harness faults in a row after which a run stops: the host is broken, not a submission.
_MAX_FAULTS = 3


@dataclass(frozen=True)
class RunSettings:
    """How a run is made.

    Attributes:
        protocol: the challenge.
        limits: of every attempt.
        conditions: "strict" or "official".
        order, seed: see `harness.run.plan`.
        repeats: attempts of each submission on each case.
        strict_exit: OOM kills and non-zero exits count against a valid prediction.
        image_budget: bytes of tarballs' images that may be loaded at once; None: no bound.
        retry_noisy: times that an attempt is made again at once while the host was noisy; the last one counts.
    """

    protocol: Challenge
    limits: Limits
    conditions: str
    order: Order
    seed: int
    repeats: int
    strict_exit: bool = False
    image_budget: int | None = None
    retry_noisy: int = 0

    def digest(self) -> str:
        """Digest of what determines results; order, seed, repeats, budget, retries and scoring do not."""
        protocol = self.protocol
        container = [protocol.command, protocol.inputs, protocol.outputs]
        parts = [container, asdict(self.limits), self.conditions, self.strict_exit]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Listener(Protocol):
    """Told of a run's progress."""

    def planned(self, total: int, missing: int) -> None:
        """So many attempts belong to the run, so many have to be made."""

    def began(self, planned: Planned) -> None:
        """An attempt begins."""

    def ended(self, attempt: Attempt) -> None:
        """An attempt is recorded."""


#: Opens an engine: called only when attempts are missing, with the size of the largest input.
EngineOpener = Callable[[int], AbstractContextManager[Engine]]


def missing_attempts(
    ledger: Ledger, settings: RunSettings, submissions: Sequence[Submission], cases: Sequence[Case]
) -> tuple[list[tuple[Planned, AttemptKey]], int]:
    """Attempts of the plan without a result, in order, and how many the plan has in all."""
    teams = {submission.team: submission for submission in submissions}
    by_name = {case.name: case for case in cases}
    done = ledger.settled()
    place = host.host_class()
    plan = make_plan(list(teams), list(by_name), settings.repeats, settings.order, settings.seed)
    missing = []
    for item in plan:
        key = AttemptKey(
            team=item.team,
            case=item.case,
            repeat=item.repeat,
            identity=teams[item.team].identity,
            case_digest=by_name[item.case].digest,
            settings=settings.digest(),
            host_class=place,
        )
        if key.digest() not in done:
            missing.append((item, key))
    return missing, len(plan)


def run_attempts(
    out: OutDir,
    ledger: Ledger,
    settings: RunSettings,
    submissions: Sequence[Submission],
    cases: Sequence[Case],
    open_engine: EngineOpener,
    listener: Listener,
) -> int:
    """Make every missing attempt; returns how many were made.

    Killed at any moment, it loses at most the attempt under way; called again, it goes on.

    Raises:
        HarnessFault: the engine failed several times in a row, or the ledger cannot be written.
        KeyboardInterrupt: passed on, with nothing left running.
    """
    missing, total = missing_attempts(ledger, settings, submissions, cases)
    listener.planned(total, len(missing))
    if not missing:
        return 0
    teams = {submission.team: submission for submission in submissions}
    by_name = {case.name: case for case in cases}
    faults = 0
    with open_engine(max(case.bytes for case in cases)) as engine:
        shown = out.root / ".cases"
        shown.mkdir(exist_ok=True)
        try:
            for number, (item, key) in enumerate(missing):
                listener.began(item)
                maker = _Maker(engine, settings, out, shown)
                attempt = maker.quiet(f"a{number}", teams[item.team], by_name[item.case], item.repeat)
                ledger.add_attempt(key, attempt, host.host_class())
                listener.ended(attempt)
                faults = faults + 1 if attempt.outcome is Outcome.HARNESS_FAULT else 0
                if faults >= _MAX_FAULTS:
                    raise HarnessFault(
                        f"{faults} attempts in a row failed on the harness's side, the last with: {attempt.reason}. "
                        "Mend the host, then give the same command again: everything so far is kept."
                    )
        finally:
            shutil.rmtree(shown, ignore_errors=True)
    return len(missing)


@dataclass(frozen=True)
class _Maker:
    """Makes one attempt after another."""

    engine: Engine
    settings: RunSettings
    out: OutDir
    shown: Path

    def quiet(self, name: str, submission: Submission, case: Case, repeat: int) -> Attempt:
        """An attempt, made again while its host was noisy, as often as the settings allow."""
        for retries in range(self.settings.retry_noisy + 1):
            attempt = self.make(f"{name}-{retries}", submission, case, repeat)
            if not attempt.host.get("noisy"):
                break
        return replace(attempt, host=attempt.host | {"retries": retries})

    def make(self, name: str, submission: Submission, case: Case, repeat: int) -> Attempt:
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        before = host.read_host()
        protocol = self.settings.protocol
        try:
            file = visible_file(case, self.shown)
            job = Job(
                name=name,
                image_id=submission.image_id,
                team=submission.team,
                command=protocol.command,
                case_file=file,
                case_name=case.name,
                inputs=protocol.inputs,
                outputs=protocol.outputs,
                limits=self.settings.limits,
            )
            execution = self.engine.execute(job)
        except (HarnessFault, OSError) as error:
            return self._fault(submission, case, repeat, str(error), started)
        try:
            after = host.read_host()
            if not case.hidden_keys and execution.input_digest != case.digest:
                return self._fault(submission, case, repeat, f"{case.path} changed since the run began", started)
            verdict = judge(execution, case, self.settings.strict_exit)
            return self._record(submission, case, repeat, execution, verdict, started, (before, after))
        except HarnessFault as error:  # the host could not read the prediction: nobody is charged
            return self._fault(submission, case, repeat, str(error), started)
        except OSError as error:
            return self._fault(submission, case, repeat, f"the attempt's files cannot be kept: {error}", started)
        finally:
            self.engine.finish()

    def _fault(self, submission: Submission, case: Case, repeat: int, reason: str, started: str) -> Attempt:
        """An attempt without a result; no prediction of an earlier image may stand in its place."""
        with suppress(OSError):
            self.out.prediction(submission.team, case.name, repeat).unlink(missing_ok=True)
        return _fault(submission, case, repeat, reason, started)

    def _record(
        self,
        submission: Submission,
        case: Case,
        repeat: int,
        execution: Execution,
        verdict: Verdict,
        started: str,
        readings: tuple[host.HostReading, host.HostReading],
    ) -> Attempt:
        team = submission.team
        kept = self.out.prediction(team, case.name, repeat)
        digest = None
        if verdict.prediction is not None:
            digest = _keep(verdict.prediction, kept)
        else:
            kept.unlink(missing_ok=True)  # of an earlier image of this team
        log = self.out.log(team, case.name, repeat)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(execution.log, encoding="utf-8")
        return Attempt(
            team=team,
            case=case.name,
            task=case.task,
            repeat=repeat,
            outcome=verdict.outcome,
            reason=verdict.reason,
            exit_code=execution.exit_code,
            phases=execution.phases,
            resources=execution.resources,
            prediction_digest=digest,
            input_digest=execution.input_digest,
            extra_files=execution.output.extra,
            host=host.certificate(*readings, execution.phases.wall_s or 0.0, execution.resources.cpu_s),
            started=started,
        )


def _fault(submission: Submission, case: Case, repeat: int, reason: str, started: str) -> Attempt:
    return Attempt(
        team=submission.team,
        case=case.name,
        task=case.task,
        repeat=repeat,
        outcome=Outcome.HARNESS_FAULT,
        reason=reason,
        exit_code=None,
        phases=Phases(),
        resources=Resources(),
        prediction_digest=None,
        input_digest="",
        extra_files=(),
        host={},
        started=started,
    )


def _keep(prediction: Path, target: Path) -> str:
    """Copy an accepted prediction to where it stays, durably; returns its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.tmp")
    digest = hashlib.sha256()
    with open(prediction, "rb") as reader, open(draft, "wb") as writer:
        while piece := reader.read(1 << 20):
            digest.update(piece)
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())
    os.replace(draft, target)
    return digest.hexdigest()
