"""How fast the reference submissions are: their networks, their containers, and whether their masks agree.

    make bench-models    or    .venv/bin/python -m benchmarks.models [--quick] [--only PART] [--json FILE]

networks: in this process, in turns: the baseline's encoding against its bare torch module, and OpenVINO against
torch.  containers: every reference submission by the harness's own engine on the sample images, and on a volume
in which six boxes overlap: what a program takes beyond its encoder and an empty container, whole cases against
the baseline, masks of torch, OpenVINO and C++ object by object, sizes of images.  Both have the CPUs that this
process may use (`taskset -c 0 make bench-models` narrows them).  docs/benchmarks.md says what each line means.
Exit code 1 where a bar is missed.  --quick is a smoke run: of its bars those of masks, numbers and sizes count.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.models_containers import BASELINE, IMAGES, ROOT, SAME, VARIANTS, cpus
from benchmarks.models_figures import Bars, FiguresError
from benchmarks.models_tables import Session, containers, networks
from harness.errors import EXIT_FAULT, HarnessError
from harness.run.host import host_facts, read_host

PARTS = ("networks", "containers")
#: Load, a CPU, above which a machine is not quiet.
BUSY = 0.25


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    args = parsed(argv)
    began = time.monotonic()
    session = Session(args, Bars(timed_count=not args.quick))
    session.figures["machine"] = tell_machine()
    code = 0
    try:
        if "networks" in args.only:
            networks(session)
        if "containers" in args.only:
            with tempfile.TemporaryDirectory() as name:
                containers(session, Path(name))
    except (FiguresError, HarnessError) as error:  # what was found until then is told all the same
        print(f"error: {error}", file=sys.stderr)
        session.figures["error"] = str(error)
        code = error.exit_code if isinstance(error, HarnessError) else EXIT_FAULT
    missed = conclude(session, time.monotonic() - began)
    return code or missed


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with what --quick makes of them."""
    names = [image.name for image in IMAGES + VARIANTS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="networks, containers")
    add("--images", nargs="+", choices=names, metavar="NAME", help=f"of: {', '.join(names)}; the baseline is always in")
    add("--variants", action="store_true", help="also DAFT's later form, and LiteMedSAM with accuracy traded")
    add("--built", action="store_true", help="take the images that an earlier run built, and build nothing")
    add("--rounds", type=int, default=5, help="of the networks' passes (default: %(default)s)")
    add(
        "--repeats",
        type=int,
        default=3,
        help="on an image; the baseline on those of fewest and most boxes alone (default: %(default)s)",
    )
    add(
        "--volume-repeats",
        type=int,
        default=3,
        metavar="N",
        help="on the volume, of those with a bar there, others once; 0 leaves it out (default: %(default)s)",
    )
    add("--cases", type=Path, default=ROOT / "inputs" / "imgs", metavar="DIR", help="default: the sample cases")
    add("--quick", action="store_true", help="one round, LiteMedSAM alone, two images and a volume of three slices")
    add("--json", type=Path, metavar="FILE", help="also write the figures")
    args = parser.parse_args(argv)
    if args.quick:
        args.rounds = args.repeats = 1
        args.volume_repeats = min(1, args.volume_repeats)
    wanted = {BASELINE, *(args.images or (SAME if args.quick else [image.name for image in IMAGES]))}
    if args.variants:
        wanted |= {image.name for image in VARIANTS}
    args.images = [image for image in IMAGES + VARIANTS if image.name in wanted]
    return args


def tell_machine() -> dict[str, Any]:
    """Print what the figures are of."""
    facts, load = host_facts(), read_host().load
    gib = facts["memory_bytes"] / 2**30
    print(f"machine: {facts['cpu']}, {len(cpus())} of {facts['cpus']} CPUs used, {gib:.0f} GiB, {platform.platform()}")
    if load > BUSY * len(cpus()):
        print(f"warning: load {load:.2f} before the start. Ratios bear it, seconds do not: use a quiet machine.")
    return facts | {"cpus_used": len(cpus()), "load_before": load}


# --------------------------------------------------------------------------- the end


def conclude(session: Session, took_s: float) -> int:
    """Print the bars and write --json; returns the exit code."""
    bars = session.bars
    print("\nbars")
    for bar in bars.all:
        print(bar)
    session.figures |= {"bars": [asdict(bar) | {"met": bar.met} for bar in bars.all], "missed": bars.missed}
    session.figures["took_s"] = took_s
    if session.args.json:
        session.args.json.write_text(json.dumps(session.figures, indent=1, default=asdict) + "\n")
    if "error" in session.figures:
        told = "not all could be measured"
    elif bars.missed:
        told = f"{len(bars.missed)} bars missed"
    else:
        told = "all bars met" if bars.timed_count else "smoke run passed"
    print(f"\n{told}; took {took_s / 60:.1f} minutes")
    return 1 if bars.missed else 0


if __name__ == "__main__":
    sys.exit(main())
