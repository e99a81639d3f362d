"""Rearranging OpenVINO models for the CPU: the same results, sooner."""

from __future__ import annotations

import math

import numpy as np
import openvino
from openvino import opset13

#: What loading takes, roughly, in milliseconds: for each operation, and for each megabyte of weights.
_OPERATION_MS, _MEGABYTE_MS = 0.1, 0.3
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


def halved(model: openvino.Model) -> tuple[openvino.Model, openvino.Model]:
    """A model with one input in two, which take as long to load as each other.

    The first has the model's input; the second has its outputs.  What passes between them is called ``between0``, ...,
    in the first one's outputs and in the second one's inputs.

    Raises:
        ValueError: nowhere do three floating-point values suffice that the second half needs of the first.
    """
    layers = [layer for layer in model.get_ordered_ops() if layer.get_type_name() != "Constant"]
    cuts = [(index, passed) for index in range(1, len(layers)) if (passed := _passed(layers, index))]
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


def _passed(layers: list[openvino.Node], index: int) -> list[tuple[str, int]]:
    """Values of layers before ``index`` that those from there on need, as names and ports; empty: not worth a cut."""
    before = {layer.get_friendly_name() for layer in layers[:index]}
    found: dict[tuple[str, int], openvino.Output] = {}
    if all(layer.get_type_name() == "Result" for layer in layers[index:]):
        return []
    for layer in layers[index:]:
        for port in layer.inputs():
            source = port.get_source_output()
            name = source.get_node().get_friendly_name()
            if name in before:
                found[name, source.get_index()] = source
    sound = all(
        source.get_element_type().is_real() and source.get_node().get_type_name() != "Parameter"
        for source in found.values()
    )
    return list(found) if sound and len(found) <= _MOST_PASSED else []


def _cost(layer: openvino.Node) -> float:
    """Milliseconds that it takes to load, roughly."""
    sources = [port.get_source_output() for port in layer.inputs()]
    weights = [source for source in sources if source.get_node().get_type_name() == "Constant"]
    size = sum(math.prod(source.get_shape()) * source.get_element_type().size for source in weights)
    return _OPERATION_MS + _MEGABYTE_MS * size / 1e6
