"""Turns nodes into a flat list of calls, so that running a graph costs little more than the operators themselves.

Values live in numbered slots; what never changes is computed once when the program is built; what nobody asked for
is left out; a value is dropped after its last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.domain.errors import JobError, UnsupportedGraphError
from workbench.engines.training_torch import operators  # noqa: F401  (registers all operators)
from workbench.engines.training_torch.operators.control_flow import bodies, captured
from workbench.engines.training_torch.operators.indexing import tensor_of
from workbench.engines.training_torch.operators.registry import Context, Function, Mode, Operator, find
from workbench.graph.model import Node, Subgraph

_SMALL = 64  # integer constants up to this size are most likely shapes and stay in main memory


@dataclass(frozen=True)
class Setting:
    """What all programs of one module share.

    Attributes:
        opsets: Imported operator set versions by domain.
        types: Element type names of values, where the model states them.
        statistics: Names of batch normalization's means and variances.
        mode: Training or inference.
        device: Where the values live.
    """

    opsets: Mapping[str, int]
    types: Mapping[str, str]
    statistics: frozenset[str]
    mode: Mode
    device: torch.device

    def operator(self, node: Node) -> Operator:
        """Return the registered operator of a node; UnsupportedGraphError if there is none."""
        version = self.opsets.get(node.domain, self.opsets.get("", 0) if not node.domain else 1)
        found = find(node.domain, node.op, version)
        if found is None:
            raise UnsupportedGraphError(
                f"the training engine has no operator {described(node)}",
                where=node.name,
                action="Leave training steps out of the recipe, or replace the node.",
            )
        return found

    def context(
        self, node: Node, known: Mapping[str, Tensor], body: Callable[[Subgraph, Sequence[str]], Program]
    ) -> Context:
        """Return what the node's factory may know."""
        version = self.opsets.get(node.domain, 1)
        return Context(node, version, known, self.types, self.statistics, self.mode, body)


def described(node: Node) -> str:
    """Return an operator's name with its domain where that is not the standard one."""
    return f"{node.domain}:{node.op}" if node.domain else node.op


def reads(node: Node) -> tuple[str, ...]:
    """Return the inputs of a node, then the outer values that its bodies read."""
    return (*node.inputs, *captured(node)) if bodies(node) else node.inputs


_Step = tuple[Function, tuple[int, ...], tuple[int, ...], tuple[int, ...], Node]


class Program:
    """A compiled list of nodes.

    Args:
        nodes: In topological order.
        inputs: Names of the values that `run` takes, in order.
        outputs: Names of the values that it returns, in order.
        weights: Tensors that may change between runs, by name.
        known: Tensors that never change, by name.
        setting: Shared by all programs of the module.

    Raises:
        UnsupportedGraphError: a needed node's operator is not registered or refuses the node.
    """

    def __init__(
        self,
        nodes: Iterable[Node],
        inputs: Sequence[str],
        outputs: Sequence[str],
        weights: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        setting: Setting,
    ) -> None:
        self._setting = setting
        self._weights = weights
        self._known = dict(known)
        self._slots: dict[str, int] = {"": 0}
        self._template: list[Any] = [None]
        self._steps: list[_Step] = []
        self._inputs = tuple(self._slot(name) for name in inputs)
        for node in _needed(tuple(nodes), outputs):
            self._add(node)
        self._outputs = tuple(self._slot(name) for name in outputs)
        self._free_after_last_use()

    def run(self, *values: Tensor | None) -> tuple[Any, ...]:
        """Execute with the values of the inputs; returns those of the outputs.

        Raises:
            JobError: an operator failed; names the node.
        """
        slots = self._template.copy()
        for slot, value in zip(self._inputs, values, strict=True):
            slots[slot] = value
        node: Node | None = None
        try:
            for function, sources, targets, done, node in self._steps:  # noqa: B007  (named in the error)
                result = function(*[slots[source] for source in sources])
                if isinstance(result, tuple):
                    for target, item in zip(targets, result, strict=False):
                        slots[target] = item
                else:
                    slots[targets[0]] = result
                for slot in done:
                    slots[slot] = None
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            assert node is not None
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise JobError(f"operator {described(node)} failed in training: {text}", where=node.name) from error
        return tuple([slots[slot] for slot in self._outputs])

    def _slot(self, name: str) -> int:
        if name not in self._slots:
            self._slots[name] = len(self._template)
            value = self._weights.get(name)
            self._template.append(self._placed(self._known[name]) if value is None and name in self._known else value)
        return self._slots[name]

    def _placed(self, tensor: Tensor) -> Tensor:
        """Move a constant to the device unless it is most likely a shape."""
        if self._setting.device.type == "cpu" or (not tensor.is_floating_point() and tensor.numel() <= _SMALL):
            return tensor
        return tensor.to(self._setting.device)

    def _add(self, node: Node) -> None:
        operator = self._setting.operator(node)
        context = self._setting.context(node, self._known, self._body)
        function, names = operator.factory(context), reads(node)
        if operator.pure and self._fold(node, function, names):
            return
        if self._setting.device.type != "cpu":
            function = _gathered(function, operator.host, self._setting.device)
        sources = tuple(self._slot(name) for name in names)
        # Slot 0 is "no value": absent outputs land there and are cleared before the end.
        targets = tuple(self._slot(name) for name in node.outputs)
        self._steps.append((function, sources, targets, (0,) if 0 in targets else (), node))

    def _fold(self, node: Node, function: Function, names: Sequence[str]) -> bool:
        """Compute a node beforehand if all that it depends on never changes."""
        if node.op in ("Shape", "Size") and not node.domain and names[0] in self._weights:
            values: list[Tensor | None] = [self._weights[names[0]]]
        elif node.op == "CastLike" and names[0] in self._known and names[1] in self._setting.types:
            values = [self._known[names[0]]]
        elif all(not name or name in self._known for name in names):
            values = [self._known[name] if name else None for name in names]
        else:
            return False
        with torch.no_grad():
            try:
                result = function(*values)
            except (RuntimeError, TypeError, ValueError, IndexError):
                return False  # it fails again, with its name, if it is ever run
        results = result if isinstance(result, tuple) else (result,)
        self._known.update((name, item) for name, item in zip(node.outputs, results, strict=False) if name)
        return True

    def _body(self, body: Subgraph, names: Sequence[str]) -> Program:
        known = {name: self._known[name] for name in names if name in self._known}
        known.update((name, tensor_of(array)) for name, array in body.initializers.items())
        own = {info.name for info in body.inputs}
        hidden = {name: tensor for name, tensor in known.items() if name not in own}
        outputs = [info.name for info in body.outputs]
        inputs = [*(info.name for info in body.inputs), *names]
        # Captured constants are both known and passed in; what is passed in wins, and is the same.
        return Program(body.nodes, inputs, outputs, {}, hidden, self._setting)

    def _free_after_last_use(self) -> None:
        kept = {*self._outputs, 0, *(slot for slot, value in enumerate(self._template) if value is not None)}
        seen: set[int] = set()
        for position in range(len(self._steps) - 1, -1, -1):
            function, sources, targets, done, node = self._steps[position]
            last = {slot for slot in (*sources, *targets) if slot not in kept and slot not in seen}
            seen |= last
            self._steps[position] = (function, sources, targets, (*done, *sorted(last)), node)


def _needed(nodes: tuple[Node, ...], outputs: Sequence[str]) -> list[Node]:
    """Return the nodes that the outputs depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if any(output in wanted for output in node.outputs if output):
            wanted.update(reads(node))
            kept.append(node)
    return kept[::-1]


def _gathered(function: Function, host: frozenset[int], device: torch.device) -> Function:
    """Bring tensors to the device where at least one that counts is there already; shapes stay where they are."""

    def run(*values: Tensor | None) -> Any:
        if any(
            value is not None and index not in host and value.device.type == device.type
            for index, value in enumerate(values)
        ):
            values = tuple(
                value if value is None or index in host else value.to(device) for index, value in enumerate(values)
            )
        return function(*values)

    return run
