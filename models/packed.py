"""Weights as whole numbers of 24 bits, in three quarters of a float's bytes, widened whenever they are used.

Of every `RUN` weights the largest magnitude becomes 2^23 - 1; the others are rounded to whole numbers beside it, and
one float32 multiplies them back.  So a weight changes by at most 2^-24 of the largest in its run and by a float32's own
rounding, which is no more than computing in float32 does to it.

OpenVINO knows no such numbers.  They are constants of bytes, and an operation of our own, `Widened`, makes floats of
them.  The C++ program has it; Python makes float constants of them when it reads a model (`with_floats`).

The bytes of N weights are a little-endian float32 for every `RUN` of them (the last run may be shorter), then the upper
16 bits of each whole number, and then the lower 8, which processors widen many at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import openvino
from openvino import opset13

#: Weights that share a factor.
RUN = 1024
#: Constants of fewer elements stay as they are: an operation for each would take longer to load than it saves.
WORTH_PACKING = 1 << 16

_LARGEST = 2**23 - 1


class Widened(openvino.Op):
    """Packed weights as floats.

    Args:
        inputs: the bytes, (packed size,); and whatever else the weights' user takes, which is not read: it makes
            OpenVINO widen them at each inference, just before they are used, rather than once and for good.
        shape: of the floats.
    """

    def __init__(self, inputs: list[openvino.Output] | None = None, shape: tuple[int, ...] = (0,)) -> None:
        super().__init__(self)
        self._facts = {"shape": list(shape)}
        if inputs is not None:
            self.set_arguments(inputs)
            self.constructor_validate_and_infer_types()

    def validate_and_infer_types(self) -> None:
        """As OpenVINO asks."""
        self.set_output_type(0, openvino.Type.f32, openvino.PartialShape(self._facts["shape"]))

    def clone_with_new_inputs(self, inputs: list[openvino.Output]) -> Widened:
        """As OpenVINO asks."""
        return Widened(inputs, tuple(self._facts["shape"]))

    def visit_attributes(self, visitor: openvino.AttributeVisitor) -> bool:
        """As OpenVINO asks."""
        visitor.on_attributes(self._facts)
        return True


def with_packed(model: openvino.Model) -> openvino.Model:
    """A copy whose matrix products take large float32 constants packed.

    Constants that hold NaN, or numbers of 2^127 and beyond, stay as they are.
    """
    packed = model.clone()
    for layer in packed.get_ordered_ops():
        if layer.get_type_name() != "MatMul":
            continue
        for port, other in ((0, 1), (1, 0)):
            source = layer.input_value(port)
            constant = source.get_node()
            if constant.get_type_name() != "Constant" or source.get_element_type() != openvino.Type.f32:
                continue
            # What others use as it is would lie in the file twice.
            if len(source.get_target_inputs()) > 1 or constant.data.size < WORTH_PACKING:
                continue
            if (np.abs(constant.data) < 2.0**127).all():
                narrow = opset13.constant(pack(constant.data.reshape(-1)))
                wide = Widened([narrow.output(0), layer.input_value(other)], tuple(source.get_shape()))
                wide.set_friendly_name(f"{constant.get_friendly_name()}/widened")
                layer.input(port).replace_source_output(wide.output(0))
                break
    packed.validate_nodes_and_infer_types()
    return packed


def with_floats(model: openvino.Model) -> openvino.Model:
    """The model, changed: packed weights become floats for good."""
    for layer in model.get_ordered_ops():
        if layer.get_type_name() == Widened.__name__:
            narrow, shape = layer.input_value(0).get_node().data, tuple(layer.output(0).get_shape())
            floats = opset13.constant(unpack(narrow, int(np.prod(shape))).reshape(shape))
            layer.output(0).replace(floats.output(0))
    model.validate_nodes_and_infer_types()
    return model


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(N,) finite numbers below 2^127 -> their bytes."""
    runs = np.zeros((_runs(len(weights)), RUN), dtype=np.float64)
    runs.reshape(-1)[: len(weights)] = weights
    largest = np.abs(runs).max(axis=1, keepdims=True, initial=0)
    factors = (largest / _LARGEST).astype("<f4")
    # Rounded up, so that the largest is not cut: among the smallest floats of all a factor is rounded by up to a half.
    factors = np.where(factors.astype(float) * _LARGEST < largest, np.nextafter(factors, np.float32(np.inf)), factors)
    nearest = np.rint(np.divide(runs, factors, out=np.zeros_like(runs), where=factors != 0))
    whole = np.clip(nearest, -_LARGEST, _LARGEST).astype(np.int32).reshape(-1)[: len(weights)]
    parts = factors, (whole >> 8).astype("<i2"), (whole & 0xFF).astype(np.uint8)
    return np.concatenate([part.reshape(-1).view(np.uint8) for part in parts])


def unpack(packed: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.float32]:
    """The bytes of ``count`` weights -> (count,)."""
    factors, upper, lower = np.split(packed, np.cumsum([4 * _runs(count), 2 * count]))
    whole = (np.frombuffer(upper.tobytes(), dtype="<i2").astype(np.int32) << 8) | lower
    return whole.astype(np.float32) * np.repeat(np.frombuffer(factors.tobytes(), dtype="<f4"), RUN)[:count]


def _runs(count: int) -> int:
    return -(-count // RUN)
