#!/usr/bin/env python3
"""Score predictions by the official evaluator's own command line (docs/scoring.md; `harness score` gives more)."""

import sys

from harness.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("compute_metrics", sys.argv[1:], prog="compute_metrics.py"))
