"""Terminals: what a command prints for people goes to stdout, progress and faults to stderr."""

from __future__ import annotations

import sys
from functools import cache

from rich.console import Console


@cache
def output_console() -> Console:
    """For results; tables are given room where the output goes to a file."""
    return Console(width=None if sys.stdout.isatty() else 120)


@cache
def error_console() -> Console:
    """For progress, warnings and errors; long lines (paths) are not broken when piped."""
    return Console(stderr=True, soft_wrap=True)
