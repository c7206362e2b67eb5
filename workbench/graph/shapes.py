"""Shapes of all values, and which sizes the user still has to name before costs and shapes can be known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import onnx_ir as ir

from workbench.domain.dimensions import dimension_keys as keys_of_axis
from workbench.domain.errors import BadInputError, OpenDimensionsError
from workbench.graph.model import Dimension, ModelGraph, ValueInfo
from workbench.graph.statics import Statics, analyse

# A graph never changes, so what is known of it stays true as long as it lives.
_KNOWN: WeakKeyDictionary[ModelGraph, dict[tuple[tuple[str, int], ...], Statics]] = WeakKeyDictionary()


@dataclass(frozen=True)
class OpenDimension:
    """A size of a graph input that the file leaves open.

    Attributes:
        key: How to give it a value: its name, or "input:axis" where it has none.
        input, axis: Where it first occurs.
        batch: Whether it counts samples (the first axis of an input of rank 2 or more); costs take 1 for it.
    """

    key: str
    input: str
    axis: int
    batch: bool


def open_dimensions(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> tuple[OpenDimension, ...]:
    """Return the input sizes that neither the file nor `dimensions` fixes, batch sizes included.

    Raises:
        BadInputError: `dimensions` has a key that is no dimension of the model, or a size below 1.
    """
    given = dict(dimensions or {})
    found: dict[str, OpenDimension] = {}
    for info in graph.inputs:
        for axis, size in enumerate(info.shape or ()):
            names = dimension_keys(info, axis)
            if isinstance(size, int) or any(name in given for name in names):
                continue
            key = names[0]
            batch = axis == 0 and len(info.shape or ()) > 1
            if key not in found or (batch and not found[key].batch):
                found[key] = OpenDimension(key, info.name, axis, batch)
    require_known_dimensions((graph,), given)
    for key, value in given.items():
        if value < 1:
            raise BadInputError(f"dimension {key!r} is {value}", where=graph.source, expected="a size of 1 or more")
    return tuple(found.values())


def dimension_keys(info: ValueInfo, axis: int) -> tuple[str, ...]:
    """Return the keys by which an input's size can be given, the usual one first: its name, "input:axis"."""
    return keys_of_axis(info.name, axis, (info.shape or ())[axis])


def require_known_dimensions(graphs: Sequence[ModelGraph], dimensions: Iterable[str]) -> None:
    """Refuse a key that is no dimension of any of the models.

    Raises:
        BadInputError: names it, and those that there are.
    """
    keys = {
        key
        for graph in graphs
        for info in graph.inputs
        for axis in range(len(info.shape or ()))
        for key in dimension_keys(info, axis)
    }
    for key in dimensions:
        if key not in keys:
            one = len(graphs) == 1
            raise BadInputError(
                f"{'the model has no' if one else 'no model has a'} dimension {key!r}",
                where=graphs[0].source if one else None,
                expected="one of " + ", ".join(sorted(name for name in keys if ":" not in name) or sorted(keys)),
            )


def require_dimensions(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> None:
    """Refuse a model whose inputs have open sizes besides the batch.

    Raises:
        OpenDimensionsError: names the dimension and how to give it a value.
    """
    for open_dimension in open_dimensions(graph, dimensions):
        if not open_dimension.batch:
            raise OpenDimensionsError(
                f"dimension {open_dimension.key!r} (axis {open_dimension.axis} of input {open_dimension.input!r}) "
                "has no value",
                where=graph.source,
                action=f"Give it one, for example {open_dimension.key}=224.",
            )


def infer_shapes(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> ModelGraph:
    """Return the graph with the type and shape of every value filled in as far as they can be known.

    Args:
        graph: The model; big weights are not read.
        dimensions: Values for input sizes, by the name of the dimension or as "input:axis".

    Raises:
        BadInputError: a key that is no dimension of the model, or a size below 1.
        UnsupportedGraphError: the graph contradicts itself.
    """
    open_dimensions(graph, dimensions)
    return with_shapes(graph, static_values(graph, dimensions))


def static_values(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> Statics:
    """Return what is known of all values before the graph runs; worked out once for a graph and its dimensions.

    Raises:
        UnsupportedGraphError: the graph contradicts itself.
    """
    key = tuple(sorted((dimensions or {}).items()))
    known = _KNOWN.setdefault(graph, {})
    if key not in known:
        known[key] = analyse(graph.edit(), dimensions, source=graph.source)
    return known[key]


def sample_shapes(graph: ModelGraph, dimensions: Mapping[str, int] | None = None) -> Statics:
    """Return the shapes for one sample: open batch sizes are 1, other open sizes stay unknown.

    Raises:
        BadInputError: a key that is no dimension of the model, or a size below 1.
        UnsupportedGraphError: the graph contradicts itself.
    """
    chosen = dict(dimensions or {})
    chosen.update({entry.key: 1 for entry in open_dimensions(graph, dimensions) if entry.batch})
    return static_values(graph, chosen)


def fixed_batch(graph: ModelGraph) -> int:
    """Return the batch size that the file fixes for all its inputs and outputs, or 1."""
    if any(_leads_with_time(graph, info.name) for info in graph.inputs):
        return 1
    sizes: set[Dimension] = {
        info.shape[0] for info in (*graph.inputs, *graph.outputs) if info.shape is not None and len(info.shape) > 1
    }
    (size,) = sizes if len(sizes) == 1 else (1,)
    return size if isinstance(size, int) and size > 1 else 1


def _leads_with_time(graph: ModelGraph, value: str) -> bool:
    """Whether a recurrent layer reads the value as it is, so that its first axis is time and not the batch."""
    return any(
        node.op in ("LSTM", "GRU", "RNN") and node.inputs[0] == value and not node.attribute("layout", 0)
        for node in graph.consumers(value)
    )


def with_shapes(graph: ModelGraph, statics: Statics) -> ModelGraph:
    """Return the graph with the shapes and types of `statics` written to its values."""
    model = graph.edit()
    for value in (*model.graph.inputs, *(value for node in model.graph for value in node.outputs)):
        dims = statics.shapes.get(value.name or "")
        if dims is not None:
            value.shape = ir.Shape(dims)
        dtype = statics.dtypes.get(value.name or "")
        if dtype is not None and value.type is None:
            value.type = ir.TensorType(dtype)
    return graph.edited(model)
