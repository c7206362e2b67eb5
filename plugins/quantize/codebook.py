"""Weight sharing: the weights of a layer take the few values that suit them best, wherever these lie.

Notation: weight w, levels c_k of a layer, 2^b of them; k-means moves each level to the mean of the weights nearest to
it (Lloyd, 1982).
"""

from __future__ import annotations

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
    Origin,
    Parameters,
    RecipeError,
    Stage,
    Tools,
    UnsupportedGraphError,
    fold_batch_norm,
    fold_constants,
    layer_nodes,
    sparsity_of,
    store_codebooks,
    store_narrow,
)

from .layers import refuse_other_bits, some
from .storage import usable_bits

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
_ROUNDS = 100


class CodebookParameters(Parameters):
    """How the levels are found."""

    start: Literal["spread", "even"] = Field(
        default="spread",
        title="First levels",
        description="Where k-means begins: spread puts levels closer where there are more weights, even puts them at "
        "equal distances from the smallest weight to the largest, which keeps rare large ones (Han et al., 2016).",
    )


@dataclass(frozen=True)
class _Subject:
    """A stored weight: its initializer, its bits, whether zeros stay, and whether it is an integer behind a scale."""

    weight: str
    bits: int
    zeros: bool
    integer: bool


class WeightSharing(Method):
    """Stores codes and a table of levels for each layer.

    Weights in float become float levels; weights that a step before quantized to 8-bit integers become integer levels
    below their scales, so that the file computes on integers as before.
    """

    id: ClassVar[str] = "quantize.codebook"
    title: ClassVar[str] = "Weight sharing"
    summary: ClassVar[str] = "Few distinct weights a layer, stored as codes and a table: a smaller file without data."
    source: ClassVar[str] = "Han et al., 2016, Deep Compression; Lloyd, 1982"
    stage: ClassVar[Stage] = Stage.ENCODE
    knobs: ClassVar[tuple[Knob, ...]] = (CODEBOOK_BITS,)
    Parameters: ClassVar[type[Parameters]] = CodebookParameters

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
            CancelledError: tools.cancel was set.
        """
        graph = fold_batch_norm(fold_constants(graph))
        subjects, _ = _subjects(graph, plan)
        if not subjects:
            return MethodResult(graph, ("nothing shared",))
        books: dict[str, Codebook] = {}
        integers: dict[str, np.ndarray] = {}
        errors: dict[str, float] = {}
        for number, subject in enumerate(subjects):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(number / len(subjects), subject.weight)
            array = graph.constant(subject.weight)
            assert array is not None, subject.weight
            book = _book(array, subject, even=self.parameters.start == "even")
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
            narrow = store_narrow(graph.with_initializers(integers), usable)
            graph, notes = narrow.graph, (*notes, *narrow.notes)
        tools.progress.update(1.0)
        details: dict[str, Any] = {"weight_error": errors}
        return MethodResult(graph, (f"{len(subjects)} weights share the levels of a table each", *notes), details)

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the file itself, which is quickly made."""
        return self.apply(graph, plan, tools).graph


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
        if not plain or any(each.op != "DequantizeLinear" for each in weight.through):
            reason = f"its weight is stored as {weight.dtype} and not in float32 or 8-bit integers"
            if plan.origin(node.name, CODEBOOK_BITS) == Origin.LINE:
                raise RecipeError(
                    f"codebook_bits is {bits}, but {reason}", where=node.name, action="Leave this layer at 32 bits."
                )
            left.append(f"{node.name} ({reason})")
            continue
        refuse_other_bits(owners, node, weight.name, bits, CODEBOOK_BITS.name)
        zeros = sparsity_of(node) is not None
        found.setdefault(weight.name, _Subject(weight.name, bits, zeros, kinds[weight.dtype]))
    return tuple(found.values()), tuple(left)


def _book(array: np.ndarray, subject: _Subject, *, even: bool) -> Codebook:
    """Return codes and levels of one weight."""
    values = array.astype(np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise UnsupportedGraphError(
            f"weight {subject.weight!r} holds numbers that are not finite",
            action="Export the model again; a training that diverged leaves such weights.",
        )
    kept = values[values != 0] if subject.zeros else values
    count = 2**subject.bits - (1 if subject.zeros else 0)
    levels = shared_levels(kept, count, even=even) if kept.size else np.zeros(0)
    if subject.zeros:
        levels = np.union1d(levels, 0.0)
    if subject.integer:
        levels = np.unique(np.clip(np.rint(levels), -127, 127))
    table = np.unique(levels.astype(np.float32))
    codes = np.searchsorted((table[1:] + table[:-1]) / 2, values)
    if subject.zeros:
        codes[values == 0] = np.searchsorted(table, 0.0)
    return Codebook(codes.reshape(array.shape).astype(np.uint8), table, subject.bits)


def shared_levels(values: np.ndarray, count: int, *, even: bool = False) -> np.ndarray:
    """Return at most `count` levels, ascending, with the least squared error that k-means finds.

    Args:
        values: (n,) float64, one or more.
        count: 1 or more.
        even: Begin at equal distances instead of equal numbers of weights.
    """
    ordered = np.sort(values)
    if even:
        levels = np.linspace(ordered[0], ordered[-1], count)
    else:
        levels = ordered[((np.arange(count) + 0.5) / count * ordered.size).astype(np.int64)]
    levels = np.unique(levels)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(_ROUNDS):
        edges = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [ordered.size]])
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, levels)
        if np.array_equal(moved, levels):
            break
        levels = moved
    return np.asarray(levels)
