"""Lays every layer's weight out the same way, so that methods see matrices and nothing else.

Notation: matrices (groups, out, columns), one a group of channels; a row makes one output channel of its group, a
column reads one input channel at one kernel position. Columns go through the kernel positions, and at each of them
through the input channels of the group: consecutive columns of one position are consecutive input channels. These are
the columns of `LayerRows`: rows · matrix^T is the layer's output, bias aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from workbench.graph.model import ModelGraph, Node


@dataclass(frozen=True)
class WeightLayout:
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
    def of(cls, graph: ModelGraph, node: Node) -> WeightLayout:
        """Return the layout of a Conv, ConvTranspose, Gemm or MatMul whose second input is stored."""
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
