"""`harness run`: start every submission on every case, and record what happened."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from harness.chain import Summary, collect
from harness.cli.console import error_console
from harness.cli.options import add_run_options, out_folder, ranked_runtime, run_settings
from harness.cli.progress import RunProgress, bar
from harness.errors import EXIT_INTERRUPTED
from harness.layout import OutDir
from harness.ledger import Ledger, open_ledger
from harness.run.runner import RunSettings
from harness.run.stage import Brought, run_stage
from harness.submissions import parse_submissions

#: Settings of a run that scoring again needs, in the ledger under these names and the settings' digest.
RUNTIME_OF, TIME_LIMIT_OF = "runtime of ", "time_limit_s of "

SUMMARY = "Run submissions on cases, each attempt in a fresh container under the challenge's limits."
EPILOG = """\
A SUBMISSION is a docker save tarball, an image tag, or a folder with a Dockerfile; TEAM= names its team.
Stopped at any moment, the same command goes on where it was; nothing that has a result is run again.

examples:
  harness run team1.tar.gz team2.tar.gz --cases inputs/imgs --out outputs/run1
  harness run mine=myimage:v3 docker/boxfill --cases inputs/imgs --out outputs/try --time-limit 60
  harness run myimage --cases inputs/imgs --out outputs/timing --repeats 5 --cpuset 0-3

then: evaluate.py --score-only with the same options scores, ranks and reports; without it evaluate.py does all.
exit codes: 0 every attempt ok, 1 some submission failed somewhere, 2 bad usage or input, 3 harness fault,
130 interrupted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("submissions", nargs="+", metavar="SUBMISSION", help="[TEAM=]tarball, image tag or folder")
    parser.add_argument("--cases", required=True, metavar="DIR", help="folder of case .npz files")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder; an existing run is added to")
    add_run_options(parser)


def execute(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    settings = run_settings(args)
    out = OutDir(out_folder(args.out))
    with resume_advice(out), open_ledger(out.ledger) as ledger:
        summary = run(args, out, ledger, settings)
    error_console().print(f"{summary.attempts} attempts in {out.results}", highlight=False, markup=False)
    return summary.exit_code()


def run(args: argparse.Namespace, out: OutDir, ledger: Ledger, settings: RunSettings) -> Summary:
    """The run itself, up to the results table without scores."""
    console = error_console()
    specs = parse_submissions(args.submissions)
    gts = getattr(args, "gts", None)
    with bar(console, "run") as shown:
        brought = Brought(specs, Path(args.cases), Path(gts) if gts else None)
        progress = RunProgress(shown)
        runtime = ranked_runtime(args, settings.protocol)
        ledger.set_meta(f"{RUNTIME_OF}{settings.digest()}", runtime)
        ledger.set_meta(f"{TIME_LIMIT_OF}{settings.digest()}", repr(settings.limits.time_limit_s))
        run_stage(out, ledger, settings, brought, runtime, progress, shown.say)
        if old := ledger.outdated():
            shown.say(f"{old} earlier attempts, made with another image, case, limit or host, are not counted")
    attempts = ledger.attempts(settings.digest())
    return collect(out, settings.protocol, attempts, {}, {}, runtime, settings.limits.time_limit_s)


@contextmanager
def resume_advice(out: OutDir) -> Iterator[None]:
    """Turn SIGTERM into an interrupt, and say on any interrupt how to go on."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        error_console().print(
            f"interrupted: nothing is left running, and every finished attempt is kept in {out.ledger}.\n"
            "Give the same command again to go on.",
            style="yellow",
            markup=False,
            highlight=False,
        )
        raise SystemExit(EXIT_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
