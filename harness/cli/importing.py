"""`harness import`: results of the challenge's own scripts, into a results table that can be ranked."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from harness.cli.console import error_console, output_console
from harness.errors import EXIT_FAULT, EXIT_OK, EXIT_SUBMISSION_FAILED, EXIT_USAGE, UsageError
from harness.protocol import DEFAULT_PROTOCOL, Protocol, load_protocol
from harness.records import FAILURES, Outcome, Score

SUMMARY = "Take in a finished run of the official scripts: its runtimes, with its scores or segmentations."

EPILOG = """\
--times is the official TEAM_running_time.csv (CaseName,RunningTime). --scores is the official evaluator's table
(case,dsc,nsd) or that of harness score; instead of it, --preds and --gts have the segmentations scored here.

DIR/results.csv then holds the team's rows, beside those of teams imported before; DIR/manifest.json says what
they were made from. A case with a runtime and no score counts as failed. docs/importing.md tells the rest.

examples:
  harness import --team alpha --times alpha_running_time.csv --scores alpha_metrics.csv --out outputs/official
  harness import --team beta --times demo_seg/beta/beta_running_time.csv --preds demo_seg/beta --gts gts \\
      --out outputs/official
  python rank.py outputs/official --out outputs/official
      then rank the teams, and write the report
  python rank.py outputs/official outputs/run1 --out outputs/both
      or rank them together with a run of one's own

exit codes:
  0 every case has a runtime and a score   1 some case failed or lacks one of them
  2 a table is broken, a reference too, or usage   3 a fault of ours
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("--team", required=True, metavar="TEAM", help="whose results these are")
    add("--times", type=Path, required=True, metavar="CSV", help="runtimes: CaseName,RunningTime (seconds)")
    add("--scores", type=Path, metavar="CSV", help="scores: case,dsc,nsd")
    add("--preds", type=Path, metavar="DIR", help="segmentations to score instead, CASE.npz with key segs")
    add("--gts", type=Path, metavar="DIR", help="their references, CASE.npz with key gts")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of imported results; teams there are kept")
    add("--replace", action="store_true", help="put these results in the place of the team's earlier ones")
    add("--workers", type=int, metavar="N", help="scoring processes (default: the CPUs that may be used)")
    add("--protocol", default=DEFAULT_PROTOCOL, metavar="NAME|FILE", help="tasks, scoring, failure values")


def execute(args: argparse.Namespace) -> int:
    """Import; the exit code says how complete the results are."""
    from harness.import_folder import open_import_folder, source_of
    from harness.imports import import_rows, team_name
    from harness.official_tables import read_scores, read_times

    _check(args)
    team, protocol = team_name(args.team), load_protocol(args.protocol)
    times = read_times(args.times)
    scores = read_scores(args.scores, protocol.scoring.also) if args.scores else None
    sources, notes = source_of(args.times, args.scores), _name_note(args.times, team)
    with open_import_folder(args.out, protocol) as folder:
        if not args.replace:
            folder.refuse_twice(team)
        if args.preds:
            scores, more = _scored(args, times, protocol, sources)
            notes += more
        imported = import_rows(team, times, scores, protocol, notes)
        teams = folder.put(team, imported, sources)
    for note in imported.notes:
        error_console().print(f"warning: {note}", style="yellow", markup=False, highlight=False)
    counts = Counter(row["outcome"] or "not scored" for row in imported.rows)
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())
    output_console().print(
        f"{team}: {len(imported.rows)} cases ({outcomes}); {folder.out.results} now holds {', '.join(teams)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return _exit_code(counts, imported.lacking)


def _check(args: argparse.Namespace) -> None:
    if args.scores and (args.preds or args.gts):
        raise UsageError("--scores has the scores already: leave --preds and --gts out, or --scores.")
    if (args.preds is None) != (args.gts is None):
        raise UsageError("--preds and --gts go together: give both.")
    if args.workers is not None and args.workers < 1:
        raise UsageError(f"--workers {args.workers}: at least 1.")


def _name_note(times: Path, team: str) -> list[str]:
    """A table named for another team is one mistake that nothing later would show."""
    named = times.name.removesuffix("_running_time.csv").lower()
    return [f"{times.name} is imported as team {team}"] if named not in (times.name.lower(), team) else []


def _scored(
    args: argparse.Namespace, times: dict[str, float], protocol: Protocol, sources: dict[str, Any]
) -> tuple[dict[str, Score], list[str]]:
    """Scores made here; what they were made from joins the sources."""
    from harness.cases import reference_files
    from harness.cli.progress import bar
    from harness.import_folder import files_source
    from harness.imports import score_folders
    from harness.score.batch import default_workers
    from harness.score.files import scorer_key

    workers = args.workers or default_workers()
    with bar(error_console(), "score") as shown:
        scores, notes = score_folders(
            times, args.preds, args.gts, protocol.scoring, workers, lambda done, total: shown.advance(done, total, "")
        )
    references = reference_files(args.gts)
    sources |= files_source("preds", args.preds, (args.preds / f"{case}.npz" for case in scores))
    sources |= files_source("gts", args.gts, (references[case] for case in scores))
    sources["scorer"] = scorer_key(protocol.scoring)
    broken = [f"{case}: {score.reason}" for case, score in scores.items() if score.outcome is Outcome.BAD_REFERENCE]
    return scores, notes + broken


def _exit_code(counts: Counter[str], lacking: int) -> int:
    if counts[Outcome.HARNESS_FAULT]:
        return EXIT_FAULT
    if counts[Outcome.BAD_REFERENCE]:
        return EXIT_USAGE
    return EXIT_SUBMISSION_FAILED if lacking or counts.keys() & FAILURES else EXIT_OK
