"""Run, score, rank and report segmentation submissions the way a challenge does."""

__version__ = "0.1.0"
