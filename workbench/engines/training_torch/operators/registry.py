"""One table of operators, so that adding one is one decorated function and a missing one can be named.

An operator is registered as a *factory*: it is called once for a node, reads attributes and constants, and returns the
function that is called for every batch. Nothing that is known beforehand is looked up again while training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from workbench.domain.errors import UnsupportedGraphError
from workbench.graph.model import Node

if TYPE_CHECKING:
    from workbench.engines.training_torch.program import Program
    from workbench.graph.model import Subgraph

Result = Tensor | tuple[Tensor | None, ...]
Function = Callable[..., Any]


@dataclass
class Mode:
    """What changes between inference and training; shared by all operators of one module.

    Attributes:
        dropout: Whether Dropout drops.
        batch_norm: "fixed" uses the stored statistics, "train" those of the batch and updates the stored ones,
            "collect" those of the batch and adds them to `moments`.
        moments: For "collect": by name of the mean initializer, (samples, sum of means, sum of second moments).
        mixed: Makes one value of a coarsely rounded one and the exact one; None takes the rounded one.
    """

    dropout: bool = False
    batch_norm: Literal["fixed", "train", "collect"] = "fixed"
    moments: dict[str, tuple[float, Tensor, Tensor]] = field(default_factory=dict)
    mixed: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Context:
    """What a factory may know about its node.

    Attributes:
        node: The node.
        opset: Version of the node's operator set that the model imports.
        known: Tensors of values that never change, by name.
        types: Element type names of values, where the model states them.
        statistics: Names of the initializers that batch normalization may update.
        mode: Shared with the module.
        body: Compiles a subgraph into a program whose inputs are the body's own, then the captured values.
    """

    node: Node
    opset: int
    known: Mapping[str, Tensor]
    types: Mapping[str, str]
    statistics: frozenset[str]
    mode: Mode
    body: Callable[[Subgraph, Sequence[str]], Program]

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or `default`."""
        return self.node.attribute(name, default)

    def name(self, index: int) -> str:
        """Return the name of the input at `index`, "" if it is absent."""
        return self.node.inputs[index] if index < len(self.node.inputs) else ""

    def has(self, index: int) -> bool:
        """Whether the input at `index` is given."""
        return bool(self.name(index))

    def constant(self, index: int) -> Tensor | None:
        """Return the tensor of an input that never changes, else None."""
        return self.known.get(self.name(index))

    def ints(self, index: int) -> tuple[int, ...] | None:
        """Return an integer input that never changes as Python numbers, else None."""
        tensor = self.constant(index)
        return None if tensor is None else integers(tensor)

    def type_of(self, index: int) -> str | None:
        """Return the element type name of the input at `index` where the model states it."""
        return self.types.get(self.name(index))

    def refuse(self, reason: str) -> UnsupportedGraphError:
        """Return the error that this node can't be executed because of `reason`."""
        return UnsupportedGraphError(
            f"{self.node.op} can't be trained: {reason}",
            where=self.node.name,
            action="Leave this node out of training.",
        )


@dataclass(frozen=True)
class Operator:
    """One registered operator.

    Attributes:
        since: First operator set version it holds for.
        factory: Makes the function for a node.
        host: Inputs that are read as Python numbers (shapes, axes); they stay in main memory and are no weights.
        fixed: Inputs that are no weights although they are floats (statistics, scales, bounds).
        scalars_fixed: A one-element input is a constant of the formula (epsilon, √2), not a weight.
        pure: Same inputs give the same outputs, so that it may be computed beforehand.
    """

    since: int
    factory: Callable[[Context], Function]
    host: frozenset[int] = frozenset()
    fixed: frozenset[int] = frozenset()
    scalars_fixed: bool = False
    pure: bool = True


_TABLE: dict[tuple[str, str], list[Operator]] = {}


def operator(
    *names: str,
    since: int = 1,
    domain: str = "",
    host: Sequence[int] = (),
    fixed: Sequence[int] = (),
    scalars_fixed: bool = False,
    pure: bool = True,
) -> Callable[[Callable[[Context], Function]], Callable[[Context], Function]]:
    """Register the decorated factory for the operators `names` of `domain` from operator set version `since` on."""

    def register(factory: Callable[[Context], Function]) -> Callable[[Context], Function]:
        for name in names:
            entries = _TABLE.setdefault((domain, name), [])
            entries.append(Operator(since, factory, frozenset(host), frozenset(fixed), scalars_fixed, pure))
            entries.sort(key=lambda entry: entry.since)
        return factory

    return register


def simple(name: str, function: Function, *, since: int = 1, domain: str = "", scalars_fixed: bool = False) -> None:
    """Register an operator without attributes that is exactly `function` of its inputs."""
    operator(name, since=since, domain=domain, scalars_fixed=scalars_fixed)(lambda context: function)


def find(domain: str, name: str, opset: int) -> Operator | None:
    """Return the newest registered version of an operator that `opset` includes, or None."""
    found = None
    for entry in _TABLE.get((domain, name), ()):
        if entry.since <= opset:
            found = entry
    return found


def registered() -> tuple[tuple[str, str], ...]:
    """Return (domain, operator) of everything that is registered."""
    return tuple(sorted(_TABLE))


def integers(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor of any rank as a flat tuple of Python integers."""
    return tuple(int(value) for value in tensor.reshape(-1).tolist())


def axis_of(axis: int, rank: int) -> int:
    """Return a possibly negative axis as a non-negative one."""
    return axis + rank if axis < 0 else axis


# torch has no arithmetic for the wide unsigned types, so that they are held in the next wider signed one.
_TORCH_TYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float32,
    "bfloat16": torch.float32,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.int32,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint32": torch.int64,
    "uint64": torch.int64,
    "bool": torch.bool,
    "uint4": torch.uint8,
    "int4": torch.int8,
    "uint2": torch.uint8,
    "int2": torch.int8,
}
_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16", 21: "uint4", 22: "int4",
    25: "uint2", 26: "int2",
}  # fmt: skip


def type_name(code: int) -> str | None:
    """Return the element type name of ONNX's number for it, None for one that torch can't hold."""
    return _NAMES.get(code)


def torch_type(name: str | None) -> torch.dtype | None:
    """Return the type that values of an element type are computed in; half precision is computed in float32."""
    return _TORCH_TYPES.get(name or "")


def rounded(tensor: Tensor, name: str) -> Tensor:
    """Return a float32 tensor with the precision of the half type `name`, as the runtime would store it."""
    half = {"float16": torch.float16, "bfloat16": torch.bfloat16}[name]
    return tensor.to(half).to(torch.float32)
