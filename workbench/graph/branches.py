"""Finds whole parts of a network that can be left out, because what goes in has the shape of what comes out.

Small layers are bound by the overhead of every operator, so fewer channels hardly make them faster; fewer layers do,
in proportion. A *branch* is either one side of a residual addition (ResNet blocks, attention and MLP of a transformer)
or, in networks without additions, a run of layers that keeps its shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.domain.knobs import KEEP
from workbench.domain.reports import LayerReport
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.shapes import sample_shapes
from workbench.graph.statics import Dims

_JOINS = frozenset({"Add", "Sum"})
# What belongs to the layer before it: leaving the layer out leaves these out too.
_FOLLOWERS = frozenset(
    {
        *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
        *("Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "HardSigmoid", "Gelu", "Elu", "Selu", "Mish", "Softplus"),
        *("Sigmoid", "Tanh", "Dropout", "Identity", "Add"),
    }
)


@dataclass(frozen=True)
class Branch:
    """A part of the network that can be left out.

    Attributes:
        id: Name of the node it ends with: the addition, or the last node of a run.
        kind: "residual" or "run".
        nodes: Names of the nodes that go, in graph order.
        layers: Those of them that are layers.
        output: The value that readers lose …
        replacement: … and the one that they read instead.
        end: What the branch itself makes: the other term of the addition, or `output` of a run.
    """

    id: str
    kind: str
    nodes: tuple[str, ...]
    layers: tuple[str, ...]
    output: str
    replacement: str
    end: str


def find_branches(graph: ModelGraph) -> tuple[Branch, ...]:
    """Return the branches in graph order; a layer belongs to one at most.

    Of additions inside each other the inner ones count, of the two sides of an addition the one with more layers: the
    other one is the shortcut, which stays.

    Raises:
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    finder = _Finder(graph)
    residual = finder.residual()
    found = [*residual, *finder.runs({layer for branch in residual for layer in branch.layers})]
    order = {node.name: position for position, node in enumerate(graph.nodes)}
    return tuple(sorted(found, key=lambda branch: order[branch.id]))


def with_branches(layers: Sequence[LayerReport], graph: ModelGraph) -> tuple[LayerReport, ...]:
    """Return the layers with their branch filled in, and the knob that leaves it out where there is one."""
    known = branch_of_layers(find_branches(graph))
    return tuple(
        layer.model_copy(update={"branch": known[layer.name].id, "knobs": (*layer.knobs, KEEP.name)})
        if layer.name in known
        else layer
        for layer in layers
    )


def branch_of_layers(branches: Sequence[Branch]) -> dict[str, Branch]:
    """Return the branch of every layer that has one."""
    return {layer: branch for branch in branches for layer in branch.layers}


class _Finder:
    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._position = {node.name: position for position, node in enumerate(graph.nodes)}
        self._layers = {node.name for node, _ in layer_nodes(graph)}
        self._outputs = {info.name for info in graph.outputs}
        self._shapes: Mapping[str, Dims] = sample_shapes(graph).shapes
        self._computed = {info.name for info in graph.inputs}
        for node in graph.nodes:
            if any(name in self._computed for name in node.inputs):
                self._computed.update(node.outputs)

    def residual(self) -> list[Branch]:
        """Return one branch for every addition whose side can be left out; inner additions first come, outer go."""
        found: list[Branch] = []
        taken: set[str] = set()
        for join in self._graph.nodes:
            branch = self._at(join)
            if branch is not None and not taken & set(branch.nodes):
                found.append(branch)
                taken.update((*branch.nodes, join.name))
        return found

    def runs(self, taken: set[str]) -> list[Branch]:
        """Return the shortest runs that keep their shape, none of whose layers is `taken`."""
        found: list[Branch] = []
        used = set(taken)
        for node in self._graph.nodes:
            if node.name in self._layers and node.name not in used:
                run = self._run(node, used)
                if run is not None:
                    found.append(run)
                    used.update(run.layers)
        return found

    def _at(self, join: Node) -> Branch | None:
        if join.op not in _JOINS or join.domain or len(join.inputs) != 2 or join.outputs[0] in self._outputs:
            return None
        if any(self._graph.is_constant(value) for value in join.inputs) or join.inputs[0] == join.inputs[1]:
            return None
        best: Branch | None = None
        for side, other in (join.inputs, join.inputs[::-1]):
            nodes = self._only_for(side, join)
            layers = tuple(node.name for node in nodes if node.name in self._layers)
            if not layers or not self._same_shape(other, join.outputs[0]) or not self._start_from(nodes, other):
                continue
            if best is None or len(layers) > len(best.layers):
                names = tuple(node.name for node in nodes)
                best = Branch(join.name, "residual", names, layers, join.outputs[0], other, side)
        return best

    def _only_for(self, value: str, reader: Node) -> list[Node]:
        """Return, in graph order, the nodes that are computed for this input of `reader` and nothing else."""
        own: set[str] = set()
        last = self._graph.producer(value)
        if last is None:
            return []
        found: list[Node] = []
        waiting = {last.name}
        for node in self._graph.nodes[self._position[last.name] :: -1]:
            if node.name not in waiting:
                continue
            read = [reading.name for output in node.outputs if output for reading in self._graph.consumers(output)]
            seen = any(output in self._outputs for output in node.outputs)
            # What the reader itself reads a second time, or past these nodes, is the shortcut.
            if seen or (read != [reader.name] if node is last else not set(read) <= own):
                continue
            own.add(node.name)
            found.append(node)
            waiting.update(made.name for name in node.inputs if (made := self._graph.producer(name)) is not None)
        return found[::-1]

    def _start_from(self, nodes: Sequence[Node], other: str) -> bool:
        """Whether all that the nodes read from outside is also what `other` is made of."""
        made = {output for node in nodes for output in node.outputs}
        read = {name for node in nodes for name in node.inputs if name and name not in made}
        begin = read & self._computed
        return bool(begin) and begin <= self._ancestors(other)

    def _ancestors(self, value: str) -> set[str]:
        found, ahead = {value}, [value]
        while ahead:
            node = self._graph.producer(ahead.pop())
            for name in node.inputs if node is not None else ():
                if name and name not in found:
                    found.add(name)
                    ahead.append(name)
        return found

    def _same_shape(self, first: str, second: str) -> bool:
        """Whether two values have one shape; sizes that nobody knows before a run may be unknown in both.

        One known size beside the batch has to agree, which tells a feature map from what is broadcast over it.
        """
        shape = self._shapes.get(first)
        if shape is None or shape != self._shapes.get(second):
            return False
        return None not in shape or any(size is not None and size != 1 for size in shape[1:])

    def _run(self, first: Node, taken: set[str]) -> Branch | None:
        """Return the shortest run of layers that begins with `first` and ends in the shape that went in."""
        begin = next((name for name in first.inputs if name and not self._graph.is_constant(name)), None)
        if begin is None or self._graph.producer(begin) is None:
            return None
        nodes: list[Node] = []
        node: Node | None = first
        while node is not None:
            nodes.append(node)
            value = node.outputs[0]
            readers = self._graph.consumers(value)
            if value in self._outputs or not readers or len(node.outputs) != 1:
                return None
            follower = readers[0] if len(readers) == 1 else None
            belongs = follower is not None and self._belongs(follower, value)
            if not belongs and self._same_shape(begin, value):
                layers = tuple(node.name for node in nodes if node.name in self._layers)
                return Branch(node.name, "run", tuple(node.name for node in nodes), layers, value, begin, value)
            node = follower if follower is not None and (belongs or self._continues(follower, value, taken)) else None
        return None

    def _belongs(self, node: Node, value: str) -> bool:
        rest = [name for name in node.inputs if name and name != value]
        return node.op in _FOLLOWERS and all(self._graph.is_constant(name) for name in rest)

    def _continues(self, node: Node, value: str, taken: set[str]) -> bool:
        rest = [name for name in node.inputs if name and name != value]
        constant = all(self._graph.is_constant(name) for name in rest)
        return constant and node.name in self._layers and node.name not in taken
