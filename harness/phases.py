"""What a submission says of its own time: the phases line in an attempt's log.

A submission may write, to stdout or stderr, one line a case:

    phases CASE import 0.512 load 0.210 read 0.012 encode 9.310 decode 1.201 other 0.080 write 0.009 slices 28 masks 129

Seconds of wall time that do not overlap, from its process's start to its end.  It is the submission's
word and nothing is ranked by it; what is missing to the attempt's measured wall time is the container.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

#: The phases in order, as the line names them.
PHASES = ("import", "load", "read", "encode", "decode", "other", "write")
#: Counts that may follow.
COUNTS = ("slices", "masks")
#: What seven figures rounded to milliseconds, and the clocks of two processes, may exceed the wall time by.
ROUNDING_S = 0.01

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_COUNT = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class ToldPhases:
    """Where a submission says that its time went, in seconds.

    Attributes:
        import_s: from its process's start to its own first line: interpreter, libraries.
        load_s: its networks.
        read_s: waiting for the case to be read.
        encode_s, decode_s: image encoder; prompt encoder and mask decoder.
        other_s: all else before writing.
        write_s: the prediction.
        slices, masks: encoder passes, decoded boxes; None where it does not say.
    """

    import_s: float
    load_s: float
    read_s: float
    encode_s: float
    decode_s: float
    other_s: float
    write_s: float
    slices: int | None = None
    masks: int | None = None

    @property
    def seconds(self) -> tuple[float, ...]:
        """The seven in the order of `PHASES`."""
        return (
            self.import_s,
            self.load_s,
            self.read_s,
            self.encode_s,
            self.decode_s,
            self.other_s,
            self.write_s,
        )

    @property
    def total_s(self) -> float:
        """Their sum."""
        return math.fsum(self.seconds)


@dataclass(frozen=True)
class Told:
    """What a log tells.

    Attributes:
        phases: None where the submission tells nothing that can be used.
        reason: why a line that is there is not used; "" otherwise.
    """

    phases: ToldPhases | None = None
    reason: str = ""


def read_phases(log: str, case: str, wall_s: float | None) -> Told:
    """The phases line of a case in an attempt's log.

    Of several lines of this case the last one counts, those of other cases do not; blanks, and the order
    of the words behind the case, are free.

    Args:
        log: what the attempt wrote.
        case: the case's name.
        wall_s: the attempt's wall time as measured, which the phases cannot exceed; None: not known.
    """
    found = [line for line in log.splitlines() if _is_of(line, case)]
    if not found:
        return Told()
    words = found[-1].split()[1 + len(case.split()) :]
    try:
        phases = _parsed(words)
    except ValueError as error:
        return Told(reason=str(error))
    if wall_s is not None and phases.total_s > wall_s + ROUNDING_S:
        return Told(reason=f"its phases add up to {phases.total_s:.3f} s, more than the {wall_s:.3f} s measured")
    return Told(phases)


def _is_of(line: str, case: str) -> bool:
    if "phases" not in line:  # most lines of a long log
        return False
    words, wanted = line.split(), ["phases", *case.split()]
    return words[: len(wanted)] == wanted


def _parsed(words: list[str]) -> ToldPhases:
    """Phases from ``import 0.5 load 0.2 ...``; a ValueError says what is wrong."""
    names, values = words[::2], words[1::2]
    if len(names) != len(values):
        raise ValueError(f"{names[-1][:40]!r} has no value")
    for name in names:
        if name not in (*PHASES, *COUNTS):
            raise ValueError(f"{name[:40]!r} is no phase")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice")
    if lacking := [name for name in PHASES if name not in names]:
        raise ValueError(f"{lacking[0]!r} is missing")
    told = dict(zip(names, values, strict=True))
    for name, value in told.items():
        if not (_COUNT if name in COUNTS else _SECONDS).fullmatch(value):
            kind = "no whole number" if name in COUNTS else "no plain number of seconds"
            raise ValueError(f"{name} {value[:40]!r} is {kind}")
    return ToldPhases(
        import_s=float(told["import"]),
        load_s=float(told["load"]),
        read_s=float(told["read"]),
        encode_s=float(told["encode"]),
        decode_s=float(told["decode"]),
        other_s=float(told["other"]),
        write_s=float(told["write"]),
        slices=int(told["slices"]) if "slices" in told else None,
        masks=int(told["masks"]) if "masks" in told else None,
    )
