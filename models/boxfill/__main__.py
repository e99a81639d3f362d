"""Runs as a submission: `python -m models.boxfill [INPUTS [OUTPUTS]]`."""

import sys

from models.boxfill import segment
from models.serve import serve

sys.exit(serve(segment))
