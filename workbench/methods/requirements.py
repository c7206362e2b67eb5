"""Looks before a recipe runs for what its steps can't work without: samples, labels, gradients."""

from __future__ import annotations

from collections.abc import Collection

from workbench.domain.errors import RecipeError, UnsupportedGraphError
from workbench.engines.contracts import TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.methods.latency_gauge import LatencyGauge
from workbench.methods.method import Method, Requirement
from workbench.methods.preparation import RecipeData


def check_requirements(
    step: str,
    method: Method,
    needed: Collection[Requirement],
    graph: ModelGraph,
    data: RecipeData | None,
    training: TrainingEngine | None,
    gauge: LatencyGauge | None,
) -> None:
    """Refuse a step that lacks something.

    Args:
        step: Its place in messages, e.g. "step 2".
        method: The step's method.
        needed: What it said it needs.
        graph: The original model.
        data: The recipe's data, or None if it names none.
        training: The training engine, or None where it is not known yet.
        gauge: Times graphs, or None where nothing can.

    Raises:
        RecipeError: data or labels are missing, or nothing measures latency here.
        DataError: the data can't be opened.
        UnsupportedGraphError: an operator has no gradient; names the node.
    """
    if Requirement.DATA in needed or Requirement.LABELS in needed:
        if data is None:
            raise RecipeError(f"{method.id} needs data", where=step, action="Name a DATA.yaml under `data`.")
        _ = data.training
    if Requirement.LABELS in needed and data is not None and data.train_split.targets is None:
        raise RecipeError(
            f"{method.id} needs labels, and the training samples have none",
            where=step,
            action="Name train.targets in the DATA.yaml, or choose a method that works without labels.",
        )
    if Requirement.LATENCY in needed and gauge is None:
        raise RecipeError(
            f"{method.id} needs measured latencies, and nothing measures them here",
            where=step,
            action="Run the recipe with `workbench compress` or in the window, or choose another target.",
        )
    missing = training.unsupported(graph) if training is not None and Requirement.GRADIENTS in needed else ()
    if missing:
        raise UnsupportedGraphError(
            f"{method.id} needs gradients, and the training engine has none for {', '.join(missing[:3])}",
            where=step,
            action="Choose a method that works without gradients.",
        )
