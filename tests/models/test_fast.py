"""The fast pipeline against the published order of work, with the same network."""

from __future__ import annotations

import hashlib
import json
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
from models.fast.chains import Span, sweeps
from models.fast.network import OpenVinoNetwork, cache_key, compile_beforehand
from models.fast.pipeline import MODES, PUBLISHED, PipelineError, read_pipeline, write_pipeline
from models.fast.segment import BATCH, Segmenter
from models.litemedsam.segment import Segmenter as Baseline
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
        assert fast.batches == [BATCH] * (count // BATCH) + [1] * (count % BATCH)
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
        wide = mode == "published" and name in ("medficientsam", "daft")
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


def test_a_margin_of_boxes_at_full_size_ends_at_the_square():
    pipeline = replace(PUBLISHED["daft"], next_box="full")
    volume, boxes = volume_of_blobs((9, 90, 120), 1)
    labels = Segmenter(StubRuntime(StubNetwork()), pipeline)(volume, boxes)
    assert len(np.unique(labels)) > 3


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
    }


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


def lively(network: torch.nn.Module, side: int) -> torch.nn.Module:
    """Random weights, of which masks are all or nothing, turned so that a mask is about half of the square."""
    decoder = network.mask_decoder
    with torch.inference_mode():
        image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1))
        logits, _ = network.decode(network.image_encoder(image), torch.tensor([[60.0, 60.0, 190.0, 190.0]]))
        low, high = logits.quantile(torch.tensor([0.1, 0.9])).tolist()
        # One feature becomes the constant 1, which carries an offset; GELU(1) is not 1.
        *_, enlarge, activate = decoder.output_upscaling
        last = decoder.output_hypernetworks_mlps[0].layers[2]
        one = activate(torch.tensor(1.0)).item()
    with torch.no_grad():
        gain = 10 / (high - low)
        last.weight *= gain
        last.bias *= gain
        enlarge.weight[:, 0] = 0
        enlarge.bias[0] = 1
        last.weight[0] = 0
        last.bias[0] = 0
        logits, _ = network.decode(network.image_encoder(image), torch.tensor([[60.0, 60.0, 190.0, 190.0]]))
        last.bias[0] = -logits.median() / one
    return network


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_openvino_against_torch(name, tmp_path, monkeypatch):
    """Networks with weights made lively, exported and baked, in both modes: every object's Dice at least 0.995."""
    algorithm = ALGORITHMS[name]
    network = lively(build(algorithm, 3), algorithm.input_size)
    monkeypatch.setattr(export, "build", lambda *_: network)
    assert commands.main(["export", "--algorithm", name, "--out", str(tmp_path)]) == 0
    made = compile_beforehand(tmp_path)
    assert all(path.name.endswith(f"{cache_key()}.blob") for path in made)
    baked, pipeline = OpenVinoNetwork(tmp_path, threads=1), read_pipeline(tmp_path)
    for path in made:
        path.write_bytes(b"damaged")
    compiled = OpenVinoNetwork(tmp_path, threads=1)
    volume, boxes = volume_of_blobs((4, 60, 80), 9)
    image, planar = image_of_blobs((100, 140), 3, seed=10)
    for imgs, prompts in ((volume[:2], np.clip(boxes[:2], 0, [80, 60, 0, 80, 60, 1])), (image, planar)):
        for mode in MODES:
            labels = Segmenter(baked, pipeline.in_mode(mode))(imgs, prompts)
            again = Segmenter(compiled, pipeline.in_mode(mode))(imgs, prompts)
            np.testing.assert_array_equal(labels, again)
            want = Sequential(network, name, mode)(imgs, prompts)
            found = [n for n in range(1, len(prompts) + 1) if (want == n).sum() > 50]
            assert found
            for number in found:
                assert dice(labels == number, want == number) >= 0.995


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
