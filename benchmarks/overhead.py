"""What the harness adds to a container: time per attempt over plain ``docker container run --rm``.

    make bench        or        .venv/bin/python benchmarks/overhead.py [--cases 30] [--rounds 5]

The submission does no work: its predict.sh copies a ready prediction of the right shape into outputs.  A
round runs it on all cases by the harness (inputs laid out, limits, control group, log, removal, output
checked and accepted, ledger committed; only the harness's start-up is left out), then as often by the
docker command line with the same two mounts.  One container is alive at a time in both.  Printed: the
time per attempt of both in each round and the median of the rounds' ratios; it should be 1.0 or less.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from harness import contract
from harness.cases import load_cases
from harness.layout import OutDir
from harness.ledger import open_ledger
from harness.npz import write_npz
from harness.protocol import load_protocol
from harness.records import Attempt, Outcome, Submission
from harness.run.daemon import connect
from harness.run.docker_engine import open_docker_engine
from harness.run.engine import Engine
from harness.run.images import resolve
from harness.run.plan import Planned
from harness.run.runner import RunSettings, run_attempts
from harness.submissions import parse_submission

PREDICT = """\
for file in /workspace/inputs/*.npz; do
  cp /ready.npz "/workspace/outputs/${file##*/}"
done
"""


class Stopwatch:
    """Notes when the first attempt began and when the last one was recorded (a runner's listener)."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.attempts = 0

    def planned(self, total: int, missing: int) -> None:
        """Nothing to note."""

    def began(self, planned: Planned) -> None:
        """An attempt begins."""
        self.first = self.first or time.monotonic()

    def ended(self, attempt: Attempt) -> None:
        """An attempt is recorded."""
        if attempt.outcome is not Outcome.OK:
            sys.exit(f"{attempt.case}: {attempt.outcome} ({attempt.reason}), so nothing was measured")
        self.last = time.monotonic()
        self.attempts += 1


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        submission = make_submission(folder / "idle")
        make_cases(folder / "cases", args.cases)
        ratios = []
        for number in range(1, args.rounds + 1):
            ours = harness_seconds(submission, folder / "cases", folder / f"out{number}")
            plain = command_line_seconds(submission, folder / "cases", folder / "plain")
            ratios.append(ours / plain)
            print(
                f"round {number}: harness {ours:.3f} s, docker run {plain:.3f} s an attempt, ratio {ours / plain:.3f}"
            )
    print(f"median ratio of {args.rounds} rounds of {args.cases} cases: {statistics.median(ratios):.3f}")
    return 0


def make_submission(folder: Path) -> Submission:
    """An image that copies a ready prediction."""
    folder.mkdir()
    (folder / "predict.sh").write_text(PREDICT)
    contract.write_prediction(folder / "ready.npz", np.ones((64, 64), np.uint8))
    base = "python:3.11-slim-bookworm"
    client = connect()
    if not client.images(name=base):
        base = "cvpr24-base:bookworm"
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nCOPY ready.npz /ready.npz\nWORKDIR /workspace\nCOPY predict.sh .\nUSER 1000:1000\n"
    )
    return resolve(client, parse_submission(f"idle={folder}")).submission


def make_cases(folder: Path, count: int) -> None:
    """Small 2D cases."""
    folder.mkdir()
    image = np.zeros((64, 64, 3), np.uint8)
    for number in range(count):
        arrays = {"imgs": image, "boxes": np.array([[0, 0, 64, 64]])}
        write_npz(folder / f"2DBox_US_{number:04}.npz", arrays)


def harness_seconds(submission: Submission, cases: Path, out: Path) -> float:
    """Seconds per attempt by the harness, from the first attempt's begin to the last one's record."""
    protocol = load_protocol()
    settings = RunSettings(protocol, protocol.limits, "strict", "interleaved", seed=0, repeats=1)
    clock = Stopwatch()
    out.mkdir()

    def opened(largest: int) -> AbstractContextManager[Engine]:
        return open_docker_engine(settings.limits, largest)

    with open_ledger(OutDir(out).ledger) as ledger:
        found = load_cases(cases, protocol, ledger)
        run_attempts(OutDir(out), ledger, settings, [submission], found, opened, clock)
    return (clock.last - clock.first) / clock.attempts


def command_line_seconds(submission: Submission, cases: Path, folder: Path) -> float:
    """Seconds per container by ``docker container run --rm`` with the same mounts."""
    inputs, outputs = folder / "inputs", folder / "outputs"
    for mount in (inputs, outputs):
        mount.mkdir(parents=True, exist_ok=True)
        mount.chmod(0o777)
    files = sorted(cases.iterdir())
    total = 0.0
    for file in files:
        copy = Path(shutil.copy(file, inputs))
        command = ["docker", "container", "run", "--rm", "-v", f"{inputs}:/workspace/inputs"]
        command += ["-v", f"{outputs}:/workspace/outputs", submission.image_id, "/bin/bash", "-c", "sh predict.sh"]
        began = time.monotonic()
        subprocess.run(command, check=True)
        total += time.monotonic() - began
        (outputs / file.name).unlink()
        copy.unlink()
    return total / len(files)


if __name__ == "__main__":
    sys.exit(main())
