"""Reads from names which module every operator belongs to, since an exported file has no modules any more.

What the exporter recorded goes first, then the operator's own hierarchical name, then the names of its weights; what
none of them tells is taken from the operators around it. Nothing is executed.

A scope is a tuple of module names, outermost first, each one whole: ("layer1", "layer1.0", "layer1.0.conv1").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node

Scope = tuple[str, ...]

_NAME_SCOPES = "pkg.torch.onnx.name_scopes"
# Torch's name for operators that its passes insert, which come from no module.
_NO_MODULE = "_empty_nn_module_stack"
# Tools that fold or rename weights leave these instead of the module's name.
_NAMELESS = ("onnx::", "const_fold", "/Constant")


def find_scopes(graph: ModelGraph, nodes: Sequence[Node]) -> tuple[Scope, ...]:
    """Return the scope of every node, () for one at the top or unknown.

    Args:
        graph: The model.
        nodes: Some of its nodes, in topological order.
    """
    weights = {node.name: weight.name for node, weight in layer_nodes(graph)}
    constants = frozenset(graph.initializers)
    scopes: list[Scope | None] = []
    owners: list[Scope | None] = []
    for node in nodes:
        scope = _recorded(node)
        owner = scope
        if scope is None:
            scope = _of_weights(graph, node, weights.get(node.name), constants)
            # What follows a layer of a known name lies in the module around that layer.
            owner = None if scope is None else scope[:-1]
        elif node.name in weights:
            owner = scope[:-1]
        scopes.append(scope)
        owners.append(owner)
    if all(not scope for scope in scopes):
        return ((),) * len(nodes)
    _inherit(nodes, scopes, owners)
    return tuple(scope or () for scope in scopes)


def _inherit(nodes: Sequence[Node], scopes: list[Scope | None], owners: list[Scope | None]) -> None:
    """Give nodes without a scope that of the deepest module before them, else what all their readers share."""
    writer: dict[str, int] = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    readers: list[list[int]] = [[] for _ in nodes]
    for index, node in enumerate(nodes):
        before = [writer[name] for name in dict.fromkeys(node.inputs) if name in writer]
        for source in before:
            readers[source].append(index)
        if scopes[index] is None:
            known = [owner for owner in (owners[source] for source in before) if owner is not None]
            if known:
                scopes[index] = owners[index] = max(known, key=len)
    for index in reversed(range(len(nodes))):
        if scopes[index] is None:
            after = [owner for owner in (owners[reader] for reader in readers[index]) if owner is not None]
            if after:
                scopes[index] = owners[index] = _shared(after)


def _shared(scopes: Sequence[Scope]) -> Scope:
    first, *rest = scopes
    length = len(first)
    for other in rest:
        same = 0
        while same < min(length, len(other)) and first[same] == other[same]:
            same += 1
        length = same
    return first[:length]


def _recorded(node: Node) -> Scope | None:
    """Return the scope in the exporter's metadata or the node's name; None where neither says anything."""
    if _NAME_SCOPES in node.metadata:
        return None if any(part.startswith(_NO_MODULE) for part in node.path) else node.path
    if "namespace" in node.metadata:
        # "layer1: torch.nn.modules.container.Sequential/layer1.0: …/conv2d: aten.conv2d.default"
        parts = node.metadata["namespace"].split("/")[:-1]
        return tuple(name for name in (part.split(":")[0].strip() for part in parts) if name)
    # Tools that merge operators list the names of all, the one that they keep first.
    name = node.name.split(";")[0]
    if "/" not in name:
        return None
    parts = name.removeprefix(f"{node.op}_").split("/")[:-1]
    return whole_names((part for part in parts if part), "." if name.startswith("/") else "/")


def whole_names(parts: Iterable[str], separator: str) -> Scope:
    """Return a scope of single names as one of whole names; a part that repeats its module's name is whole already."""
    scope: list[str] = []
    for part in parts:
        if scope and not part.startswith(scope[-1] + separator):
            part = scope[-1] + separator + part
        scope.append(part)
    return tuple(scope)


def _of_weights(graph: ModelGraph, node: Node, weight: str | None, constants: frozenset[str]) -> Scope | None:
    names = [weight] if weight is not None else []
    names += [name for name in node.inputs if name in constants and len(graph.consumers(name)) == 1]
    for name in names:
        separator = "/" if "/" in name else "."
        parts = name.split(":")[0].strip(separator).split(separator)
        if len(parts) > 1 and not any(word in name for word in _NAMELESS):
            return whole_names(parts[:-1], separator)
    return None
