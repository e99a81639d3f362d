"""Deciding how an attempt ended, and whether its output is a prediction."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass
from pathlib import Path

from harness import contract
from harness.errors import PredictionError
from harness.records import Case, Outcome
from harness.run.engine import Execution

#: A prediction file may be as large as its array in 16-byte numbers plus this.
_FILE_SLACK = 64 << 20


@dataclass(frozen=True)
class Verdict:
    """How an attempt ended.

    Attributes:
        outcome: the first outcome that matches.
        reason: why; for outcome ok the flags worth knowing.
        prediction: the accepted file, None without one.
    """

    outcome: Outcome
    reason: str
    prediction: Path | None


def judge(execution: Execution, case: Case, strict_exit: bool = False) -> Verdict:
    """Judge an execution.

    Args:
        execution: what the engine saw.
        case: gives the shape that the prediction must have.
        strict_exit: let OOM kills and a non-zero exit code count against a valid prediction.
    """
    flags = _flags(execution)
    kills = execution.resources.oom_kills or 0
    killed = f"{kills} process{'es' if kills > 1 else ''} killed for memory"
    oom = Verdict(Outcome.OOM, _join(killed, *_exit(execution)), None)
    crash = Verdict(Outcome.CRASH, _join(*_exit(execution), _last_words(execution.log)), None)
    if execution.stopped == "timeout":
        return Verdict(Outcome.TIMEOUT, "still running at the time limit", None)
    if strict_exit and kills:
        return oom
    if strict_exit and execution.exit_code:
        return crash
    fault, notes = _check(execution, case)
    if fault == "":
        return Verdict(Outcome.OK, _join(*flags, *notes), execution.output.file)
    if execution.stopped == "disk_limit":
        return Verdict(Outcome.INVALID_OUTPUT, _join("disk_limit: it wrote more than the disk limit allows"), None)
    if kills:
        return oom
    if execution.exit_code:
        return crash
    if execution.output.file is not None:
        return Verdict(Outcome.INVALID_OUTPUT, fault, None)
    return Verdict(Outcome.NO_OUTPUT, _join(fault, *flags), None)


def _check(execution: Execution, case: Case) -> tuple[str, tuple[str, ...]]:
    """Why the output is no prediction ("" if it is one), and notes on it."""
    output = execution.output
    if execution.stopped == "disk_limit":
        return "disk_limit", ()
    if output.file is None:
        if output.unusable:
            return f"{case.name}.npz in outputs is not usable: {output.unusable}", ()
        return f"no {case.name}.npz in outputs", ()
    if output.links > 1:
        return f"the file has {output.links} hard links, so others could change it", ()
    shape = contract.segmentation_shape(case.name, case.image_shape)
    if output.bytes > math.prod(shape) * 16 + _FILE_SLACK:
        return f"disk_limit: {output.bytes} bytes are more than any prediction of shape {shape} needs", ()
    try:
        return "", contract.read_prediction(output.file, shape).notes
    except PredictionError as error:
        return f"{error.fault}. {error.remedy}", ()


def _flags(execution: Execution) -> list[str]:
    """What is worth knowing of an attempt that nevertheless left a valid prediction."""
    output, flags = execution.output, []
    if execution.exit_code:
        flags.append(f"exit_code={execution.exit_code}")
    if execution.resources.oom_kills:
        flags.append(f"oom_kills={execution.resources.oom_kills}")
    if output.input_changes:
        flags.append(f"input {output.input_changes}")
    if output.input_extra:
        flags.append("left files in inputs")
    if output.extra:
        flags.append(f"other files in outputs: {', '.join(output.extra[:5])}")
    return flags


def _exit(execution: Execution) -> list[str]:
    code = execution.exit_code
    if not code:
        return []
    if code > 128 and (name := _signal_name(code - 128)):
        return [f"exit code {code} ({name})"]
    return [f"exit code {code}"]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _last_words(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
