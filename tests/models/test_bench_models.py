"""The benchmark of the reference submissions: its arithmetic by hand, its flow on an engine that runs nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import docker
import numpy as np
import pytest

from benchmarks import models, models_containers, models_tables
from benchmarks.models_cases import SHAPE, SLICES, VOLUME, ends, load_of, volume, write_volume
from benchmarks.models_containers import EMPTY, IMAGES, VARIANTS, run_of
from benchmarks.models_figures import (
    Bars,
    Compared,
    FiguresError,
    Run,
    agreement,
    agreements,
    beyond_s,
    encode_s_a_slice,
    passes,
    ratio_to,
)
from benchmarks.models_networks import in_turns, made_boxes, relative_difference
from harness import contract
from harness.cases import load_cases
from harness.phases import ToldPhases
from harness.protocol import load_protocol
from harness.records import Outcome, Phases
from tests.run.run_kit import FakeEngine, attempt, case, submission, write_case

ROOT = Path(__file__).resolve().parents[2]


def told(encode_s: float = 0.5, slices: int = 1, masks: int = 1) -> ToldPhases:
    return ToldPhases(0.1, 0.1, 0.0, encode_s, 0.1, 0.0, 0.0, slices, masks)


def line(name: str, encode_s: float, slices: int, masks: int) -> str:
    seconds = f"import 0.100 load 0.100 read 0.000 encode {encode_s:.3f} decode 0.100 other 0.000 write 0.000"
    return f"phases {name} {seconds} slices {slices} masks {masks}\n"


# --------------------------------------------------------------------------- seconds


def test_ratios_are_of_the_same_round():
    """A machine that halves its speed between rounds changes no ratio; one disturbed round does not count."""
    found = Compared("litemedsam", "encoder", 2, (2.0, 4.0, 40.0), (1.0, 2.0, 2.0), 0.0)
    assert found.speed_up == 2.0
    assert found.cost == 0.5


def test_what_a_program_takes_beyond_its_encoder_and_a_container():
    runs = [
        Run("a", "one", 1, 3.0, told(1.0)),
        Run("a", "one", 2, 3.4, told(1.0)),
        Run("a", "one", 3, 9.0, told(1.0)),
        Run("a", "two", 1, 5.0, told(2.5)),
        Run("b", "one", 1, 7.0, told(1.0)),
        Run(EMPTY, "one", 1, 0.4, None),
    ]
    assert beyond_s(runs, "a", 0.4) == pytest.approx({"one": 2.0, "two": 2.1})
    assert beyond_s(runs, EMPTY, 0.4) == {}
    assert ratio_to(runs, "b", "a", "one") == pytest.approx(7.0 / 3.4)
    assert ratio_to(runs, "b", "a", "two") is None
    assert encode_s_a_slice(runs, "a") == 1.0
    assert encode_s_a_slice(runs, EMPTY) is None


def test_encoder_passes_must_be_the_same_each_time():
    runs = [Run("a", "v", 1, 3.0, told(slices=12, masks=70)), Run("a", "v", 2, 3.0, told(slices=12, masks=70))]
    assert passes(runs, "a", "v") == (12, 70)
    with pytest.raises(FiguresError, match="a on v: its runs tell of 2 different"):
        passes([*runs, Run("a", "v", 3, 3.0, told(slices=11, masks=70))], "a", "v")
    with pytest.raises(FiguresError, match="tell of 0 different"):
        passes(runs, "b", "v")


def test_works_are_called_in_turns_and_back():
    called = []
    seconds = in_turns([lambda: called.append("a"), lambda: called.append("b")], 3, settle_s=0)
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"
    assert [len(found) for found in seconds] == [3, 3]


def test_numbers_are_compared_relative_to_the_largest():
    one, other = np.array([[1.0, -4.0]]), np.array([[1.1, -4.0]])
    assert relative_difference(one, other) == pytest.approx(0.025)
    with pytest.raises(FiguresError, match="cannot be compared"):
        relative_difference(one, np.array([[np.nan, 0.0]]))


@pytest.mark.parametrize("side", [256, 512])
def test_boxes_lie_in_the_square(side: int):
    boxes = made_boxes(np.random.default_rng(0), 50, side)
    assert boxes.dtype == np.float32
    assert boxes.min() >= 0
    assert boxes.max() < side
    assert (boxes[:, 2:] > boxes[:, :2]).all()


# --------------------------------------------------------------------------- attempts


def test_a_run_is_what_the_harness_timed_and_the_program_tells():
    made = attempt("daft", phases=Phases(wall_s=2.0))
    run = run_of(made, "hello\n" + line("2DBox_US_0001", 0.75, 1, 2))
    assert (run.image, run.case, run.wall_s) == ("daft", "2DBox_US_0001", 2.0)
    assert run.told is not None
    assert (run.told.encode_s, run.told.slices, run.told.masks) == (0.75, 1, 2)


@pytest.mark.parametrize(
    ("log", "fault"),
    [
        ("", "no phases line"),
        ("phases 2DBox_US_0002 import 1\n", "no phases line"),
        (line("2DBox_US_0001", 0.75, 1, 2).replace("slices 1 masks 2", ""), "no phases line with slices"),
        (line("2DBox_US_0001", 99.0, 1, 2), "more than the 2.000 s measured"),
        (line("2DBox_US_0001", 0.75, 1, 2).replace("encode", "embed"), "no phase"),
    ],
)
def test_an_image_that_does_not_tell_its_phases_is_refused(log: str, fault: str):
    with pytest.raises(FiguresError, match=f"daft on 2DBox_US_0001: .*{fault}.*Build it anew"):
        run_of(attempt("daft", phases=Phases(wall_s=2.0)), log)


def test_a_failed_attempt_is_no_figure():
    with pytest.raises(FiguresError, match=r"daft on 2DBox_US_0001: crash .*\nthe last words"):
        run_of(attempt("daft", outcome=Outcome.CRASH), "the last words")
    empty = attempt(EMPTY, outcome=Outcome.NO_OUTPUT, phases=Phases(wall_s=0.4))
    assert run_of(empty, "").told is None
    with pytest.raises(FiguresError):
        run_of(attempt(EMPTY), "")


# --------------------------------------------------------------------------- masks


def test_dice_of_each_object_by_hand():
    one = np.array([[1, 1, 0, 0], [2, 2, 2, 2], [0, 0, 0, 4]], dtype=np.uint8)
    other = np.array([[1, 1, 1, 0], [2, 2, 2, 0], [0, 0, 0, 4]], dtype=np.uint16)
    found = agreement("c", ("a", "b"), one, other)
    # Object 1: 2 * 2 / 5; object 2: 2 * 3 / 7; object 3 is in neither; object 4 is the same.
    assert found.objects == 3
    assert found.worst_object == 1
    assert found.worst_dice == pytest.approx(0.8)
    assert found.differing == 2
    assert found.share == pytest.approx(2 / 12)


def test_an_object_that_only_one_of_them_found_has_dice_0():
    one, other = np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 3]], np.uint8)
    assert agreement("c", ("a", "b"), one, other).worst_dice == 0.0
    nothing = agreement("c", ("a", "b"), one, one)
    assert (nothing.objects, nothing.worst_dice, nothing.worst_object) == (0, 1.0, 0)
    with pytest.raises(FiguresError, match="differ in shape"):
        agreement("c", ("a", "b"), one, np.zeros((2, 3), np.uint8))


def test_every_two_images_are_compared():
    mask = np.ones((2, 2), np.uint8)
    assert [one.images for one in agreements("c", dict.fromkeys("xyz", mask))] == [("x", "y"), ("x", "z"), ("y", "z")]


# --------------------------------------------------------------------------- cases


def test_the_volume_is_a_case_with_six_boxes_over_the_same_slices(tmp_path: Path):
    load = write_volume(tmp_path / "v")
    facts = contract.check_case(tmp_path / "v" / f"{VOLUME}.npz")
    assert facts.image_shape == SHAPE
    assert facts.boxes == len(SLICES) == 6
    assert not facts.warnings
    boxes = volume()[contract.BOXES_KEY]
    assert [tuple(box) for box in boxes[:, [2, 5]]] == list(SLICES)
    assert load.box_slices == sum(last - first + 1 for first, last in SLICES) == 70
    assert load.distinct == SHAPE[0]
    assert str(load) == "6 boxes, 70 box-slices, 12 distinct slices"
    assert all(np.array_equal(one, other) for one, other in zip(volume().values(), volume().values(), strict=True))


def test_box_slices_and_distinct_slices_by_hand():
    boxes = np.array([[0, 0, 2, 5, 5, 4], [0, 0, 4, 5, 5, 9], [0, 0, 20, 5, 5, 20]])
    load = load_of(boxes, depth=8)  # slices 2 to 4, 4 to 7, and the last one for a box beyond it
    assert (load.box_slices, load.distinct) == (3 + 4 + 1, 6)


def test_the_cases_of_fewest_and_most_boxes():
    cases = [case(f"2DBox_US_000{number}") for number in (3, 2, 1)]
    assert [found.name for found in ends(cases)] == ["2DBox_US_0001"] * 2


# --------------------------------------------------------------------------- bars and images


def test_bars(capsys: pytest.CaptureFixture[str]):
    bars = Bars()
    bars.at_least("a", 2.0, 2.0)
    bars.at_most("b", 1.0, 2.0)
    assert bars.missed == []
    bars.at_most("c", 2.1, 2.0)
    bars.at_least("d", float("nan"), 2.0)
    assert bars.missed == ["c", "d"]
    assert re.fullmatch(r"c +2.1   at most 2 +MISSED", str(bars.all[2]))
    quick = Bars(timed_count=False)
    quick.at_most("seconds", 2.1, 2.0)
    quick.at_most("size", 2.1, 2.0, timed=False)
    assert quick.missed == ["size"]


def test_every_submission_with_networks_is_measured_for_what_it_is():
    found = {path.parent for path in (ROOT, *(ROOT / "docker").iterdir()) for path in path.glob("Dockerfile")}
    with_networks = {folder for folder in found if "cvpr24.weights" in (folder / "Dockerfile").read_text()}
    assert with_networks == {image.folder for image in IMAGES + VARIANTS}
    for image in IMAGES + VARIANTS:
        dockerfile = (image.folder / "Dockerfile").read_text()
        assert ("FROM scratch" in dockerfile) == (image.kind == "C++")
        assert ("openvino" in dockerfile) == (image.kind != "torch")


def test_arguments():
    everything = [image.name for image in models.parsed([]).images]
    assert everything == [image.name for image in IMAGES]
    quick = models.parsed(["--quick", "--variants"])
    assert [image.name for image in quick.images[:3]] == ["litemedsam", "litemedsam-fast", "litemedsam-cpp"]
    assert len(quick.images) == 3 + len(VARIANTS)
    assert (quick.rounds, quick.repeats, quick.volume_repeats) == (1, 1, 1)
    assert [image.name for image in models.parsed(["--images", "daft"]).images] == ["litemedsam", "daft"]


# --------------------------------------------------------------------------- the whole flow


class Fleet:
    """An engine whose containers take and find what the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = FakeEngine(folder, self.behave)
        #: Image -> seconds of an encoder pass, and seconds beyond that and the empty container's.
        self.seconds = {"litemedsam": (2.0, 4.0), "litemedsam-fast": (0.5, 0.9), "litemedsam-cpp": (0.5, 0.2)}
        self.wrong: set[str] = set()
        self.nothing = False

    def behave(self, job, folder):
        if job.team == EMPTY:
            return None, {"phases": Phases(wall_s=0.4)}
        with np.load(job.case_file) as file:
            imgs, boxes = file["imgs"], file["boxes"]
        load = load_of(boxes, len(imgs)) if boxes.shape[1] == 6 else None
        masks = load.box_slices if load else len(boxes)
        slices = 1 if load is None else load.box_slices if job.team == "litemedsam" else load.distinct
        encode_s, beyond = self.seconds[job.team]
        segs = np.zeros(contract.segmentation_shape(job.case_name, imgs.shape), np.uint8)
        segs[..., :8, :8] = 0 if self.nothing else 1
        if job.team in self.wrong:
            segs[..., 0, 0] = 0
        path = folder / f"{job.case_name}.npz"
        contract.write_prediction(path, segs)
        wall_s = 0.4 + slices * encode_s + beyond
        return path, {"log": line(job.case_name, slices * encode_s, slices, masks), "phases": Phases(wall_s=wall_s)}


@pytest.mark.docker
def test_an_empty_container_on_the_real_engine(
    client: docker.APIClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HARNESS_SCRATCH", str(tmp_path / "scratch"))
    cases = tmp_path / "cases"
    cases.mkdir()
    write_case(cases, "2DBox_US_0001")
    bench = models_containers.Bench(tmp_path / "out")
    bench.run([models_containers.made_empty(client, tmp_path)], load_cases(cases, load_protocol()))
    (run,) = bench.runs
    assert (run.image, run.case, run.told) == (EMPTY, "2DBox_US_0001", None)
    assert run.wall_s > 0


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    found = Fleet(tmp_path / "fleet")
    found.folder.mkdir()
    monkeypatch.setattr(models_containers, "open_docker_engine", lambda limits, largest: found.engine.open(largest))
    monkeypatch.setattr(models_tables, "connect", lambda: None)
    monkeypatch.setattr(models_tables, "made_empty", lambda client, folder: submission(EMPTY))
    monkeypatch.setattr(
        models_tables, "made", lambda client, image, built: replace(submission(image.name), bytes=200_000_000)
    )
    return found


def measured(tmp_path: Path, *more: str) -> tuple[int, dict]:
    cases, told_file = tmp_path / "cases", tmp_path / "figures.json"
    cases.mkdir()
    write_case(cases, "2DBox_US_0001")
    write_case(cases, "2DBox_OCT_0001", boxes=np.array([[0, 0, 9, 9]]))
    write_case(cases, "3DBox_CT_0001")
    given = ["--only", "containers", "--cases", str(cases), "--json", str(told_file)]
    code = models.main([*given, "--images", "litemedsam-fast", "litemedsam-cpp", *more])
    return code, json.loads(told_file.read_text()) if told_file.is_file() else {}


def test_whole_flow(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, figures = measured(tmp_path)
    said = capsys.readouterr().out
    assert code == 0, said
    assert figures["missed"] == []
    # Warming up on one image; two images once, and twice more; the volume without the empty container, twice more by
    # the two that have a bar there.
    assert len(fleet.engine.jobs) == 4 + 2 * 4 + 2 * 2 * 4 + 3 + 2 * 2
    assert figures["empty_s"] == 0.4
    assert figures["beyond_s"]["litemedsam-cpp"] == pytest.approx({"2DBox_OCT_0001": 0.2, "2DBox_US_0001": 0.2})
    ratios = figures["whole_case_ratios"][VOLUME]
    assert ratios["litemedsam-cpp"] == pytest.approx((0.4 + 70 * 2 + 4) / (0.4 + 12 * 0.5 + 0.2))
    assert f"{VOLUME}: (12, 256, 256), 6 boxes, 70 box-slices, 12 distinct slices" in said
    assert "all bars met" in said
    assert {job.limits.cpuset for job in fleet.engine.jobs} == {",".join(map(str, models_containers.cpus()))}


def test_bars_of_containers_can_be_missed(fleet: Fleet, tmp_path: Path):
    fleet.seconds |= {"litemedsam-cpp": (0.5, 0.36), "litemedsam-fast": (1.2, 1.3)}
    fleet.wrong = {"litemedsam-cpp"}
    code, figures = measured(tmp_path)
    assert code == 1
    assert figures["missed"] == [
        "s beyond encoder and container, median: litemedsam-fast",
        "s beyond encoder and container, median: litemedsam-cpp",
        "speed-up on the volume, whole container: litemedsam-fast",
        "Dice of any object: litemedsam and litemedsam-cpp",
        "Dice of any object: litemedsam-fast and litemedsam-cpp",
    ]


def test_empty_masks_agree_with_nobody(fleet: Fleet, tmp_path: Path):
    fleet.nothing = True
    code, figures = measured(tmp_path)
    assert code == 1
    assert {what.partition(":")[0] for what in figures["missed"]} == {"objects found"}


def test_a_smoke_run_judges_masks_alone(fleet: Fleet, tmp_path: Path):
    fleet.seconds |= {"litemedsam-cpp": (0.5, 3.0)}
    code, figures = measured(tmp_path, "--quick")
    assert (code, figures["missed"]) == (0, [])
    assert figures["volume"] == {"boxes": 6, "box_slices": 17, "distinct": 3}


def test_an_image_that_shares_nothing_is_found_out(fleet: Fleet, tmp_path: Path):
    honest = fleet.engine.behaviour

    def swapped(job, folder):
        path, more = honest(job, folder)
        if "slices 12" in more.get("log", "") and job.team == "litemedsam-fast":
            more["log"] = more["log"].replace("slices 12", "slices 70")
        return path, more

    fleet.engine.behaviour = swapped
    code, figures = measured(tmp_path)
    assert code == 1
    assert figures["missed"] == ["encoder passes on the volume: litemedsam-fast"]


def test_a_failed_container_ends_it_with_its_log(fleet: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """What was measured before is not lost."""
    honest = fleet.engine.behaviour

    def failing(job, folder):
        return (None, {"exit_code": 1, "log": "no such network"}) if job.case_name == VOLUME else honest(job, folder)

    fleet.engine.behaviour = failing
    code, figures = measured(tmp_path)
    said = capsys.readouterr()
    assert code == 3
    assert re.search(f"^error: litemedsam.* on {VOLUME}: crash .*\nno such network$", said.err, re.MULTILINE)
    assert said.out.splitlines()[-1].startswith("not all could be measured")
    assert len(figures["runs"]) == 2 * 4 + 2 * 2 * 4
    assert "no such network" in figures["error"]


def test_images_of_different_weights_are_refused(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def made(client, image, built):
        weights = "lite_medsam.pth" if image.name == "litemedsam-cpp" else "random, seed 2024"
        return replace(submission(image.name), labels={"cvpr24.weights": weights})

    monkeypatch.setattr(models_tables, "made", made)
    code, _ = measured(tmp_path)
    assert code == 2
    assert "differ in weights (lite_medsam.pth; random, seed 2024). Build them all alike." in capsys.readouterr().err
