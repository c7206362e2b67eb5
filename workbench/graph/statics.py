"""What is known of a graph's values before it runs: types, shapes and, of small integer tensors, the contents.

onnx's own shape inference goes first; a walk in node order then follows shape arithmetic (Shape, Gather, Concat,
Reshape …) that it gives up on, with unknown batch sizes carried along as symbols.

Notation: a dimension is an int, a symbol (str) or None; contents with symbols are arrays of dtype object.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.packed_codes import NBITS_OPERATOR
from workbench.graph.shape_arithmetic import Dimension, broadcast, partial_contents, resolve_reshape
from workbench.graph.skeleton import KEPT_BYTES, skeleton

Dims = tuple[Dimension, ...]

# Never evaluated: random, stateful, control flow, containers, and Q/DQ pairs, whose constants are meant to stay small.
_NOT_FOLDED = frozenset(
    {
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"),
        *("If", "Loop", "Scan", "SequenceMap"),
        *("SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceAt", "SequenceLength"),
        *("SplitToSequence", "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement"),
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    }
)
# Outputs of these can be far larger than their inputs; they are evaluated only when the size is known to be small.
_GROWING = frozenset(
    {"Expand", "Tile", "ConstantOfShape", "Range", "Pad", "Resize", "Upsample", "OneHot", "NonZero", "EyeLike"}
)
# Worked out by rule even where every input is known: Shape reads no contents, and onnx's reference evaluator lacks
# Unsqueeze with its axes as an attribute (before opset 13).
_BY_RULE = frozenset({"Shape", "Size", "Squeeze", "Unsqueeze"})
_FOLD_BYTES = 1 << 25
_GROWN_BYTES = 1 << 16
_CONTENT_ELEMENTS = 4096


@dataclass
class Statics:
    """Result of `analyse`, by value name; `contents` holds whole arrays, or arrays of dtype object with symbols."""

    shapes: dict[str, Dims] = field(default_factory=dict)
    dtypes: dict[str, ir.DataType] = field(default_factory=dict)
    contents: dict[str, np.ndarray] = field(default_factory=dict)

    def known(self, name: str) -> np.ndarray | None:
        """Return the contents of a computed value where every element is known."""
        array = self.contents.get(name)
        return None if array is None or array.dtype == object else array


def analyse(model: ir.Model, dimensions: Mapping[str, int] | None = None, *, source: str | None = None) -> Statics:
    """Work out types, shapes and contents of all values of the main graph.

    Args:
        model: A copy (see ModelGraph.edit) that may be taken apart.
        dimensions: Values for symbolic dimensions by name, and for any input dimension as "input:axis".
        source: Where the model came from, for messages.

    Raises:
        UnsupportedGraphError: the graph contradicts itself.
    """
    walk = _Walk(model, dict(dimensions or {}))
    walk.infer_whole(source)
    for node in model.graph:
        walk.visit(node)
    return walk.found


class _Walk:
    def __init__(self, model: ir.Model, dimensions: dict[str, int]) -> None:
        self.model = model
        self.found = Statics()
        self.opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
        self.opset = model.opset_imports.get("", 0)
        self.constants: dict[str, ir.TensorProtocol] = {}
        for name, value in model.graph.initializers.items():
            if value.const_value is not None:
                self._add_constant(name, value.const_value)
        for value in model.graph.inputs:
            if value.shape is not None:
                value.shape = ir.Shape(_given(value, dimensions))
        self.symbols = {size for value in model.graph.inputs for size in _dims(value) or () if isinstance(size, str)}
        self.recorded: dict[str, Dims] = {}
        self.recorded_types: dict[str, ir.DataType] = {}
        self.whole_shapes: dict[str, Dims] = {}
        self.whole_types: dict[str, ir.DataType] = {}
        for node in model.graph:
            if node.op_type == "Constant" and node.domain == "" and "value" in node.attributes:
                self._add_constant(node.outputs[0].name or "", node.attributes["value"].value)
            for value in node.outputs:
                dims = _dims(value)
                if value.name and dims is not None:
                    self.recorded[value.name] = tuple(
                        self._symbol(size, dimensions) if isinstance(size, str) else size for size in dims
                    )
                if value.name and value.dtype is not None:
                    self.recorded_types[value.name] = value.dtype
                if node.domain == "":
                    value.shape = None

    def _add_constant(self, name: str, tensor: ir.TensorProtocol) -> None:
        self.constants[name] = tensor
        self.found.shapes[name] = tuple(tensor.shape.numpy())
        self.found.dtypes[name] = tensor.dtype

    def infer_whole(self, source: str | None) -> None:
        """Run onnx's inference over everything, control flow included, and take what it finds."""
        try:
            proto = onnx.shape_inference.infer_shapes(skeleton(self.model.clone()), data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise UnsupportedGraphError(
                f"its shapes contradict each other: {' '.join(str(error).split())}", where=source
            ) from error
        for info in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output):
            kind = info.type.tensor_type
            if not info.type.HasField("tensor_type") or info.name in self.constants:
                continue
            if kind.elem_type:
                self.found.dtypes[info.name] = ir.DataType(kind.elem_type)
            if kind.HasField("shape"):
                self.found.shapes[info.name] = tuple(self._dimension(dim) for dim in kind.shape.dim)
        self.whole_shapes, self.whole_types = dict(self.found.shapes), dict(self.found.dtypes)
        for name, dtype in self.recorded_types.items():
            self.found.dtypes.setdefault(name, dtype)

    def _dimension(self, dim: onnx.TensorShapeProto.Dimension) -> Dimension:
        if dim.HasField("dim_value"):
            return int(dim.dim_value) if dim.dim_value >= 0 else None
        return self._symbol(dim.dim_param, {})

    def _symbol(self, name: str, dimensions: Mapping[str, int]) -> Dimension:
        # onnx invents names of this form for what it could not work out; the walk must see those as unknown.
        if not name or (name.startswith("unk__") and name not in self.symbols):
            return None
        return dimensions.get(name, name)

    def visit(self, node: ir.Node) -> None:
        outputs = [value.name for value in node.outputs if value.name]
        if not outputs or (node.op_type == "Constant" and outputs[0] in self.constants):
            return
        if node.domain == "":
            self._visit_standard(node, outputs)
        elif node.op_type == NBITS_OPERATOR and node.inputs[0] is not None:
            source = node.inputs[0].name or ""
            dims = self.found.shapes.get(source)
            self.found.dtypes.setdefault(outputs[0], self.found.dtypes.get(source, ir.DataType.FLOAT))
            self._merge(outputs[0], None if dims is None else (*dims[:-1], node.attributes.get_int("N")))
        for name in outputs:
            self._merge(name, self.recorded.get(name))

    def _visit_standard(self, node: ir.Node, outputs: list[str]) -> None:
        array = self._partial(node) if len(outputs) == 1 else None
        if array is None and node.op_type in _GROWING:
            self._find_shapes(node, outputs)
        results = [array] if array is not None else self._evaluate(node)
        if results is None:
            if node.op_type not in _GROWING:
                self._find_shapes(node, outputs)
            return
        for value, result in zip(node.outputs, results, strict=False):
            if value.name:
                self._take(value.name, np.asarray(result))

    def _find_shapes(self, node: ir.Node, outputs: list[str]) -> None:
        if node.op_type in ("Reshape", "Expand", "ConstantOfShape"):
            self._merge(outputs[0], self._shape_from_contents(node))
        elif node.op_type == "Range":
            self._merge(outputs[0], self._length_of_range(node))
        if all(_complete(self.found.shapes.get(name)) for name in outputs):
            return
        untyped = any(name not in self.found.dtypes for name in outputs)
        if untyped or any(value is not None and self._is_news(value) for value in node.inputs):
            self._infer_node(node)

    def _is_news(self, value: ir.Value) -> bool:
        """Whether the walk knows more of a value than onnx's inference over everything did."""
        name = value.name or ""
        constant = self.constants.get(name)
        return (
            name in self.found.contents
            or (constant is not None and constant.nbytes > KEPT_BYTES)
            or self.found.shapes.get(name) != self.whole_shapes.get(name)
            or self.found.dtypes.get(name) != self.whole_types.get(name)
        )

    def _take(self, name: str, array: np.ndarray) -> None:
        dtype = self.found.dtypes.get(name)
        if array.dtype == object and dtype is not None and all(isinstance(item, (int, bool)) for item in array.flat):
            array = array.astype(dtype.numpy())
        if array.dtype != object and dtype is None:
            self.found.dtypes[name] = ir.DataType.from_numpy(array.dtype)
        self.found.contents[name] = array
        self.found.shapes[name] = tuple(array.shape)

    def _merge(self, name: str, dims: Dims | None) -> None:
        if dims is None:
            return
        old = self.found.shapes.get(name)
        if old is None or len(old) != len(dims):
            self.found.shapes[name] = dims if old is None else old
            return
        self.found.shapes[name] = tuple(
            left if isinstance(left, int) or (left is not None and not isinstance(right, int)) else right
            for left, right in zip(old, dims, strict=True)
        )

    def array(self, value: ir.Value | None, limit: int = _FOLD_BYTES) -> np.ndarray | None:
        """Return a value's contents, whole or with symbols, if they are known and not larger than `limit` bytes."""
        if value is None or not value.name:
            return None
        tensor = self.constants.get(value.name)
        if tensor is None:
            return self.found.contents.get(value.name)
        return tensor.numpy() if tensor.nbytes <= limit else None

    def _partial(self, node: ir.Node) -> np.ndarray | None:
        arrays = [self.array(value, _CONTENT_ELEMENTS * 8) for value in node.inputs]
        first = node.inputs[0] if node.inputs else None
        dims = None if first is None else self.found.shapes.get(first.name or "")
        symbolic = any(array is not None and array.dtype == object for array in arrays)
        if not symbolic and node.op_type not in _BY_RULE:
            return None
        result = partial_contents(node, arrays, dims, self.opset)
        return None if result is None or result.size > _CONTENT_ELEMENTS else result

    def _evaluate(self, node: ir.Node) -> list[np.ndarray] | None:
        """Return the outputs of a node whose inputs are all known, or None."""
        if node.op_type in _NOT_FOLDED or any(_has_body(attribute) for attribute in node.attributes.values()):
            return None
        if not node.inputs and node.op_type != "Constant":
            return None
        if node.op_type == "CastLike":
            return self._cast_like(node)
        arrays: dict[str, np.ndarray] = {}
        for value in node.inputs:
            if value is not None and value.name:
                array = self.array(value)
                if array is None or array.dtype == object:
                    return None
                arrays[value.name] = array
        bytes_in = sum(array.nbytes for array in arrays.values())
        if bytes_in > _FOLD_BYTES or not self._stays_small(node, bytes_in):
            return None
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = ReferenceEvaluator(
                    ir.serde.serialize_node(node), opsets={entry.domain: entry.version for entry in self.opsets}
                ).run(None, arrays)
        except Exception:  # the reference evaluator raises whatever numpy does for what it lacks; the node then stays
            return None
        if not all(isinstance(result, (np.ndarray, np.generic)) for result in results):
            return None
        typed = []
        for value, result in zip(node.outputs, results, strict=False):
            dtype = self.found.dtypes.get(value.name or "")
            typed.append(np.asarray(result) if dtype is None else np.asarray(result).astype(dtype.numpy(), copy=False))
        return typed

    def _cast_like(self, node: ir.Node) -> list[np.ndarray] | None:
        """Cast a known array to the type of a value whose contents need not be known."""
        array = self.array(node.inputs[0])
        dtype = self.found.dtypes.get(node.outputs[0].name or "")
        return None if array is None or array.dtype == object or dtype is None else [array.astype(dtype.numpy())]

    def _stays_small(self, node: ir.Node, bytes_in: int) -> bool:
        for value in node.outputs:
            dims = self.found.shapes.get(value.name or "")
            if dims is not None and all(isinstance(size, int) for size in dims):
                dtype = self.found.dtypes.get(value.name or "", ir.DataType.FLOAT)
                size = float(dtype.itemsize)
                for dim in dims:
                    size *= float(dim or 0)
                if size > max(bytes_in * 2, _GROWN_BYTES) or size > _FOLD_BYTES:
                    return False
            elif node.op_type in _GROWING:
                return False
        return True

    def _shape_from_contents(self, node: ir.Node) -> Dims | None:
        if node.op_type == "ConstantOfShape":
            target = self.array(node.inputs[0])
            return None if target is None else tuple(_plain(size) for size in target)
        dims = self.found.shapes.get(node.inputs[0].name or "") if node.inputs[0] is not None else None
        target = self.array(node.inputs[1]) if len(node.inputs) > 1 else None
        if target is None:
            return self._rank_of_target(node)
        wanted = tuple(_plain(size) for size in target)
        if node.op_type == "Expand":
            return None if dims is None else broadcast(dims, wanted)
        return resolve_reshape(dims, wanted, allow_zero=bool(node.attributes.get_int("allowzero", 0)))

    def _length_of_range(self, node: ir.Node) -> Dims | None:
        """Return the size that a Range counts up to; exporters number the tokens of an open length so."""
        start, limit, step = (self.array(value) for value in node.inputs)
        counts = start is not None and step is not None and start.tolist() == 0 and step.tolist() == 1
        return (limit.tolist(),) if counts and limit is not None and isinstance(limit.tolist(), str) else None

    def _rank_of_target(self, node: ir.Node) -> Dims | None:
        """Return as many unknown sizes as the target of a Reshape has elements."""
        value = node.inputs[1] if len(node.inputs) > 1 else None
        dims = None if value is None else self.found.shapes.get(value.name or "")
        rank = dims[0] if dims is not None and len(dims) == 1 else None
        return (None,) * rank if isinstance(rank, int) and node.op_type == "Reshape" else None

    def _infer_node(self, node: ir.Node) -> None:
        """Infer one node again, now with what the walk knows of its inputs."""
        if any(_has_body(attribute) for attribute in node.attributes.values()):
            return
        types: dict[str, onnx.TypeProto] = {}
        data: dict[str, onnx.TensorProto] = {}
        for value in node.inputs:
            if value is None or not value.name:
                continue
            dtype = self.found.dtypes.get(value.name)
            if dtype is None:
                return
            types[value.name] = onnx.helper.make_tensor_type_proto(int(dtype), self.found.shapes.get(value.name))
            array = self.array(value, _CONTENT_ELEMENTS * 8)
            if array is not None and array.dtype != object:
                data[value.name] = ir.serde.serialize_tensor(ir.tensor(array, dtype=dtype, name=value.name))
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opset)
            inferred = onnx.shape_inference.infer_node_outputs(
                schema,
                ir.serde.serialize_node(node),
                types,
                data,
                opset_imports=self.opsets,
                ir_version=self.model.ir_version,
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError):
            return
        for name, kind in inferred.items():
            tensor = kind.tensor_type
            if tensor.elem_type:
                self.found.dtypes.setdefault(name, ir.DataType(tensor.elem_type))
            if tensor.HasField("shape"):
                self._merge(name, tuple(self._dimension(dim) for dim in tensor.shape.dim))


def _given(value: ir.Value, dimensions: Mapping[str, int]) -> list[Dimension]:
    sizes: list[Dimension] = []
    for axis, size in enumerate(_dims(value) or ()):
        chosen = dimensions.get(f"{value.name}:{axis}")
        if chosen is None and isinstance(size, str):
            chosen = dimensions.get(size)
        sizes.append(size if chosen is None else chosen)
    return sizes


def _dims(value: ir.Value) -> Dims | None:
    if value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)


def _complete(dims: Dims | None) -> bool:
    return dims is not None and None not in dims


def _plain(size: object) -> Dimension:
    return size if size is None or isinstance(size, str) else int(size)  # type: ignore[call-overload]


def _has_body(attribute: ir.Attr) -> bool:
    return attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
