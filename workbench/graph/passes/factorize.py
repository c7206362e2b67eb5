"""Puts two or three smaller layers in a layer's place, so that decompositions need not know how nodes are wired.

The last of them is the old node with a new weight: it keeps its name, its bias and the name of the value it writes, so
that the layer table, later steps and distillation still find it. Those before it are called after it ("fc1~1" …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from workbench.domain.derived_layers import derived_name
from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.affine import put_weight
from workbench.graph.model import ModelGraph
from workbench.graph.passes.shift_bias import bias_add, shift_bias
from workbench.graph.surgery import add_initializer, free_name, remove_unused

# On every layer that the pass made or changed: the name of the layer it belongs to.
FACTOR_NOTE = "workbench.factor_of"
_FLOATS = ("float32", "float64", "float16")


@dataclass(frozen=True, eq=False)
class Factor:
    """One of the layers that take a layer's place.

    Attributes:
        weight: Of a matrix (in, out): data times weight; of a convolution (out, in / groups, k …).
        axes: Spatial axes of the old convolution whose stride, padding and dilation this one takes over.
        groups: Of a convolution.
    """

    weight: np.ndarray
    axes: tuple[int, ...] = ()
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Factors:
    """What takes a layer's place: its factors, first to last, and what is added to its result (out,), or None."""

    factors: tuple[Factor, ...]
    shift: np.ndarray | None = None


def why_not_factorizable(graph: ModelGraph, name: str) -> str | None:
    """Return why a layer can't be replaced by factors, or None if it can; KeyError for an unknown name."""
    node = graph.node(name)
    if node.domain or node.op not in ("Conv", "Gemm", "MatMul"):
        return f"{node.op} layers are not factorised"
    weight = node.inputs[1]
    shape = graph.constant_shape(weight)
    if shape is None:
        made_of = graph.producer(weight)
        if made_of is not None and made_of.op == "DequantizeLinear":
            return "its weight is quantized already"
        return "its weight is not a stored constant on the right-hand side"
    if graph.value(weight).dtype not in _FLOATS:
        return f"its weight is stored as {graph.value(weight).dtype}"
    if len(graph.consumers(weight)) > 1:
        other = next(reader.name for reader in graph.consumers(weight) if reader.name != name)
        return f"it shares its weight with {other!r}"
    if node.op == "Conv" and node.attribute("group", 1) != 1:
        return f"it is a grouped convolution ({node.attribute('group', 1)} groups), whose groups are small already"
    if node.op != "Conv" and len(shape) != 2:
        return f"its weight has {len(shape)} dimensions instead of 2"
    return None if linear_bias(graph, name) is not None else "its bias is not a stored constant"


def layer_weight(graph: ModelGraph, name: str) -> np.ndarray:
    """Return a layer's weight in double precision: a matrix as (in, out), a convolution as stored."""
    node = graph.node(name)
    array = graph.constant(node.inputs[1])
    if array is None:
        raise UnsupportedGraphError("its weight is not a stored constant", where=name)
    wide = array.astype(np.float64)
    return wide.T if node.op == "Gemm" and node.attribute("transB", 0) else wide


def linear_bias(graph: ModelGraph, name: str) -> np.ndarray | None:
    """Return what a layer adds to its product, (out,) or a scalar; None where that is computed or differs by sample."""
    node = graph.node(name)
    if node.op == "MatMul" or len(node.inputs) < 3 or not node.inputs[2]:
        return np.zeros(())
    array = graph.constant(node.inputs[2])
    if array is None or array.size != max(array.shape, default=1) or (array.ndim > 1 and array.shape[-1] != array.size):
        return None
    return np.asarray(array.reshape(-1).astype(np.float64) * float(node.attribute("beta", 1.0)))


def factorize(graph: ModelGraph, factors: Mapping[str, Factors]) -> ModelGraph:
    """Return the graph with each named layer replaced by its factors; weights keep their stored type.

    Args:
        graph: The model.
        factors: By layer name, for layers of which `why_not_factorizable` says None.

    Raises:
        KeyError: a name is not a node.
        UnsupportedGraphError: the layer can't be factorised.
    """
    for name in factors:
        reason = why_not_factorizable(graph, name)
        if reason is not None:
            raise UnsupportedGraphError(f"it can't be factorised: {reason}", where=f"layer {name!r}")
    model = graph.edit()
    nodes = {node.name or "": node for node in model.graph}
    for name, replacement in factors.items():
        if replacement.shift is not None:
            add = bias_add(graph, graph.node(name)) if graph.node(name).op == "MatMul" else None
            shift_bias(model, nodes[name], None if add is None else nodes[add.name], replacement.shift)
        _replace(model, nodes[name], replacement.factors)
    remove_unused(model)
    return graph.edited(model)


def _replace(model: ir.Model, node: ir.Node, factors: Sequence[Factor]) -> None:
    weight, geometry = node.inputs[1], _Geometry(node)
    assert weight is not None
    stored = weight.dtype.numpy() if weight.dtype is not None else np.dtype(np.float32)
    turned = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    value = node.inputs[0]
    for number, factor in enumerate(factors[:-1], start=1):
        array = (factor.weight.T if turned else factor.weight).astype(stored)
        name = free_name(model, derived_name(weight.name or "weight", number))
        inputs = [value, add_initializer(model, name, array)]
        attributes = geometry.attributes(factor)
        if node.op_type == "Gemm":
            attributes = {
                "transA": node.attributes.get_int("transA", 0) if number == 1 else 0,
                "transB": int(turned),
            }
            if (model.opset_imports.get("") or 0) < 11:
                inputs.append(
                    add_initializer(
                        model, free_name(model, f"{name}_bias"), np.zeros(array.shape[0 if turned else 1], stored)
                    )
                )
        before = ir.node(node.op_type, inputs, attributes, name=derived_name(node.name or "layer", number))
        before.metadata_props.update(node.metadata_props)
        before.metadata_props[FACTOR_NOTE] = node.name or ""
        output = before.outputs[0]
        output.name = free_name(model, derived_name(node.outputs[0].name or "value", number))
        output.type, output.shape = node.outputs[0].type, geometry.shape(factor)
        model.graph.insert_before(node, before)
        value = output
    last = factors[-1]
    node.replace_input_with(0, value)
    array = (last.weight.T if turned else last.weight).astype(stored)
    put_weight(model, node, 1, array, f"{node.name}_weight")
    if not last.axes:
        node.attributes.pop("auto_pad", None)
    node.attributes.update((key, _attribute(key, setting)) for key, setting in geometry.attributes(last).items())
    if node.op_type == "Gemm" and len(factors) > 1:
        node.attributes["transA"] = ir.AttrInt64("transA", 0)
    node.metadata_props[FACTOR_NOTE] = node.name or ""


def _attribute(key: str, setting: int | list[int] | str) -> ir.Attr:
    if isinstance(setting, str):
        return ir.AttrString(key, setting)
    return ir.AttrInt64s(key, setting) if isinstance(setting, list) else ir.AttrInt64(key, setting)


class _Geometry:
    """Hands a convolution's strides, paddings and dilations on to the factors that cover its axes."""

    def __init__(self, node: ir.Node) -> None:
        self._node = node
        self._covered: set[int] = set()
        weight = node.inputs[1]
        self._rank = 0 if node.op_type != "Conv" or weight is None or weight.shape is None else len(weight.shape) - 2
        attributes = node.attributes
        self._strides = list(attributes.get_ints("strides", [1] * self._rank) or [])
        self._dilations = list(attributes.get_ints("dilations", [1] * self._rank) or [])
        self._pads = list(attributes.get_ints("pads", [0] * 2 * self._rank) or [])
        self._auto_pad = attributes.get_string("auto_pad", "NOTSET") or "NOTSET"
        self._sizes = [
            None if value is None or value.shape is None else list(value.shape)
            for value in (node.inputs[0], node.outputs[0])
        ]

    def attributes(self, factor: Factor) -> dict[str, int | list[int] | str]:
        """Return a factor's attributes; {} for matrices."""
        if not self._rank:
            return {}
        own = [axis in factor.axes for axis in range(self._rank)]
        found: dict[str, int | list[int] | str] = {
            "kernel_shape": list(factor.weight.shape[2:]),
            "strides": [size if mine else 1 for size, mine in zip(self._strides, own, strict=True)],
            "dilations": [size if mine else 1 for size, mine in zip(self._dilations, own, strict=True)],
            "group": factor.groups,
        }
        if self._auto_pad == "NOTSET":
            found["pads"] = [size if mine else 0 for size, mine in zip(self._pads, own * 2, strict=True)]
        elif factor.axes:
            found["auto_pad"] = self._auto_pad
        return found

    def shape(self, factor: Factor) -> ir.Shape | None:
        """Return the shape of what a factor writes, as far as those around it are known; call in order."""
        self._covered.update(factor.axes)
        before, after = self._sizes
        if after is None:
            return None
        if not self._rank:
            return ir.Shape([*after[:-1], factor.weight.shape[1]])
        if before is None:
            return None
        spatial = [(after if axis in self._covered else before)[axis + 2] for axis in range(self._rank)]
        return ir.Shape([after[0], factor.weight.shape[0], *spatial])
