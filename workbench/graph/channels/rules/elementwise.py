"""Operators that work position by position: they hand channels on, and couple those of several inputs."""

from __future__ import annotations

from workbench.graph.channels.flow import Axes, Flow, Labels
from workbench.graph.channels.registry import spreads
from workbench.graph.model import Node


@spreads(
    "Abs", "Acos", "Acosh", "Affine", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike", "Ceil",
    "Celu", "Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
    "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
@spreads("Gelu", "QuickGelu", domain="com.microsoft")
def one_input(node: Node, flow: Flow) -> None:
    """Hand the first input's channels on; further inputs (bounds, a type to cast to) hold no channels."""
    axes = flow.axes(node, 0)
    if axes is None:
        flow.give_up(node)
        return
    for output in range(len(node.outputs)):
        flow.give(node, axes, output)


@spreads(
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual",
    "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
)  # fmt: skip
@spreads("BiasGelu", "FastGelu", domain="com.microsoft")
def several_inputs(node: Node, flow: Flow) -> None:
    """Couple the inputs' channels along every axis that is not broadcast.

    Old opsets (below 7) with their `axis` attribute never get here: such files are upgraded when opened.
    """
    given = [index for index, name in enumerate(node.inputs) if name]
    inputs = [flow.axes(node, index) for index in given]
    shapes = [flow.shape(node.inputs[index]) for index in given]
    if any(axes is None for axes in inputs):
        flow.give_up(node)
        return
    flow.give(node, broadcast(node, flow, [axes for axes in inputs if axes is not None], shapes))


def broadcast(node: Node, flow: Flow, inputs: list[Axes], shapes: list[tuple[int | str | None, ...] | None]) -> Axes:
    """Return the labels of what the inputs give when broadcast against each other, coupling them on the way."""
    rank = max(len(axes) for axes in inputs)
    result: list[Labels | None] = []
    for axis in range(-rank, 0):
        present: list[tuple[Labels | None, int | str | None]] = [
            (axes[axis], None if shape is None else shape[axis])
            for axes, shape in zip(inputs, shapes, strict=True)
            if len(axes) >= -axis
        ]
        wide = [(labels, size) for labels, size in present if labels is None or len(labels) > 1]
        wide = [(labels, size) for labels, size in wide if size != 1]
        # Where all sizes are 1 it is the same single position everywhere.
        narrow = [labels for labels, _ in present if labels is not None]
        joined = wide[0][0] if wide else (narrow[0] if narrow else None)
        for labels, _ in wide[1:]:
            if joined is None and labels is None:
                continue
            joined = flow.unify(node, joined, labels)
        result.append(joined)
    return tuple(result)


@spreads("Bernoulli", "EyeLike", "RandomNormalLike", "RandomUniformLike")
def random_like(node: Node, flow: Flow) -> None:
    """Keep everything: what the operator draws depends on the shape of its input."""
    flow.give_up(node, "draws one number per position")
