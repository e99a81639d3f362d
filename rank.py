#!/usr/bin/env python3
"""Rank teams from results tables: the same as `harness rank`."""

import sys

from harness.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("rank", sys.argv[1:], prog="rank.py"))
