"""Weight sharing: the weights of a layer take the few values that suit them best, wherever these lie.

With ResNet-20 in 8-bit integers (quantize.ptq before it; 91.73 %, 10,000 images, 512 samples, 4 to 7 s), 16 values a
layer to the nearest keep 87.3 %, in turn 91.6 %; 8 values 77.9 % and 91.2 %. Weighting the k-means by what an error
counts helps in turn only: to the nearest, 16 values by the scales keep 86.6 %, by the inputs' second moments 86.0 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    Codebook,
    Knob,
    LayerReport,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Node,
    Origin,
    Parameters,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    UnsupportedGraphError,
    fold_batch_norm,
    fold_constants,
    layer_nodes,
    note_weight_bits,
    remove_quantizers,
    sparsity_of,
    store_codebooks,
    store_narrow,
)

from .inputs import Read, output_error, read_weights, second_moments
from .layers import refuse_other_bits, some
from .second_order import rounded_in_turn
from .storage import usable_bits
from .table_levels import TableLevels, shared_levels
from .turn_rounding import TurnParameters

CODEBOOK_BITS = Knob(
    "codebook_bits",
    "Codebook",
    "bits",
    untouched=32,
    choices=(1, 2, 3, 4, 5, 6, 7, 8, 32),
    sweep=(4, 3, 2),
    doc="Weights of the layer share 2 to this many values, found by k-means; 32 leaves them as they are. The file "
    "becomes smaller, not faster.",
)
_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Gather"})


class CodebookParameters(TurnParameters):
    """How the levels are found, and how weights are rounded to them."""

    rounding: Literal["nearest", "gptq"] = Field(
        default="nearest",
        title="Rounding",
        description="To the nearest level, or in turn so that errors make up for each other in the layer's output "
        "(GPTQ), which needs samples and keeps far more: ResNet-20 in 8-bit integers with 16 values a layer 87.3 % "
        "and 91.6 % of 91.7 %.",
    )
    calibration_samples: int = Field(
        default=512,
        ge=1,
        title="Calibration samples",
        description="Training samples that rounding in turn looks at.",
        json_schema_extra={"unit": "samples"},
    )

    start: Literal["spread", "even"] = Field(
        default="spread",
        title="First levels",
        description="Where k-means begins: spread puts levels closer where there are more weights, even puts them at "
        "equal distances from the smallest weight to the largest, which keeps rare large ones (Han et al., 2016).",
    )


@dataclass(frozen=True)
class _Subject:
    """A stored weight that is to be shared.

    Attributes:
        weight: Its initializer.
        layer: The first layer that reads it.
        bits: Of its levels.
        zeros: Whether zeros stay.
        integer: Whether it is an integer behind a scale.
        steps: Scales in a shape that broadcasts to it.
    """

    weight: str
    layer: str
    bits: int
    zeros: bool
    integer: bool
    steps: np.ndarray


class WeightSharing(Method):
    """Stores codes and a table of levels for each layer.

    Weights in float become float levels; weights that a step before quantized to 8-bit integers become integer levels
    below their scales, so that the file computes on integers as before.
    """

    id: ClassVar[str] = "quantize.codebook"
    title: ClassVar[str] = "Weight sharing"
    summary: ClassVar[str] = "Few distinct weights a layer, stored as codes and a table: a smaller file."
    source: ClassVar[str] = "Han et al., 2016, Deep Compression; Lloyd, 1982; Frantar et al., 2023, GPTQ"
    version: ClassVar[int] = 2
    stage: ClassVar[Stage] = Stage.ENCODE
    knobs: ClassVar[tuple[Knob, ...]] = (CODEBOOK_BITS,)
    Parameters: ClassVar[type[Parameters]] = CodebookParameters

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return that samples are needed where weights are rounded in turn."""
        return frozenset({Requirement.DATA}) if self.parameters.rounding == "gptq" else frozenset()

    @classmethod
    def blocked(cls, knob: Knob, layer: LayerReport) -> str | None:
        """Return why a layer's weight is left alone, or None."""
        return None if layer.op in _OPERATORS else f"weights of {layer.op} are not shared"

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured.

        Raises:
            RecipeError: a weight that is neither float32 nor an 8-bit integer, or shared at other bits.
        """
        subjects, left = _subjects(graph, plan)
        notes = (f"{len(left)} layers stay as they are: {some(left)}",) if left else ()
        if not subjects:
            return (*notes, "No layer has codebook_bits below 32: nothing changes.")
        return notes

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph with shared weights.

        Raises:
            RecipeError: as check.
            UnsupportedGraphError: a weight is not finite.
            DataError: weights are rounded in turn and there is no data, or it leads to values that are not finite.
            CancelledError: tools.cancel was set.
        """
        graph = fold_batch_norm(fold_constants(graph))
        subjects, _ = _subjects(graph, plan)
        if not subjects:
            return MethodResult(graph, ("nothing shared",))
        books: dict[str, Codebook] = {}
        integers: dict[str, np.ndarray] = {}
        errors: dict[str, float] = {}
        by_turn = self.parameters.rounding == "gptq"
        turned, learned, left = self._in_turn(graph, subjects, tools) if by_turn else ({}, {}, ())
        for number, subject in enumerate(subjects):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(max(number / len(subjects), 0.9 if by_turn else 0.0), subject.weight)
            array = _finite(graph, subject)
            book = turned.get(subject.weight) or _book(array, subject, even=self.parameters.start == "even")
            if subject.integer:
                integers[subject.weight] = book.values().astype(np.int8)
            else:
                books[subject.weight] = book
            power = float(np.square(array, dtype=np.float64).sum())
            lost = float(np.square(book.values() - array.astype(np.float64)).sum())
            errors[subject.weight] = round(float(np.sqrt(lost / power)) if power else 0.0, 6)
        usable, notes = usable_bits(tools.inference)
        if books:
            stored = store_codebooks(graph, books, usable)
            graph, notes = stored.graph, (*notes, *stored.notes)
        if integers:
            worth = {subject.weight: subject.bits for subject in subjects if subject.integer}
            readers = {node.name: worth[weight.name] for node, weight in layer_nodes(graph) if weight.name in worth}
            # Codes are wider than that where there is no type of so few bits, and the size counts what is noted.
            noted = note_weight_bits(graph.with_initializers(integers), readers)
            narrow = store_narrow(noted, usable)
            graph, notes = narrow.graph, (*notes, *narrow.notes)
        tools.progress.update(1.0)
        details: dict[str, Any] = {"weight_error": errors, **({"output_error": learned} if learned else {})}
        if learned:
            notes = (f"{len(learned)} of them rounded in turn", *notes)
        if left:
            notes = (*notes, f"{len(left)} rounded to the nearest level ({'; '.join(left[:3])})")
        return MethodResult(graph, (f"{len(subjects)} weights share the levels of a table each", *notes), details)

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the file of weights rounded to the nearest, which is quickly made."""
        return WeightSharing(self.parameters.model_copy(update={"rounding": "nearest"})).apply(graph, plan, tools).graph

    def _in_turn(
        self, graph: ModelGraph, subjects: tuple[_Subject, ...], tools: Tools
    ) -> tuple[dict[str, Codebook], dict[str, dict[str, float]], tuple[str, ...]]:
        """Return weights rounded in turn by name, what that changed by layer, and why others can't be."""
        # Its names are those of the quantized graph's nodes, and it can be looked at as a float model is.
        plain = remove_quantizers(graph)
        by_layer = {subject.layer: subject for subject in subjects}
        reads, left = read_weights(plain, list(by_layer))
        found: dict[str, Codebook] = {}
        errors: dict[str, dict[str, float]] = {}

        def take(each: Read, second: np.ndarray) -> None:
            layer = next(node.name for node in each.nodes if node.name in by_layer)
            subject = by_layer[layer]
            book, error = self._rounded(_finite(graph, subject), subject, each, second, tools)
            found[subject.weight], errors[layer] = book, error

        part = tools.progress.part(0.0, 0.9, "rounding in turn")
        second_moments(plain, reads, tools, self.parameters.calibration_samples, self.id, part, take)
        return found, errors, tuple(f"{layer}: {reason}" for layer, reason in left.items())

    def _rounded(
        self, array: np.ndarray, subject: _Subject, each: Read, second: np.ndarray, tools: Tools
    ) -> tuple[Codebook, dict[str, float]]:
        """Return a weight by levels that count what its inputs make of errors, rounded in turn."""
        parameters, layout = self.parameters, each.layout
        scales = layout.matrices(np.broadcast_to(subject.steps, array.shape)).astype(np.float64)
        levels, kept = layout.matrices(array).astype(np.float64), layout.matrices(_kept(array, subject))
        energies = np.stack([np.diag(own) for own in second])[:, None, :]
        importance = np.square(scales) * (energies + parameters.damping * energies.mean())
        spread = layout.stored(np.broadcast_to(importance, levels.shape))
        table = _table(array, subject, even=parameters.start == "even", importance=spread)
        lost, total, chosen = np.zeros(2), 0.0, np.empty_like(levels)
        for group in range(layout.groups):
            offered = TableLevels(table.astype(np.float64), scales[group], kept[group])
            weight = offered.values(levels[group])
            nearest = offered.nearest(weight)
            pause = tools.cancel.raise_if_cancelled
            own = second[group]
            settled = rounded_in_turn(weight, own, offered, parameters.damping, parameters.activation_order, pause)
            both = [output_error(offered.values(q) - weight, own) for q in (nearest, settled)]
            chosen[group] = settled if both[1] < both[0] else nearest
            lost += (both[0], min(both))
            total += output_error(weight, own)
        before, after = np.sqrt(lost / total) if total > 0 else (0.0, 0.0)
        codes = np.searchsorted(table, layout.stored(chosen).astype(np.float32))
        figures = {"nearest": round(float(before), 6), "in_turn": round(float(after), 6)}
        return Codebook(codes.astype(np.uint8), table, subject.bits), figures


def _subjects(graph: ModelGraph, plan: LayerSettings) -> tuple[tuple[_Subject, ...], tuple[str, ...]]:
    """Return the weights to share, each once, and the layers that stay with the reason why."""
    found: dict[str, _Subject] = {}
    left: list[str] = []
    owners: dict[str, tuple[str, int]] = {}
    for node, weight in layer_nodes(graph):
        bits = int(plan.number(node.name, CODEBOOK_BITS)) if node.name in plan else int(CODEBOOK_BITS.untouched)
        if bits == CODEBOOK_BITS.untouched:
            continue
        kinds = {"float32": False, "int8": True}
        plain = weight.name in graph.initializers and node.op in _OPERATORS and weight.dtype in kinds
        steps = _steps(graph, weight.through, len(weight.shape)) if plain else None
        if steps is None or any(each.op != "DequantizeLinear" for each in weight.through):
            reason = f"its weight is stored as {weight.dtype} and not in float32 or 8-bit integers"
            if plain:
                reason = "its integers have zero points, and channels that begin elsewhere share few levels"
            if plan.origin(node.name, CODEBOOK_BITS) == Origin.LINE:
                raise RecipeError(
                    f"codebook_bits is {bits}, but {reason}", where=node.name, action="Leave this layer at 32 bits."
                )
            left.append(f"{node.name} ({reason})")
            continue
        refuse_other_bits(owners, node, weight.name, bits, CODEBOOK_BITS.name)
        zeros = sparsity_of(node) is not None
        found.setdefault(weight.name, _Subject(weight.name, node.name, bits, zeros, kinds[weight.dtype], steps))
    return tuple(found.values()), tuple(left)


def _steps(graph: ModelGraph, through: Sequence[Node], rank: int) -> np.ndarray | None:
    """Return the scales of a stored weight in a shape that broadcasts to it, 1 of a plain one; None if it has zeros."""
    for node in through:
        scales, zeros = (graph.constant(name) if name else None for name in (*node.inputs[1:], "")[:2])
        if scales is None or (zeros is not None and zeros.any()):
            return None
        return _along(scales, int(node.attribute("axis", 1)) % rank, rank) if scales.size > 1 else scales.reshape(())
    return np.ones(())


def _finite(graph: ModelGraph, subject: _Subject) -> np.ndarray:
    array = graph.constant(subject.weight)
    assert array is not None, subject.weight
    if not np.isfinite(array).all():
        raise UnsupportedGraphError(
            f"weight {subject.weight!r} holds numbers that are not finite",
            action="Export the model again; a training that diverged leaves such weights.",
        )
    return array


def _kept(array: np.ndarray, subject: _Subject) -> np.ndarray:
    """Return which weights may be anything but zero: those that are, where zeros stay, and all in parts not padded."""
    if subject.zeros:
        return np.asarray(array != 0)
    if array.ndim < 2 or not subject.integer:
        return np.ones(array.shape, bool)
    # Channels that were padded for speed are zero throughout, and must go on adding nothing.
    used = array != 0
    outputs, inputs = (used.any(axis=tuple(place for place in range(array.ndim) if place != own)) for own in (0, 1))
    return np.asarray(np.ones(array.shape, bool) & _along(outputs, 0, array.ndim) & _along(inputs, 1, array.ndim))


def _along(values: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """Return one value a channel in a shape that broadcasts to an array of so many axes."""
    return values.reshape([-1 if place == axis else 1 for place in range(rank)])


def _table(array: np.ndarray, subject: _Subject, *, even: bool, importance: np.ndarray | None = None) -> np.ndarray:
    """Return the levels of one weight (levels,), float32, ascending; with a zero where some weights must stay zero."""
    kept = _kept(array, subject)
    zeros = not kept.all()
    values = array[kept].astype(np.float64)
    counted = None if importance is None else np.asarray(importance[kept], np.float64)
    count = 2**subject.bits - (1 if zeros else 0)
    levels = shared_levels(values, count, even=even, importance=counted) if values.size else np.zeros(0)
    if zeros:
        levels = np.union1d(levels, 0.0)
    if subject.integer:
        levels = np.unique(np.clip(np.rint(levels), -127, 127))
    return np.unique(levels.astype(np.float32))


def _book(array: np.ndarray, subject: _Subject, *, even: bool) -> Codebook:
    """Return codes and levels of one weight, rounded to the nearest."""
    table = _table(array, subject, even=even)
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, array.astype(np.float64))
    codes[~_kept(array, subject)] = np.searchsorted(table, 0.0)
    return Codebook(codes.astype(np.uint8), table, subject.bits)
