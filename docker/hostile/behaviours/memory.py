"""Allocates beyond the memory limit."""

from prediction import write_valid

#: Where it stops by itself, so that a machine survives a missing limit.
MOST_BYTES = 4 << 30
PIECE_BYTES = 8 << 20


def allocate() -> int:
    """Hold ever more memory, every page of it written, until the kernel ends it."""
    held = []
    while len(held) * PIECE_BYTES < MOST_BYTES:
        held.append(b"\x01" * PIECE_BYTES)
    print("the memory limit did not hold")
    return 9


def allocate_after_prediction() -> int:
    """The same, after a valid prediction."""
    write_valid()
    return allocate()


BEHAVIOURS = {
    "oom-main": allocate,
    "oom-child": allocate,
    "oom-child-after-prediction": allocate_after_prediction,
}
