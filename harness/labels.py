"""What an image's labels tell of a submission: those whose name begins with ``cvpr24.``.

They are the submission's own word, and text of strangers: few, short and printable is all that is kept
of them, and whoever shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "cvpr24."
#: What its weights are: a checkpoint's name, or "random" with the seed.
WEIGHTS = "cvpr24.weights"
#: Which of an algorithm's modes it runs in, as "published" or "fixed".
MODE = "cvpr24.mode"
#: What it trades accuracy for, as "bf16-int8-stride2".
VARIANT = "cvpr24.variant"
KNOWN = (WEIGHTS, MODE, VARIANT)

MOST_LABELS = 16
LONGEST_NAME = 64
LONGEST_VALUE = 200


def told_labels(labels: object) -> dict[str, str]:
    """The labels kept of an image: the three known ones first, then others by name.

    Args:
        labels: name -> value as an engine, an image file or a manifest has them; anything else counts as none.

    Returns:
        at most `MOST_LABELS`; a longer value is cut with an ellipsis, what cannot be printed becomes U+FFFD, and
        a label whose name is too long or cannot be printed is left out.
    """
    if not isinstance(labels, Mapping):
        return {}
    told = {
        name: _plain(value)
        for name, value in labels.items()
        if isinstance(name, str) and isinstance(value, str) and name.startswith(PREFIX)
        if len(name) <= LONGEST_NAME and name.isprintable()
    }
    order = [*(name for name in KNOWN if name in told), *sorted(told.keys() - set(KNOWN))]
    return {name: told[name] for name in order[:MOST_LABELS]}


def are_random(told: Mapping[str, str]) -> bool:
    """Whether a submission says that its weights are random: its scores then say nothing of the algorithm."""
    return told.get(WEIGHTS, "").strip().lower().startswith("random")


def _plain(value: str) -> str:
    cut = value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
