"""Sets right, in memory only, what exporters left odd, so that all that follows sees one kind of graph.

The user's file is never changed; what could surprise is returned as notes.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from workbench.domain.errors import ModelFileError, UnsupportedGraphError

# Domains whose operators ONNX Runtime brings itself; files that use them often forget to import them.
RUNTIME_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "com.microsoft", "com.microsoft.nchwc"})


def repair_proto(proto: onnx.ModelProto, where: str) -> list[str]:
    """Set right what onnx_ir would refuse; returns notes.

    Raises:
        ModelFileError: an operator's domain is not imported, or one value has two producers.
        UnsupportedGraphError: sparse weights.
    """
    notes: list[str] = []
    for entry in proto.opset_import:
        if entry.domain == "ai.onnx":
            entry.domain = ""
    imported = {entry.domain for entry in proto.opset_import}
    functions = {function.domain for function in proto.functions}
    for node in _nodes(proto.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if domain in imported or domain in functions:
            continue
        if domain not in RUNTIME_DOMAINS:
            raise ModelFileError(
                f"operator {node.op_type!r} is of domain {domain!r}, which the file does not import "
                "and no runtime here knows",
                where=where,
                action="Export the model with standard ONNX operators.",
            )
        proto.opset_import.append(onnx.helper.make_opsetid(domain, 1))
        imported.add(domain)
        notes.append(f"The file does not import domain {domain!r} that it uses; version 1 was assumed.")
    if proto.graph.sparse_initializer:
        name = proto.graph.sparse_initializer[0].values.name
        raise UnsupportedGraphError(
            f"weight {name!r} is stored sparse", where=where, action="Export the model with dense weights."
        )
    notes.extend(_drop_repeated_constants(proto.graph, where))
    return notes


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for body in attribute.graphs:
                yield from _nodes(body)


def _drop_repeated_constants(graph: onnx.GraphProto, where: str) -> Iterator[str]:
    """Keep the last of several Constant nodes that write one value, as ONNX Runtime does."""
    last: dict[str, onnx.NodeProto] = {}
    dropped: list[onnx.NodeProto] = []
    for node in graph.node:
        for output in filter(None, node.output):
            other = last.get(output)
            if other is not None:
                if not node.op_type == other.op_type == "Constant":
                    raise ModelFileError(
                        f"value {output!r} is computed twice, by {other.name!r} ({other.op_type}) "
                        f"and {node.name!r} ({node.op_type})",
                        where=where,
                        action="Export the model again.",
                    )
                dropped.append(other)
            last[output] = node
    if dropped:
        gone = {id(node) for node in dropped}
        kept = [node for node in graph.node if id(node) not in gone]
        copies = [onnx.NodeProto() for _ in kept]
        for copy, node in zip(copies, kept, strict=True):
            copy.CopyFrom(node)
        del graph.node[:]
        graph.node.extend(copies)
        yield f"{len(dropped)} values have more than one Constant node; the last one counts, as in ONNX Runtime."


def repair_model(model: ir.Model, where: str) -> list[str]:
    """Inline functions, sort, drop default values of inputs, lift constants, free negative sizes, name; returns notes.

    Raises:
        ModelFileError: the graph has a cycle.
        UnsupportedGraphError: a model-local function can't be inlined.
    """
    notes: list[str] = []
    if model.functions:
        count = len(model.functions)
        try:
            InlinePass()(model)
        except (ir.passes.PassError, ValueError) as error:
            raise UnsupportedGraphError(f"its model-local functions can't be inlined: {error}", where=where) from error
        notes.append(f"{count} model-local functions were inlined.")
    for graph in model.graphs():
        if not _sorted(graph):
            try:
                graph.sort()
            except ValueError as error:
                raise ModelFileError(
                    "its operators wait for each other in a circle, so that none can be computed first",
                    where=where,
                    action="Export it again.",
                ) from error
    _drop_defaults(model)
    _lift_external_constants(model)
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is not None and any(isinstance(size, int) and size < 0 for size in value.shape):
            value.shape = ir.Shape([None if isinstance(size, int) and size < 0 else size for size in value.shape])
    _name_nodes(model)
    return notes


def _sorted(graph: ir.Graph) -> bool:
    seen: set[int] = set()
    for node in graph:
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and producer.graph is graph and id(producer) not in seen:
                return False
        for attribute in node.attributes.values():
            for body in _bodies(attribute):
                for inner in body.all_nodes():
                    for value in inner.inputs:
                        producer = None if value is None else value.producer()
                        if producer is not None and producer.graph is graph and id(producer) not in seen:
                            return False
        seen.add(id(node))
    return True


def _bodies(attribute: ir.Attr) -> tuple[ir.Graph, ...]:
    if attribute.type == ir.AttributeType.GRAPH:
        return (attribute.value,)
    return tuple(attribute.value) if attribute.type == ir.AttributeType.GRAPHS else ()


def _drop_defaults(model: ir.Model) -> None:
    """Make weights that old files also list as inputs plain weights, which IR version 4 allows."""
    graph = model.graph
    names = set(graph.initializers)
    kept = [value for value in graph.inputs if value.name not in names]
    if len(kept) < len(graph.inputs):
        graph.inputs.clear()
        graph.inputs.extend(kept)
    model.ir_version = max(model.ir_version, 4)


def _lift_external_constants(model: ir.Model) -> None:
    """Make Constant nodes whose data lies in another file weights, the one place from which it is read and written."""
    for graph in model.graphs():
        for node in list(graph):
            for name, attribute in node.attributes.items():
                if attribute.type != ir.AttributeType.TENSOR or not isinstance(attribute.value, ir.ExternalTensor):
                    continue
                tensor, output = attribute.value, node.outputs[0]
                if node.op_type == "Constant" and not output.is_graph_output():
                    weight = ir.Value(
                        name=output.name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype)
                    )
                    weight.const_value = tensor
                    output.replace_all_uses_with(weight)
                    graph.remove(node, safe=True)
                    graph.register_initializer(weight)
                    break
                node.attributes[name] = ir.AttrTensor(name, ir.Tensor(tensor.numpy(), dtype=tensor.dtype))


def _name_nodes(model: ir.Model) -> None:
    """Give every node a unique name that depends on nothing but its operator and first output, and every graph one."""
    taken: set[str] = set()
    nameless: list[ir.Node] = []
    for graph in model.graphs():
        graph.name = graph.name or "graph"  # the runtime does without, onnx's checker does not
        for node in graph:
            if node.name and node.name not in taken:
                taken.add(node.name)
            else:
                nameless.append(node)
    for node in nameless:
        first = next((value.name for value in node.outputs if value.name), "")
        base = node.name or f"{node.op_type}_{first}"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        node.name = name
        taken.add(name)
