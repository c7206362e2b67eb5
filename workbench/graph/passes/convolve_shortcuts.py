"""Turns padded shortcuts into convolutions, because integer kernels compute one faster than they move its data twice.

A shortcut without weights ("option A": He et al., 2016) takes every s-th pixel and appends zeros as channels: a strided
Slice and a Pad. A 1x1 convolution of stride s whose weights are 0 and 1 does both, exactly.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph, Node
from workbench.graph.surgery import add_initializer, free_name, remove_unused


@dataclass(frozen=True)
class PaddedShortcut:
    """One strided slice with zeros appended as channels.

    Attributes:
        slice, pad: Names of the two nodes.
        stride: Along height and width.
        in_channels: What comes in.
        before, after: Zero channels in front and behind.
    """

    slice: str
    pad: str
    stride: tuple[int, int]
    in_channels: int
    before: int
    after: int

    @property
    def out_channels(self) -> int:
        """What goes out."""
        return self.before + self.in_channels + self.after


def padded_shortcuts(graph: ModelGraph) -> tuple[PaddedShortcut, ...]:
    """Return the padded shortcuts of known size, in graph order; none below opset 11, which has other inputs."""
    if graph.opset < 11:
        return ()
    return tuple(found for node in graph.nodes if (found := _shortcut(graph, node)) is not None)


def convolve_shortcuts(graph: ModelGraph, shortcuts: Collection[PaddedShortcut]) -> ModelGraph:
    """Return the graph in which each shortcut is one convolution, with the name and the output of its Pad.

    Exact. The weight is "<pad>_weight" (out, in, 1, 1).

    Raises:
        KeyError: a shortcut is not one of this graph.
    """
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for shortcut in shortcuts:
        pad, source = nodes[shortcut.pad], nodes[shortcut.slice].inputs[0]
        weight = np.zeros((shortcut.out_channels, shortcut.in_channels, 1, 1), np.float32)
        channels = np.arange(shortcut.in_channels)
        weight[shortcut.before + channels, channels] = 1.0
        output = pad.outputs[0]
        convolved = ir.Value(name=free_name(model, f"{output.name}_convolved"), type=output.type, shape=output.shape)
        convolution = ir.node(
            "Conv",
            [source, add_initializer(model, free_name(model, f"{shortcut.pad}_weight"), weight)],
            attributes={"strides": list(shortcut.stride)},
            outputs=[convolved],
        )
        model.graph.insert_before(pad, convolution)
        output.replace_all_uses_with(convolved, replace_graph_outputs=True)
        name, output.name = output.name, convolved.name
        convolved.name, convolution.name = name, shortcut.pad
        model.graph.remove(pad, safe=True)
    remove_unused(model)
    return graph.edited(model)


def _shortcut(graph: ModelGraph, pad: Node) -> PaddedShortcut | None:
    if pad.op != "Pad" or pad.domain or pad.attribute("mode", "constant") != "constant":
        return None
    chosen = graph.producer(pad.inputs[0])
    if chosen is None or chosen.op != "Slice" or chosen.domain:
        return None
    info = graph.value(chosen.inputs[0])
    shape = info.shape
    if info.dtype != "float32" or shape is None or len(shape) != 4:
        return None
    channels, *size = shape[1:]
    margins = _channel_margins(graph, pad)
    steps = _steps(graph, chosen, tuple(size))
    if not isinstance(channels, int) or margins is None or steps is None:
        return None
    return PaddedShortcut(chosen.name, pad.name, steps, channels, *margins)


def _channel_margins(graph: ModelGraph, pad: Node) -> tuple[int, int] | None:
    """Return the zero channels before and after, or None where the Pad does anything else."""
    pads = graph.constant(pad.inputs[1])
    fill = graph.constant(pad.inputs[2]) if len(pad.inputs) > 2 and pad.inputs[2] else np.zeros(())
    if pads is None or pads.size != 8 or fill is None or fill.any() or any(pad.inputs[3:]):
        return None
    margins = pads.reshape(2, 4)
    before, after = (int(count) for count in margins[:, 1])
    if margins[:, [0, 2, 3]].any() or min(before, after) < 0:
        return None
    return before, after


def _steps(graph: ModelGraph, chosen: Node, size: tuple[object, ...]) -> tuple[int, int] | None:
    """Return the strides along height and width, or None where the Slice takes anything but every s-th pixel."""
    inputs = [graph.constant(name) if name else None for name in chosen.inputs[1:5]]
    if len(inputs) < 3 or any(array is None for array in inputs):
        return None
    columns = [array.reshape(-1).tolist() for array in inputs if array is not None]
    if len(columns) == 3:
        columns.append([1] * len(columns[0]))
    strides = {2: 1, 3: 1}
    for start, end, axis, step in zip(*columns, strict=True):
        axis %= 4
        length = size[axis - 2] if axis >= 2 else None
        if not isinstance(length, int) or start not in (0, -length) or end < length or step < 1:
            return None
        strides[axis] = step
    return strides[2], strides[3]
