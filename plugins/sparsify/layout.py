"""Lays every layer's weight out the same way, so that methods and patterns see matrices and nothing else.

Notation: matrices (groups, out, columns), one a group of channels; a row makes one output channel of its group, a
column reads one input channel at one kernel position. Columns go through the kernel positions, and at each of them
through the input channels of the group: consecutive columns of one position are consecutive input channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from workbench.api import ModelGraph, Node

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FLOATS = ("float32", "float64", "float16")


@dataclass(frozen=True)
class Layout:
    """How a weight is stored.

    Attributes:
        op: Operator of its layer.
        shape: As stored: (out, in / groups, k …), (in, out / groups, k …) of ConvTranspose, (in, out) of a matrix.
        groups: Of a convolution, else 1.
        turned: Whether a matrix is stored as (out, in).
    """

    op: str
    shape: tuple[int, ...]
    groups: int = 1
    turned: bool = False

    @classmethod
    def of(cls, graph: ModelGraph, node: Node) -> Layout:
        """Return the layout of a layer of which `why_not_sparse` says None."""
        shape = graph.constant_shape(node.inputs[1]) or ()
        groups = int(node.attribute("group", 1)) if node.op.startswith("Conv") else 1
        return cls(node.op, shape, groups, node.op == "Gemm" and bool(node.attribute("transB", 0)))

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial size of the kernel; () of a matrix."""
        return self.shape[2:]

    @property
    def inputs(self) -> int:
        """Input channels of one group."""
        if self.op == "Conv":
            return self.shape[1]
        return self.shape[1] if self.turned else self.shape[0] // self.groups

    @property
    def outputs(self) -> int:
        """Output channels of one group."""
        if self.op == "Conv":
            return self.shape[0] // self.groups
        return self.shape[0] if self.turned else self.shape[1]

    @property
    def columns(self) -> int:
        """Weights that one output value of a group is made of."""
        return self.inputs * prod(self.kernel)

    def matrices(self, weight: np.ndarray) -> np.ndarray:
        """Return a stored weight as matrices (groups, out, columns), in its own type."""
        positions = prod(self.kernel)
        if self.op == "Conv":
            split = weight.reshape(self.groups, self.outputs, self.inputs, positions).transpose(0, 1, 3, 2)
        elif self.op == "ConvTranspose":
            split = weight.reshape(self.groups, self.inputs, self.outputs, positions).transpose(0, 2, 3, 1)
        else:
            split = weight if self.turned else weight.T
        return np.ascontiguousarray(split).reshape(self.groups, self.outputs, self.columns)

    def stored(self, matrices: np.ndarray) -> np.ndarray:
        """Return matrices as the weight is stored; undoes `matrices`."""
        split = matrices.reshape(self.groups, self.outputs, prod(self.kernel), self.inputs)
        if self.op == "Conv":
            split = split.transpose(0, 1, 3, 2)
        elif self.op == "ConvTranspose":
            split = split.transpose(0, 3, 1, 2)
        elif not self.turned:
            split = matrices[0].T
        return np.ascontiguousarray(split).reshape(self.shape)


def why_not_sparse(graph: ModelGraph, node: Node) -> str | None:
    """Return why a layer's weight can't be made sparse, or None if it can."""
    if node.op not in OPERATORS:
        return f"{node.op} layers are not made sparse"
    weight = node.inputs[1]
    shape = graph.constant_shape(weight)
    if shape is None:
        made_of = graph.producer(weight)
        if made_of is not None and made_of.op == "DequantizeLinear":
            return "its weight is quantized already; make it sparse before"
        return "its weight is not a stored constant on the right-hand side"
    if weight not in graph.initializers or graph.value(weight).dtype not in _FLOATS:
        return f"its weight is stored as {graph.value(weight).dtype}"
    if graph.is_constant(node.inputs[0]):
        return "it reads a constant"
    if node.op in ("Gemm", "MatMul") and len(shape) != 2:
        return f"its weight has {len(shape)} dimensions instead of 2"
    if node.op == "ConvTranspose" and (
        node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or node.attribute("output_shape")
    ):
        return "its padding follows from the size of its output"
    return None
