"""The baseline as it was submitted: its masks, and that it saves nothing up."""

from __future__ import annotations

import csv

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from harness import contract
from models.fast.pipeline import MODES
from models.litemedsam import __main__ as program
from models.litemedsam.segment import Segmenter
from tests.models.sequential import Sequential
from tests.models.stub_network import StubNetwork
from tests.models.synthetic import image_of_blobs, volume_of_blobs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "case",
    [
        volume_of_blobs((9, 90, 120), 1),
        volume_of_blobs((6, 280, 200), 2),
        image_of_blobs((200, 340), 260, 4),
        image_of_blobs((60, 50), 2, 5),
    ],
    ids=["volume", "tall volume", "many objects", "small image"],
)
def test_the_same_pixels_as_the_published_order(mode, case):
    imgs, boxes = case
    labels = Segmenter(StubNetwork(), mode)(imgs, boxes)
    np.testing.assert_array_equal(labels, Sequential(StubNetwork(), "litemedsam", mode)(imgs, boxes))
    assert labels.dtype == (np.uint8 if mode == "published" or len(boxes) < 256 else np.uint16)


def test_every_slice_is_encoded_again_for_every_box():
    volume, boxes = volume_of_blobs((9, 90, 120), 1)
    network = StubNetwork()
    Segmenter(network)(volume, boxes)
    assert network.encoded == sum(int(box[5] - box[2]) + 1 for box in boxes)
    assert set(network.batches) == {1}


def test_an_image_is_encoded_once_and_its_boxes_are_decoded_one_by_one():
    image, boxes = image_of_blobs((60, 80), 5, 6)
    network = StubNetwork()
    Segmenter(network)(image, boxes)
    assert network.encoded == 1
    assert network.batches == [1] * 5


def test_numbers_of_eight_bits_as_published():
    """In an image object 256 wipes out what lies under it; in a volume it leaves that as it is."""
    image = np.full((40, 40, 3), 10, dtype=np.uint8)
    image[10:20, 10:20] = 250
    boxes = np.tile([9, 9, 21, 21], (256, 1))
    assert not Segmenter(StubNetwork(), "published")(image, boxes).any()
    assert Segmenter(StubNetwork(), "fixed")(image, boxes).max() == 256
    volume, deep = image[None, :, :, 0], np.tile([9, 9, 0, 21, 21, 0], (256, 1))
    assert Segmenter(StubNetwork(), "published")(volume, deep).max() == 255


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Inputs with one case, empty outputs, and a stub in the network's place."""
    monkeypatch.setattr(program, "build", lambda *_: StubNetwork())
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    image, boxes = image_of_blobs((60, 80), 3, 7)
    np.savez_compressed(inputs / "2DBox_US_0001.npz", imgs=image, boxes=boxes)
    return inputs, outputs


def test_the_program_writes_what_the_script_wrote(folders):
    inputs, outputs = folders
    assert program.main(["-i", str(inputs), "-o", str(outputs)]) == 0
    assert contract.read_prediction(outputs / "2DBox_US_0001.npz", (60, 80)).array.max() == 3
    with open(outputs / "efficiency.csv", newline="") as stream:
        (head, row) = csv.reader(stream)
    assert head == ["case", "time"]
    assert row[0] == "2DBox_US_0001.npz"
    assert float(row[1]) > 0
    assert len(list(outputs.iterdir())) == 2  # no overlay unless asked for


def test_the_overlay_on_request(folders, tmp_path):
    inputs, outputs = folders
    volume, boxes = volume_of_blobs((4, 40, 50), 1)
    np.savez_compressed(inputs / "3DBox_CT_0001.npz", imgs=volume, boxes=boxes, spacing=np.ones(3))
    assert program.main(["-i", str(inputs), "-o", str(outputs), "--overlay", str(tmp_path / "png")]) == 0
    assert {path.name for path in (tmp_path / "png").iterdir()} == {"2DBox_US_0001.png", "3DBox_CT_0001.png"}


def test_usage_errors(folders, tmp_path, capsys):
    inputs, outputs = folders
    assert program.main(["-i", str(tmp_path), "-o", str(outputs)]) == 2
    assert "no .npz file" in capsys.readouterr().err
    assert program.main(["-i", str(inputs), "-o", str(outputs), "--checkpoint", str(tmp_path / "none.pth")]) == 2
    assert "no such file" in capsys.readouterr().err
