"""`harness check`: one command for participants and CI, does my image work?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.chain import Summary
from harness.cli.console import error_console, output_console
from harness.cli.evaluate import run_and_score
from harness.cli.options import add_run_options, count, out_folder, run_settings
from harness.cli.rank import print_ranking
from harness.cli.show import show_advice
from harness.errors import EXIT_OK, EXIT_SUBMISSION_FAILED, UsageError
from harness.layout import OutDir
from harness.records import FAILURES, Outcome
from harness.results import read_results, write_csv
from harness.submissions import parse_submission

SUMMARY = "Check that a submission works: run it on sample cases, and say what to mend."
EPILOG = """\
A SUBMISSION is a docker save tarball, an image tag, or a folder with a Dockerfile; TEAM= names its team.
It is run under the conditions of the ranking: a fresh container for each case, CPU only, 8 GiB of memory, no network.
Without --cases and --gts the project's own sample cases are used; harness samples makes more.

For each case the table says how it ended, its scores, time and memory; for each failure, what to mend and which file
holds what the container wrote. --against a results table (of the demo, say) shows about where the submission would
rank, on the cases that both have. Checked again, an image is run only on cases that have no result of it yet; another
--out starts anew.

examples:
  harness check myimage:latest
  harness check team.tar.gz --cases mycases/imgs --gts mycases/gts
  harness check . --against outputs/demo/results.csv
  harness check myimage --time-limit 60 --junit check.xml --json check.json
      in CI: a hanging container costs a minute a case, the exit code is the verdict

exit codes: 0 it works on every case, 1 it fails somewhere, 2 bad usage or input, 3 harness fault, 130 interrupted."""

_SAMPLES = Path("inputs")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("submission", metavar="SUBMISSION", help="[TEAM=]tarball, image tag or folder")
    parser.add_argument("--cases", metavar="DIR", help="folder of case .npz files (default: inputs/imgs)")
    parser.add_argument("--gts", metavar="DIR", help="folder of references (default: inputs/gts)")
    parser.add_argument(
        "--out", default="outputs/check", metavar="DIR", help="results, logs, predictions (default: outputs/check)"
    )
    parser.add_argument("--against", metavar="RESULTS", help="results.csv of a run to rank beside")
    parser.add_argument("--junit", metavar="FILE", help="write the outcomes as JUnit XML too, a test a case")
    parser.add_argument("--json", metavar="FILE", help="write the outcomes as JSON too")
    parser.add_argument("--workers", type=count, metavar="N", help="scoring processes (default: one a CPU)")
    add_run_options(parser)


def execute(args: argparse.Namespace) -> int:
    """Do it; the exit code."""
    if (args.cases is None) != (args.gts is None):
        raise UsageError("--cases and --gts go together: give both, or neither for the sample cases.")
    if args.cases is None and not _SAMPLES.is_dir():
        raise UsageError("there is no folder inputs/ here: give --cases and --gts (harness samples makes some).")
    chain = argparse.Namespace(**vars(args))
    chain.submissions = [args.submission]
    chain.cases = args.cases or str(_SAMPLES / "imgs")
    chain.gts = args.gts or str(_SAMPLES / "gts")
    chain.score_only = False
    team = parse_submission(args.submission).team
    _check_files(args)
    out = OutDir(out_folder(args.out))
    summary = run_and_score(chain, out, run_settings(chain))
    frame = read_results(out.results)
    own = frame[frame["team"] == team]  # the folder may hold other teams' checks
    _show(output_console(), own)
    show_advice(output_console(), own["outcome"])
    failed = own[own["outcome"] != Outcome.OK]
    for row in failed.to_dict("records"):
        log = out.log(team, str(row["case"]), int(row["repeat"]))
        output_console().print(f"log: {log}", markup=False, highlight=False)
    if args.json:
        Path(args.json).write_text(json.dumps(_verdicts(own, team), indent=1) + "\n")
    if args.junit:
        _write_junit(Path(args.junit), own, team)
    if args.against:
        _rank_beside(own, args, out)
    mine = int(own["outcome"].isin([outcome.value for outcome in FAILURES]).sum())
    faults = int((own["outcome"] == Outcome.HARNESS_FAULT).sum())
    code = Summary(len(own), mine, faults, summary.bad_references).exit_code()
    if code not in (EXIT_OK, EXIT_SUBMISSION_FAILED):
        return code
    verdict = f"{team} fails on {len(failed)} of {len(own)} cases" if mine else f"{team} works on all {len(own)} cases"
    output_console().print(verdict, style="bold red" if mine else "bold green", markup=False, highlight=False)
    return code


def _check_files(args: argparse.Namespace) -> None:
    """Refuse files that cannot be read or written before anything is run."""
    for path in (Path(name) for name in (args.json, args.junit) if name):
        if path.is_dir() or not path.parent.is_dir():
            raise UsageError(f"{path}: not a file in an existing folder. Make the folder or choose another file.")
    if args.against:
        read_results(args.against)


def _show(console: Console, rows: pd.DataFrame) -> None:
    table = Table()
    for name in ("case", "outcome", "DSC", "NSD", "seconds", "peak memory", "remarks"):
        table.add_column(name, justify="right" if name in ("DSC", "NSD", "seconds", "peak memory") else "left")
    for row in rows.to_dict("records"):
        peak = row["peak_bytes"]
        table.add_row(
            escape(str(row["case"])),
            str(row["outcome"]),
            *("" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in ("dsc", "nsd")),
            "" if pd.isna(row["wall_s"]) else f"{row['wall_s']:.2f}",
            "" if pd.isna(peak) else f"{peak / 2**30:.2f} GiB",
            "" if pd.isna(row["reason"]) else escape(str(row["reason"])),
        )
    console.print(table)


def _verdicts(rows: pd.DataFrame, team: str) -> dict[str, Any]:
    cases = json.loads(rows.drop(columns="team").to_json(orient="records"))
    return {"team": team, "ok": bool((rows["outcome"] == Outcome.OK).all()), "cases": cases}


def _write_junit(path: Path, rows: pd.DataFrame, team: str) -> None:
    from xml.etree import ElementTree as Xml

    charged = rows["outcome"].isin([outcome.value for outcome in FAILURES])
    errors = len(rows) - int(charged.sum()) - int((rows["outcome"] == Outcome.OK).sum())
    counts = {"tests": len(rows), "failures": int(charged.sum()), "errors": errors}
    suite = Xml.Element("testsuite", {"name": team} | {kind: str(number) for kind, number in counts.items()})
    for row in rows.to_dict("records"):
        seconds = 0.0 if pd.isna(row["wall_s"]) else row["wall_s"]
        case = Xml.SubElement(suite, "testcase", classname=team, name=str(row["case"]), time=f"{seconds:.3f}")
        if row["outcome"] != Outcome.OK:
            kind = "failure" if row["outcome"] in FAILURES else "error"  # nobody's fault, or the organizer's
            Xml.SubElement(case, kind, type=str(row["outcome"]), message=str(row["reason"]))
    Xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _rank_beside(own: pd.DataFrame, args: argparse.Namespace, out: OutDir) -> None:
    """Rank the submission beside the teams of another table, on the cases that both have."""
    from harness.protocol import load_protocol
    from harness.rank.analysis import Settings, analyse

    other = read_results(args.against)
    other = other[other["team"] != own["team"].iloc[0]]
    common = set(own["case"]) & set(other["case"])
    if not common:
        raise UsageError(f"{args.against}: has no case in common with this check, so there is nothing to rank on.")
    joined = pd.concat([own, other])
    path = out.root / "beside.csv"
    write_csv(path, joined[joined["case"].isin(common)])
    error_console().print(f"about where it would rank, on {len(common)} cases beside {args.against}:", highlight=False)
    print_ranking(analyse([path], Settings(protocol=load_protocol(args.protocol), seed=args.seed)))
