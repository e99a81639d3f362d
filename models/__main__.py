"""`python -m models COMMAND`: look at and convert the reference submissions' networks."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = ("tensors", "describe", "export")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 2 wrong usage or input."""
    parser = argparse.ArgumentParser(prog="python -m models", description="The reference submissions' networks.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = _module(name)
        child = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.configure(child)
        child.set_defaults(execute=module.execute)
    args = parser.parse_args(argv)
    try:
        return int(args.execute(args))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _module(name: str):
    try:
        return importlib.import_module(f"models.{name}")
    except ModuleNotFoundError as error:
        if error.name in ("torch", "openvino"):
            print(f"error: {error.name} is not installed. Run: make setup-models", file=sys.stderr)
            raise SystemExit(2) from error
        raise


if __name__ == "__main__":
    sys.exit(main())
