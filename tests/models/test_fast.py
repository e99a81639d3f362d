"""The fast pipeline against the published order of work, with the same network."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("openvino")


from harness import contract
from models import __main__ as commands
from models import daft, export
from models.algorithms import ALGORITHMS, build
from models.fast import __main__ as program
from models.fast import network
from models.fast.chains import Span, sweeps
from models.fast.network import OpenVinoNetwork, cache_key, compile_beforehand
from models.fast.pipeline import MODES, PUBLISHED, PipelineError, read_pipeline, write_pipeline
from models.fast.segment import Segmenter
from models.litemedsam.segment import Segmenter as Baseline
from tests.contract.forge import Member, npy, write
from tests.models.lively import Remembering, dice, lively
from tests.models.sequential import Sequential
from tests.models.stub_network import StubNetwork, StubRuntime
from tests.models.synthetic import image_of_blobs, volume_of_blobs

torch = pytest.importorskip("torch")
NAMES = tuple(PUBLISHED)


def both(name: str, mode: str, imgs: np.ndarray, boxes: np.ndarray, kept: int = 384):
    """Labels by the fast pipeline and by the published order, and the two networks that were at work."""
    pipeline = PUBLISHED[name].in_mode(mode)
    fast, slow = StubNetwork(pipeline.input_size), StubNetwork(pipeline.input_size)
    reference = Sequential(slow, name, mode)
    return Segmenter(StubRuntime(fast), pipeline, kept)(imgs, boxes), reference(imgs, boxes), fast, reference


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
class TestSamePixels:
    @pytest.mark.parametrize(("shape", "seed"), [((9, 90, 120), 1), ((12, 300, 210), 2), ((7, 64, 64), 3)])
    def test_volume(self, name, mode, shape, seed):
        volume, boxes = volume_of_blobs(shape, seed)
        labels, want, fast, reference = both(name, mode, volume, boxes)
        np.testing.assert_array_equal(labels, want)
        assert reference.moved_boxes > 5
        assert len(np.unique(labels)) > 3
        if not (name == "medficientsam" and mode == "published"):
            assert fast.encoded == len(
                {z for b in boxes for z in range(b[2], b[5] + (name in ("litemedsam", "repmedsam")))}
            )

    def test_slices_without_the_object_go_back_to_the_box(self, name, mode):
        volume, boxes = volume_of_blobs((12, 100, 130), 6)
        volume[5:7] = 20  # every chain loses its object there
        labels, want, _, reference = both(name, mode, volume, boxes)
        np.testing.assert_array_equal(labels, want)
        assert reference.empty_slices > 2

    @pytest.mark.parametrize("kept", [0, 2])
    def test_few_embeddings_kept(self, name, mode, kept):
        volume, boxes = volume_of_blobs((9, 90, 120), 1)
        labels, want, _, _ = both(name, mode, volume, boxes, kept)
        np.testing.assert_array_equal(labels, want)

    @pytest.mark.parametrize(("shape", "count"), [((200, 340), 12), ((700, 500), 5)])
    def test_image(self, name, mode, shape, count):
        image, boxes = image_of_blobs(shape, count, seed=4)
        labels, want, fast, _ = both(name, mode, image, boxes)
        np.testing.assert_array_equal(labels, want)
        assert fast.encoded == 1
        assert fast.batches == [1] * count
        assert len(np.unique(labels)) > count // 2

    def test_more_objects_than_eight_bits_hold(self, name, mode):
        image, boxes = image_of_blobs((120, 150), 260, seed=5)
        labels, want, _, _ = both(name, mode, image, boxes)
        np.testing.assert_array_equal(labels, want)
        overflows = mode == "published" and name in ("litemedsam", "repmedsam")
        assert labels.dtype == (np.uint8 if overflows else np.uint16)
        assert (labels.max() < 256) == overflows

    def test_more_objects_of_a_volume_than_eight_bits_hold(self, name, mode):
        volume, boxes = volume_of_blobs((4, 40, 50), 7)
        many = np.tile(boxes, (52, 1))[:258]
        many[:, 2], many[:, 5] = 1, 2
        labels, want, _, _ = both(name, mode, volume, many)
        np.testing.assert_array_equal(labels, want)

    def test_few_objects_take_eight_bits_when_fixed(self, name, mode):
        image, boxes = image_of_blobs((60, 60), 2, seed=8)
        labels, _, _, _ = both(name, mode, image, boxes)
        wide = mode == "published" and name in ("medficientsam", "daft", "daft-shared")
        assert labels.dtype == (np.uint16 if wide else np.uint8)


@pytest.mark.parametrize("mode", MODES)
def test_the_baseline_gives_the_same_pixels(mode):
    for imgs, boxes in (volume_of_blobs((9, 90, 120), 1), image_of_blobs((200, 340), 260, seed=4)):
        pipeline = PUBLISHED["litemedsam"].in_mode(mode)
        want = Baseline(StubNetwork(), mode)(imgs, boxes)
        labels = Segmenter(StubRuntime(StubNetwork()), pipeline)(imgs, boxes)
        np.testing.assert_array_equal(labels, want)
        assert labels.dtype == want.dtype


def test_stale_embeddings_change_masks_and_are_of_the_published_mode_alone():
    volume, boxes = volume_of_blobs((9, 90, 120), 1)
    stale, *_ = both("medficientsam", "published", volume, boxes)
    sound, *_ = both("medficientsam", "fixed", volume, boxes)
    assert (stale != sound).any()
    first = boxes[:1]  # meets no slice that was seen before
    stale, *_ = both("medficientsam", "published", volume, first)
    sound, *_ = both("medficientsam", "fixed", volume, first)
    np.testing.assert_array_equal(stale, sound)


# --------------------------------------------------------------------------- memory


@pytest.mark.parametrize("stride", [1, 3])
def test_embeddings_held_are_bounded_whatever_the_depth(stride):
    """Beyond the bound slices are encoded twice, to the same masks; wide labels and the volume come on top."""
    depth, kept = 36, 1
    volume = np.zeros((depth, 40, 40), np.uint8)
    volume[:, 10:20, 10:20] = 250
    # Middles at all heights, so that nearly all slices belong to both sweeps.
    boxes = np.array([[9, 9, z, 21, 21, end] for z, end in ((24, 35), (0, 8), (0, 35))])
    alive: set[int] = set()
    most = 0

    class Counted(StubRuntime):
        def encode(self, image: np.ndarray) -> np.ndarray:
            nonlocal most
            embedding = super().encode(image)
            alive.add(id(embedding))
            most = max(most, len(alive))
            weakref.finalize(embedding, alive.discard, id(embedding))
            return embedding

    def run(held: int) -> tuple[np.ndarray, int, int]:
        nonlocal most
        alive.clear()
        most = 0
        network = StubNetwork()
        labels = Segmenter(Counted(network), replace(PUBLISHED["daft"], stride=stride), held)(volume, boxes)
        return labels, network.encoded, most

    labels, encoded, at_once = run(kept)
    assert at_once <= kept + 2  # the one at work, and the one before it until it is replaced
    every, once, _ = run(depth)
    np.testing.assert_array_equal(labels, every)
    assert once < encoded <= 2 * once
    assert (labels == 3).any()


def test_what_a_deep_volume_takes_beside_itself_does_not_grow_with_it():
    """Traced bytes: labels and embeddings; OpenVINO's own memory is not seen here."""

    def peak_bytes(depth: int) -> int:
        volume = np.full((depth, 8, 8), 250, np.uint8)
        volume[:, 0] = 0
        boxes = np.array([[2, 2, 0, 6, 6, depth - 1], [1, 1, 0, 6, 6, depth // 2]])
        tracemalloc.start()
        try:
            Segmenter(StubRuntime(StubNetwork()), PUBLISHED["daft"], kept=3)(volume, boxes)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak_bytes(40) < peak_bytes(12) + (1 << 20)


# --------------------------------------------------------------------------- order of work


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)).map(lambda t: Span(*sorted(t))), min_size=1
)


@given(SPANS, st.integers(0, 20))
def test_sweeps_visit_each_slice_of_each_box_once_and_in_order(spans, kept):
    up, down = sweeps(spans, kept)
    for i, span in enumerate(spans):
        assert [v.z for v in up if i in v.boxes] == list(range(span.middle, span.last + 1))
        assert [v.z for v in down if i in v.boxes] == list(range(span.middle - 1, span.first - 1, -1))
    assert [v.z for v in up] == sorted({v.z for v in up})
    assert [v.z for v in down] == sorted({v.z for v in down}, reverse=True)
    shared = {v.z for v in up} & {v.z for v in down}
    kept_slices = [v.z for v in up if v.keep]
    assert set(kept_slices) <= shared
    assert len(kept_slices) == min(kept, len(shared))


# --------------------------------------------------------------------------- DAFT's models


@pytest.mark.parametrize(
    ("case", "model"),
    [
        ("3DBox_CT_0566", "CT"),
        ("3DBox_MR_0012", "3D"),
        ("3DBox_PET_0012", "3D"),
        ("2DBox_X-Ray_0001", "XRay"),
        ("2DBox_CXR_0001", "XRay"),
        ("2DBox_US_0525", "lite_medsam"),
        ("2DBox_Endoscope_0001", "Endoscopy"),
        ("2DBox_Dermoscopy_0001", "Dermoscopy"),
        ("2DBox_Microscope_0009", "Microscopy"),
        ("2DBox_Mamm_0001", "Mammography"),
        ("2DBox_OCT_0001", "OCT"),
        ("2DBox_MR_0001", "3D"),
        ("my_OCT_scan", "OCT"),  # not CT, which is in it too
        ("3DBox_OCT_0001", "OCT"),
        ("lung_CT", "CT"),
        ("a_MR_US", "3D"),  # MR is looked for first
        ("skin_Dermoscope_1", "lite_medsam"),  # known at the beginning alone
        ("2dbox_ct_1", "lite_medsam"),  # capitals count
    ],
)
def test_the_name_chooses_the_model(case, model):
    assert daft.model_of(case) == model


@pytest.mark.parametrize(
    ("case", "model"),
    [
        ("3DBox_CT_0566", "3D"),
        ("2DBox_CT_0001", "3D"),
        ("lung_CT", "3D"),
        ("3DBox_OCT_0001", "3D"),
        ("3DBox_US_0001", "3D"),
        ("2DBox_MR_0001", "3D"),
        ("2DBox_OCT_0001", "OCT"),
        ("2DBox_US_0525", "lite_medsam"),
        ("anything", "lite_medsam"),
    ],
)
def test_after_the_challenge_volumes_share_a_model(case, model):
    assert daft.model_of(case, shared=True) == model


def test_the_shared_model_is_known_by_its_export(tmp_path):
    for name in ("3D", "CT", "lite_medsam"):
        (tmp_path / name).mkdir()
        write_pipeline(PUBLISHED["daft"], tmp_path / name)
    assert program.folder_of(tmp_path, "3DBox_CT_0001") == tmp_path / "CT"
    write_pipeline(PUBLISHED["daft-shared"], tmp_path / "3D")
    assert program.folder_of(tmp_path, "3DBox_CT_0001") == tmp_path / "3D"
    assert program.folder_of(tmp_path, "3DBox_XX_0001") == tmp_path / "3D"
    assert program.folder_of(tmp_path, "2DBox_US_0001") == tmp_path / "lite_medsam"
    (tmp_path / "3D" / "pipeline.json").write_text("{")
    with pytest.raises(PipelineError, match=r"3D/pipeline\.json: it cannot be read"):
        program.folder_of(tmp_path, "2DBox_US_0001")


def test_a_model_that_is_not_there_is_stood_in_for(tmp_path):
    def add(name: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        write_pipeline(PUBLISHED["daft"], tmp_path / name)

    with pytest.raises(PipelineError, match="holds no networks, nor CT or general or lite_medsam"):
        program.folder_of(tmp_path, "3DBox_CT_0001")
    for name in ("lite_medsam", "general", "CT"):
        add(name)
        assert program.folder_of(tmp_path, "3DBox_CT_0001") == tmp_path / name
    add("")
    assert program.folder_of(tmp_path, "3DBox_CT_0001") == tmp_path


# --------------------------------------------------------------------------- pipeline.json


def test_the_file_has_the_agreed_keys(tmp_path):
    write_pipeline(PUBLISHED["medficientsam"].in_mode("fixed"), tmp_path)
    assert json.loads((tmp_path / "pipeline.json").read_text()) == {
        "algorithm": "medficientsam",
        "input_size": 512,
        "resize": "linear",
        "box": "exact",
        "next_box": "full",
        "margin": 0,
        "last_slice": "excluded",
        "label_value": "one",
        "mode": "fixed",
        "weights": "random, seed 2024",
        "precision": "f32",
        "stored": "f32",
        "stride": 1,
    }


def test_a_variant_stays_one_in_another_mode():
    variant = replace(PUBLISHED["litemedsam"], precision="bf16", stored="int8", stride=4, weights="checkpoint 12")
    assert variant.in_mode("fixed") == replace(variant, mode="fixed", label_value="one")
    assert variant.in_mode("fixed").in_mode("published") == variant


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", MODES)
def test_pipelines_survive_the_file(tmp_path, name, mode):
    pipeline = PUBLISHED[name].in_mode(mode)
    write_pipeline(pipeline, tmp_path)
    assert read_pipeline(tmp_path) == pipeline
    assert pipeline.in_mode("published") == PUBLISHED[name]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"resize": "cubic"}, "resize is 'cubic'"),
        ({"input_size": "256"}, "input_size is '256'"),
        ({"margin": True}, "margin is True"),
        ({"algorithm": "sam"}, "algorithm is 'sam'"),
        ({"colour": 1}, "cannot be read"),
        ({"precision": "f16"}, "precision is 'f16'"),
        ({"stored": "bf16"}, "stored is 'bf16'"),
        ({"stride": 0}, "stride is 0, not 1 or more"),
        ({"stride": 2.0}, "stride is 2.0"),
        ({"stride": True}, "stride is True"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, change, fault):
    write_pipeline(PUBLISHED["daft"], tmp_path)
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PipelineError, match=fault):
        read_pipeline(tmp_path)


def test_arithmetic_of_another_square_is_refused(tmp_path, capsys):
    arguments = ["export", "--algorithm", "litemedsam", "--pipeline", "medficientsam", "--out", str(tmp_path / "out")]
    assert commands.main(arguments) == 2
    assert "its square has 512 pixels" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------- OpenVINO


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_openvino_against_torch(name, tmp_path, monkeypatch):
    """Networks with weights made lively, exported and baked, in both modes: every object's Dice at least 0.995."""
    algorithm = ALGORITHMS[name]
    network = lively(build(algorithm, 3), algorithm.input_size)
    monkeypatch.setattr(export, "build", lambda *_: network)
    assert commands.main(["export", "--algorithm", name, "--out", str(tmp_path)]) == 0
    made = compile_beforehand(tmp_path)
    assert all(path.name.endswith(f"{cache_key()}.blob") for path in made)
    baked, pipeline = OpenVinoNetwork(tmp_path, threads=1), read_pipeline(tmp_path)
    remembering = Remembering(network)
    volume, boxes = volume_of_blobs((4, 60, 80), 9)
    image, planar = image_of_blobs((100, 140), 3, seed=10)
    for imgs, prompts in ((volume[:2], np.clip(boxes[:2], 0, [80, 60, 0, 80, 60, 1])), (image, planar)):
        for mode in MODES:
            labels = Segmenter(baked, pipeline.in_mode(mode))(imgs, prompts)
            want = Sequential(remembering, name, mode)(imgs, prompts)
            found = [n for n in range(1, len(prompts) + 1) if (want == n).sum() > 50]
            assert found
            for number in found:
                assert dice(labels == number, want == number) >= 0.995
    for path in made:
        path.write_bytes(b"damaged")
    compiled = OpenVinoNetwork(tmp_path, threads=1)
    square = np.random.default_rng(2).random((1, 3, algorithm.input_size, algorithm.input_size), dtype=np.float32)
    embedding, box = baked.encode(square), np.array([60, 60, 190, 190], dtype=np.float32)
    np.testing.assert_array_equal(compiled.encode(square), embedding)
    np.testing.assert_array_equal(compiled.decode(embedding, box), baked.decode(embedding, box))


def test_the_program_reads_no_further_than_boxes_reach(tmp_path, monkeypatch):
    """Of a file whose checksum is wrong, which shows at its end alone; the prediction is as deep as the volume."""
    volume, boxes = volume_of_blobs((9, 50, 60), 1)
    boxes[:, 5] = np.minimum(boxes[:, 5], 5)
    boxes[:, 2] = np.minimum(boxes[:, 2], 4)
    arrays = {"boxes": boxes, "spacing": np.ones(3)}
    members = [
        Member("imgs.npy", npy(volume), lies={"crc": 1}),
        *(Member(f"{k}.npy", npy(a)) for k, a in arrays.items()),
    ]
    write(tmp_path / "3DBox_CT_0001.npz", members)
    write_pipeline(PUBLISHED["litemedsam"], tmp_path)
    monkeypatch.setattr(network, "OpenVinoNetwork", lambda folder, precision: StubRuntime(StubNetwork()))
    (tmp_path / "out").mkdir()
    assert program.main(["-i", str(tmp_path), "-o", str(tmp_path / "out"), "--networks", str(tmp_path)]) == 0
    segs = contract.read_prediction(tmp_path / "out" / "3DBox_CT_0001.npz", volume.shape).array
    np.testing.assert_array_equal(segs, Sequential(StubNetwork(), "litemedsam", "published")(volume, boxes))
    assert segs[:6].any()


def test_a_broken_case_costs_the_others_nothing(tmp_path, monkeypatch, capsys):
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    image, boxes = image_of_blobs((40, 50), 2, seed=3)
    (inputs / "2DBox_US_0001.npz").write_bytes(b"no zip")
    np.savez_compressed(inputs / "2DBox_US_0002.npz", imgs=image, boxes=boxes)
    write_pipeline(PUBLISHED["litemedsam"], tmp_path)
    monkeypatch.setattr(network, "OpenVinoNetwork", lambda folder, precision: StubRuntime(StubNetwork()))
    assert program.main(["-i", str(inputs), "-o", str(outputs), "--networks", str(tmp_path)]) == 2
    assert "2DBox_US_0001.npz: " in capsys.readouterr().err
    assert [path.name for path in outputs.iterdir()] == ["2DBox_US_0002.npz"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """RepMedSAM, whose conversion is the quickest, from a checkpoint."""
    folder = tmp_path_factory.mktemp("repmedsam")
    checkpoint = folder / "rep_medsam.pth"
    torch.save(build(ALGORITHMS["repmedsam"], 7).state_dict(), checkpoint)
    arguments = ["export", "--algorithm", "repmedsam", "--checkpoint", str(checkpoint), "--mode", "fixed"]
    assert commands.main([*arguments, "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_an_embedding_outlives_the_next_one(exported):
    network = OpenVinoNetwork(exported, threads=1)
    random = np.random.default_rng(1)
    first = network.encode(random.random((1, 3, 256, 256), dtype=np.float32))
    before = first.copy()
    network.encode(random.random((1, 3, 256, 256), dtype=np.float32))
    np.testing.assert_array_equal(first, before)


@pytest.mark.slow
def test_the_program_writes_predictions(exported, tmp_path, capsys):
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    image, boxes = image_of_blobs((100, 140), 3, seed=10)
    np.savez_compressed(inputs / "2DBox_US_0001.npz", imgs=image, boxes=boxes)
    arguments = ["-i", str(inputs), "-o", str(outputs), "--networks"]
    assert program.main([*arguments, str(exported)]) == 0
    assert contract.read_prediction(outputs / "2DBox_US_0001.npz", (100, 140)).array.dtype == np.uint8
    digest = hashlib.sha256((exported / "rep_medsam.pth").read_bytes()).hexdigest()
    assert read_pipeline(exported) == replace(PUBLISHED["repmedsam"].in_mode("fixed"), weights=f"checkpoint {digest}")
    assert program.main([*arguments, str(tmp_path)]) == 2
    assert "holds no networks" in capsys.readouterr().err
