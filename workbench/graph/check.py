"""Tells whether a graph is valid ONNX after a pass or at the door, without loading big weights."""

from __future__ import annotations

import onnx

from workbench.domain.errors import ModelFileError, UnsupportedGraphError
from workbench.graph.model import ModelGraph, Node, Subgraph
from workbench.graph.remembered import once_per_graph
from workbench.graph.repairs import RUNTIME_DOMAINS
from workbench.graph.skeleton import skeleton


@once_per_graph
def check(graph: ModelGraph) -> tuple[str, ...]:
    """Check structure, names, attributes and types; returns notes on what is valid but may surprise.

    Raises:
        ModelFileError: the graph is not valid; names the node or value.
    """
    _check_names(graph)
    notes = list(graph.notes)
    proto = skeleton(graph.edit())
    for value in (*proto.graph.input, *proto.graph.output):
        if value.type.HasField("tensor_type"):
            # The runtime takes values of unknown rank, onnx's checker insists on a shape but does not look at it.
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto, full_check=False)
    except onnx.checker.ValidationError as error:
        reason = " ".join(str(error).split())
        # ONNX Runtime has operators of its own in the standard domain; onnx can't judge a graph with them.
        if not reason.startswith("No Op registered for"):
            raise ModelFileError(f"is not a valid graph: {reason}", where=graph.source) from error
        notes.append(f"Operators were not checked: {reason}")
    strange: dict[str, list[str]] = {}
    for node in unsupported_operators(graph):
        strange.setdefault(node.domain, []).append(f"{node.op} ({node.name})")
    for domain, nodes in strange.items():
        notes.append(f"No runtime here supports domain {domain!r}: {', '.join(nodes[:3])}.")
    return tuple(notes)


def unsupported_operators(graph: ModelGraph) -> tuple[Node, ...]:
    """Return the nodes of domains that ONNX Runtime does not bring; such a graph can be looked at but not run."""
    return tuple(node for node in _all(graph.nodes) if node.domain not in RUNTIME_DOMAINS)


def require_runtime_support(graph: ModelGraph) -> None:
    """Refuse a graph with operators that no runtime here has.

    Raises:
        UnsupportedGraphError: names operator, domain and node.
    """
    for node in unsupported_operators(graph):
        raise UnsupportedGraphError(
            f"there is no runtime support for domain {node.domain!r} of operator {node.op!r} (node {node.name!r})",
            where=graph.source,
            action="Export the model with standard ONNX operators, without built-in pre- and post-processing.",
        )


def _all(nodes: tuple[Node, ...]) -> list[Node]:
    found: list[Node] = []
    for node in nodes:
        found.append(node)
        for value in node.attributes.values():
            for body in value if isinstance(value, tuple) else (value,):
                if isinstance(body, Subgraph):
                    found.extend(_all(body.nodes))
    return found


def _check_names(graph: ModelGraph) -> None:
    """Refuse values that nothing computes, which onnx's checker misses for outputs, and names given twice."""
    known = {info.name for info in graph.inputs} | set(graph.initializers)
    names: set[str] = set()
    for node in graph.nodes:
        if node.name in names:
            raise ModelFileError(f"two nodes are called {node.name!r}", where=graph.source)
        names.add(node.name)
        for value in node.inputs:
            if value and value not in known:
                raise ModelFileError(
                    f"node {node.name!r} ({node.op}) reads {value!r}, which nothing before it computes",
                    where=graph.source,
                )
        for value in node.outputs:
            if value in known:
                raise ModelFileError(f"value {value!r} is computed twice, last by {node.name!r}", where=graph.source)
        known.update(filter(None, node.outputs))
    for info in graph.outputs:
        if info.name not in known:
            raise ModelFileError(f"graph output {info.name!r} is not computed by any node", where=graph.source)
    for name in graph.initializers:
        if graph.constant_shape(name) is None:
            raise ModelFileError(f"weight {name!r} has no value", where=graph.source)
