"""`make bench-models` as it goes along: measure, print a table, hold what it says against its bar, keep the figures."""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.models_cases import SHAPE, VOLUME, copied, ends, write_volume
from benchmarks.models_containers import (
    BASELINE,
    BEYOND_S,
    EMPTY,
    LARGEST_MB,
    SAME,
    VARIANTS,
    Bench,
    Image,
    cpus,
    made,
    made_empty,
    megabytes,
)
from benchmarks.models_figures import (
    Agreement,
    Bars,
    Compared,
    beyond_s,
    encode_s_a_slice,
    median_wall_s,
    passes,
    ratio_to,
)
from harness.cases import load_cases
from harness.contract import is_volume
from harness.errors import UsageError
from harness.labels import WEIGHTS
from harness.protocol import load_protocol
from harness.records import Case, Submission
from harness.run.daemon import connect

#: The bars.
BASELINE_COST, SPEED_UP, VOLUME_SPEED_UP, DICE = 1.1, 2.0, 10.0, 0.995
#: How far OpenVINO's numbers may be from torch's, relative to the largest one.
DIFFERENCE = 1e-3
#: Between an encoder pass in a container and in this process, either way; beyond, one of them is something else.
PLAUSIBLE = 2.0


@dataclass
class Session:
    """What a run of this program has found so far.

    Attributes:
        args: as given.
        bars: held so far.
        figures: for --json.
        encoder_s: algorithm and "torch" or "OpenVINO" -> median seconds of an encoder pass in this process.
    """

    args: argparse.Namespace
    bars: Bars
    figures: dict[str, Any] = field(default_factory=dict)
    encoder_s: dict[tuple[str, str], float] = field(default_factory=dict)


# --------------------------------------------------------------------------- networks


def networks(session: Session) -> None:
    """Print and keep what the networks alone take."""
    from benchmarks import models_networks  # brings torch and OpenVINO

    rounds, threads = session.args.rounds, len(cpus())
    head = f"{'network':<14} {'part':<28} {'threads':>7} {'torch s':>9} {'other s':>9} {'other':<16} {'ratio':>6}"
    print(f"\n{head}")
    baseline = models_networks.baseline(rounds, threads)
    for found in baseline:
        _tell(found, "litemedsam image", found.cost)
        what = f"baseline's encoding / bare torch encoder, {found.what}"
        session.bars.at_most(what, found.cost, BASELINE_COST)
        session.bars.at_most(f"{what}: difference", found.difference, 0.0, timed=False)
    session.figures["baseline"] = [asdict(found) | {"cost": found.cost} for found in baseline]
    session.figures["networks"] = []
    for name in dict.fromkeys(image.algorithm for image in session.args.images):
        compared = []
        for found in models_networks.against_openvino(name, rounds, list(dict.fromkeys((threads, 1)))):
            compared.append(found)
            whole = found.what == "encoder" and found.threads == threads
            _tell(
                found, "OpenVINO", found.speed_up, f"below {SPEED_UP:g}" if whole and found.speed_up < SPEED_UP else ""
            )
            if whole:
                session.encoder_s[name, "torch"] = statistics.median(found.torch_s)
                session.encoder_s[name, "OpenVINO"] = statistics.median(found.other_s)
            if whole and name == BASELINE:
                session.bars.at_least(f"speed-up of OpenVINO's encoder over torch's: {name}", found.speed_up, SPEED_UP)
        difference = max(found.difference for found in compared)
        session.bars.at_most(f"OpenVINO's numbers against torch's: {name}", difference, DIFFERENCE, timed=False)
        session.figures["networks"] += [asdict(found) | {"speed_up": found.speed_up} for found in compared]


def _tell(found: Compared, other: str, ratio: float, remark: str = "") -> None:
    torch_s, other_s = statistics.median(found.torch_s), statistics.median(found.other_s)
    line = f"{found.algorithm:<14} {found.what:<28} {found.threads:>7} {torch_s:9.4f} {other_s:9.4f} {other:<16}"
    print(f"{line} {ratio:6.2f}  {remark}".rstrip(), flush=True)


# --------------------------------------------------------------------------- containers


def containers(session: Session, folder: Path) -> None:
    """Print and keep what whole containers take, and how their masks agree."""
    args, protocol = session.args, load_protocol()
    submissions = _made(session, folder)
    images = [case for case in load_cases(args.cases, protocol) if not is_volume(case.name)]
    if not images:
        raise UsageError(f"{args.cases}: no images among its cases. Give a folder that has some, as inputs/imgs.")
    few, many = ends(images)
    images = list(dict.fromkeys((few, many))) if args.quick else images
    flat = load_cases(copied(images, folder / "images"), protocol)

    print("\nrunning containers", file=sys.stderr)
    Bench(folder / "warm").run(submissions, [case for case in flat if case.name == few.name])
    bench = Bench(folder / "out")
    session.figures["runs"] = bench.runs
    bench.run(submissions, flat)
    bench.run(submissions, [case for case in flat if case.name in (few.name, many.name)], args.repeats)
    # The baseline, which takes seconds where the others take one, has no bar on the other images.
    bench.run([submission for submission in submissions if submission.team != BASELINE], flat, args.repeats)
    volumes: list[Case] = []
    if args.volume_repeats:
        load = write_volume(folder / "volume", 3 if args.quick else SHAPE[0])
        volumes = load_cases(folder / "volume", protocol)
        bench.run(submissions[1:], volumes)
        barred = [submission for submission in submissions if submission.team in SAME and submission.team != BASELINE]
        bench.run(barred, volumes, args.volume_repeats)
        session.figures["volume"] = asdict(load)
        print(f"\n{VOLUME}: {volumes[0].image_shape}, {load}")
    _beyond(session, bench, flat)
    _whole(session, bench, list(dict.fromkeys(case.name for case in (few, many, *volumes))))
    if volumes:
        _volume(session, bench, load.box_slices, load.distinct)
    same = [image.name for image in args.images if image.name in SAME]
    if len(same) > 1:
        _agree(session, bench.agreements(same, [*flat, *volumes]), sum(case.boxes for case in [*flat, *volumes]))
    if bench.noisy:
        print(
            f"\nwarning: other processes disturbed {bench.noisy} of {len(bench.runs)} containers, by the harness's rule"
        )


def _made(session: Session, folder: Path) -> list[Submission]:
    """The empty container and all images, with a table of their sizes."""
    client = connect()
    submissions = [made_empty(client, folder)]
    print(f"\n{'image':<24} {'kind':<9} {'MB':>7}  labels")
    sizes = {}
    for image in session.args.images:
        submission = made(client, image, session.args.built)
        submissions.append(submission)
        sizes[image.name] = size = megabytes(submission)
        labels = ", ".join(f"{name.partition('.')[2]}: {value}" for name, value in submission.labels.items())
        print(f"{image.name:<24} {image.kind:<9} {size:7.1f}  {labels}".rstrip(), flush=True)
        session.bars.at_most(f"MB of {image.name} ({image.kind})", size, LARGEST_MB[image.kind], timed=False)
    session.figures["sizes_mb"] = sizes
    weights = {one.labels.get(WEIGHTS, "unknown") for one in submissions if one.team in SAME}
    if len(weights) > 1:
        raise UsageError(f"{', '.join(SAME)} differ in weights ({'; '.join(sorted(weights))}). Build them all alike.")
    return submissions


def _beyond(session: Session, bench: Bench, cases: list[Case]) -> None:
    """What programs take beyond encoder and empty container, on images."""
    empty = [run.wall_s for run in bench.runs if run.image == EMPTY]
    empty_s = statistics.median(empty)
    names = {case.name for case in cases}
    flat = [run for run in bench.runs if run.case in names]
    print(f"\nempty container: {empty_s:.3f} s, median of {len(empty)}")
    print("seconds beyond encoder and empty container")
    images: list[Image] = session.args.images
    found = {image.name: beyond_s(flat, image.name, empty_s) for image in images}
    # A name in two lines, as the table is wide enough already.
    print(f"{'':<34}" + "".join(f" {image.algorithm:>13}" for image in images))
    rests = (image.name.removeprefix(image.algorithm) for image in images)
    print(f"{'case':<28} {'boxes':>5}" + "".join(f" {rest:>13}" for rest in rests).rstrip())
    for case in sorted(cases, key=lambda case: case.boxes):
        row = "".join(f" {seconds[case.name]:13.3f}" for seconds in found.values())
        print(f"{case.name:<28} {case.boxes:>5}{row}")
    medians = {name: statistics.median(seconds.values()) for name, seconds in found.items()}
    print(f"{'median':<28} {'':>5}" + "".join(f" {seconds:13.3f}" for seconds in medians.values()))
    session.figures |= {"empty_s": empty_s, "beyond_s": found}
    for image in images:
        if (limit := BEYOND_S.get(image.kind)) is not None:
            session.bars.at_most(f"s beyond encoder and container, median: {image.name}", medians[image.name], limit)
    _plausible(session, bench, images)


def _plausible(session: Session, bench: Bench, images: list[Image]) -> None:
    """Encoder passes by the programs' own account against those of this process."""
    rows = {}
    for image in images:
        alone_s = session.encoder_s.get((image.algorithm, "torch" if image.kind == "torch" else "OpenVINO"))
        told_s = encode_s_a_slice(bench.runs, image.name)
        if alone_s is not None and told_s is not None and image not in VARIANTS:
            rows[image.name] = told_s / alone_s
            factor = max(told_s / alone_s, alone_s / told_s)
            session.bars.at_most(f"encoder pass, told against in this process: {image.name}", factor, PLAUSIBLE)
    session.figures["encoder_told_over_alone"] = rows


def _whole(session: Session, bench: Bench, cases: list[str]) -> None:
    """Whole cases against the baseline."""
    print(f"\nwhole cases: median seconds, and how many times as fast as {BASELINE}")
    print(f"{'image':<24}" + "".join(f" {name:>28}" for name in cases))
    ratios: dict[str, dict[str, float]] = {}
    for image in session.args.images:
        row = f"{image.name:<24}"
        for case in cases:
            seconds, ratio = (
                median_wall_s(bench.runs, image.name, case),
                ratio_to(bench.runs, BASELINE, image.name, case),
            )
            ratios.setdefault(case, {})[image.name] = ratio
            row += f" {seconds:16.2f} s {ratio:8.2f} x"
        print(row)
    session.figures["whole_case_ratios"] = ratios


def _volume(session: Session, bench: Bench, box_slices: int, distinct: int) -> None:
    """The volume's bars: that the work is what it should be, and how much faster it is done."""
    for image in session.args.images:
        if image.name not in SAME:
            continue
        slices, masks = passes(bench.runs, image.name, VOLUME)
        most = box_slices if image.name == BASELINE else distinct
        session.bars.at_most(f"encoder passes on the volume: {image.name}", slices, most, timed=False)
        session.bars.at_least(f"decoded boxes on the volume: {image.name}", masks, box_slices, timed=False)
        if image.name == BASELINE:  # which shares nothing
            session.bars.at_least(f"encoder passes on the volume: {image.name}", slices, most, timed=False)
        else:
            ratio = ratio_to(bench.runs, BASELINE, image.name, VOLUME)
            session.bars.at_least(f"speed-up on the volume, whole container: {image.name}", ratio, VOLUME_SPEED_UP)


def _agree(session: Session, found: list[Agreement], boxes: int) -> None:
    """How well masks of the same weights agree; there must be some, for empty ones always do."""
    print(
        f"\n{'masks of the same weights':<36} {'objects':>11} {'worst Dice':>11}  {'where':<34} {'most differing':>14}"
    )
    for images in dict.fromkeys(one.images for one in found):
        pairs = [one for one in found if one.images == images]
        worst, most = min(pairs, key=lambda one: one.worst_dice), max(pairs, key=lambda one: one.share)
        where = f"{worst.case}, object {worst.worst_object}" if worst.worst_object else ""
        name = " and ".join(images)
        objects = sum(one.objects for one in pairs)
        print(f"{name:<36} {f'{objects} of {boxes}':>11} {worst.worst_dice:11.5f}  {where:<34}", end=" ")
        print(f"{most.differing:>6} ({most.share:.4%})")
        session.bars.at_least(f"objects found: {name}", objects, 1, timed=False)
        session.bars.at_least(f"Dice of any object: {name}", worst.worst_dice, DICE, timed=False)
    session.figures["agreement"] = [asdict(one) for one in found]
