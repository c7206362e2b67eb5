"""The masks that `mask_channels` and its parts put into a copy of a graph: made once, of the right type and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from workbench.graph.channels.analysis import Analysis
from workbench.graph.channels.cut import Cut
from workbench.graph.channels.flow import Axes, Fill
from workbench.graph.surgery import add_initializer, free_name, names_in_use


class Masks:
    """Puts masks into an edited copy of a graph.

    Args:
        model: The copy.
        analysis: Of the graph that it is a copy of.
        cut: What is removed.
    """

    def __init__(self, model: ir.Model, analysis: Analysis, cut: Cut) -> None:
        self.model = model
        self._analysis = analysis
        self._cut = cut
        self._stored: dict[bytes, ir.Value] = {}
        self._kinds: dict[str, ir.DataType] = {}
        self._taken = names_in_use(model)

    def keep(self, node: ir.Node, index: int) -> tuple[np.ndarray | None, ...]:
        """Return per axis of an input which positions stay (None: all)."""
        value = node.inputs[index]
        name = "" if value is None else value.name or ""
        used = self._analysis.uses.get((node.name or "", index), ("", ()))[1]
        return self._stays(self._analysis.values.get(name, used))

    def dtype(self, name: str | None) -> ir.DataType:
        """Return a value's type; behind operators that type inference does not know values are taken as float."""
        return self._kinds.get(name or "") or self._analysis.statics.dtypes.get(name or "", ir.DataType.FLOAT)

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """Return a stored constant, the same one for the same contents."""
        key = array.tobytes() + repr((array.shape, array.dtype.name, name)).encode()
        if key not in self._stored:
            self._stored[key] = add_initializer(self.model, free_name(self.model, name, self._taken), array)
        return self._stored[key]

    def insert(
        self, before: ir.Node, op: str, inputs: Sequence[ir.Value], **attributes: int | Sequence[int]
    ) -> ir.Value:
        """Put a new node in front of another and return its output."""
        node = self._node(op, inputs, **attributes)
        self.model.graph.insert_before(before, node)
        return node.outputs[0]

    def before(self, node: ir.Node, index: int, fill: Fill) -> None:
        """Put `fill` in place of what is removed from an input; constants are masked only in recurrent layers."""
        value = node.inputs[index]
        if value is None or (value.const_value is not None and node.op_type not in ("LSTM", "GRU", "RNN")):
            return
        new = self._masked(value, self.keep(node, index), fill)
        if new is not None:
            self.model.graph.insert_before(node, new)
            node.replace_input_with(index, new.outputs[0])

    def behind(self, node: ir.Node) -> None:
        """Put zeros in place of what is removed from a layer's first output."""
        value = node.outputs[0]
        readers = list(value.uses())
        new = self._masked(value, self._stays(self._analysis.values.get(value.name or "", ())), "zero")
        if new is not None:
            self.model.graph.insert_after(node, new)
            for use in readers:
                use.node.replace_input_with(use.idx, new.outputs[0])

    def where(self, mask: np.ndarray, value: ir.Value, other: ir.Value, before: ir.Node) -> ir.Value:
        """Return `value` with `other` (broadcast to it) where the mask is False."""
        if self._analysis.graph.opset >= 9:
            return self.insert(before, "Where", [self.constant("mask", mask), value, other])
        kind = self.dtype(value.name).numpy()
        kept = self.insert(before, "Mul", [value, self.constant("mask", mask.astype(kind))])
        filled = self.insert(before, "Mul", [other, self.constant("mask", (~mask).astype(kind))])
        return self.insert(before, "Add", [kept, filled])

    def scaled(self, before: ir.Node, value: ir.Value, factor: float) -> ir.Value:
        """Return `value` times a number."""
        array = np.asarray(factor, dtype=self.dtype(value.name).numpy())
        return self.insert(before, "Mul", [value, self.constant("factor", array)])

    def scale_behind(self, node: ir.Node, factor: float) -> None:
        """Let all readers of a node's output read it times a number."""
        output = node.outputs[0]
        readers = list(output.uses())
        array = np.asarray(factor, dtype=self.dtype(output.name).numpy())
        new = self._node("Mul", [output, self.constant("factor", array)])
        self.model.graph.insert_after(node, new)
        for use in readers:
            use.node.replace_input_with(use.idx, new.outputs[0])

    def mean(self, before: ir.Node, value: ir.Value, axes: Sequence[int]) -> ir.Value:
        """Return the mean along `axes`, which stay with size 1."""
        if self._analysis.graph.opset < 18:
            return self.insert(before, "ReduceMean", [value], axes=list(axes), keepdims=1)
        chosen = self.constant("axes", np.asarray(axes, dtype=np.int64))
        return self.insert(before, "ReduceMean", [value, chosen], keepdims=1)

    def _stays(self, axes: Axes) -> tuple[np.ndarray | None, ...]:
        return tuple(self._cut.stays(labels) for labels in axes)

    def _masked(self, value: ir.Value, stays: tuple[np.ndarray | None, ...], fill: Fill) -> ir.Node | None:
        mask = mask_of(stays)
        if mask is None:
            return None
        kind = self.dtype(value.name).numpy()
        if self._analysis.graph.opset >= 9:
            other = self.constant("fill", np.asarray(_number(fill, kind), dtype=kind))
            return self._node("Where", [self.constant("mask", mask), value, other])
        if fill == "zero":
            return self._node("Mul", [value, self.constant("mask", mask.astype(kind))])
        # Old operator sets know no Where; Max and Min with a number per position do the same for ordinary numbers.
        limit = np.where(mask, _number("high", kind), _number("low", kind)).astype(kind)
        return self._node(
            "Min" if fill == "low" else "Max", [value, self.constant("mask", limit if fill == "low" else -limit)]
        )

    def _node(self, op: str, inputs: Sequence[ir.Value], **attributes: int | Sequence[int]) -> ir.Node:
        node = ir.node(op, inputs, attributes=attributes)
        node.outputs[0].name = free_name(self.model, f"{inputs[0].name}_{op.lower()}", self._taken)
        node.name = node.outputs[0].name
        kind = ir.DataType.INT64 if op == "Shape" else self.dtype(inputs[1 if op == "Where" else 0].name)
        self._kinds[node.name or ""] = kind
        return node


def mask_of(stays: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return True where all axes keep their position, broadcastable to the value; None if nothing goes."""
    mask: np.ndarray | None = None
    for axis, keep in enumerate(stays):
        if keep is not None:
            shaped = keep.reshape([-1 if at == axis else 1 for at in range(len(stays))])
            mask = shaped if mask is None else mask & shaped
    return mask


def _number(fill: Fill, kind: np.dtype) -> float | int:
    """Return what changes nothing; a quarter of the range, so that differences of two such numbers stay finite."""
    if fill in ("zero", "one"):
        return int(fill == "one")
    if np.issubdtype(kind, np.integer):
        return int(np.iinfo(kind).min if fill == "low" else np.iinfo(kind).max)
    return float(np.finfo(kind).min if fill == "low" else np.finfo(kind).max) / 4
