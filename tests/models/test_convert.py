"""What is exported: rearranged networks equal to the plain ones, files of the format, weights stored smaller."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
openvino = pytest.importorskip("openvino")

from models import convert  # noqa: E402
from models.algorithms import ALGORITHMS  # noqa: E402
from models.sam.decoder import MaskDecoder  # noqa: E402
from models.sam.efficientvit import EfficientViT  # noqa: E402
from models.sam.lean_decoder import LeanDecoder, LeanImage  # noqa: E402
from models.sam.network import SegmentAnything  # noqa: E402
from models.sam.repvit import Block, RepViT  # noqa: E402
from models.sam.tinyvit import Stage, TinyViT  # noqa: E402
from models.sam.winograd import TiledConvolution  # noqa: E402

SIDE = 256
BOXES = [[10.0, 20.0, 100.0, 120.0], [0.0, 0.0, 255.0, 255.0], [130.5, 7.0, 140.0, 250.0]]


def unsettled(module: torch.nn.Module) -> torch.nn.Module:
    """With weights, biases and statistics of norms that are not the neutral ones they begin with."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if name.endswith("running_var"):
                value.mul_(torch.rand(value.shape, generator=generator) + 0.5)
            elif name.endswith(("bias", "biases", "running_mean", "norm.weight", "bn.weight", "no_mask_embed.weight")):
                value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return module.eval()


def worst(ours: object, expected: object) -> float:
    """max |a - b| / max |b|."""
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape
    return float(np.abs(ours - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def network() -> SegmentAnything:
    """A whole decoder behind an encoder of no interest."""
    torch.manual_seed(3)
    return unsettled(SegmentAnything(torch.nn.Identity(), SIDE))


@pytest.fixture(scope="module")
def embedding() -> torch.Tensor:
    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def logits(network: SegmentAnything, embedding: torch.Tensor) -> np.ndarray:
    """By the plain decoder."""
    with torch.inference_mode():
        return network.decode(embedding, torch.tensor(BOXES))[0].numpy()


def compiled(model: openvino.Model) -> openvino.CompiledModel:
    return openvino.Core().compile_model(model, "CPU", convert.F32 | {"INFERENCE_NUM_THREADS": "1"})


def decoded(shared: openvino.Model, decoder: openvino.Model, embedding: torch.Tensor) -> np.ndarray:
    """Logits of all boxes, by both parts of an exported decoder."""
    begun, decode = compiled(shared)({"embedding": embedding.numpy()}).to_dict(), compiled(decoder)
    begun = {port.any_name: tensor for port, tensor in begun.items()}
    return np.concatenate([decode(begun | {"boxes": np.float32([box])})["low_res_logits"] for box in BOXES])


def lean(network: SegmentAnything, embedding: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """By both parts of the lean decoder in torch."""
    return LeanDecoder(network).eval()(*LeanImage(network).eval()(embedding), boxes)


# --------------------------------------------------------------------------- the same networks


def test_the_lean_decoder_equals_the_plain_one(network: SegmentAnything, embedding: torch.Tensor, logits: np.ndarray):
    with torch.inference_mode():
        assert worst(lean(network, embedding, torch.tensor(BOXES)), logits) < 5e-6
        assert worst(lean(network, embedding, torch.tensor(BOXES[1:2])), logits[1:2]) < 5e-6


def test_the_lean_decoder_has_the_eps_of_its_network(embedding: torch.Tensor):
    """EfficientViT's programs set another one."""
    torch.manual_seed(6)
    network = unsettled(SegmentAnything(torch.nn.Identity(), SIDE))
    network.mask_decoder = MaskDecoder(eps=0.1).eval()
    boxes = torch.tensor(BOXES[:1])
    with torch.inference_mode():
        assert worst(lean(network, embedding, boxes), network.decode(embedding, boxes)[0]) < 5e-6


def test_making_a_lean_decoder_leaves_the_network_as_it_is(network: SegmentAnything):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    LeanDecoder(network)
    LeanImage(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


ENCODERS = {
    # Grids that windows do not divide, one that they do, a merge that halves and one that does not.
    "tinyvit": lambda: TinyViT([
        Stage(8, 1, 0, 0, 16), Stage(16, 2, 2, 3, 8), Stage(24, 1, 3, 4, 8), Stage(16, 1, 2, 5, 8)
    ]),
    "repvit": lambda: RepViT([Block(8, weighs=True), Block(16, halves=True), Block(16), Block(24, weighs=True)]),
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODERS)
def test_a_lean_encoder_equals_the_plain_one(name: str):
    torch.manual_seed(7)
    encoder = unsettled(ENCODERS[name]())
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    image = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        lean = convert.lean_encoder(encoder, 16).eval()
        assert type(lean) is not type(encoder) or not any(isinstance(m, torch.nn.BatchNorm2d) for m in lean.modules())
        assert worst(lean(image), encoder(image)) < 5e-6
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("tiled", [True, False])
def test_a_lean_efficientvit_equals_the_plain_one(tiled: bool):
    """The products that stand for convolutions, with batch norm, bias and activation and without."""
    torch.manual_seed(7)
    encoder = unsettled(ALGORITHMS["daft"].make_encoder())
    assert isinstance(encoder, EfficientViT)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        lean = convert.lean_encoder(encoder, 64, tiled).eval()
        assert worst(lean(image), encoder(image)) < 5e-6
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    weights = {name: module for name, module in lean.named_modules() if hasattr(module, "weight")}
    products = {name for name, module in weights.items() if type(module).__name__ == "_Product"}
    assert {name.split(".")[2] for name in products} == {"3", "4"}, "of the deepest stages"
    assert sum(weights[name].weight.numel() for name in products) > 0.6 * sum(map(torch.numel, before.values()))
    winograd = [name.split(".")[:3] for name, module in weights.items() if isinstance(module, TiledConvolution)]
    expected = [["backbone", "stages", "1"], ["backbone", "stages", "2"], *[["neck", "middle", "op_list"]] * 4]
    assert winograd == (expected if tiled else [])


# --------------------------------------------------------------------------- files


def test_the_exported_decoder_has_the_interface_that_programs_expect(
    network: SegmentAnything, embedding: torch.Tensor, logits: np.ndarray
):
    shared, decoder = convert.shared_model(network), convert.decoder_model(network)
    between = {
        "pixels": "[4096,256]", "positions": "[4096,256]", "attending": "[2,8,16,4096]", "values": "[8,16,4096]"
    }  # fmt: skip
    for model, ports, shapes in (
        (shared, ["embedding", *between], ["[1,256,64,64]", *between.values()]),
        (decoder, [*between, "boxes", "low_res_logits"], [*between.values(), "[1,4]", "[1,256,256]"]),
    ):
        assert [port.any_name for port in (*model.inputs, *model.outputs)] == ports
        assert [str(port.partial_shape) for port in (*model.inputs, *model.outputs)] == shapes
    assert worst(decoded(shared, decoder, embedding), logits) < 5e-6


def test_the_grids_positions_are_computed_not_stored(network: SegmentAnything, embedding: torch.Tensor, tmp_path: Path):
    """From rows and columns, in double precision before they are multiplied, as the plain prompt encoder's are."""
    expected = network.prompt_encoder.grid()[0].flatten(1).T.detach().numpy()
    shared = convert.shared_model(network)
    (found,) = (value for port, value in compiled(shared)([embedding.numpy()]).items() if port.any_name == "positions")
    assert np.abs(found - expected).max() < 2e-5  # float32's angles of up to some 30
    for name, model in (("shared", shared), ("decoder", convert.decoder_model(network))):
        openvino.save_model(model, tmp_path / f"{name}.xml", compress_to_fp16=False)
    assert (tmp_path / "shared.bin").stat().st_size < 1e6
    assert (tmp_path / "decoder.bin").stat().st_size < 14e6


def test_the_iou_of_any_number_of_boxes(network: SegmentAnything, embedding: torch.Tensor):
    runs = compiled(convert.iou_model(network))
    with torch.inference_mode():
        iou = network.decode(embedding, torch.tensor(BOXES))[1]
    for count in (len(BOXES), 1):
        got = runs({"embedding": embedding.numpy(), "boxes": np.array(BOXES[:count], dtype=np.float32)})
        assert worst(got["iou"], iou[:count]) < 5e-6


@pytest.mark.parametrize(("stored", "share", "error"), [("f32", 1.0, 5e-6), ("f16", 0.55, 5e-3), ("int8", 0.7, 0.1)])
def test_weights_stored_smaller_are_nearly_the_same(
    network: SegmentAnything,
    embedding: torch.Tensor,
    logits: np.ndarray,
    tmp_path: Path,
    stored: convert.Stored,
    share: float,
    error: float,
):
    shared, model = convert.shared_model(network), convert.decoder_model(network)
    for name, kind in (("plain", "f32"), ("smaller", stored)):
        openvino.save_model(convert.stored_as(model, kind), tmp_path / f"{name}.xml", compress_to_fp16=False)
    assert (tmp_path / "smaller.bin").stat().st_size <= share * (tmp_path / "plain.bin").stat().st_size
    difference = worst(decoded(shared, openvino.Core().read_model(tmp_path / "smaller.xml"), embedding), logits)
    assert difference < error
    assert (difference > 1e-5) == (stored != "f32")
    assert worst(decoded(shared, model, embedding), logits) < 5e-6, "the model handed in has changed"


class Layers(torch.nn.Module):
    """One of each kind of layer with weights, channels of very different size among them."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.grouped = torch.nn.Conv2d(64, 64, 9, padding=4, groups=64, bias=False)
        self.enlarging = torch.nn.ConvTranspose2d(64, 32, 2, stride=2, bias=False)
        self.product = torch.nn.Linear(32, 128, bias=False)
        self.register_buffer("from_the_left", torch.randn(128, 128, generator=torch.Generator().manual_seed(1)))
        with torch.no_grad():
            for weights, axis in ((self.plain, 0), (self.grouped, 0), (self.enlarging, 1), (self.product, 0)):
                shape = [1] * weights.weight.ndim
                shape[axis] = -1
                weights.weight.mul_(torch.logspace(-6, 0, weights.weight.shape[axis]).reshape(shape))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        plain, grouped, enlarged = self.plain(x), self.grouped(x), self.enlarging(x)
        tokens = self.product(enlarged.flatten(2).transpose(1, 2))
        return plain, grouped, enlarged, tokens, self.from_the_left @ tokens.transpose(1, 2)


def test_int8_weights_have_a_factor_for_each_output_channel():
    """So that small channels are as exact as large ones; of all kinds of layers, from either side of a product."""
    torch.manual_seed(8)
    module = Layers().eval()
    x = torch.randn(1, 64, 8, 8)
    outputs = ["plain", "grouped", "enlarged", "tokens", "left"]
    small = convert.stored_as(convert._converted(module, {"x": x}, outputs), "int8")
    kinds = [node.get_element_type().get_type_name() for node in small.get_ops() if node.get_type_name() == "Constant"]
    assert kinds.count("i8") == len(outputs)
    got = compiled(small)({"x": x.numpy()})
    with torch.no_grad():
        expected = module(x)
    for name, value, axis in zip(outputs, expected, (1, 1, 1, 2, 1), strict=True):
        others = tuple(a for a in range(value.ndim) if a != axis)
        errors = np.abs(got[name] - value.numpy()).max(axis=others)
        assert (errors <= 0.05 * np.abs(value.numpy()).max(axis=others)).all(), name


def test_another_word_is_refused():
    with pytest.raises(ValueError, match=r"'int4': not one of f32, int24, f16, int8"):
        convert.stored_as(openvino.Model([], [], "empty"), "int4")  # type: ignore[arg-type]
