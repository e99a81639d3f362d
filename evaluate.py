#!/usr/bin/env python3
"""Run, score, rank and report submissions: the same as `harness evaluate`."""

import sys

from harness.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("evaluate", sys.argv[1:], prog="evaluate.py"))
