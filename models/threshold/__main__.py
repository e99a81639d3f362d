"""Runs as a submission: `python -m models.threshold [INPUTS [OUTPUTS]]`."""

import sys

from models.serve import serve
from models.threshold import segment

sys.exit(serve(segment))
