"""The `harness` command: one subcommand a stage, parsed here, done elsewhere."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol, cast

from harness import __version__
from harness.errors import EXIT_INTERRUPTED, EXIT_USAGE, HarnessError


class Command(Protocol):
    """What a module of `harness.cli` offers to be a subcommand."""

    SUMMARY: str
    EPILOG: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def execute(self, args: argparse.Namespace) -> int:
        """Do it; the exit code."""


#: Subcommands in the order of the data's way; each is a module of `harness.cli`, imported when used.
COMMANDS = ("evaluate", "check", "run", "score", "import", "rank", "report", "costs", "samples", "doctor")
#: Those that cannot be named as their module.
_MODULES = {"import": "importing"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}. See {self.prog} --help\n")


def command(name: str) -> Command:
    """The module behind a subcommand."""
    return cast(Command, importlib.import_module(f"harness.cli.{_MODULES.get(name, name)}"))


def parser_of(name: str, prog: str) -> argparse.ArgumentParser:
    """A subcommand's own parser, under the program name that the user typed."""
    module = command(name)
    parser = _Parser(
        prog=prog,
        description=module.SUMMARY,
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.configure(parser)
    return parser


def run_command(name: str, argv: Sequence[str], prog: str | None = None) -> int:
    """Parse and do one subcommand; every deliberate error becomes a message and an exit code."""
    args = parser_of(name, prog or f"harness {name}").parse_args(argv)
    try:
        return command(name).execute(args)
    except HarnessError as error:
        _complain(f"error: {error}", "bold red")
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted", "bold yellow")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output (`| head`) has gone: nothing to report to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE


def _complain(text: str, style: str) -> None:
    from harness.cli.console import error_console  # not before: each scoring process loads this module too

    error_console().print(text, style=style, markup=False, highlight=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `harness` and `python -m harness`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in COMMANDS:
        return run_command(argv[0], argv[1:])
    parser = _Parser(prog="harness", description="Run, score, rank and report challenge submissions.")
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        commands.add_parser(name, help=command(name).SUMMARY, add_help=False)
    parser.epilog = "harness COMMAND --help explains a command, with examples."
    parser.parse_args(argv)
    return EXIT_USAGE
