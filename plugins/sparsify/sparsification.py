"""What all ways of making weights sparse share: which layers, the warning on time, the honest report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.api import (
    SPARSITY,
    SPARSITY_PATTERN,
    Knob,
    LayerReport,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Sparsity,
    Stage,
    Tools,
    fold_constants,
    note_sparsity,
)

from .layout import OPERATORS, Layout
from .stored_size import stored_sizes
from .subjects import Subject, find_subjects

LATENCY_WARNING = (
    "Zeros do not shorten the time here: ONNX Runtime multiplies them like other weights, so that latency usually "
    "stays as it is; what becomes smaller is the compressed file."
)


@dataclass(frozen=True, eq=False)
class Outcome:
    """The graph with sparse weights, what to say of it, and further figures by layer."""

    graph: ModelGraph
    notes: tuple[str, ...] = ()
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


class Sparsification(Method):
    """Sets weights of the layers that the plan names to zero and notes it on them; shapes stay as they are."""

    stage = Stage.PRUNE
    knobs = (SPARSITY, SPARSITY_PATTERN)

    @abstractmethod
    def sparse(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> Outcome:
        """Return the graph with the subjects' weights made sparse as their targets say."""

    @classmethod
    def unfit(cls, layout: Layout) -> str | None:
        """Return why this method can't work on a weight, or None."""
        return None

    @classmethod
    def blocked(cls, knob: Knob, layer: LayerReport) -> str | None:
        """Return why sparsity can't be turned on a layer, or None."""
        if layer.op not in OPERATORS:
            return f"{cls.id} works on {', '.join(OPERATORS[:-1])} and {OPERATORS[-1]}"
        if not layer.op.startswith("Conv") and len(layer.weight_shape) != 2:
            return f"its weight has {len(layer.weight_shape)} dimensions instead of 2"
        return None

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the graph: zeros take as long as other numbers."""
        return graph

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Warn that time will not fall, and of layers that stay dense.

        Raises:
            RecipeError: sparsity and pattern of a layer contradict each other, or a line that names one layer can't
                be honoured; names layer and reason.
        """
        subjects, notes = find_subjects(fold_constants(graph), plan, self.unfit, strict=True)
        if not subjects:
            return (*notes, f"No layer has a sparsity that {self.id} can make: no weight becomes zero.")
        return (LATENCY_WARNING, *notes)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph with sparse weights; notes and details say the measured zeros and sizes.

        Raises:
            RecipeError: sparsity and pattern of a layer contradict each other.
            DataError: samples are needed and missing, or lead to values that are not finite.
            CancelledError: tools.cancel was set.
        """
        tools.cancel.raise_if_cancelled()
        tools.progress.update(0.0, "choosing layers")
        whole = fold_constants(graph)
        subjects, notes = find_subjects(whole, plan, self.unfit, strict=False)
        if not subjects:
            return MethodResult(graph, notes=("No weight was set to zero.", *notes))
        outcome = self.sparse(whole, subjects, tools)
        notice = {
            node.name: Sparsity(subject.target.pattern, subject.target.share)
            for subject in subjects
            for node in subject.nodes
        }
        result = note_sparsity(outcome.graph, notice)
        layers: dict[str, dict[str, Any]] = {}
        for subject in subjects:
            tools.cancel.raise_if_cancelled()
            sizes = stored_sizes(weight_of(result, subject))
            layers[subject.name] = {
                "pattern": subject.target.pattern,
                "target": subject.target.share,
                **sizes,
                **outcome.layers.get(subject.name, {}),
            }
        tools.progress.update(1.0)
        keys = ("weights", "zeros", "bytes", "bitmask_bytes", "deflate_bytes")
        total = {key: sum(entry[key] for entry in layers.values()) for key in keys}
        done = (
            f"{len(layers)} layers made sparse: {total['zeros'] / total['weights']:.1%} of their {total['weights']:,} "
            "weights are zero, as measured."
        )
        size = (
            f"Their weights take {total['bytes']:,} bytes as before; stored sparse (bitmask and values, counted) "
            f"{total['bitmask_bytes']:,}, deflated (zlib, level 6) {total['deflate_bytes']:,}."
        )
        details = {"layers": layers, **total, **outcome.details}
        return MethodResult(result, notes=(done, size, *outcome.notes, *notes), details=details)


def weight_of(graph: ModelGraph, subject: Subject) -> np.ndarray:
    """Return a subject's weight as it is stored in `graph`."""
    array = graph.constant(subject.weight)
    assert array is not None
    return array


def matrices_of(graph: ModelGraph, subject: Subject) -> np.ndarray:
    """Return a subject's weight as matrices (groups, out, columns) in double precision."""
    return subject.layout.matrices(weight_of(graph, subject)).astype(np.float64)


def stored_like(graph: ModelGraph, subject: Subject, matrices: np.ndarray) -> np.ndarray:
    """Return matrices in the shape and type that the subject's weight has in `graph`."""
    return subject.layout.stored(matrices).astype(weight_of(graph, subject).dtype)
