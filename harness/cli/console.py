"""Terminals: what a command prints for people goes to stdout, progress and faults to stderr."""

from __future__ import annotations

from functools import cache

from rich.console import Console


@cache
def output_console() -> Console:
    """For results."""
    return Console()


@cache
def error_console() -> Console:
    """For progress, warnings and errors; long lines (paths) are not broken when piped."""
    return Console(stderr=True, soft_wrap=True)
