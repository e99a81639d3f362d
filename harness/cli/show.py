"""Tables for the terminal: outcomes by team, and what to mend."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.layout import OutDir
from harness.records import Outcome
from harness.results import read_results

#: What a participant can do about each failure.
ADVICE = {
    Outcome.TIMEOUT: "make it faster: it was still running at the time limit (--time-limit)",
    Outcome.OOM: "use less memory: page cache counts too, swap is off; see peak_bytes in results.csv",
    Outcome.CRASH: "read the end of its log: predict.sh ended with a non-zero exit code and left no valid prediction",
    Outcome.INVALID_OUTPUT: "mend what its reason names: integers 'segs', in the image's shape without colours",
    Outcome.NO_OUTPUT: "write the prediction to /workspace/outputs under the input's own file name, NAME.npz",
    Outcome.HARNESS_FAULT: "not the submission's fault: mend the host and give the same command again",
    Outcome.BAD_REFERENCE: "not the submission's fault: mend the reference and score again",
}


def show_outcomes(console: Console, out: OutDir) -> None:
    """Attempts, outcomes, time and memory of each team, from the results table."""
    frame = read_results(out.results)
    table = Table(title="attempts", title_justify="left")
    for name in ("team", "attempts", "ok", "failed", "median wall", "max wall", "peak memory", "mean DSC", "mean NSD"):
        table.add_column(name, justify="left" if name == "team" else "right")
    for team, rows in frame.groupby("team", sort=True):
        bad = rows[rows["outcome"] != Outcome.OK]
        kinds = ", ".join(f"{n} {kind}" for kind, n in bad["outcome"].value_counts().items())
        peak = rows["peak_bytes"].max()
        table.add_row(
            escape(str(team)),
            str(len(rows)),
            str(len(rows) - len(bad)),
            kinds or "0",
            _seconds(rows["wall_s"].median()),
            _seconds(rows["wall_s"].max()),
            "" if pd.isna(peak) else f"{peak / 2**30:.2f} GiB",
            _share(rows["dsc"].mean()),
            _share(rows["nsd"].mean()),
        )
    console.print(table)


def show_advice(console: Console, outcomes: Iterable[str]) -> None:
    """One line for each kind of failure."""
    for outcome in sorted(set(outcomes) - {Outcome.OK.value}):
        console.print(f"{outcome}: {ADVICE[Outcome(outcome)]}", markup=False, highlight=False)


def _seconds(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f} s"


def _share(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4f}"
