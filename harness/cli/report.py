"""`harness report`: the page about a run, from the files of its output folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.console import output_console
from harness.errors import EXIT_OK

SUMMARY = "Write a run's report.html, one self-contained page with tables and figures."

EPILOG = """\
Reads only files of the output folder: results.csv, and where they are there the ranking's files,
manifest.json and predictions/. What is missing is left out of the page, which says so.
Pictures of the best and worst cases need the case files and references; their folders are taken
from the manifest unless given.

examples:
  harness report --out outputs/demo
  harness report --out outputs/demo --cases inputs/imgs --gts inputs/gts

exit codes: 0 written, 2 no results table, or the page cannot be written
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder of a run")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="folder of the case files, for the pictures")
    parser.add_argument("--gts", type=Path, metavar="DIR", help="folder of the references, for the pictures")


def execute(args: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from harness.report import write_report

    page = write_report(args.out, args.cases, args.gts)
    output_console().print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_OK
