"""Every exception the harness raises on purpose, and the exit code that each ends in.

    HarnessError
    ├── UsageError                exit 2: what was asked for cannot be done as asked
    │   ├── InputError            exit 2: a case, reference or table is broken (names file, fault, remedy)
    │   └── SubmissionError       exit 2: a submission cannot be turned into an image
    ├── PredictionError           never ends a command: the submission's fault, becomes an outcome
    └── HarnessFault              exit 3: ours, or the host's
        ├── EngineError           the container engine is missing, unreachable or failed
        └── LedgerError           the ledger cannot be read or written

A participant's fault and the harness's own fault are different families, because only the second may
ever leave a result undecided.  This module needs the standard library alone: it travels into images
beside `harness.contract`.
"""

from __future__ import annotations

from pathlib import Path

EXIT_OK = 0
EXIT_SUBMISSION_FAILED = 1
EXIT_USAGE = 2
EXIT_FAULT = 3
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Base of all errors raised on purpose; its text is shown to the user as it is."""

    exit_code = EXIT_FAULT


class UsageError(HarnessError):
    """The command cannot be carried out as given."""

    exit_code = EXIT_USAGE


class InputError(UsageError):
    """A file given to the harness is broken.

    Carries the file, the fault and the remedy apart, so that callers can put them into tables.
    """

    def __init__(self, path: str | Path, fault: str, remedy: str) -> None:
        self.path = Path(path)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"{path}: {fault}. {remedy}")


class SubmissionError(UsageError):
    """A submission cannot be turned into a runnable image."""


class PredictionError(HarnessError):
    """A submission's output file is not an acceptable prediction; becomes the outcome's reason."""

    def __init__(self, path: str | Path, fault: str, remedy: str) -> None:
        self.path = Path(path)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"{path}: {fault}. {remedy}")


class HarnessFault(HarnessError):
    """The harness or its host failed; no submission is charged for it."""


class EngineError(HarnessFault):
    """The container engine is missing, unreachable or answered with an error."""


class LedgerError(HarnessFault):
    """The ledger of a run cannot be read or written."""
