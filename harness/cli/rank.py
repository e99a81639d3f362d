"""`harness rank` and `rank.py`: rank teams from results tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.console import error_console, output_console
from harness.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from harness.rank.analysis import Ranking, Settings

SUMMARY = "Rank teams from results tables, with bootstrap and pairwise tests."
EPILOG = """\
A results table is a CSV with the columns team, case and one for each metric (dsc, nsd, runtime_s);
modality, repeat and outcome where there are any.  challengeR's long form (Task, TestCase, Algorithm,
MetricValue) is read too.  RESULTS may be a run's folder: then its results.csv.

examples:
  rank a run as the challenge did, into the same folder
      python rank.py outputs/run1 --out outputs/run1
  join two runs
      python rank.py outputs/run1 outputs/run2 --out outputs/both
  rank within each case instead, medians of ranks, with challengeR's kind of bootstrap
      python rank.py results.csv --out r --scheme rank-then-aggregate --aggregate median --boot-mode challenger
  accuracy only, NSD counting twice
      python rank.py results.csv --out r --metrics dsc,nsd --weights nsd=2
  a new version against its predecessor, and a reproduction against the original within 0.02 DSC
      python rank.py results.csv --out r --successor dafter=daft --reproduction copy=medficient --margin dsc=0.02
  patients drawn as a whole, and the draws kept for others
      python rank.py results.csv --out r --cluster patient --export-resamples
  another program's table
      python rank.py scores.csv --out r --column team=participant --column case=image \\
          --column dsc=dice --column nsd=nsd_2mm --column runtime_s=seconds

DIR then holds ranking.csv, ranks.csv, consensus.csv, wilcoxon.csv, bootstrap.npz, ranking.json, analysis/ with
further tables, figures/ and report.html, and results.csv with the rows ranked where they came from elsewhere
(docs/ranking.md tells what is in them).  Folders that `harness import` made are ranked like any other.
exit codes: 0 done, 2 the tables or options do not make a ranking.
"""
_MOST_LISTED = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("results", nargs="+", metavar="RESULTS", help="results table (CSV) or run folder; several are joined")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the ranking's files")

    how = parser.add_argument_group("how to rank").add_argument
    how(
        "--scheme",
        help="cvpr24, rank-then-aggregate, aggregate-then-rank or test-then-rank (default: all; the protocol's first)",
    )
    how("--aggregate", metavar="mean|median|q05", help="over the cases; q05 is the 5 percent quantile (default: mean)")
    how("--ties", choices=("min", "average", "max", "dense"), default="min", help="equal ranks (default: min)")
    how(
        "--na",
        choices=("drop-case", "last", "fill", "drop"),
        help="missing values (default: drop-case, for rank-then-aggregate last)",
    )
    how(
        "--fill",
        type=_numbers("--fill"),
        default={},
        metavar="dsc=0,...",
        help="values for missing ones; means --na fill",
    )
    how("--metrics", type=_names, metavar="dsc,nsd,...", help="columns to rank (default: the protocol's)")
    how(
        "--smaller-better",
        type=_names,
        default=(),
        metavar="NAME,...",
        help="metrics where small is good, beside the protocol's",
    )
    how(
        "--weights",
        type=_numbers("--weights"),
        default={},
        metavar="dsc=2,...",
        help="of metrics in the final score (default: 1)",
    )

    trust = parser.add_argument_group("how far to trust it").add_argument
    trust("--bootstrap", type=_count, metavar="N", help="number of samples, 0 for none (default: the protocol's)")
    trust(
        "--boot-mode",
        choices=("distinct", "challenger"),
        default="distinct",
        help="a case drawn twice counts as two cases, or as challengeR 1.0.5 merges it (default: distinct)",
    )
    trust("--cluster", metavar="COLUMN", help="draw cases with equal entries there (patient, institution) together")
    trust(
        "--resamples",
        type=Path,
        metavar="FILE",
        help="draws to use, CSV task,b,idx (0-based positions in cases by name)",
    )
    trust("--export-resamples", action="store_true", help="write the draws as analysis/resamples.csv")
    trust("--seed", type=_count, default=0, metavar="N", help="seed of the random draws (default: 0)")
    trust(
        "--p-adjust",
        choices=("none", "holm", "bh"),
        help="adjustment of one-sided p-values (default: holm; for the ranks of test-then-rank none)",
    )
    trust("--wilcoxon-digits", type=_count, metavar="N", help="round differences before testing (default: not, as R)")
    trust("--exact", action="store_true", help="exact tests below 50 pairs without ties (default: R's approximation)")
    trust(
        "--zeros",
        choices=("wilcox", "pratt"),
        default="wilcox",
        help="differences of zero: dropped, or ranked and then dropped (default: wilcox)",
    )
    trust("--no-sensitivity", action="store_true", help="do not ask who would win if it were ranked otherwise")

    versus = parser.add_argument_group("teams in pairs").add_argument
    versus("--baseline", metavar="TEAM", help="whom the report measures others against (default: litemedsam, baseline)")
    versus(
        "--successor",
        action="append",
        default=[],
        metavar="NEW=OLD",
        help="compare an algorithm with its predecessor; repeatable",
    )
    versus(
        "--reproduction",
        action="append",
        default=[],
        metavar="COPY=ORIGINAL",
        help="test that a reproduction equals its original within a margin; repeatable",
    )
    versus(
        "--margin",
        type=_numbers("--margin"),
        default={},
        metavar="dsc=0.02,...",
        help="margins of that test (default: dsc and nsd 0.01, runtimes 10 %% of the original's median)",
    )

    table = parser.add_argument_group("the tables").add_argument
    table("--column", action="append", default=[], metavar="NAME=COLUMN", help="our NAME is their COLUMN; repeatable")
    table("--protocol", default=None, metavar="NAME|FILE", help="the challenge (default: cvpr24)")
    table("--strict", action="store_true", help="refuse tables in which a team lacks a row")
    table("--allow-incomplete", action="store_true", help="leave cases with harness faults out instead of refusing")
    table("--no-report", action="store_true", help="write no report.html")


def execute(args: argparse.Namespace) -> int:
    """Rank, write, print."""
    from harness.layout import OutDir
    from harness.rank.analysis import analyse
    from harness.rank.further import further
    from harness.rank.read import results_path
    from harness.rank.write import holds_other_results, write_ranking

    settings = _settings(args)
    out = OutDir(args.out)
    if out.root.exists() and not out.root.is_dir():
        raise UsageError(f"--out {out.root}: it is a file. Name a folder.")
    if not args.no_report and holds_other_results([results_path(path) for path in args.results], out):
        raise UsageError(
            f"{out.results} is another run's table and is not among those to rank: a report in {out.root} would mix "
            "both. Name another --out, rank that table too, or add --no-report."
        )
    ranking = analyse(args.results, settings)
    more = further(ranking, questions=not args.no_sensitivity)
    _print_notes(ranking)
    try:
        write_ranking(ranking, more, out, args.export_resamples)
    except OSError as error:
        raise UsageError(f"--out {out.root}: cannot write there ({error.strerror}). Name another folder.") from error
    print_ranking(ranking)
    written = [out.ranking, out.ranks, out.consensus, out.wilcoxon, out.ranking_json, out.analysis("").parent]
    written += [out.bootstrap] if ranking.bootstrap is not None else []
    if not args.no_report:
        from harness.report import write_report

        written.append(write_report(args.out))
    output_console().print(
        f"{out.root}: {', '.join(path.name for path in written)}", soft_wrap=True, markup=False, highlight=False
    )
    return EXIT_OK


def _settings(args: argparse.Namespace) -> Settings:
    from harness.protocol import load_protocol
    from harness.rank.analysis import Settings

    return Settings(
        protocol=load_protocol(args.protocol) if args.protocol else None,
        scheme=args.scheme,
        aggregate=args.aggregate,
        na=args.na,
        fill=args.fill,
        ties=args.ties,
        metrics=args.metrics,
        smaller_better=args.smaller_better,
        weights=args.weights,
        columns=_columns(args.column),
        p_adjust=args.p_adjust,
        wilcoxon_digits=args.wilcoxon_digits,
        wilcoxon_method="exact" if args.exact else "normal",
        zeros=args.zeros,
        bootstrap=args.bootstrap,
        boot_mode=args.boot_mode,
        resamples=args.resamples,
        seed=args.seed,
        cluster=args.cluster,
        baseline=args.baseline,
        successors=_team_pairs("--successor", args.successor),
        reproductions=_team_pairs("--reproduction", args.reproduction),
        margins=args.margin,
        strict=args.strict,
        allow_incomplete=args.allow_incomplete,
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names as in dsc,nsd")
    return names


def _numbers(option: str) -> Callable[[str], dict[str, float]]:
    def parse(text: str) -> dict[str, float]:
        values = {}
        for part in _names(text):
            name, _, number = part.partition("=")
            try:
                values[name.strip()] = float(number)
            except ValueError:
                raise argparse.ArgumentTypeError(f"{part!r} is not NAME=NUMBER as in {option} dsc=0") from None
        return values

    return parse


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return number


def _team_pairs(option: str, pairs: Sequence[str]) -> tuple[tuple[str, str], ...]:
    split = [(pair, *pair.partition("=")) for pair in pairs]
    for pair, team, _, rival in split:
        if not (team and rival):
            raise UsageError(f"{option} {pair}: give two teams, as in {option} new=old.")
    return tuple((team, rival) for _, team, _, rival in split)


def _columns(pairs: Sequence[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise UsageError(f"--column {pair}: give NAME=COLUMN, as in --column team=participant.")
        columns[name] = column
    return columns


def _print_notes(ranking: Ranking) -> None:
    """To stderr: what was missing, what was left out, what is odd."""
    table, notes = ranking.table, list(ranking.warnings)
    if table.missing:
        from harness.rank.table import describe_missing

        notes.append(f"{describe_missing(table.missing)}. They count as missing; ranking.json lists them all.")
    for reason, text in (
        ("bad_reference", "whose reference is broken"),
        ("harness_fault", "that ended in a harness fault"),
        ("undefined", "whose reference lacks a class (scores undefined)"),
    ):
        cases = [
            f"{case.task}/{case.case}" for case in (*table.left_out, *ranking.main.dropped) if case.reason == reason
        ]
        if cases:
            more = f" and {len(cases) - _MOST_LISTED} more" if len(cases) > _MOST_LISTED else ""
            notes.append(
                f"{len(cases)} cases {text} are left out for all teams: {', '.join(cases[:_MOST_LISTED])}{more}."
            )
    for note in notes:
        error_console().print(f"note: {note}", style="yellow", markup=False, highlight=False)


def print_ranking(ranking: Ranking) -> None:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table as Grid
    from rich.text import Text

    from harness.rank.bootstrap import rank_interval

    scheme, boot = ranking.main.scheme, ranking.bootstrap
    grid = Grid(title=f"{scheme.name}: final ranking")
    grid.add_column("rank", justify="right")
    grid.add_column("team", no_wrap=True)
    grid.add_column("score", justify="right")
    for metric in ranking.table.metrics:
        unit = f", {spec.unit}" if (spec := ranking.protocol.metrics.get(metric.name)) and spec.unit else ""
        grid.add_column(f"{'median' if metric.is_time else 'mean'} {metric.label}{unit}", justify="right")
    if boot is not None:
        grid.add_column("95% of samples", justify="right")
        low, high = rank_interval(boot.ranks[:, -1])
    for t in ranking.main.final.argsort(kind="stable"):
        cells = [f"{ranking.main.final[t]:g}", ranking.table.teams[t], _cell(ranking.main.scores[t], 3)]
        cells += [
            _cell(values[t], 2 if metric.is_time else 4)
            for metric, values in zip(ranking.table.metrics, ranking.summaries.values(), strict=True)
        ]
        if boot is not None:
            cells.append(f"{low[t]:g}" if low[t] == high[t] else f"{low[t]:g} to {high[t]:g}")
        grid.add_row(*(Text(cell) for cell in cells))
    console = output_console()
    if not console.is_terminal:  # a file or pipe has no width: nothing is cut
        console = Console(width=Measurement.get(console, console.options.update(width=10_000), grid).maximum)
    console.print(grid)


def _cell(value: float, digits: int) -> str:
    return "-" if value != value else f"{value:.{digits}f}"
