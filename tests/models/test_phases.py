"""The line that says where a case's time went."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from models.phases import Phases, process_age_s


class Clock:
    """Stands still until told to go on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


def test_the_line(clock: Clock):
    phases, out = Phases(clock, import_s=0.5125), io.StringIO()

    def encode(image: str) -> str:
        clock.after(2)
        return image + "!"

    def decode(embedding: str, box: int) -> None:
        clock.after(0.1)

    encode, decode = phases.timed("encode", encode, "slices"), phases.timed("decode", decode, "masks")
    with phases.within("load"):
        clock.after(0.21)
    with phases.within("read"):
        clock.after(0.012)
    clock.after(0.08)
    for boxes in ([1, 2, 3, 4], [5]):
        assert encode("image") == "image!"
        for box in boxes:
            decode("image!", box)
    with phases.within("write"):
        clock.after(0.009)
    phases.report("3DBox_CT_0001", out)
    first = "import 0.512 load 0.210 read 0.012 encode 4.000 decode 0.500 other 0.080 write 0.009 slices 2 masks 5"
    assert out.getvalue() == f"phases 3DBox_CT_0001 {first}\n"
    clock.after(1)
    phases.report("2DBox_US_0001", out)
    later = "import 0.000 load 0.000 read 0.000 encode 0.000 decode 0.000 other 1.000 write 0.000 slices 0 masks 0"
    assert out.getvalue().splitlines()[1:] == [f"phases 2DBox_US_0001 {later}"]


def test_an_inner_phase_is_not_the_outer_ones(clock: Clock):
    phases, out = Phases(clock, import_s=0), io.StringIO()
    with phases.within("load"):
        clock.after(1)
        with phases.within("import"):
            clock.after(10)
        clock.after(1)
    phases.report("a", out)
    assert "import 10.000 load 2.000 read 0.000 encode 0.000 decode 0.000 other 0.000" in out.getvalue()


def test_time_until_a_failure_counts(clock: Clock):
    phases, out = Phases(clock, import_s=0), io.StringIO()

    def read() -> None:
        clock.after(3)
        raise KeyError

    with pytest.raises(KeyError), phases.within("read"):
        read()
    phases.report("a", out)
    assert "read 3.000" in out.getvalue()


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps tells a process's age independently")
def test_the_age_is_what_ps_says():
    told = int(subprocess.run(["ps", "-o", "etimes=", "-p", str(os.getpid())], capture_output=True, check=True).stdout)
    assert told - 1 <= process_age_s() <= told + 30


LINE = re.compile(
    r"phases (\S+) import (\d+\.\d{3}) load \d+\.\d{3} read \d+\.\d{3} encode \d+\.\d{3} decode \d+\.\d{3} "
    r"other \d+\.\d{3} write \d+\.\d{3} slices (\d+) masks (\d+)"
)


@pytest.mark.parametrize("program", ["models.fast", "models.litemedsam"])
def test_programs_write_a_line_for_each_case(program, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("openvino")
    import importlib

    from models.fast import network
    from models.fast.pipeline import PUBLISHED, write_pipeline
    from tests.models.stub_network import StubNetwork, StubRuntime
    from tests.models.synthetic import image_of_blobs, volume_of_blobs

    main = importlib.import_module(f"{program}.__main__")
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    image, boxes = image_of_blobs((50, 60), 5, 1)
    np.savez(inputs / "2DBox_US_0001.npz", imgs=image, boxes=boxes)
    volume, spans = volume_of_blobs((9, 50, 60), 1)
    np.savez(inputs / "3DBox_CT_0001.npz", imgs=volume, boxes=spans, spacing=np.ones(3))
    write_pipeline(PUBLISHED["litemedsam"], tmp_path)
    monkeypatch.setattr(network, "OpenVinoNetwork", lambda folder, precision: StubRuntime(StubNetwork()))
    if program == "models.litemedsam":
        monkeypatch.setattr(main, "build", lambda *_: StubNetwork())
    networks = ["--networks", str(tmp_path)] if program == "models.fast" else []
    assert main.main(["-i", str(inputs), "-o", str(outputs), *networks]) == 0
    lines = [LINE.fullmatch(line) for line in capsys.readouterr().err.splitlines()]
    planar, deep = (line.groups() for line in lines if line)
    assert len(lines) == 2
    masks = sum(int(box[5] - box[2]) + 1 for box in spans)
    slices = len({z for box in spans for z in range(box[2], box[5] + 1)}) if program == "models.fast" else masks
    assert planar[0::2] == ("2DBox_US_0001", "1")
    assert planar[3] == "5"
    assert deep[0] == "3DBox_CT_0001"
    assert deep[2:] == (str(slices), str(masks))
    assert float(planar[1]) > 0
    assert float(deep[1]) == 0
