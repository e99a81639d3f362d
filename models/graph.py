"""Rearranging OpenVINO models for the CPU: the same results, sooner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import openvino
from openvino import opset13

#: What loading takes, roughly, in milliseconds: for each operation, and for each megabyte of weights that OpenVINO puts
#: in an order of its own, by kind of layer.  The left side of a product it takes as it lies in the file.
_OPERATION_MS = 0.2
_MEGABYTE_MS = {"Convolution": 1.2, "GroupConvolution": 1.2, "MatMul": 0.7}
#: Constants of so many elements at most are looked for twice.
_SMALL = 64
#: What passes from one half of a model to the other, at most.
_MOST_PASSED = 3


def with_plain_gelu(model: openvino.Model) -> openvino.Model:
    """The model, changed: GELU by its tanh formula becomes an exponential and a quotient.

    OpenVINO has one kernel for it, whose tanh gathers from a table; without AVX-512 that takes three times as long as

        x / (1 + exp(-2 u)) = x / 2 (1 + tanh(u)),    u = sqrt(2 / pi) (x + 0.044715 x^3)

    in several.  For large -x the exponential is infinite and the quotient zero, as it must be.
    """
    linear = -2 * math.sqrt(2 / math.pi)
    # One of each for all, since every constant takes time to load.
    slope, bend, one = (opset13.constant(np.float32(value)) for value in (linear, 0.044715 * linear, 1))
    for layer in model.get_ordered_ops():
        if layer.get_type_name() != "Gelu" or layer.get_attributes()["approximation_mode"].lower() != "tanh":
            continue
        x = layer.input_value(0)
        exponent = opset13.multiply(opset13.add(opset13.multiply(opset13.multiply(x, x), bend), slope), x)
        layer.output(0).replace(opset13.divide(x, opset13.add(opset13.exp(exponent), one)).output(0))
    model.validate_nodes_and_infer_types()
    return model


def with_shared_constants(model: openvino.Model) -> openvino.Model:
    """The model, changed: of small constants that are equal (shapes, orders of axes, factors) there is one.

    Each takes as long to load as an operation does, and converted models have one for each use.
    """
    known: dict[tuple[str, tuple[int, ...], bytes], openvino.Node] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and math.prod(node.get_output_shape(0)) <= _SMALL:
            shape, kind = tuple(node.get_output_shape(0)), node.get_output_element_type(0).get_type_name()
            first = known.setdefault((kind, shape, np.asarray(node.data).tobytes()), node)
            if first is not node:
                node.output(0).replace(first.output(0))
    return model


def halved(model: openvino.Model) -> tuple[openvino.Model, openvino.Model]:
    """A model with one input in two, which take as long to load as each other.

    The first has the model's input; the second has its outputs.  What passes between them is called ``between0``, ...,
    in the first one's outputs and in the second one's inputs.

    Raises:
        ValueError: nowhere do three floating-point values suffice that the second half needs of the first.
    """
    layers = [layer for layer in model.get_ordered_ops() if layer.get_type_name() != "Constant"]
    uses = _uses(layers)
    # Results alone are no half.
    last = max(index for index, layer in enumerate(layers) if layer.get_type_name() != "Result")
    cuts = [(index, passed) for index in range(1, last + 1) if (passed := _passed(uses, index))]
    if not cuts:
        raise ValueError(f"{model.get_friendly_name()}: it cannot be cut in two. Export it whole.")
    costs = np.cumsum([_cost(layer) for layer in layers])
    index, passed = min(cuts, key=lambda cut: abs(costs[cut[0] - 1] - costs[-1] / 2))
    names = {f"between{i}": value for i, value in enumerate(passed)}

    first = model.clone()
    copies = {layer.get_friendly_name(): layer for layer in first.get_ordered_ops()}
    results = []
    for name, (layer, port) in names.items():
        output = copies[layer].output(port)
        output.get_tensor().set_names({name})
        results.append(opset13.result(output))
    begin = openvino.Model(results, first.get_parameters(), f"{model.get_friendly_name()}, first half")

    second = model.clone()
    copies = {layer.get_friendly_name(): layer for layer in second.get_ordered_ops()}
    late = {layer.get_friendly_name() for layer in layers[index:]}
    parameters = []
    for name, (layer, port) in names.items():
        output = copies[layer].output(port)
        parameter = opset13.parameter(output.get_shape(), output.get_element_type(), name)
        parameter.output(0).get_tensor().set_names({name})
        for target in output.get_target_inputs():
            if target.get_node().get_friendly_name() in late:
                target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    end = openvino.Model(second.get_results(), parameters, f"{model.get_friendly_name()}, second half")
    return begin, end


@dataclass(frozen=True)
class _Use:
    """One layer's use of another's output.

    Attributes:
        value: the other's name and port.
        made, used: indices of both layers.
        real: whether it is a floating-point value, and not the model's own input.
    """

    value: tuple[str, int]
    made: int
    used: int
    real: bool


def _uses(layers: list[openvino.Node]) -> list[_Use]:
    """All uses of the layers' outputs by one another, in order."""
    places = {layer.get_friendly_name(): index for index, layer in enumerate(layers)}
    found = []
    for used, layer in enumerate(layers):
        for port in layer.inputs():
            source = port.get_source_output()
            node = source.get_node()
            if (made := places.get(node.get_friendly_name())) is not None:
                real = source.get_element_type().is_real() and node.get_type_name() != "Parameter"
                found.append(_Use((node.get_friendly_name(), source.get_index()), made, used, real))
    return found


def _passed(uses: list[_Use], index: int) -> list[tuple[str, int]]:
    """Values of layers before ``index`` that those from there on need; empty: they cannot be passed."""
    across = [use for use in uses if use.made < index <= use.used]
    found = dict.fromkeys(use.value for use in across)
    return list(found) if len(found) <= _MOST_PASSED and all(use.real for use in across) else []


def _cost(layer: openvino.Node) -> float:
    """Milliseconds that it takes to load, roughly."""
    cost = _OPERATION_MS
    if (megabyte_ms := _MEGABYTE_MS.get(layer.get_type_name())) is not None:
        source = layer.input(1).get_source_output()
        if source.get_node().get_type_name() == "Constant":
            cost += megabyte_ms * math.prod(source.get_shape()) * source.get_element_type().size / 1e6
    return cost
