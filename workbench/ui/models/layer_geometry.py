"""Reads channels, kernel, stride and groups of a layer out of its shapes, and says nothing where they leave it open."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.domain.reports import LayerReport, ShapeReport
from workbench.ui.models import numbers

_ARROW = "\N{RIGHTWARDS ARROW}"
_LARGEST_STRIDE = 8


@dataclass(frozen=True)
class Geometry:
    """A layer's geometry in words: `summary` for a heading ("16→32 3×3 /2"), `window` for a line of its own."""

    summary: str = ""
    window: str = ""
    tip: str = ""


def geometry_facts(layer: LayerReport) -> Geometry:
    """Return what the shapes tell."""
    entering, leaving = _channels(layer)
    parts = [f"{entering}{_ARROW}{leaving}"] if entering is not None and leaving is not None else []
    kernel = layer.weight_shape[2:] if layer.op.startswith(("Conv", "QLinearConv")) else ()
    if not kernel:
        return Geometry(summary=" ".join(parts))
    stride = _stride(layer, kernel)
    groups = _groups(layer)
    words = [numbers.shape_text(kernel)]
    if stride is not None:
        words.append(f"stride {numbers.shape_text(stride) if len(set(stride)) > 1 else stride[0]}")
    if groups is not None and groups > 1:
        words.append("depthwise" if groups == entering else f"{groups} groups")
    parts.append(numbers.shape_text(kernel))
    if stride is not None and max(stride) > 1:
        parts.append("/" + (numbers.shape_text(stride) if len(set(stride)) > 1 else str(stride[0])))
    tip = (
        "Stride as the shapes of input and output tell it" if stride is not None else "The shapes leave the stride open"
    )
    return Geometry(" ".join(parts), ", ".join(words), tip)


def _channels(layer: LayerReport) -> tuple[int | None, int | None]:
    """Return how many channels or features enter and leave."""
    axis = 1 if layer.op.startswith(("Conv", "QLinearConv")) else -1
    return _size(layer.input_shape, axis), _size(layer.output_shape, axis)


def _size(shape: ShapeReport | None, axis: int) -> int | None:
    if shape is None or len(shape) < 2:
        return None
    size = shape[axis]
    return size if isinstance(size, int) else None


def _groups(layer: LayerReport) -> int | None:
    """Return the number of groups of a convolution, whose weight is (out, in / groups, ...)."""
    entering = _size(layer.input_shape, 1)
    if entering is None or layer.op == "ConvTranspose" or not layer.weight_shape[1]:
        return None
    return entering // layer.weight_shape[1]


def _stride(layer: LayerReport, kernel: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the one stride per axis that explains the output's size for some padding below the kernel's."""
    if layer.input_shape is None or layer.output_shape is None or layer.op == "ConvTranspose":
        return None
    before, after = layer.input_shape[2:], layer.output_shape[2:]
    if not len(before) == len(after) == len(kernel):
        return None
    found = []
    for size, made, reach in zip(before, after, kernel, strict=True):
        if not isinstance(size, int) or not isinstance(made, int):
            return None
        possible = [
            step
            for step in range(1, _LARGEST_STRIDE + 1)
            if (size - reach) // step + 1 <= made <= (size + reach - 2) // step + 1
        ]
        if len(possible) != 1:
            return None
        found.append(possible[0])
    return tuple(found)
