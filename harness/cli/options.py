"""Options that several commands share, and what they mean as records."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import replace
from pathlib import Path

from harness.errors import UsageError
from harness.protocol import DEFAULT_PROTOCOL, Protocol, load_protocol
from harness.records import Limits
from harness.run.runner import RunSettings

#: The engine's own numbers end here.
_LARGEST = (1 << 63) - 1
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(text: str) -> int:
    """Bytes from "8g", "512m", "8 GiB" (binary units, as Docker reads them)."""
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([bkmgt]?)(?:i?b)?\s*", text.lower(), re.ASCII)
    value = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if not 1 <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 8g or 512m")
    return value


def seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of seconds")
    return value


def gigabytes(text: str) -> float:
    """A positive number of gigabytes (10^9 bytes)."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number of gigabytes")
    return value


def count(text: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def whole(text: str) -> int:
    """A whole number from 0."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def cpuset(text: str) -> str:
    """CPUs such as "0-3,6", all of them on this host."""
    highest = 0
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part, re.ASCII)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of CPUs; write it as 0-3,6")
        highest = max(highest, int(match[2] or match[1]))
    have = os.cpu_count() or 1
    if highest >= have:
        raise argparse.ArgumentTypeError(f"{text!r} names CPU {highest}; this host has CPUs 0-{have - 1}")
    return text


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options of whatever runs containers."""
    limits = parser.add_argument_group("limits of an attempt")
    limits.add_argument("--memory", type=size, metavar="SIZE", help="memory, no swap beyond it (default: 8g)")
    limits.add_argument("--time-limit", type=seconds, metavar="S", help="seconds until it is killed (default: 3600)")
    limits.add_argument("--cpuset", type=cpuset, metavar="SET", help="pin to CPUs, as 0-3,6 (default: all)")
    limits.add_argument("--pids", type=count, metavar="N", help="processes and threads at once (default: 1024)")
    limits.add_argument("--disk", type=size, metavar="SIZE", help="what it may add on disk (default: 4g)")
    run = parser.add_argument_group("how the run is made")
    run.add_argument(
        "--repeats", type=count, default=1, metavar="N", help="attempts a submission and case (default: 1)"
    )
    run.add_argument(
        "--order",
        choices=("interleaved", "team"),
        help="interleaved: all teams on a case in random order, then the next case (default); team: team after team",
    )
    run.add_argument("--seed", type=whole, default=0, metavar="N", help="of the random order (default: 0)")
    run.add_argument(
        "--runtime", choices=("wall_s", "run_s"), help="the ranked time: create to removal, or inside the container"
    )
    run.add_argument(
        "--conditions",
        choices=("strict", "official"),
        default="strict",
        help="official: as the challenge's own script ran, defects included, to repeat old figures (default: strict)",
    )
    run.add_argument(
        "--image-budget",
        type=gigabytes,
        metavar="GB",
        help="load no more than so many GB of tarballs' images at once, in blocks of teams (default: all at once)",
    )
    run.add_argument(
        "--retry-noisy",
        type=whole,
        default=0,
        metavar="N",
        help="make an attempt again, up to N times, while other work disturbed the host (default: 0)",
    )
    run.add_argument("--strict-exit", action="store_true", help="a non-zero exit fails even with a valid prediction")
    add_protocol_option(run)


def add_protocol_option(parser: argparse._ActionsContainer) -> None:
    """The option that chooses the challenge."""
    parser.add_argument(
        "--protocol",
        default=DEFAULT_PROTOCOL,
        metavar="NAME|FILE",
        help=f"the challenge: a name or a .toml file (default: {DEFAULT_PROTOCOL})",
    )


def run_settings(args: argparse.Namespace) -> RunSettings:
    """The options as settings, over the protocol's own.

    Raises:
        UsageError: no such protocol, or options that contradict one another.
    """
    protocol = load_protocol(args.protocol)
    given = {
        "memory_bytes": args.memory,
        "time_limit_s": args.time_limit,
        "cpuset": args.cpuset,
        "pids": args.pids,
        "disk_bytes": args.disk,
    }
    if args.conditions == "official":
        _refuse_limits(args)
        # As it was: a network, and as much swap again as memory.
        given |= {"network": True, "swap_bytes": args.memory or protocol.limits.memory_bytes}
    limits: Limits = replace(protocol.limits, **{name: value for name, value in given.items() if value is not None})
    if limits.memory_bytes < 6 << 20:
        raise UsageError("--memory: a container needs at least 6m. Write the unit: 8g, 512m.")
    if args.conditions == "official" and args.order == "interleaved":
        raise UsageError("--conditions official runs team after team: leave --order out.")
    return RunSettings(
        protocol=protocol,
        limits=limits,
        conditions=args.conditions,
        order=args.order or ("team" if args.conditions == "official" else "interleaved"),
        seed=args.seed,
        repeats=args.repeats,
        strict_exit=args.strict_exit,
        retry_noisy=args.retry_noisy,
        image_budget=int(args.image_budget * 1e9) if args.image_budget else None,
    )


def _refuse_limits(args: argparse.Namespace) -> None:
    """The official run knew no limit but memory."""
    for option in ("cpuset", "pids", "disk"):
        if getattr(args, option) is not None:
            raise UsageError(f"--conditions official limits nothing but memory: leave --{option} out.")
    if args.runtime == "run_s":
        raise UsageError("--conditions official times the docker command as a whole: leave --runtime out.")


def ranked_runtime(args: argparse.Namespace, protocol: Protocol) -> str:
    """Which measured time is ranked."""
    return str(args.runtime or protocol.runtime)


def out_folder(text: str) -> Path:
    """The output folder, made if it is not there.

    Raises:
        UsageError: it cannot be made or written to, or holds imported results.
    """
    from harness.import_folder import imports_manifest

    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made ({error.strerror}). Give another --out folder.") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"{path}: cannot be written to. Give another --out folder.")
    if imports_manifest(path) is not None:
        raise UsageError(
            f"{path}: it holds imported results (harness import), which a run would overwrite. Give another --out, "
            "and rank both."
        )
    return path
