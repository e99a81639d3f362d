"""`harness evaluate` and `evaluate.py`: run, score, rank and report in one command."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from harness.cases import load_cases
from harness.chain import Summary, collect, find_references, score_attempts
from harness.cli.console import error_console, output_console
from harness.cli.options import add_run_options, count, out_folder, ranked_runtime, run_settings, whole
from harness.cli.progress import bar
from harness.cli.rank import print_ranking
from harness.cli.run import RUNTIME_OF, TIME_LIMIT_OF, resume_advice, run
from harness.cli.score import further_names
from harness.cli.show import show_outcomes
from harness.errors import UsageError
from harness.layout import OutDir
from harness.ledger import Ledger, open_ledger
from harness.rank.analysis import Ranking, Settings, analyse
from harness.rank.further import further
from harness.rank.table import NotRankableError
from harness.rank.write import remove_ranking, write_ranking
from harness.run.runner import RunSettings
from harness.score.batch import default_workers
from harness.score.further import checked_names

SUMMARY = "Run submissions on cases, score their predictions, rank the teams and write a report."
EPILOG = """\
A SUBMISSION is a docker save tarball, an image tag, or a folder with a Dockerfile; TEAM= names its team.
Stopped at any moment, the same command goes on where it was. Another submission is added to an existing
--out by naming it: only what is missing runs, and all teams there are ranked together.

examples:
  # an organizer: all tarballs of a folder
  python evaluate.py submissions/*.tar.gz --cases cases/imgs --gts cases/gts --out outputs/final
  # add a late one
  python evaluate.py late.tar.gz --cases cases/imgs --gts cases/gts --out outputs/final
  # a participant: one image against the project's own floor
  python evaluate.py mine=myimage docker/boxfill docker/ellipse --cases inputs/imgs --gts inputs/gts --out outputs/mine
  # score and rank again what was run, without containers
  python evaluate.py --score-only --cases cases/imgs --gts cases/gts --out outputs/final

exit codes: 0 every attempt ok, 1 some submission failed somewhere, 2 bad usage or input (a broken reference
too), 3 harness fault, 130 interrupted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("submissions", nargs="*", metavar="SUBMISSION", help="[TEAM=]tarball, image tag or folder")
    parser.add_argument("--cases", required=True, metavar="DIR", help="folder of case .npz files")
    parser.add_argument("--gts", required=True, metavar="DIR", help="folder of references, named as the cases")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder; an existing run is added to")
    parser.add_argument("--score-only", action="store_true", help="run nothing: score again what was run")
    parser.add_argument("--no-rank", action="store_true", help="stop after the results table")
    parser.add_argument("--no-report", action="store_true", help="stop after the ranking")
    parser.add_argument("--workers", type=count, metavar="N", help="scoring processes (default: one a CPU)")
    parser.add_argument(
        "--also",
        type=further_names,
        metavar="NAME,...",
        help="further metrics in the results table, see harness score --help (default: the protocol's)",
    )
    parser.add_argument("--bootstrap", type=whole, metavar="N", help="samples, 0 for none (default: 1000)")
    add_run_options(parser)


def execute(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    if args.score_only and args.submissions:
        raise UsageError("--score-only runs nothing: leave the submissions out.")
    if not args.score_only and not args.submissions:
        raise UsageError("name at least one submission (or --score-only, to score again what was run).")
    settings = _with_further(run_settings(args), args.also)
    out = OutDir(out_folder(args.out))
    summary = run_and_score(args, out, settings)
    ranking = None if args.no_rank else _rank(args, out, settings, summary)
    show_outcomes(output_console(), out)
    if ranking is not None:
        print_ranking(ranking)
    if not args.no_report:
        _report(args, out)
    return summary.exit_code()


def _with_further(settings: RunSettings, names: tuple[str, ...] | None) -> RunSettings:
    """The settings with these further metrics in place of the protocol's; what is run stays the same."""
    if names is None:
        return settings
    protocol = settings.protocol
    also = checked_names(names, protocol)
    return replace(settings, protocol=replace(protocol, scoring=replace(protocol.scoring, also=also)))


def run_and_score(args: argparse.Namespace, out: OutDir, settings: RunSettings) -> Summary:
    """The chain up to the results table with scores."""
    gts = Path(args.gts)
    checked_names(settings.protocol.scoring.also, settings.protocol)  # before anything is run
    with resume_advice(out), open_ledger(out.ledger) as ledger:
        cases = load_cases(args.cases, settings.protocol, ledger)
        find_references(gts, cases)
        if not args.score_only:
            run(args, out, ledger, settings)
        summary = _score(args, out, ledger, settings, {case.name for case in cases})
    for case, reason in summary.bad_references.items():
        error_console().print(f"broken reference of {case}: {reason}", style="bold red", markup=False, highlight=False)
    return summary


def _score(args: argparse.Namespace, out: OutDir, ledger: Ledger, settings: RunSettings, names: set[str]) -> Summary:
    """Score the attempts on the named cases; others that the folder knows of have no reference here."""
    digest = ledger.meta("settings") if args.score_only else settings.digest()
    attempts = [attempt for attempt in ledger.attempts(digest) if attempt.case in names]
    if not attempts:
        raise UsageError(f"{out.ledger}: nothing has been run there on these cases yet. Run submissions first.")
    with bar(error_console(), "score") as shown:
        scores, bad = score_attempts(
            out,
            ledger,
            settings.protocol,
            attempts,
            Path(args.gts),
            args.workers or default_workers(),
            lambda done, total: shown.advance(done, total, ""),
        )
    # What only scores again takes from the run what is not named anew.
    before = ledger.meta(f"{RUNTIME_OF}{digest}") if args.score_only and args.runtime is None else ""
    runtime = before or ranked_runtime(args, settings.protocol)
    before = ledger.meta(f"{TIME_LIMIT_OF}{digest}") if args.score_only and args.time_limit is None else ""
    limit_s = float(before) if before else settings.limits.time_limit_s
    return collect(out, settings.protocol, attempts, scores, bad, runtime, limit_s)


def _rank(args: argparse.Namespace, out: OutDir, settings: RunSettings, summary: Summary) -> Ranking | None:
    """Rank; None (with a sentence) where there is nothing to rank, or not yet."""
    try:
        if summary.faults:
            raise NotRankableError(
                f"{summary.faults} attempts failed on the harness's side and wait to be made again. Give the same "
                "command again, or rank without their cases: rank.py --allow-incomplete"
            )
        ranking = analyse([out.root], Settings(protocol=settings.protocol, bootstrap=args.bootstrap, seed=args.seed))
    except NotRankableError as error:
        remove_ranking(out)
        error_console().print(f"no ranking: {error}", style="yellow", markup=False, highlight=False)
        return None
    write_ranking(ranking, further(ranking), out)
    return ranking


def _report(args: argparse.Namespace, out: OutDir) -> None:
    from harness.report import write_report  # drawing libraries load only when a report is made

    page = write_report(out.root, Path(args.cases), Path(args.gts))
    output_console().print(f"report: {page}", highlight=False, markup=False)
