"""Makes a stand-in for a recipe's result that takes as long on a device, before any of the recipe's work is done.

What a network takes depends on its operators, sizes and number formats, not on what its numbers are. So every step
tells what its result will look like (`Method.outline`), with made-up data and without training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import CancelledError, DataError, WorkbenchError
from workbench.domain.plan import LayerSettings, resolve
from workbench.domain.recipe import Recipe
from workbench.engines.contracts import Batch, InferenceEngine, TrainingData, TrainingEngine
from workbench.engines.inference_ort.sample_inputs import batch_of, random_inputs
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import check_lines, layer_knobs
from workbench.methods.method import Stage, Tools
from workbench.methods.registry import MethodRegistry
from workbench.methods.step import fold_given_back, naming


@dataclass(frozen=True)
class Outline:
    """The stand-in.

    Attributes:
        graph: With the structure of the recipe's result.
        unquantized: The same before the first step that quantizes or encodes.
        settings: The plan, resolved.
        left_out: Steps whose structure can't be foretold, by title, and why.
    """

    graph: ModelGraph
    unquantized: ModelGraph
    settings: LayerSettings
    left_out: tuple[str, ...]


def outline(
    graph: ModelGraph,
    recipe: Recipe,
    registry: MethodRegistry,
    inference: InferenceEngine,
    training: TrainingEngine,
    *,
    dimensions: Mapping[str, int] | None = None,
    cancel: CancelToken | None = None,
) -> Outline:
    """Return the stand-in of a recipe.

    Args:
        graph: The original model.
        recipe: Its data may be missing.
        registry: The known methods.
        inference: Engine that calibrates.
        training: Engine that methods are given.
        dimensions: Sizes of open dimensions other than the batch.
        cancel: Handed to the steps.

    Raises:
        RecipeError: unknown method, parameter or knob, a value out of range, a glob that matches no layer.
        BadInputError: an open dimension without a size.
        CancelledError: `cancel` was set.
    """
    methods = registry.instantiate_all(recipe)
    check_lines(recipe.plan, graph, registry)
    settings = resolve(recipe.plan, layer_knobs(graph, registry), registry.knobs)
    tools = Tools(
        reference=graph,
        data=MadeUpData(graph, recipe.data, dimensions),
        inference=inference,
        training=training,
        rng=np.random.default_rng(recipe.seed),
        seed=recipe.seed,
        cancel=cancel or CancelToken(),
    )
    current, unquantized = graph, None
    left_out: list[str] = []
    for index, method in methods:
        entry = registry.get(method.id)
        if method.stage in (Stage.QUANTIZE, Stage.ENCODE):
            current = fold_given_back(current, graph)
            unquantized = unquantized or current
        try:
            with naming(entry, f"step {index + 1}"):
                made = method.outline(current, settings, tools)
        except CancelledError:
            raise
        except WorkbenchError as error:
            left_out.append(f"{entry.method.title}: {error.message}")
            continue
        if made is None:
            left_out.append(f"{entry.method.title}: what it leaves is known only when it has run")
        else:
            current = made
    current = fold_given_back(current, graph)
    return Outline(current, unquantized or current, settings, tuple(left_out))


class MadeUpData:
    """One sample of random numbers in the place of a recipe's data; implements MethodData.

    Args:
        graph: The original model.
        description: Of the recipe's data, for task and metric.
        dimensions: Sizes of open dimensions other than the batch.
    """

    def __init__(
        self, graph: ModelGraph, description: DataDescription | str | None, dimensions: Mapping[str, int] | None
    ) -> None:
        self._graph, self._dimensions = graph, dict(dimensions or {})
        self._description = description if isinstance(description, DataDescription) else None

    @property
    def task(self) -> str:
        """Task of the recipe's data, or "classification"."""
        return "classification" if self._description is None else self._description.task

    @property
    def metric(self) -> str:
        """Metric of the recipe's data, or "top1"."""
        return "top1" if self._description is None else self._description.metric

    @property
    def training(self) -> TrainingData:
        """Refused: nothing is trained before the run."""
        raise DataError("there is nothing to train on before the run")

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield one sample, or as many as the model's fixed batch holds."""
        batch = batch_of(self._graph.inputs, 1, self._graph.source)
        yield Batch(random_inputs(self._graph.inputs, batch=batch, dimensions=self._dimensions), None)

    def validate(self, graph: ModelGraph) -> float:
        """Refused: made-up samples have no score."""
        raise DataError("there is nothing to score before the run")
