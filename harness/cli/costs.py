"""`harness costs`: time, memory and phases of a finished run as tables and a figure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from harness.cli.console import error_console, output_console
from harness.errors import EXIT_OK, InputError, UsageError
from harness.layout import OutDir

SUMMARY = "Tell what a run cost: seconds and memory by case, ratios to a baseline, where the time goes."

EPILOG = """\
Reads results.csv, manifest.json (sizes, numbers of boxes, labels) and logs/ of a run's folder, and writes into it:
  costs.csv    a row an attempt
  costs.md     a row a case: size, objects, seconds and peak memory of each submission; failures, medians, ratios
  phases.svg   a stacked bar a submission: mean seconds of 2D and of 3D cases by phase

A submission tells its phases by one line a case, to stdout or stderr; without it only the container and the time
inside are known:
  phases CASE import 0.512 load 0.210 read 0.012 encode 9.310 decode 1.201 other 0.080 write 0.009 slices 28 masks 129
docs/running.md says what each word means.

examples:
  harness costs --out outputs/final
  harness costs --out outputs/reference-samples --baseline litemedsam

exit codes: 0 written, 2 no results table, no such baseline, or the files cannot be written
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="output folder of a run")
    parser.add_argument("--baseline", metavar="TEAM", help="the submission whose wall times are the others' measure")


def execute(args: argparse.Namespace) -> int:
    """Write the three files and say where they are."""
    from harness.cost_tables import cost_page, cost_rows
    from harness.costs import costs_of, fold, ratios
    from harness.results import read_results

    out = OutDir(args.out)
    attempts = read_results(out.results)
    if missing := {"team", "case"} - set(attempts.columns):
        raise InputError(out.results, f"column {sorted(missing)[0]!r} is missing", "Give the folder of a run.")
    attempts = attempts[attempts["team"].notna() & attempts["case"].notna()]
    if attempts.empty:
        raise InputError(out.results, "it holds no attempt", "Run at least one submission on one case first.")
    manifest = _manifest(out.manifest)
    costs = costs_of(attempts, manifest, out)
    teams = sorted({cost.team for cost in costs})
    if args.baseline is not None and args.baseline not in teams:
        raise UsageError(f"{out.results}: no team {args.baseline!r}. Name one of {', '.join(teams)}.")
    folded = fold(costs)
    against = ratios(folded, args.baseline) if args.baseline is not None else []
    page = cost_page(costs, folded, against, manifest, args.baseline)
    try:
        _write(out, cost_rows(costs), page, _figure(folded, args.baseline))
    except OSError as error:
        fault = f"the costs cannot be written ({error.strerror or error})"
        raise InputError(out.root, fault, "Make room and allow writing there.") from error
    for cost in costs:
        if cost.told.reason:
            text = f"warning: {cost.team} on {cost.case}: its phases line is not used: {cost.told.reason}"
            error_console().print(text, style="yellow", markup=False, highlight=False)
    text = f"costs of {len(costs)} attempts: {out.costs_page}, {out.costs}"
    text += f", {out.phases_figure}" if out.phases_figure.exists() else ""
    output_console().print(text, markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest; empty, with a warning, where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fault = "no such file"
    except (OSError, ValueError, RecursionError) as error:
        fault = f"it cannot be read as JSON ({error})"
    else:
        if isinstance(found, dict):
            return found
        fault = "it does not hold a JSON object"
    text = f"warning: {path}: {fault}. Sizes, numbers of objects and labels stay empty; harness run writes it."
    error_console().print(text, style="yellow", markup=False, highlight=False)
    return {}


def _figure(folded: dict[Any, Any], baseline: str | None) -> bytes | None:
    """``phases.svg``, the baseline on top; None where no wall time is known."""
    from harness.report.figures.phases import means_of, phases_drawing  # loads matplotlib
    from harness.report.figures.style import cut

    means = means_of(list(folded.values()))
    teams = sorted({team for by_team in means.values() for team in by_team}, key=lambda team: (team != baseline, team))
    drawn = phases_drawing(means, teams, [cut(team) for team in teams])
    return None if drawn is None else drawn.svg


def _write(out: OutDir, rows: list[dict[str, Any]], page: str, figure: bytes | None) -> None:
    """Write all files, each whole or not at all; a figure of earlier costs that is not drawn any more goes."""
    import pandas as pd

    from harness.results import write_csv

    frame = pd.DataFrame(rows)
    whole = ("boxes", "peak_bytes", "peak_anon_bytes", "slices", "masks")
    write_csv(out.costs, frame.astype(dict.fromkeys(whole, "Int64")))
    for path, content in ((out.costs_page, page.encode("utf-8", "replace")), (out.phases_figure, figure)):
        if content is None:
            path.unlink(missing_ok=True)
            continue
        draft = path.with_name(f".{path.name}.tmp")
        draft.write_bytes(content)
        draft.replace(path)
