"""The model graph as everybody reads it: immutable, plain Python on the outside, onnx_ir within this room.

Passes take `edit()`, a copy of the structure that shares every weight, change it and freeze it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16, int4 … with numpy)
import numpy as np
import onnx
import onnx_ir as ir

from workbench.domain.errors import UnsupportedGraphError

Dimension = int | str | None

# Protobuf refuses 2 GiB; the structure itself needs some room below it.
_PROTOBUF_LIMIT = 2**31 - 2**25


@dataclass(frozen=True)
class ValueInfo:
    """A value's name, element type ("float32", …; None if unknown) and shape (None if the rank is unknown).

    A dimension is an int, the name of a symbolic dimension, or None.
    """

    name: str
    dtype: str | None
    shape: tuple[Dimension, ...] | None


@dataclass(frozen=True)
class Subgraph:
    """The body of an If, Loop or Scan: values of the outer graph are visible in it by name."""

    name: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    nodes: tuple[Node, ...]
    initializers: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Node:
    """One operator.

    Attributes:
        name: Unique in the graph.
        op: Operator type; `domain` is "" for the standard one.
        inputs, outputs: Value names; "" for an optional one that is absent.
        attributes: Python values: int, float, str, tuples of them, numpy arrays for tensors, Subgraph for bodies.
        path: Module hierarchy that the exporter recorded, outermost first.
        metadata: Notes that travel with the node in the file (`workbench.weight_bits` and the like).
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value, or `default` where the node does not set it."""
        return self.attributes.get(name, default)


class ModelGraph:
    """A model graph with its weights; never changes after it is made.

    Args:
        model: The onnx_ir model; the graph owns it from now on.
        source: Path it was read from, for messages.
        notes: What had to be set right when it was read, in words.
    """

    def __init__(self, model: ir.Model, *, source: str | None = None, notes: Iterable[str] = ()) -> None:
        self._model = model
        self.source = source
        self.notes = tuple(notes)

    def edit(self) -> ir.Model:
        """Return a copy of the structure that shares all weight tensors, for passes to change and freeze."""
        return self._model.clone()

    def edited(self, model: ir.Model) -> ModelGraph:
        """Return `model`, an edited copy, as a graph of the same origin."""
        return ModelGraph(model, source=self.source, notes=self.notes)

    def proto(self) -> onnx.ModelProto:
        """Return the graph as one protobuf message; weights that lie in external files are read into it.

        Raises:
            UnsupportedGraphError: the model is larger than protobuf's 2 GB; save it with external data instead.
        """
        if self.weight_bytes > _PROTOBUF_LIMIT:
            raise UnsupportedGraphError(
                "the model is larger than 2 GB and can't be handled in one piece", where=self.source
            )
        model = self._model
        if any(isinstance(value.const_value, ir.ExternalTensor) for value in _all_initializers(model)):
            model = self.edit()
            for value in _all_initializers(model):
                if isinstance(value.const_value, ir.ExternalTensor):
                    tensor = value.const_value
                    value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
        return ir.to_proto(model)

    def to_bytes(self) -> bytes:
        """Return the serialised model: the same graph gives the same bytes.

        Raises:
            UnsupportedGraphError: the model is larger than protobuf's 2 GB; save it with external data instead.
        """
        return bytes(self.proto().SerializeToString(deterministic=True))

    @property
    def weight_bytes(self) -> int:
        """Stored size of all initializers in bytes, those of subgraphs included, without reading them."""
        tensors = (value.const_value for value in _all_initializers(self._model))
        return sum(
            int(tensor.nbytes) for tensor in tensors if tensor is not None and tensor.dtype != ir.DataType.STRING
        )

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return self._model.opset_imports.get("", 0)

    @property
    def opsets(self) -> Mapping[str, int]:
        """Version of every imported operator set by domain."""
        return MappingProxyType(dict(self._model.opset_imports))

    @cached_property
    def inputs(self) -> tuple[ValueInfo, ...]:
        """Graph inputs that the caller must feed, in order (initializers listed as inputs are left out)."""
        weights = self._model.graph.initializers
        return tuple(_info(value) for value in self._model.graph.inputs if value.name not in weights)

    @cached_property
    def outputs(self) -> tuple[ValueInfo, ...]:
        """Graph outputs in order."""
        return tuple(_info(value) for value in self._model.graph.outputs)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes of the main graph in topological order."""
        return tuple(_node(node) for node in self._model.graph)

    @cached_property
    def _by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _producers(self) -> Mapping[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def _consumers(self) -> Mapping[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(reads(node)):
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    @cached_property
    def _values(self) -> Mapping[str, ir.Value]:
        graph = self._model.graph
        values: dict[str, ir.Value] = {value.name: value for value in graph.inputs if value.name}
        values.update(graph.initializers)
        for node in graph:
            values.update({value.name: value for value in node.outputs if value.name})
        return values

    @property
    def initializers(self) -> tuple[str, ...]:
        """Names of all weights, in file order."""
        return tuple(self._model.graph.initializers)

    def node(self, name: str) -> Node:
        """Return the node called `name`; KeyError if there is none."""
        return self._by_name[name]

    def producer(self, value: str) -> Node | None:
        """Return the node that computes `value`; None for inputs and initializers."""
        return self._producers.get(value)

    def consumers(self, value: str) -> tuple[Node, ...]:
        """Return the nodes that read `value`, those that read it inside a subgraph included."""
        return self._consumers.get(value, ())

    def value(self, name: str) -> ValueInfo:
        """Return what is known of a value; KeyError if there is no such value."""
        return _info(self._values[name])

    def is_constant(self, name: str) -> bool:
        """Whether `name` is an initializer or the output of a Constant node."""
        return self._constant_tensor(name) is not None

    def constant(self, name: str) -> np.ndarray | None:
        """Return the array of an initializer or Constant node (read-only), or None if `name` is computed."""
        tensor = self._constant_tensor(name)
        if tensor is None:
            return None
        array = tensor.numpy()
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        return array

    def constant_shape(self, name: str) -> tuple[int, ...] | None:
        """Return the shape of a constant without reading its data, or None if `name` is computed."""
        tensor = self._constant_tensor(name)
        return None if tensor is None else tuple(tensor.shape.numpy())

    def constant_bytes(self, name: str) -> int:
        """Return the stored size of a constant in bytes without reading its data; 0 if `name` is computed."""
        tensor = self._constant_tensor(name)
        return 0 if tensor is None else int(tensor.nbytes)

    def same_constant(self, name: str, other: ModelGraph) -> bool:
        """Return whether `name` is a constant of equal type, shape and bytes in both graphs; shared ones are quick."""
        own, others = self._constant_tensor(name), other._constant_tensor(name)
        if own is None or others is None:
            return False
        if own is others:
            return True
        if own.dtype != others.dtype or tuple(own.shape.numpy()) != tuple(others.shape.numpy()):
            return False
        return own.tobytes() == others.tobytes()

    def _constant_tensor(self, name: str) -> ir.TensorProtocol | None:
        graph = self._model.graph
        if name in graph.initializers:
            return graph.initializers[name].const_value
        value = self._values.get(name)
        node = None if value is None else value.producer()
        if node is None or node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
            return None
        return _constant_of(node)

    def with_initializers(self, arrays: Mapping[str, np.ndarray]) -> ModelGraph:
        """Return a graph in which the named initializers have new values (shape and type may change).

        Raises:
            KeyError: a name is not an initializer.
        """
        model = self.edit()
        for name, array in arrays.items():
            value = model.graph.initializers[name]
            value.const_value = ir.tensor(np.asarray(array, order="C"), name=name)
            value.shape = ir.Shape(array.shape)
            value.type = ir.TensorType(value.const_value.dtype)
        return self.edited(model)

    def with_outputs(self, names: Iterable[str]) -> ModelGraph:
        """Return a graph whose outputs are the named values, in that order; KeyError for an unknown one."""
        model = self.edit()
        values = {value.name: value for value in model.graph.inputs}
        values.update(model.graph.initializers)
        for node in model.graph:
            values.update({value.name: value for value in node.outputs})
        chosen = [values[name] for name in names]
        model.graph.outputs.clear()
        model.graph.outputs.extend(chosen)
        return self.edited(model)


def _all_initializers(model: ir.Model) -> Iterable[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()


def _info(value: ir.Value) -> ValueInfo:
    dtype = None if value.dtype is None else _dtype_name(value.dtype)
    if value.shape is None:
        return ValueInfo(value.name or "", dtype, None)
    shape = tuple(size if isinstance(size, int) else size.value for size in value.shape)
    return ValueInfo(value.name or "", dtype, shape)


def _dtype_name(dtype: ir.DataType) -> str:
    return {"FLOAT": "float32", "DOUBLE": "float64"}.get(dtype.name, dtype.name.lower())


def reads(node: Node) -> Iterable[str]:
    """Yield the values that a node reads, those that its bodies read from outside included."""
    yield from (name for name in node.inputs if name)
    for attribute in node.attributes.values():
        bodies = attribute if isinstance(attribute, tuple) else (attribute,)
        for body in bodies:
            if isinstance(body, Subgraph):
                own = {info.name for info in body.inputs} | set(body.initializers)
                own.update(output for inner in body.nodes for output in inner.outputs)
                names = [name for inner in body.nodes for name in reads(inner)]
                names.extend(info.name for info in body.outputs)
                yield from (name for name in names if name not in own)


def _node(node: ir.Node) -> Node:
    return Node(
        name=node.name or "",
        op=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        inputs=tuple("" if value is None else value.name or "" for value in node.inputs),
        outputs=tuple(value.name or "" for value in node.outputs),
        attributes=MappingProxyType({name: _attribute(attr) for name, attr in node.attributes.items()}),
        path=_module_path(node),
        metadata=MappingProxyType(dict(node.metadata_props)),
    )


def _attribute(attr: ir.Attr) -> Any:
    kind = attr.type.name
    if kind == "TENSOR":
        return attr.value.numpy()
    if kind == "GRAPH":
        return _subgraph(attr.value)
    if kind == "GRAPHS":
        return tuple(_subgraph(graph) for graph in attr.value)
    if kind in ("INTS", "FLOATS", "STRINGS"):
        return tuple(attr.value)
    return attr.value


def _subgraph(graph: ir.Graph) -> Subgraph:
    return Subgraph(
        name=graph.name or "",
        inputs=tuple(_info(value) for value in graph.inputs),
        outputs=tuple(_info(value) for value in graph.outputs),
        nodes=tuple(_node(node) for node in graph),
        initializers={
            name: value.const_value.numpy()
            for name, value in graph.initializers.items()
            if value.const_value is not None
        },
    )


def _module_path(node: ir.Node) -> tuple[str, ...]:
    """Return the exporter's name scopes without the node's own.

    Torch's newer exporter writes them as the text of a list; the older one, and TensorFlow's, into the node's name.
    """
    text = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    if text:
        scopes = [part.strip().strip("'\"") for part in text.strip("[]").split(",")]
    else:
        scopes = (node.name or "").split("/")
    return tuple(scope for scope in scopes[:-1] if scope)


def _constant_of(node: ir.Node) -> ir.TensorProtocol | None:
    for name, attr in node.attributes.items():
        if name == "value":
            return attr.value  # type: ignore[no-any-return]
        if name in ("value_float", "value_floats"):
            return ir.tensor(np.asarray(attr.value, dtype=np.float32))
        if name in ("value_int", "value_ints"):
            return ir.tensor(np.asarray(attr.value, dtype=np.int64))
    return None
