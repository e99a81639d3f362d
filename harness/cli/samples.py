"""`harness samples`: sample cases with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.console import error_console, output_console
from harness.errors import EXIT_OK, UsageError

SUMMARY = "Make small synthetic cases, with references, for all eleven modalities."

EPILOG = """\
The same seed, size, numpy and Python give the same bytes. Two folders are written: imgs (what a submission
sees) and gts (the references, to score with). Eleven tasks, of which Microscopy comes as three kinds: --per-task 1
makes 13 cases. What is in them is drawn, not taken from patients: good for trying a submission out, not for judging it.

examples:
  harness samples --out mycases
      one case of each kind, as those in inputs/
  harness samples --out mycases --per-task 5 --seed 7
      65 cases, other ones
  harness samples --out mycases --size medium
      images of 512 pixels, volumes of 40 x 176 x 192
  harness evaluate docker/threshold --cases mycases/imgs --gts mycases/gts --out outputs/trial
      then run a submission on them

exit codes: 0 written, 2 the folder cannot be written to, or usage.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write imgs/ and gts/ into")
    parser.add_argument(
        "--seed", type=int, default=2024, metavar="N", help="other cases for another seed (default: 2024)"
    )
    parser.add_argument(
        "--per-task", type=int, default=1, metavar="N", help="cases of each kind in each task (default: 1)"
    )
    parser.add_argument(
        "--size",
        choices=("tiny", "small", "medium", "large"),
        default="small",
        help="shorter side of images 128, 320, 512 or 1024 pixels, volumes to match (default: small)",
    )


def execute(args: argparse.Namespace) -> int:
    """Generate, write, and say what was written."""
    from rich.table import Table

    # The generators need scipy.ndimage, which `harness --help` should not wait for.
    from harness.samples.catalogue import case_names, generate, write_case

    out: Path = args.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Give a folder to --out.")
    table = Table("Case", "Shape", "Objects")
    with error_console().status("generating") as status:
        total = len(case_names(max(args.per_task, 0)))
        for done, case in enumerate(generate(args.seed, args.per_task, args.size), start=1):
            status.update(f"{case.name} ({done} of {total})")
            try:
                write_case(case, out)
            except OSError as error:
                raise UsageError(
                    f"{out}: cannot be written to ({error.strerror}). Give another folder to --out."
                ) from error
            table.add_row(case.name, " x ".join(map(str, case.scene.image.shape)), str(len(case.boxes)))
    console = output_console()
    console.print(table)
    console.print(f"{total} cases in {out / 'imgs'}, references in {out / 'gts'}", highlight=False, soft_wrap=True)
    return EXIT_OK
