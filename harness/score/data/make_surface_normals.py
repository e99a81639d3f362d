"""Write surface_normals.csv from the installed package surface-distance-based-measures.

Run from the repository's root: ``python harness/score/data/make_surface_normals.py``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from surface_distance import lookup_tables  # type: ignore[import-untyped,unused-ignore]

TARGET = Path(__file__).with_name("surface_normals.csv")


def main() -> None:
    """One row per neighbourhood code and triangle: the triangle's normal, its length the area."""
    with open(TARGET, "w", newline="", encoding="ascii") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["code", "axis0", "axis1", "axis2"])
        for code, normals in enumerate(lookup_tables._NEIGHBOUR_CODE_TO_NORMALS):
            for normal in normals:
                writer.writerow([code, *(f"{component + 0.0:g}" for component in normal)])


if __name__ == "__main__":
    main()
