"""What a plan asks of each layer, and where that layer keeps its weight, data and output channels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.api import (
    ACTIVATION_BITS,
    RECURRENT_WEIGHTS,
    WEIGHT_BITS,
    LayerSettings,
    ModelGraph,
    Node,
    Origin,
    PaddedShortcut,
    RecipeError,
    UnsupportedGraphError,
    computes_in_integers,
    layer_nodes,
    paddable_outputs,
    padded_shortcuts,
)

# Operators with integer kernels for quantized weights and data.
INTEGER_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
UNTOUCHED = 32
_NARROW = 16
_LARGEST_KERNEL = 25
_ENOUGH_OUTPUTS = 8
_MOST_SHORTCUT_CHANNELS = 64


@dataclass(frozen=True)
class LayerBits:
    """What the plan asks of one layer.

    Attributes:
        weight_bits, activation_bits: 2-8, 16 (weights only) or 32 (untouched). Untouched layers are listed too: what
            they read must stay as it is.
        data: Input position of the activations; None where there are none to quantize (an embedding's indices).
        weight: Input position of the weight.
    """

    weight_bits: int
    activation_bits: int
    data: int | None
    weight: int

    @property
    def touched(self) -> bool:
        """Whether the plan changes this layer."""
        return self.weight_bits != UNTOUCHED or self.activation_bits != UNTOUCHED


def requested_bits(graph: ModelGraph, plan: LayerSettings) -> tuple[dict[str, LayerBits], tuple[str, ...]]:
    """Return the settings of all layers in graph order, and warnings about those that can't be quantized.

    Raises:
        RecipeError: the model is quantized already; a setting that can't be honoured, naming layer and reason.
    """
    refuse_quantized(graph)
    found: dict[str, LayerBits] = {}
    left_out: list[str] = []
    owners: dict[str, tuple[str, int]] = {}
    for node, weight in layer_nodes(graph):
        if node.name not in plan:
            continue
        weight_bits, activation_bits = (int(plan.number(node.name, knob)) for knob in (WEIGHT_BITS, ACTIVATION_BITS))
        if activation_bits == 16:
            raise RecipeError(
                "activation_bits is 16, but the runtime has no half-precision kernels on this device",
                where=node.name,
                action="Set 32 to leave activations in float, or 8 or fewer.",
            )
        touched = weight_bits != UNTOUCHED or activation_bits != UNTOUCHED
        if touched and weight.dtype != "float32":
            if Origin.LINE in (plan.origin(node.name, WEIGHT_BITS), plan.origin(node.name, ACTIVATION_BITS)):
                raise RecipeError(
                    f"weight {weight.name!r} is stored as {weight.dtype} and can't be quantized",
                    where=node.name,
                    expected="float32",
                    action="Put the step quantize.to_float first, or leave this layer at 32 bits.",
                )
            left_out.append(f"{node.name} (weight stored as {weight.dtype})")
            continue
        refuse_other_bits(owners, node, weight.name, weight_bits)
        position = _weight_position(graph, node)
        data = None if node.op == "Gather" else 1 - position if node.op in ("Gemm", "MatMul") else 0
        found[node.name] = LayerBits(weight_bits, activation_bits if data is not None else UNTOUCHED, data, position)
    if not left_out:
        return found, ()
    return found, (
        f"{len(left_out)} layer(s) stay as they are, unless quantize.to_float comes first: {some(left_out)}",
    )


def some(names: Sequence[str]) -> str:
    """Return the first three of several names for a message."""
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def refuse_other_bits(
    owners: dict[str, tuple[str, int]], node: Node, weight: str, bits: int, knob: str = WEIGHT_BITS.name
) -> None:
    """Note down that a layer wants its weight in so many bits.

    Args:
        owners: The first layer of every weight and its bits; a new weight is added.
        node: The layer.
        weight: Its weight's name.
        bits: What it wants.
        knob: Name of what says so.

    Raises:
        RecipeError: another layer shares the weight and wants it in other bits.
    """
    owner, other = owners.setdefault(weight, (node.name, bits))
    if other != bits:
        raise RecipeError(
            f"{knob} is {bits}, but layer {owner!r} shares the weight {weight!r} at {other}",
            where=node.name,
            action=f"Give both layers the same {knob}.",
        )


def channel_axis(node: Node, weight: np.ndarray, position: int) -> int | None:
    """Return the axis of a weight's output channels, or None where one scale must serve the whole weight."""
    # Of recurrent layers the first axis is that of directions, the second that of all gates' outputs.
    if node.op == "ConvTranspose" or node.op in RECURRENT_WEIGHTS:
        return 1
    if node.op == "Gemm":
        transposed = bool(node.attribute("transB" if position == 1 else "transA", 0))
        return int(transposed == (position == 0))
    if node.op == "MatMul":
        return position if weight.ndim == 2 else None
    return 0


def takes_zero_points(graph: ModelGraph, name: str) -> bool:
    """Whether the runtime computes a layer with zero points of weights about as fast as without.

    Measured with onnxruntime 1.31 on AVX-512 VNNI, time with zero points / without: convolutions 3x3 1.0-1.35, 1x1
    1.33, matrix products 1.0, but depthwise convolutions 3x3 1.4 with one for all channels and 31 with one each, 5x5
    1.6 and 69. uint8 as the container of weights takes 3 times as long as int8 everywhere.
    """
    node = graph.node(name)
    shape = graph.constant_shape(node.inputs[1]) if node.op == "Conv" else None
    return shape is None or node.attribute("group", 1) == 1 or shape[1] > 1


def smallest_scale(
    graph: ModelGraph, node: Node, data_scale: float | None, axis: int | None, weight: np.ndarray
) -> np.ndarray | float:
    """Return the least weight scale with which the bias, in units of both scales, fits well into 32 bits.

    Args:
        graph: The graph.
        node: The layer.
        data_scale: Scale of its quantized input, or None.
        axis: Of the weight's output channels.
        weight: The weight.

    Returns:
        (channels,) or a scalar.
    """
    if data_scale is None or node.op not in ("Conv", "Gemm") or len(node.inputs) < 3:
        return 0.0
    bias = graph.constant(node.inputs[2])
    if bias is None:
        return 0.0
    least: np.ndarray = np.abs(bias.astype(np.float64)).reshape(-1) / (data_scale * 2.0**30)
    if axis is None or least.size != weight.shape[axis]:
        return float(least.max(initial=0.0))
    return least


def narrow_convolutions(graph: ModelGraph, layers: Mapping[str, LayerBits]) -> tuple[str, ...]:
    """Return the integer convolutions that run faster with their input channels padded to a multiple of 4.

    The runtime's direct kernel reads four channels and makes sixteen at a time; others take the detour over im2col,
    which padding only lengthens. Measured with onnxruntime 1.31 on AVX-512 VNNI at 32x32 and 180x320, time of Pad and
    convolution / as it is: 3, 6 or 11 channels to 16 or 32 0.42-0.75 (1x1 and 3x3), to 3, 8, 11 or 22 0.95-1.09; 3
    channels 7x7 1.15.
    """
    found = []
    for name, bits in layers.items():
        node = graph.node(name)
        if bits.weight_bits > 8 or bits.activation_bits > 8 or node.op != "Conv" or node.attribute("group", 1) != 1:
            continue
        weight = node.inputs[1]
        shape = graph.constant_shape(weight) or ()
        area = int(np.prod(shape[2:], dtype=np.int64))
        alone = weight in graph.initializers and len(graph.consumers(weight)) == 1
        direct = alone and shape[0] % _NARROW == 0 and area <= _LARGEST_KERNEL
        if direct and shape[1] < _NARROW and shape[1] % 4:
            found.append(name)
    return tuple(found)


def narrow_outputs(graph: ModelGraph, layers: Mapping[str, LayerBits]) -> tuple[str, ...]:
    """Return the integer convolutions of fewer than 16 output channels that run faster with 16.

    The runtime's direct kernel makes sixteen channels at a time; others take the detour over im2col. Measured with
    onnxruntime 1.31 on AVX-512 VNNI at 32x32 and 180x320, the layer and its reader 3x3, padded / as they are, channels
    in, between and out: 16-11-16 0.66 and 0.70, 12-11-12 0.82 and 0.89, 16-8-3 0.89 and 0.95, 16-3-16 0.72 and 0.77,
    but 16-3-3 0.91 and 1.01, 3-3-3 1.02 and 1.21: of a few channels something is only gained where the readers take
    the direct kernel. Of 22 or 44 channels nothing is.
    """
    paddable = paddable_outputs(graph)

    def outputs(name: str) -> int:
        return int((graph.constant_shape(graph.node(name).inputs[1]) or (0,))[0])

    found: set[str] = set()
    # Readers first: what is padded itself takes the direct kernel.
    for name, readers in reversed(paddable.items()):
        bits = layers.get(name)
        if bits is None or bits.weight_bits > 8 or bits.activation_bits > 8 or not 2 <= outputs(name) < _NARROW:
            continue
        if outputs(name) >= _ENOUGH_OUTPUTS or all(
            reader in found or outputs(reader) % _NARROW == 0 for reader in readers
        ):
            found.add(name)
    return tuple(name for name in paddable if name in found)


def quick_shortcuts(
    graph: ModelGraph, bits: Mapping[str, int], integer_nodes: Collection[str]
) -> tuple[PaddedShortcut, ...]:
    """Return the padded shortcuts on 8-bit integers that run faster as one convolution.

    Measured with onnxruntime 1.31 on AVX-512 VNNI, convolution / Slice + Pad: 16 → 32 channels at 32x32 7 / 11 us,
    32 → 64 at 16x16 5 / 8 us, but 64 → 128 at 56x56 39 / 27 us. The quick kernel wants input channels in fours and
    output channels in sixteens.

    Args:
        graph: The graph.
        bits: Bits of every quantized value.
        integer_nodes: Names of the nodes that move integers.
    """
    return tuple(
        shortcut
        for shortcut in padded_shortcuts(graph)
        if {shortcut.slice, shortcut.pad} <= set(integer_nodes)
        and bits.get(graph.node(shortcut.slice).inputs[0]) == 8
        and shortcut.in_channels % 4 == 0
        and shortcut.out_channels % 16 == 0
        and shortcut.out_channels <= _MOST_SHORTCUT_CHANNELS
    )


def weight_name(graph: ModelGraph, name: str, bits: Mapping[str, LayerBits]) -> str:
    """Return the name of a layer's weight."""
    return graph.node(name).inputs[bits[name].weight]


def weight_names(graph: ModelGraph, name: str, bits: Mapping[str, LayerBits]) -> tuple[str, ...]:
    """Return the names of all weights of a layer: a recurrent one has another for what the step before gave."""
    node = graph.node(name)
    second = RECURRENT_WEIGHTS.get(node.op)
    first = weight_name(graph, name, bits)
    return (first,) if second is None else (first, node.inputs[second])


def _weight_position(graph: ModelGraph, node: Node) -> int:
    if node.op == "Gather":
        return 0
    if node.op not in ("Gemm", "MatMul"):
        return 1
    # The second input is the usual place; layer_nodes found a weight in one of the two.
    return 1 if _constant_behind(graph, node.inputs[1]) else 0


def _constant_behind(graph: ModelGraph, value: str) -> bool:
    while not graph.is_constant(value):
        producer = graph.producer(value)
        if producer is None or not producer.inputs:
            return False
        if any(not _constant_behind(graph, name) for name in producer.inputs[1:] if name):
            return False
        value = producer.inputs[0]
    return True


def refuse_not_finite(graph: ModelGraph, layers: Mapping[str, LayerBits]) -> None:
    """Do nothing if all weights to be changed are finite.

    Raises:
        UnsupportedGraphError: names the first layer of which a weight or bias is not.
    """
    for name, bits in layers.items():
        if not bits.touched:
            continue
        for value in graph.node(name).inputs[1:] if bits.weight else graph.node(name).inputs[:1]:
            array = graph.constant(value) if value else None
            if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
                raise UnsupportedGraphError(
                    f"weight {value!r} holds {int(np.count_nonzero(~np.isfinite(array)))} numbers that are not finite",
                    where=name,
                    action="Export the model again; a training that diverged leaves such weights.",
                )


def refuse_quantized(graph: ModelGraph) -> None:
    """Do nothing if the model is in float.

    Raises:
        RecipeError: it holds quantizers or integer layers; the first is named.
    """
    for node in graph.nodes:
        if computes_in_integers(node.op):
            raise RecipeError(
                f"the model is quantized already: node {node.name!r} is {node.op}",
                action="Start from the float model, keep this one as it is, or put the step quantize.to_float first.",
            )
