"""Runs as a submission: `python -m models.ellipse [INPUTS [OUTPUTS]]`."""

import sys

from models.ellipse import segment
from models.serve import serve

sys.exit(serve(segment))
