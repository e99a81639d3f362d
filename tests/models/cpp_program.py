"""Building and running the C++ program, for the tests of test_cpp*.py.

What needs no OpenVINO is built with AddressSanitizer and UndefinedBehaviorSanitizer, which end a program at the
first fault with a report on stderr.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from models import convert  # noqa: E402
from models.fast.pipeline import PARTS, write_pipeline  # noqa: E402
from models.graph import halved  # noqa: E402
from tests.models.stub_network import StubNetwork  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2] / "models" / "cpp"
HAS_TOOLS = shutil.which("g++") and shutil.which("cmake") and Path("/usr/include/isa-l.h").exists()
MARKS = [
    pytest.mark.skipif(not HAS_TOOLS, reason="needs g++, cmake and ISA-L (apt-get install g++ cmake libisal-dev)"),
    pytest.mark.xdist_group("cpp"),  # one build for all of them
]


def compiled(session: Path, target: str, *options: str) -> Path:
    """Build a target, warnings being errors; once in a session."""
    folder = session / f"build-{target}"
    if (folder / target).exists():
        return folder / target
    for command in (
        ["cmake", "-S", SOURCE, "-B", folder, "-DCMAKE_CXX_FLAGS=-Werror", *options],
        ["cmake", "--build", folder, "--target", target, "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / target


def built_check(session: Path) -> Path:
    """What needs no OpenVINO, under sanitizers."""
    return compiled(session, "check", "-DWITH_OPENVINO=OFF", "-DWITH_CHECK=ON", "-DSANITIZE=ON")


def built_segment(session: Path) -> Path:
    """The program itself."""
    development = Path(openvino.__file__).parent / "cmake"
    return compiled(session, "segment", f"-DOpenVINO_DIR={development}")


def run(program: Path, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def flat(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return file["flat"]


def case_file(path: Path, imgs: np.ndarray, boxes: np.ndarray) -> Path:
    np.savez_compressed(path, imgs=imgs, boxes=boxes, spacing=np.ones(3))
    return path


def pipeline_file(folder: Path, pipeline: Any) -> Path:
    write_pipeline(pipeline, folder)
    return folder / "pipeline.json"


class Module(torch.nn.Module):
    """A function of the stub as a module, which is what can be converted."""

    def __init__(self, call: Any) -> None:
        super().__init__()
        self.call = call

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.call(*inputs)


def export_stub(folder: Path, pipeline: Any) -> None:
    """The stub's networks in the export's format."""
    folder.mkdir(parents=True)
    stub, side = StubNetwork(pipeline.input_size), pipeline.input_size

    embedding, boxes = torch.zeros(1, 256, 64, 64), torch.ones(1, 4)
    encoder = convert._converted(Module(stub.image_encoder), {"image": torch.zeros(1, 3, side, side)}, ["embedding"])
    for part, model in zip(PARTS, halved(encoder), strict=False):
        openvino.save_model(model, folder / f"{part}.xml", False)
    parts = {
        "shared": (lambda embedding: embedding + 1, {"embedding": embedding}, ["shared"]),
        "decoder": (
            lambda shared, boxes: stub.decode(shared - 1, boxes)[0],
            {"shared": embedding, "boxes": boxes},
            ["low_res_logits"],
        ),
    }
    for part, (call, example, outputs) in parts.items():
        openvino.save_model(convert._converted(Module(call), example, outputs), folder / f"{part}.xml", False)
    write_pipeline(pipeline, folder)
