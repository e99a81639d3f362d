"""The C++ program: its files against numpy, its pixels against OpenCV and torch, all under sanitizers."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")
cv2 = pytest.importorskip("cv2")

from models import daft, geometry  # noqa: E402
from models.fast.chains import span_of  # noqa: E402
from models.fast.pipeline import PUBLISHED, SHARED, write_pipeline  # noqa: E402
from models.packed import pack, unpack  # noqa: E402
from tests.contract.forge import BZIP2, STORED, Member, archive, claim, deflate, npy, write  # noqa: E402
from tests.models.cpp_program import MARKS, built_check, case_file, flat, pipeline_file, run  # noqa: E402
from tests.models.sequential import Sequential  # noqa: E402

pytestmark = MARKS
NAMES = tuple(PUBLISHED)


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_check(tmp_path_factory.getbasetemp())


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


NAMES_OF_CASES = [
    *(f"{d}DBox_{m}_1" for d in (2, 3) for m in ("CT", "MR", "PET", "OCT", "US", "X-Ray", "CXR", "Mammo", "?")),
    *(
        "OCT_of_CT",
        "aMicroscopeb",
        "Dermoscope",
        "2DBox_Endoscope_3",
        "2DBox_Microscopy_1",
        "Fundus",
        "3D",
        "a3D_CT",
        "",
    ),
]


@pytest.mark.parametrize("algorithm", ["daft", SHARED])
def test_dafts_models_by_the_cases_name(check: Path, tmp_path: Path, algorithm: str) -> None:
    for present in (daft.MODELS, (daft.GENERAL, daft.ELSE), (daft.ELSE,)):
        root, shared = tmp_path / str(len(present)), algorithm == SHARED and daft.VOLUMES in present
        for model in present:
            (root / model).mkdir(parents=True)
            write_pipeline(PUBLISHED[algorithm], root / model)
        for name in NAMES_OF_CASES:
            want = next(model for model in daft.candidates(name, shared) if model in present)
            assert run(check, "networks", root, name).stdout == f"{root / want}\n"
    assert "general" in run(check, "networks", tmp_path, "x", code=2).stderr


def test_all_volumes_and_what_went_to_ct_share_dafts_later_model(check: Path, tmp_path: Path) -> None:
    """By a table of its own: the rule stands in two programs."""
    for model in ("3D", "CT", "US", "OCT", "lite_medsam", "general"):
        (tmp_path / model).mkdir()
        write_pipeline(PUBLISHED[SHARED], tmp_path / model)
    for name, model in (
        ("3DBox_CT_0001", "3D"),
        ("3DBox_MR_0001", "3D"),
        ("3DBox_US_0001", "3D"),
        ("2DBox_CT_0001", "3D"),
        ("2DBox_MR_0001", "3D"),
        ("what_CT", "3D"),
        ("2DBox_US_0001", "lite_medsam"),
        ("2DBox_OCT_0001", "OCT"),
        ("2DBox_Fundus_0001", "general"),
        ("something", "lite_medsam"),
    ):
        assert run(check, "networks", tmp_path, name).stdout == f"{tmp_path / model}\n"


# --------------------------------------------------------------------------- weights


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 300_001])
def test_weights_of_24_bits_are_widened_as_in_python(check: Path, tmp_path: Path, count: int) -> None:
    random = np.random.default_rng(count)
    floats = (random.normal(size=count) * 2.0 ** random.integers(-149, 124, count)).astype("<f4")
    floats[10_000:10_004] = (0, -0.0, 2.0**-149, -(2.0**126)) if count > 20_000 else floats[10_000:10_004]
    floats[20_000:30_000] = 0
    content = pack(floats)
    (tmp_path / "packed").write_bytes(content.tobytes())
    runs = -(-count // 1024)
    for first, last in ((0, runs), (runs // 3, 2 * runs // 3)):
        run(check, "widen", count, first, last, tmp_path / "packed", tmp_path / "out")
        expected = np.zeros(count, dtype="<f4")
        expected[first * 1024 : last * 1024] = unpack(content, count)[first * 1024 : last * 1024]
        assert (tmp_path / "out").read_bytes() == expected.tobytes()


def xml_of(*places: tuple[int, int]) -> str:
    """A model with constants at these offsets, of these sizes."""
    layers = "".join(
        f'<layer id="{i}" name="c{i}" type="Const" version="opset1">\n<data element_type="u8" shape="{size}" '
        f'offset="{offset}" size="{size}" />\n<output/></layer>\n'
        for i, (offset, size) in enumerate(places)
    )
    return f'<net>\n<layer name="x" type="Parameter"><data shape="1" offset="7" size="9" /></layer>\n{layers}</net>\n'


def places_in(xml: str) -> list[tuple[int, int]]:
    found = re.findall(r'element_type="u8" shape="\d+" offset="(\d+)" size="(\d+)"', xml)
    return [(int(offset), int(size)) for offset, size in found]


@pytest.mark.parametrize("seed", range(8))
def test_a_models_constants_are_found_in_another_file(check: Path, tmp_path: Path, seed: int) -> None:
    """Those that are there, in whatever order and at whatever place; the others are put behind it, each once."""
    random = np.random.default_rng(seed)
    sizes = [*random.integers(0, 30_000, 9), 4096, 4095, 0]
    parts = [random.integers(0, 3 if i % 2 else 256, size, dtype=np.uint8).tobytes() for i, size in enumerate(sizes)]
    parts[2] = bytes(len(parts[2]))  # zeros alone, which also stand elsewhere
    weights = b"".join(parts)
    offsets = [sum(map(len, parts[:i])) for i in range(len(parts))]
    places = [(offset, len(part)) for offset, part in zip(offsets, parts, strict=True)]
    places += [places[0], places[3], (offsets[4] + 1, len(parts[4]) - 1)]
    there = [parts[i] for i in random.permutation(len(parts))[:6]]
    blob = b"".join(bytes(random.integers(0, 90)) + part for part in there) + b"end"
    xml = xml_of(*places)
    for name, content in (("m.xml", xml.encode()), ("m.bin", weights), ("blob", blob)):
        (tmp_path / name).write_bytes(content)
    run(check, "rebase", tmp_path / "m.xml", tmp_path / "m.bin", tmp_path / "blob")
    changed, file = (tmp_path / "m.xml").read_text(), (tmp_path / "blob").read_bytes()
    assert file.startswith(blob)
    assert re.sub(r'(type="u8".* offset=")\d+', r"\1", changed) == re.sub(r'(type="u8".* offset=")\d+', r"\1", xml)
    for (was, size), (now, same) in zip(places, places_in(changed), strict=True):
        assert same == size
        assert file[now : now + size] == weights[was : was + size]
        if any(weights[was : was + size] == part for part in there) and size >= 4096:
            assert now + size <= len(blob)
    missing = {(was, size) for was, size in places if weights[was : was + size] not in blob or size < 4096}
    assert len(file) <= len(blob) + sum(size + 63 for _, size in missing)


@pytest.mark.parametrize(
    ("xml", "fault"),
    [
        (xml_of((0, 101)), "a constant that lies beyond the weights"),
        (xml_of((101, 0)), "a constant that lies beyond the weights"),
        (xml_of((2**63, 2**63)), "a constant at 9223372036854775808"),
        (xml_of((0, 9)).replace('size="9" />\n<output', "/>\n<output"), "a constant without size"),
        (xml_of((0, 9)).replace('offset="0"', "") + 'offset="0"', "a constant without offset"),
        (xml_of((0, 9)).replace('offset="0"', 'offset="x0"'), "a constant at x0"),
        ('<layer type="Const"', "a constant without data"),
        ('<layer type="Const"><data offset="0', "a constant without data"),
    ],
)
def test_models_that_are_none_are_refused(check: Path, tmp_path: Path, xml: str, fault: str) -> None:
    for name, content in (("m.xml", xml.encode()), ("m.bin", bytes(100)), ("blob", b"blob")):
        (tmp_path / name).write_bytes(content)
    said = run(check, "rebase", tmp_path / "m.xml", tmp_path / "m.bin", tmp_path / "blob", code=2).stderr
    assert said == f"error: {fault}\n"
