"""`compute_metrics.py`: the challenge's evaluation script, option for option and byte for byte, on our scorer.

The original is ``evaluation/compute_metrics.py`` in the branch LiteMedSAM of bowang-lab/MedSAM.  Its table has
a row for every reference: the file's name, DSC and NSD rounded to four decimals, an empty cell for NaN, in the
order of the names.  It ends at the first prediction that is missing or cannot be scored, without any table.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path

from harness.cli.console import error_console
from harness.errors import EXIT_FAULT, EXIT_OK, EXIT_SUBMISSION_FAILED, EXIT_USAGE, UsageError
from harness.records import FAILURES, Outcome

SUMMARY = "Score predictions as the challenge's own compute_metrics.py: the same options, the same table."

EPILOG = """\
The table has the columns case,dsc,nsd and a row for every .npz file of the references, as the original writes it.
Where the original stops, this goes on: a missing or unusable prediction gets a row with DSC 0 and NSD 0, a
broken reference one with empty cells, and stderr says why. `-nsd False` leaves NSD out; the original takes any
text but the empty one for true there.

exit codes:
  0 every case scored   1 some prediction failed   2 a broken reference, or usage   3 a fault of ours

examples:
  python compute_metrics.py -s segs/ -g gts/ -csv_dir metrics.csv
  python compute_metrics.py -s segs/ -g gts/ -csv_dir metrics.csv -num_workers 8 -nsd False

harness score does the same and goes on where it stopped, names each outcome in the table, and more.
"""

#: What `-nsd` is given, in lower case; the empty text is the original's only way to turn it off.
_SWITCH = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0", ""), False)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the original's options, with its defaults."""
    add = parser.add_argument
    add("-s", "--seg_dir", default="test_demo/segs", metavar="DIR", help="predictions (default: test_demo/segs)")
    add("-g", "--gt_dir", default="test_demo/gts", metavar="DIR", help="references (default: test_demo/gts)")
    add("-csv_dir", default="test_demo/metrics.csv", metavar="FILE", help="the table (default: test_demo/metrics.csv)")
    add("-num_workers", type=int, default=5, metavar="N", help="processes (default: 5)")
    add("-nsd", type=_switch, default=True, metavar="BOOL", help="False leaves NSD out, to save time (default: True)")


def execute(args: argparse.Namespace) -> int:
    """Score; the exit code says how it went."""
    import pandas as pd

    from harness.results import write_csv

    table = Path(args.csv_dir)
    _check(args, table)
    rows, outcomes = _score(args)
    frame = pd.DataFrame(rows, columns=["case", "dsc", "nsd"] if args.nsd else ["case", "dsc"])
    try:
        write_csv(table, frame.sort_values(by=["case"]))
    except OSError as error:
        raise UsageError(f"{table}: cannot be written ({error.strerror}). Give another -csv_dir.") from error
    if Outcome.HARNESS_FAULT in outcomes:
        return EXIT_FAULT
    if Outcome.BAD_REFERENCE in outcomes:
        return EXIT_USAGE
    return EXIT_SUBMISSION_FAILED if outcomes & FAILURES else EXIT_OK


def _switch(text: str) -> bool:
    try:
        return _SWITCH[text.strip().lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False") from None


def _check(args: argparse.Namespace, table: Path) -> None:
    """What can be known before the work, not after it."""
    if args.num_workers < 1:
        raise UsageError(f"-num_workers {args.num_workers}: at least 1.")
    for option, folder in (("--seg_dir", args.seg_dir), ("--gt_dir", args.gt_dir)):
        if not Path(folder).is_dir():
            raise UsageError(f"{folder}: no such folder. Give an existing one with {option}.")
    if table.is_dir() or not os.access(table.parent, os.W_OK):
        raise UsageError(f"{table}: no file can be written there. Make its folder, or give another -csv_dir.")


def _score(args: argparse.Namespace) -> tuple[list[dict[str, object]], set[Outcome]]:
    """A row for each reference, in no order, and the outcomes that there were."""
    from harness.cli.progress import bar
    from harness.protocol import load_protocol
    from harness.score.batch import Job, score_many
    from harness.score.policy import apply_policy

    names = sorted(p.name for p in Path(args.gt_dir).iterdir() if p.suffix == ".npz" and not p.name.startswith("."))
    if not names:
        raise UsageError(f"{args.gt_dir}: holds no .npz file. Give the folder of the references with --gt_dir.")
    protocol = load_protocol()
    scoring = replace(protocol.scoring, also=())
    if not args.nsd:
        scoring = replace(scoring, gate_dsc=math.inf)  # which no DSC passes: NSD is then computed nowhere
    jobs = [Job(name.removesuffix(".npz"), Path(args.seg_dir) / name, Path(args.gt_dir) / name) for name in names]
    rows, outcomes = [], set()
    with bar(error_console(), "score") as shown:
        for done, scored in enumerate(score_many(jobs, scoring, args.num_workers), start=1):
            name, outcome = scored.job.reference.name, scored.score.outcome
            row = apply_policy({**scored.score.values, "outcome": outcome}, protocol, protocol.limits.time_limit_s)
            rows.append({"case": name, "dsc": row["dsc"], "nsd": row["nsd"]})
            outcomes.add(outcome)
            if outcome is not Outcome.OK:
                shown.say(f"warning: {name}: {outcome}: {scored.score.reason}", style="yellow")
            shown.advance(done, len(jobs), name)
    return rows, outcomes
