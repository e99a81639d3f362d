"""The C++ program: its files against numpy, its pixels against OpenCV and torch, its masks against the published order.

What needs no OpenVINO is built with AddressSanitizer and UndefinedBehaviorSanitizer, which end a program at the
first fault with a report on stderr.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")
cv2 = pytest.importorskip("cv2")

from models import convert, daft, geometry  # noqa: E402
from models.algorithms import ALGORITHMS, build  # noqa: E402
from models.fast.chains import span_of  # noqa: E402
from models.fast.pipeline import PUBLISHED, write_pipeline  # noqa: E402
from tests.contract.forge import BZIP2, STORED, Member, archive, claim, deflate, npy, write  # noqa: E402
from tests.models.sequential import Sequential  # noqa: E402
from tests.models.stub_network import StubNetwork  # noqa: E402
from tests.models.test_fast import image_of_blobs, volume_of_blobs  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2] / "models" / "cpp"
HAS_TOOLS = shutil.which("g++") and shutil.which("cmake") and Path("/usr/include/isa-l.h").exists()
pytestmark = [
    pytest.mark.skipif(not HAS_TOOLS, reason="needs g++, cmake and ISA-L (apt-get install g++ cmake libisal-dev)"),
    pytest.mark.xdist_group("cpp"),  # one build for all of them
]
NAMES = tuple(PUBLISHED)


def compiled(folder: Path, target: str, *options: str) -> Path:
    """Build a target, warnings being errors."""
    for command in (
        ["cmake", "-S", SOURCE, "-B", folder, "-DCMAKE_CXX_FLAGS=-Werror", *options],
        ["cmake", "--build", folder, "--target", target, "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / target


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What needs no OpenVINO, under sanitizers."""
    folder = tmp_path_factory.mktemp("check")
    return compiled(folder, "check", "-DWITH_OPENVINO=OFF", "-DWITH_CHECK=ON", "-DSANITIZE=ON")


@pytest.fixture(scope="session")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program itself."""
    development = Path(openvino.__file__).parent / "cmake"
    return compiled(tmp_path_factory.mktemp("segment"), "segment", f"-DOpenVINO_DIR={development}")


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


# --------------------------------------------------------------------------- pixels


@pytest.mark.parametrize("seed", range(12))
def test_images_are_resized_as_opencv_does(check: Path, tmp_path: Path, seed: int) -> None:
    """Any factor, up and down, whole ones among them; 16 bits by area alone, which is what masks need."""
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 150, 2)
    kind = np.uint16 if seed % 3 == 2 else np.uint8
    image = random.integers(0, 256 if kind == np.uint8 else 1000, (height, width, 3 if seed % 2 else 1)).astype(kind)
    if seed % 4 == 3:  # as masks are
        image = (image > image.mean()) * kind(random.integers(1, 6))
    sizes = [*random.integers(1, 200, (12, 2)), (height, width), (2 * height, 2 * width), (height, 3 * width)]
    sizes += [(max(1, height // n), max(1, width // n)) for n in (2, 3)]
    for factor in (1, 2, 4):
        part = image[: height // factor * factor, : width // factor * factor]
        if not part.size:
            continue
        wanted = [*sizes, (part.shape[0] // factor, part.shape[1] // factor)]
        np.savez(tmp_path / "in.npz", image=part, sizes=np.array(wanted))
        for how, flag in (("area", cv2.INTER_AREA), ("linear", cv2.INTER_LINEAR)):
            if how == "linear" and kind == np.uint16:
                continue
            run(check, "resize", how, tmp_path / "in.npz", tmp_path / "out.npz")
            want = [cv2.resize(part, (int(w), int(h)), interpolation=flag).reshape(-1) for h, w in wanted]
            np.testing.assert_array_equal(flat(tmp_path / "out.npz"), np.concatenate(want))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(37, 61, 3), (700, 300, 3), (5, 300, 500), (4, 256, 256), (3, 50, 20)])
def test_inputs_prompts_and_slices(check: Path, tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    """To the bit, for boxes of integers and of floats."""
    random = np.random.default_rng(sum(shape))
    imgs = random.integers(3, 250, shape).astype(np.uint8)
    size = np.array([shape[1], shape[0]] if shape[2] == 3 else [shape[2], shape[1], shape[0]])
    ends = np.sort(random.uniform(0, 1, (9, 2, len(size))), axis=1) * size
    for boxes in (ends.reshape(9, -1), ends.reshape(9, -1).astype(np.int64), ends.reshape(9, -1).astype(">f4")):
        pipeline = PUBLISHED[name]
        files = tmp_path / "case.npz", tmp_path / "pixels.npz", tmp_path / "square.npz"
        said = run(check, "case", pipeline_file(tmp_path, pipeline), case_file(files[0], imgs, boxes), *files[1:])
        volume, side = boxes.shape[1] == 6, pipeline.input_size
        read = flat(files[1])
        np.testing.assert_array_equal(read, imgs.reshape(-1)[: len(read)])
        if volume:
            assert len(read) == shape[1] * shape[2] * (min(int(boxes[:, 5].max()), shape[0] - 1) + 1)
        interpolation = geometry.AREA if pipeline.resize == "area" else geometry.LINEAR
        square = geometry.network_input(imgs[0] if volume else imgs, side, interpolation)
        np.testing.assert_array_equal(flat(files[2]), square.reshape(-1))
        place = geometry.box_in_square if pipeline.box == "floored" else geometry.exact_box_in_square
        want = []
        for box in boxes:
            corners = box[[0, 1, 3, 4]] if volume else box
            want.append(("prompt", *place(corners, imgs.shape[1:] if volume else imgs.shape[:2], side)))
            if volume:
                span = span_of(box, len(imgs), pipeline.last_slice == "included")
                want.append(("slices", span.first, span.middle, span.last))
        got = [(line.split()[0], *map(np.float32, line.split()[1:])) for line in said.stdout.splitlines()]
        assert got == want


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(300, 411), (90, 64), (512, 512), (256, 100)])
def test_masks_and_the_next_slices_box(check: Path, tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """Against torch on whole maps; numbers beyond 8 bits overflow or not as the published program has it."""
    random = np.random.default_rng(size[0])
    coarse = torch.from_numpy(random.normal(-0.7, 1, (6, 1, 14, 14)).astype(np.float32))
    logits = torch.nn.functional.interpolate(coarse, (256, 256), mode="bicubic")[:, 0].numpy()
    logits[1] = -1
    logits[2] = np.where(random.random((256, 256)) > 0.999, np.float32(0.4), np.float32(-0.3))  # specks
    numbers = np.array([1, 2, 3, 256, 300, 5])
    np.savez(tmp_path / "in.npz", logits=logits, size=np.array(size), numbers=numbers)
    pipeline = PUBLISHED[name]
    said = run(check, "masks", pipeline_file(tmp_path, pipeline), tmp_path / "in.npz", tmp_path / "out.npz")
    program = Sequential(None, name, "published")
    whole = torch.from_numpy(logits)[:, None]
    if pipeline.input_size > 256:
        whole = torch.nn.functional.interpolate(whole, (pipeline.input_size,) * 2, mode="bilinear")
    height, width = geometry.fitted_size(*size, pipeline.input_size)
    want = (torch.nn.functional.interpolate(whole[..., :height, :width], size, mode="bilinear")[:, 0] > 0).numpy()
    got = flat(tmp_path / "out.npz").reshape(want.shape)
    assert (got != want).mean() < 1e-5  # sums are rounded in another order
    default = np.array([np.nan] * 4)
    for line, mask, number in zip(said.stdout.splitlines(), got, numbers.tolist(), strict=True):
        box = program.following(mask > 0, number, default)
        if np.isnan(box).any():
            assert line == "next none"
        else:
            np.testing.assert_allclose([float(v) for v in line.split()[1:]], box, rtol=1e-6)


# --------------------------------------------------------------------------- files

IMGS = (np.arange(6 * 5 * 3) % 251).astype(np.uint8).reshape(6, 5, 3)
BOXES = np.array([[0, 1, 3, 4], [1, 0, 5, 6]])


def members(imgs: bytes = npy(IMGS), boxes: bytes = npy(BOXES), **lies: Any) -> list[Member]:
    return [Member("imgs.npy", imgs, **lies), Member("boxes.npy", boxes)]


@pytest.mark.parametrize("kind", ["i1", "u2", "<i4", ">i4", "i8", ">u8", "f4", "f8", ">f8"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_boxes_of_any_type_and_version(check: Path, tmp_path: Path, kind: str, version: tuple[int, int]) -> None:
    path = write(tmp_path / "a.npz", members(boxes=npy(BOXES.astype(kind), version=version)), comment=b"PK\5\6 or not")
    assert run(check, "read", path).stdout == "ok 2 1\n"


def test_files_of_numpy_and_zipfile(check: Path, tmp_path: Path) -> None:
    """Stored, deflated at every level, and with zip64 fields; a volume is read as far as its boxes reach."""
    volume = np.random.default_rng(0).integers(0, 9, (9, 70, 80)).astype(np.uint8)
    boxes = np.array([[0, 0, 1, 9, 9, 3], [0, 0, 4, 80, 70, 5]], dtype=np.uint16)
    paths = [tmp_path / "stored.npz", tmp_path / "deflated.npz"]
    np.savez(paths[0], imgs=volume, boxes=boxes)
    np.savez_compressed(paths[1], imgs=volume, boxes=boxes)
    for level in range(10):
        paths.append(tmp_path / f"level{level}.npz")
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED, compresslevel=level) as file:
            for key, array in (("boxes", boxes), ("imgs", volume)):
                buffer = io.BytesIO()
                np.save(buffer, array)
                with file.open(f"{key}.npy", "w", force_zip64=True) as member:
                    member.write(buffer.getvalue())
    assert run(check, "read", *paths).stdout == "ok 2 6\n" * len(paths)
    (tmp_path / "p").mkdir()
    pipeline = pipeline_file(tmp_path / "p", PUBLISHED["daft"])
    for path in paths:
        run(check, "case", pipeline, path, tmp_path / "pixels.npz", tmp_path / "square.npz")
        np.testing.assert_array_equal(flat(tmp_path / "pixels.npz"), volume[:6].reshape(-1))
    with zipfile.ZipFile(tmp_path / "pixels.npz") as file:
        assert file.testzip() is None


GOOD = archive(members())
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no zip": b"\0" * 100,
    "cut off": GOOD[:-30],
    "end alone": GOOD[-22:],
    "no imgs": archive(members()[1:]),
    "no boxes": archive(members()[:1]),
    "twice": archive(members() + members()[:1]),
    "bzip2": archive(members(method=BZIP2)),
    "encrypted": archive(members(lies={"flags": 1})),
    "checksum": archive(members(lies={"crc": 1})),
    "longer": archive(members(lies={"size": 1 << 20})),
    "terabytes": archive(members(lies={"size": 1 << 40})),
    "packed beyond": archive(members(lies={"compressed": 1 << 40})),
    "stored longer": archive(members(method=STORED, lies={"size": 1 << 20})),
    "offset": archive([Member("imgs.npy", npy(IMGS), offset=0xFFFFFFF0), members()[1]]),
    "offset in itself": archive([Member("imgs.npy", npy(IMGS), offset=7), members()[1]]),
    "directory": archive(members(), directory_offset=5),
    "directory size": archive(members(), directory_size=1 << 30),
    "half a stream": archive(members(packed=deflate(npy(IMGS))[:40])),
    "no stream": archive(members(packed=b"\xff" * 90)),
    "nothing packed": archive(members(packed=b"")),
    "not an array": archive(members(imgs=b"GIF89a" * 30)),
    "short array": archive(members(imgs=b"\x93NUMPY")),
    "version": archive(members(imgs=npy(IMGS, version=(9, 0)))),
    "header length": archive(members(imgs=npy(IMGS, header_length=60000))),
    "pickle": archive(members(imgs=npy(header=claim("|O", (6, 5, 3)), data=bytes(90)))),
    "float image": archive(members(imgs=npy(IMGS.astype(np.float32)))),
    "fortran": archive(members(imgs=npy(np.asfortranarray(IMGS)))),
    "more than there is": archive(members(imgs=npy(header=claim("|u1", (60, 50, 3)), data=IMGS.tobytes()))),
    "overflow": archive(members(imgs=npy(header=claim("|u1", (2**32, 2**32, 3)), data=IMGS.tobytes()))),
    "huge and empty": archive(members(imgs=npy(header=claim("|u1", (2**62, 0, 3)), data=b""))),
    "negative": archive(members(imgs=npy(header=claim("|u1", (-6, -5, 3)), data=IMGS.tobytes()))),
    "four axes": archive(members(imgs=npy(IMGS[None]))),
    "four colours": archive(members(imgs=npy(np.zeros((6, 5, 4), np.uint8)))),
    "much behind": archive(members(imgs=npy(IMGS) + bytes(2 << 20))),
    "no box": archive(members(boxes=npy(np.zeros((0, 4), np.int64)))),
    "boxes of five": archive(members(boxes=npy(np.zeros((2, 5), np.int64)))),
    "one axis": archive(members(boxes=npy(np.arange(4)))),
    "text": archive(members(boxes=npy(np.array([["a"] * 4])))),
    "complex": archive(members(boxes=npy(BOXES.astype(complex)))),
    "nan": archive(members(boxes=npy(np.array([[0, 0, np.nan, 3]])))),
    "infinite": archive(members(boxes=npy(np.array([[0, 0, 3, np.inf]])))),
    "outside": archive(members(boxes=npy(np.array([[0, 0, 6, 6]])))),
    "below zero": archive(members(boxes=npy(np.array([[-1, 0, 3, 3]])))),
    "turned": archive(members(boxes=npy(np.array([[3, 0, 1, 3]])))),
    "slice outside": archive(members(boxes=npy(np.array([[0, 0, 0, 3, 3, 99]])))),
    "beyond 2^63": archive(members(boxes=npy(np.full((1, 4), 2**64 - 1, np.uint64)))),
}
HEADERS = [
    "",
    "{}",
    "{'descr': '|u1'",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 3)",
    "'" * 99,
    "(" * 4000,
]
HEADERS += ["{'descr': '|u1', 'fortran_order': False, 'shape': (6, 5, 3), 'more': 1}", "{'shape': (" + "1," * 99 + ")}"]
HEADERS += ["{'descr': '|u1', 'fortran_order': Fals, 'shape': (6, 5, 3)}", "\0" * 80, "{'descr': [('a', '|u1')]}"]
HOSTILE |= {f"header {i}": archive(members(imgs=npy(IMGS, header=text))) for i, text in enumerate(HEADERS)}


def test_hostile_files_are_refused_by_name_and_fault(check: Path, tmp_path: Path) -> None:
    paths = []
    for number, content in enumerate(HOSTILE.values()):
        paths.append(tmp_path / f"{number}.npz")
        paths[-1].write_bytes(content)
    paths += [tmp_path, tmp_path / "absent.npz", Path("/dev/zero")]
    done = run(check, "read", *paths, code=2)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    accepted = [what for what, line in zip(HOSTILE, lines, strict=False) if not line.startswith("error: ")]
    assert accepted == []
    assert all(line.startswith(f"error: {path}: ") for line, path in zip(lines, paths, strict=True))


def test_damaged_files_never_bring_it_down(check: Path, tmp_path: Path) -> None:
    """A thousand files with a few bytes changed, cut out or doubled: read or refused, and what is read is sound."""
    random = np.random.default_rng(7)
    sources = [GOOD, archive(members(method=STORED)), archive(members(boxes=npy(BOXES.astype(np.float32))))]
    paths = []
    for number in range(1000):
        content = bytearray(sources[number % 3])
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(len(content)))
            match random.integers(4):
                case 0:
                    content[at] ^= 1 << int(random.integers(8))
                case 1:
                    content[at] = int(random.choice([0, 1, 127, 255]))
                case 2:
                    del content[at : at + int(random.integers(1, 9))]
                case _:
                    content[at:at] = content[at : at + int(random.integers(1, 9))]
        paths.append(tmp_path / f"{number}.npz")
        paths[-1].write_bytes(content)
    done = run(check, "read", *paths, code=2)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(paths)


def test_dafts_models_by_the_cases_name(check: Path, tmp_path: Path) -> None:
    names = [f"{d}DBox_{m}_1" for d in (2, 3) for m in ("CT", "MR", "PET", "OCT", "US", "X-Ray", "CXR", "Mammo", "?")]
    names += ["OCT_of_CT", "aMicroscopeb", "Dermoscope", "2DBox_Endoscope_3", "2DBox_Microscopy_1", "Fundus", ""]
    for present in (daft.MODELS, (daft.GENERAL, daft.ELSE), (daft.ELSE,)):
        root = tmp_path / str(len(present))
        for model in present:
            (root / model).mkdir(parents=True)
            (root / model / "pipeline.json").touch()
        for name in names:
            want = next(model for model in daft.candidates(name) if model in present)
            assert run(check, "networks", root, name).stdout == f"{root / want}\n"
    assert "general" in run(check, "networks", tmp_path, "x", code=2).stderr


# --------------------------------------------------------------------------- masks through volumes


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

    def decode(embedding: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = stub.decode(embedding, boxes)[0]
        return logits, logits[:, 0, 0]

    encoder = convert._converted(Module(stub.image_encoder), {"image": torch.zeros(1, 3, side, side)}, ["embedding"])
    example = {"embedding": torch.zeros(1, 256, 64, 64), "boxes": torch.ones(2, 4)}
    outputs = ["low_res_logits", "iou"]
    openvino.save_model(encoder, folder / "encoder.xml", compress_to_fp16=False)
    openvino.save_model(
        convert._converted(Module(decode), example, outputs, {"boxes": [-1, 4]}), folder / "decoder.xml", False
    )
    write_pipeline(pipeline, folder)


def predicted(segment: Path, networks: Path, folder: Path, imgs: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What the program makes of one case."""
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    case_file(folder / "in" / "case.npz", imgs, boxes)
    run(segment, "--networks", networks, "-i", folder / "in", "-o", folder / "out")
    assert [path.name for path in (folder / "out").iterdir()] == ["case.npz"]
    with np.load(folder / "out" / "case.npz") as file:
        return file["segs"]


@pytest.mark.parametrize("mode", ["published", "fixed"])
@pytest.mark.parametrize("name", NAMES)
def test_volumes_and_images_in_the_published_order(segment: Path, tmp_path: Path, name: str, mode: str) -> None:
    """The same labels as box after box and slice after slice, with an empty slice and a box of one slice."""
    pipeline = PUBLISHED[name].in_mode(mode)
    export_stub(tmp_path / "networks", pipeline)
    reference = Sequential(StubNetwork(pipeline.input_size), name, mode)
    volume, boxes = volume_of_blobs((9, 60, 83), seed=3)
    boxes[0, [2, 5]] = 0, 8
    volume[5] = 7
    boxes = np.concatenate([boxes, boxes])  # more of them than are decoded at once
    boxes[7, 5] = boxes[7, 2] + (pipeline.last_slice == "excluded")
    for imgs, prompts in ((volume, boxes), image_of_blobs((120, 90), 12, seed=4)):
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
    run(segment, "--bake", "--networks", networks)
    blobs = sorted(networks.glob("*.blob"))
    assert [path.name.split("-")[0] for path in blobs] == ["decoder", "encoder"]
    np.testing.assert_array_equal(predicted(segment, networks, tmp_path, volume, boxes), plain)
    blobs[1].write_bytes(b"no blob" * 9)
    np.testing.assert_array_equal(predicted(segment, networks, tmp_path, volume, boxes), plain)


def test_errors_name_the_file_and_leave_other_cases_alone(segment: Path, tmp_path: Path) -> None:
    export_stub(tmp_path / "networks", PUBLISHED["repmedsam"])
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    words = ["--networks", tmp_path / "networks", "-i", tmp_path / "in", "-o", tmp_path / "out"]
    assert "no .npz file" in run(segment, *words, code=2).stderr
    case_file(tmp_path / "in" / "b.npz", *image_of_blobs((50, 40), 2, seed=1))
    (tmp_path / "in" / "a.npz").write_bytes(GOOD[:50])
    assert "a.npz: it is no zip archive" in run(segment, *words, code=2).stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.npz"]
    (tmp_path / "in" / "a.npz").unlink()
    assert "no such folder" in run(segment, *words[:-1], tmp_path / "absent", code=2).stderr
    assert "--precision" in run(segment, *words, "--precision", "f8", code=2).stderr
    pipeline = tmp_path / "networks" / "pipeline.json"
    for text in ("", "{", "[]", pipeline.read_text().replace("floored", "rounded"), '{"algorithm": "repmedsam"}'):
        pipeline.write_text(text)
        assert "pipeline.json" in run(segment, *words, code=2).stderr
    pipeline.unlink()
    assert "python -m models export" in run(segment, *words, code=2).stderr


# --------------------------------------------------------------------------- the networks


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_masks_agree_with_torch(segment: Path, tmp_path: Path, name: str) -> None:
    """With random weights, whose masks hold a part of the image that is neither none nor all."""
    algorithm = ALGORITHMS[name]
    network = build(algorithm, seed=1)
    image, boxes = image_of_blobs((90, 120), 2, seed=2)
    openvino.save_model(convert.encoder_model(network, algorithm.input_size), tmp_path / "encoder.xml", False)
    openvino.save_model(convert.decoder_model(network), tmp_path / "decoder.xml", False)
    # Not DAFT's fixed mode, which would clip masks to their boxes.
    write_pipeline(PUBLISHED[name], tmp_path)
    want = Sequential(network, name, "published")(image, boxes)
    got = predicted(segment, tmp_path, tmp_path, image, boxes)
    for number in (1, 2):
        ours, theirs = got == number, want == number
        assert 2 * (ours & theirs).sum() >= 0.995 * (ours.sum() + theirs.sum())
    assert 0.01 < (got > 0).mean() < 0.99
