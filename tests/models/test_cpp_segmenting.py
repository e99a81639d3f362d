"""The C++ program's whole work: masks against the published order, where its time goes, what it takes and refuses."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from harness import phases  # noqa: E402
from models import __main__ as commands  # noqa: E402
from models import convert, export  # noqa: E402
from models.algorithms import build, networks_of  # noqa: E402
from models.fast.network import OpenVinoNetwork, compile_beforehand  # noqa: E402
from models.fast.pipeline import PARTS, PUBLISHED, read_pipeline, write_pipeline  # noqa: E402
from models.fast.segment import Segmenter  # noqa: E402
from tests.models.cpp_program import (  # noqa: E402
    MARKS,
    built_check,
    built_segment,
    case_file,
    export_stub,
    pipeline_file,
    run,
)
from tests.models.lively import dice, lively  # noqa: E402
from tests.models.sequential import Sequential  # noqa: E402
from tests.models.stub_network import StubNetwork  # noqa: E402
from tests.models.synthetic import image_of_blobs, volume_of_blobs  # noqa: E402

pytestmark = MARKS
NAMES = tuple(PUBLISHED)


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_check(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_segment(tmp_path_factory.getbasetemp())


# --------------------------------------------------------------------------- under sanitizers, with a stub network


def busy_volume(name: str, depth: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """More boxes than are decoded at once, one of a single slice, and a slice without any object."""
    volume, boxes = volume_of_blobs((depth, 60, 83), seed=3)
    boxes[0, [2, 5]] = 0, depth - 1
    volume[6] = 7
    boxes = np.concatenate([boxes, boxes])
    boxes[7, 5] = boxes[7, 2] + (PUBLISHED[name].last_slice == "excluded")
    return volume, boxes


@pytest.mark.parametrize(("mode", "stride"), [("published", 1), ("published", 3), ("fixed", 2), ("fixed", 50)])
@pytest.mark.parametrize("name", NAMES)
def test_volumes_with_a_stride(check: Path, tmp_path: Path, name: str, mode: str, stride: int) -> None:
    """The same labels as box after box, slice after slice, whatever number of embeddings is kept."""
    pipeline = replace(PUBLISHED[name].in_mode(mode), stride=stride)
    volume, boxes = busy_volume(name)
    reference = Sequential(StubNetwork(pipeline.input_size), name, mode, stride)
    want = reference(volume, boxes)
    file, case = pipeline_file(tmp_path, pipeline), case_file(tmp_path / "case.npz", volume, boxes)
    passes = []
    for kept in (0, 999):
        said = run(check, "segment", file, kept, case, tmp_path / "out.npz").stdout
        precision, slices, masks = said.split()
        passes.append(int(slices))
        assert (precision, int(masks)) == ("f32", reference.network.batches.count(1))
        with np.load(tmp_path / "out.npz") as got:
            np.testing.assert_array_equal(got["segs"], want)
    assert len(np.unique(want)) > 3
    assert passes == sorted(passes, reverse=True)


@pytest.mark.parametrize("name", NAMES)
def test_images_have_no_stride(check: Path, tmp_path: Path, name: str) -> None:
    image, boxes = image_of_blobs((120, 90), 11, seed=4)
    want = Sequential(StubNetwork(PUBLISHED[name].input_size), name, "published")(image, boxes)
    file = pipeline_file(tmp_path, replace(PUBLISHED[name], stride=4))
    run(check, "segment", file, 9, case_file(tmp_path / "case.npz", image, boxes), tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as got:
        np.testing.assert_array_equal(got["segs"], want)


def test_more_boxes_than_are_interpolated_in_the_same_sweeps(check: Path, tmp_path: Path) -> None:
    volume, boxes = volume_of_blobs((6, 30, 40), seed=7)
    many = np.tile(boxes, (104, 1))[:515]
    want = Sequential(StubNetwork(), "daft", "fixed", 3)(volume, many)
    file = pipeline_file(tmp_path, replace(PUBLISHED["daft"].in_mode("fixed"), stride=3))
    run(check, "segment", file, 9, case_file(tmp_path / "case.npz", volume, many), tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as got:
        np.testing.assert_array_equal(got["segs"], want)
        assert got["segs"].max() > 512


def test_the_pipelines_later_keys(check: Path, tmp_path: Path) -> None:
    """They are taken, checked, and have defaults, for folders exported before there were any."""
    volume, boxes = volume_of_blobs((5, 30, 40), seed=1)
    case = case_file(tmp_path / "case.npz", volume, boxes)
    path = pipeline_file(tmp_path, PUBLISHED["daft"])
    facts = json.loads(path.read_text())
    for key, values in (
        ("precision", ("f16", "", "F32")),
        ("stored", ("f64", "int4")),
        ("stride", (0, -1, 1.5, 2**40, "many")),
        ("algorithm", ("daft-", "DAFT")),
    ):
        for value in values:
            path.write_text(json.dumps(facts | {key: value}))
            error = run(check, "segment", path, 9, case, tmp_path / "out.npz", code=2).stderr
            assert f'{path}: "{key}" is' in error or f"{path}: it is not a flat" in error
            assert "python -m models export" in error
    for stored in ("f32", "int24", "f16", "int8"):
        path.write_text(json.dumps(facts | {"precision": "bf16", "stored": stored}))
        assert run(check, "segment", path, 9, case, tmp_path / "out.npz").stdout.startswith("bf16 ")
    for key in ("precision", "stored", "stride"):
        del facts[key]
    path.write_text(json.dumps(facts))
    assert run(check, "segment", path, 9, case, tmp_path / "out.npz").stdout.startswith("f32 4 ")


# --------------------------------------------------------------------------- time and memory


def test_phases_are_a_line_that_the_harness_reads(check: Path) -> None:
    first, empty, age = run(check, "phases", "3DBox_CT_1").stdout.splitlines()
    assert first == (
        "phases 3DBox_CT_1 import 0.012 load 1.000 read 0.001 encode 0.000 decode 1234.500 other 2.499 write 2.000 "
        "slices 28 masks 129"
    )
    assert ":" not in first
    assert empty.endswith("import 0.000 load 0.000 read 0.000 encode 0.000 decode 0.000 other 0.000 write 0.000 "
                          "slices 0 masks 0")  # fmt: skip
    assert 0 <= float(age) < 60


GIB = 2**30


def test_memory_is_what_the_control_group_gives(check: Path, tmp_path: Path) -> None:
    """Version 1 and 2; embeddings are kept as far as it goes, 4 MiB each."""

    def given(arrays: int = 0) -> list[int]:
        return [int(word) for word in run(check, "memory", tmp_path, arrays).stdout.split()]

    machine = given()[0]
    assert machine > GIB // 4
    limits = tmp_path / "memory.max", tmp_path / "memory" / "memory.limit_in_bytes"
    limits[1].parent.mkdir()
    for path, none in zip(limits, ("max", "9223372036854771712"), strict=True):
        path.write_text(f"{none}\n")
        assert given()[0] == machine
        path.write_text(f"{GIB // 8}\n")
        assert given() == [GIB // 8, 0]
        path.unlink()
    if machine < 4 * GIB:
        return
    limits[0].write_text(f"{4 * GIB}\n")
    assert given() == [4 * GIB, 384]
    assert given(2 * GIB) == [4 * GIB, 192]
    assert given(3 * GIB) == [4 * GIB, 0]


def test_a_case_beyond_memory_is_refused_with_figures(check: Path, tmp_path: Path) -> None:
    volume = np.zeros((64, 512, 512), dtype=np.uint8)  # 16 MiB, 32 for labels, 1 for masks
    path = case_file(tmp_path / "a.npz", volume, np.array([[1, 1, 0, 9, 9, 63]]))
    assert run(check, "limited", 2 * GIB, path).stdout == "ok 1 64\n"
    for memory in (0, GIB, GIB + 2**28 + 48 * 2**20):
        said = run(check, "limited", memory, path, code=2).stdout
        assert re.match(rf"error: {path}: segmenting takes up to 1\.3 GiB of memory, and there are \d\.\d\.", said)
        assert "docker run --memory" in said
    assert run(check, "limited", GIB + 2**28 + 49 * 2**20, path).stdout == "ok 1 64\n"


# --------------------------------------------------------------------------- on OpenVINO


def predicted(segment: Path, networks: Path, folder: Path, imgs: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What the program makes of one case."""
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    case_file(folder / "in" / "case.npz", imgs, boxes)
    run(segment, "--networks", networks, "-i", folder / "in", "-o", folder / "out")
    assert [path.name for path in (folder / "out").iterdir()] == ["case.npz"]
    with np.load(folder / "out" / "case.npz") as file:
        return file["segs"]


@pytest.mark.parametrize(("mode", "stride"), [("published", 1), ("fixed", 1), ("fixed", 3)])
@pytest.mark.parametrize("name", NAMES)
def test_volumes_and_images_in_the_published_order(
    segment: Path, tmp_path: Path, name: str, mode: str, stride: int
) -> None:
    """The same labels as box after box and slice after slice, with an empty slice and a box of one slice."""
    pipeline = replace(PUBLISHED[name].in_mode(mode), stride=stride)
    export_stub(tmp_path / "networks", pipeline)
    reference = Sequential(StubNetwork(pipeline.input_size), name, mode, stride)
    for imgs, prompts in (busy_volume(name, 9), image_of_blobs((120, 90), 12, seed=4)):
        want = reference(imgs, prompts)
        got = predicted(segment, tmp_path / "networks", tmp_path, imgs, prompts)
        assert got.dtype == (want.dtype if mode == "published" else np.uint8)
        np.testing.assert_array_equal(got, want)
        assert len(np.unique(got)) > 3
    assert reference.moved_boxes > 5
    assert reference.empty_slices > 0


@pytest.mark.parametrize("mode", ["published", "fixed"])
def test_more_than_255_boxes(segment: Path, tmp_path: Path, mode: str) -> None:
    pipeline = PUBLISHED["litemedsam"].in_mode(mode)
    export_stub(tmp_path / "networks", pipeline)
    image, boxes = image_of_blobs((200, 180), 300, seed=5)
    got = predicted(segment, tmp_path / "networks", tmp_path, image, boxes)
    want = Sequential(StubNetwork(256), "litemedsam", mode)(image, boxes)
    assert got.dtype == (np.uint8 if mode == "published" else np.uint16)
    np.testing.assert_array_equal(got, want)


def test_baked_networks_give_the_same_and_broken_ones_are_made_anew(segment: Path, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    export_stub(networks, PUBLISHED["daft"])
    volume, boxes = volume_of_blobs((5, 40, 50), seed=1)
    plain = predicted(segment, networks, tmp_path, volume, boxes)

    def segmented(warnings: int) -> None:
        (tmp_path / "in" / "case.npz").unlink(missing_ok=True)
        case_file(tmp_path / "in" / "case.npz", volume, boxes)
        said = run(segment, "--networks", networks, "-i", tmp_path / "in", "-o", tmp_path / "out").stderr
        assert said.count("warning: ") == warnings
        with np.load(tmp_path / "out" / "case.npz") as file:
            np.testing.assert_array_equal(file["segs"], plain)

    for _ in range(2):  # what is baked can be baked again
        run(segment, "--bake", "--networks", networks)
        marks = sorted(networks.glob("*.baked"))
        assert [path.name.split("-")[0] for path in marks] == sorted(PARTS)
        segmented(warnings=0)
    before = {path: path.read_text() for path in marks}
    for text in ("", "none", "99999999999 99999999999", "1 99999"):  # of another file: not looked at
        marks[1].write_text(text)
        segmented(warnings=0)
    blob, whole = before[marks[1]].split()
    marks[1].write_text(f"{int(blob) // 2} {whole}")
    segmented(warnings=1)
    for path in marks:  # another CPU's
        path.unlink()
    segmented(warnings=0)


def test_errors_name_the_file_and_leave_other_cases_alone(segment: Path, tmp_path: Path) -> None:
    export_stub(tmp_path / "networks", PUBLISHED["repmedsam"])
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    words = ["--networks", tmp_path / "networks", "-i", tmp_path / "in", "-o", tmp_path / "out"]
    assert "no .npz file" in run(segment, *words, code=2).stderr
    case_file(tmp_path / "in" / "b.npz", *image_of_blobs((50, 40), 2, seed=1))
    (tmp_path / "in" / "a.npz").write_bytes(b"PK\3\4 and no more")
    assert "a.npz: it is no zip archive" in run(segment, *words, code=2).stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.npz"]
    (tmp_path / "in" / "a.npz").unlink()
    assert "no such folder" in run(segment, *words[:-1], tmp_path / "absent", code=2).stderr
    assert "precision is f8, not f32 or bf16" in run(segment, *words, "--precision", "f8", code=2).stderr
    pipeline = tmp_path / "networks" / "pipeline.json"
    for text in ("", "{", "[]", pipeline.read_text().replace("floored", "rounded"), '{"algorithm": "repmedsam"}'):
        pipeline.write_text(text)
        assert "pipeline.json" in run(segment, *words, code=2).stderr
    pipeline.unlink()
    assert "python -m models export" in run(segment, *words, code=2).stderr


def test_each_case_has_its_line_on_stderr(segment: Path, tmp_path: Path) -> None:
    """Phases are within the process's own time; imports are told once."""
    export_stub(tmp_path / "networks", PUBLISHED["litemedsam"])
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    for number in (1, 2):
        case_file(tmp_path / "in" / f"2DBox_US_{number}.npz", *image_of_blobs((50, 40), 6, seed=number))
    begun = time.monotonic()
    words = ["--networks", tmp_path / "networks", "-i", tmp_path / "in", "-o", tmp_path / "out"]
    log = run(segment, *words).stderr
    wall_s = time.monotonic() - begun
    assert [line.split()[:3] for line in log.splitlines()] == [["phases", f"2DBox_US_{n}", "import"] for n in (1, 2)]
    first, second = (float(line.split()[3]) for line in log.splitlines())
    assert first >= 0
    assert second == 0
    told = phases.read_phases(log, "2DBox_US_1", wall_s)
    assert told.phases is not None, told.reason
    assert (told.phases.slices, told.phases.masks) == (1, 6)


def test_too_little_memory_for_any_case_is_said_before_networks_are_loaded(segment: Path, tmp_path: Path) -> None:
    export_stub(tmp_path / "networks", PUBLISHED["daft"])
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    case_file(tmp_path / "in" / "a.npz", *image_of_blobs((50, 40), 2, seed=1))
    words = f"{segment} --networks {tmp_path}/networks -i {tmp_path}/in -o {tmp_path}/out"
    error = run(Path("/bin/sh"), "-c", f"ulimit -v {2**20}; exec {words}", code=2).stderr
    assert error.startswith("error: segmenting takes up to 1.2 GiB of memory, and there are 1.0.")
    assert len(error.splitlines()) == 1


def test_precision_is_as_exported_and_can_be_overridden(segment: Path, tmp_path: Path) -> None:
    networks = tmp_path / "networks"
    export_stub(networks, replace(PUBLISHED["daft"], precision="bf16"))
    run(segment, "--bake", "--networks", networks)
    assert len(list(networks.glob("*-bf16-*.baked"))) == len(PARTS)
    run(segment, "--bake", "--networks", networks, "--precision", "f32")  # in the other's place
    marks = list(networks.glob("*.baked"))
    assert len(marks) == len(PARTS)
    assert all("-f32-" in path.name for path in marks)
    assert read_pipeline(networks).precision == "bf16"


# --------------------------------------------------------------------------- the networks


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_masks_agree_with_torch(segment: Path, tmp_path: Path, name: str) -> None:
    """With random weights, whose masks hold a part of the image that is neither none nor all."""
    algorithm = networks_of(name)
    network = build(algorithm, seed=1)
    image, boxes = image_of_blobs((90, 120), 2, seed=2)
    for part, model in convert.models_of(network, algorithm.input_size).items():
        openvino.save_model(model, tmp_path / f"{part}.xml", False)
    # Not DAFT's fixed mode, which would clip masks to their boxes.
    write_pipeline(PUBLISHED[name], tmp_path)
    want = Sequential(network, name, "published")(image, boxes)
    got = predicted(segment, tmp_path, tmp_path, image, boxes)
    for number in (1, 2):
        ours, theirs = got == number, want == number
        assert 2 * (ours & theirs).sum() >= 0.995 * (ours.sum() + theirs.sum())
    assert 0.01 < (got > 0).mean() < 0.99


@pytest.mark.slow
def test_weights_stored_in_8_bits_are_computed_with_in_32(segment: Path, tmp_path: Path) -> None:
    """As in the Python program: OpenVINO by default rounds activations to 8 bits as well."""
    network, pipeline = build(networks_of("litemedsam"), seed=1), replace(PUBLISHED["litemedsam"], stored="int8")
    image, boxes = image_of_blobs((90, 120), 2, seed=2)
    for part, model in convert.models_of(network, pipeline.input_size).items():
        openvino.save_model(convert.stored_as(model, "int8"), tmp_path / f"{part}.xml", False)
    write_pipeline(pipeline, tmp_path)
    want = Segmenter(OpenVinoNetwork(tmp_path), pipeline)(image, boxes)
    got = predicted(segment, tmp_path, tmp_path, image, boxes)
    for number in (1, 2):
        ours, theirs = got == number, want == number
        assert 2 * (ours & theirs).sum() >= 0.999 * (ours.sum() + theirs.sum())


@pytest.mark.slow
def test_weights_stored_in_24_bits(segment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported by the command, baked and not: Python and C++ agree, and with 32 bits to half a percent."""
    image, boxes = image_of_blobs((90, 120), 9, seed=2)
    network = lively(build(networks_of("daft"), 1), 256)
    monkeypatch.setattr(export, "build", lambda *_: network)
    found, folder = [], tmp_path / "int24"
    for stored in ("f32", "int24"):
        arguments = ["export", "--algorithm", "daft", "--stored", stored, "--out", str(tmp_path / stored)]
        assert commands.main(arguments) == 0
        found.append(predicted(segment, tmp_path / stored, tmp_path, image, boxes))
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).glob("encoder*.bin")) for name in ("int24", "f32")]
    assert sizes[0] < 0.8 * sizes[1]
    run(segment, "--bake", "--networks", folder)
    assert len(list(folder.glob("*.baked"))) == len(PARTS)
    baked = sum(path.stat().st_size for path in folder.glob("encoder*.bin"))
    assert baked < sizes[0] + (3 << 20)  # nothing was widened for good
    found.append(predicted(segment, folder, tmp_path, image, boxes))
    # Python's own compiled networks hold no weights, so those that were packed are not among them.
    assert {path.name.split("-")[0] for path in compile_beforehand(folder)} == {"shared", "decoder"}
    found.append(Segmenter(OpenVinoNetwork(folder), read_pipeline(folder))(image, boxes))
    exact = found[0]
    counts = np.bincount(exact.ravel(), minlength=10)
    seen = np.flatnonzero(counts > 100)  # objects may hide one another
    assert 0 in seen
    assert len(seen) > 2
    for number in seen:
        for got in found[1:]:
            assert dice(got == number, exact == number) >= 0.999
    assert commands.main(arguments) == 0  # another export takes the place of what was baked
    assert not any(folder.glob("*.baked"))
    np.testing.assert_array_equal(predicted(segment, folder, tmp_path, image, boxes), found[1])
    xml = folder / "encoder2.xml"
    text = xml.read_text()
    xml.write_text(re.sub(r'(type="Widened"[^>]*>\s*<data shape=")\d+', r"\g<1>7", text, count=1))
    assert xml.read_text() != text
    refused = run(segment, "--networks", folder, "-i", tmp_path / "in", "-o", tmp_path / "out", code=2).stderr
    assert f"{xml}: OpenVINO cannot compile it" in refused
    assert "Widened takes" in refused
