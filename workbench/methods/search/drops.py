"""Finds out what every choice costs in quality by itself: sensitivities, on samples held out of the training split."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.data.dataset import Dataset
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, WorkbenchError
from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.study import Study
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.space import Space
from workbench.methods.search.template import Template
from workbench.methods.sensitivity import sweep
from workbench.methods.sweep_setup import Swept, Watched

# Enough to tell layers apart; the candidates themselves take what their steps say.
_FEWER = {"statistics_samples": 256, "calibration_samples": 128}
Drops = dict[tuple[int, int], float]


@dataclass(frozen=True)
class SensitivityPass:
    """Takes sensitivities of a space's choices.

    Attributes:
        graph: The original.
        study: Completed.
        space: Of the study.
        template: Names the step that reads a knob.
        registry, inference, training: As for a recipe.
        data: Of the recipes.
        dataset: Samples that the metric is taken on.
        folder: Where points are stored as they come.
        seconds: After so long the rest is left to what is known by then.
    """

    graph: ModelGraph
    study: Study
    space: Space
    template: Template
    registry: MethodRegistry
    inference: InferenceEngine
    training: TrainingEngine
    data: RecipeData | None
    dataset: Dataset
    folder: Path
    seconds: float

    def drops(self, progress: Progress, cancel: CancelToken, log: Callable[[str], None]) -> Drops:
        """Return the drop of every choice that could be taken, by (dimension, choice).

        Raises:
            CancelledError: `cancel` was set; what was taken is stored.
        """
        wanted = self._wanted()
        points: dict[tuple[str, str, Setting], float] = {}
        limit = CancelToken()
        remove = cancel.on_cancel(limit.cancel)
        timer = threading.Timer(self.seconds, limit.cancel)
        timer.daemon = True
        timer.start()
        try:
            for number, ((knob, values), layers) in enumerate(wanted.items()):
                part = progress.part(number / len(wanted), (number + 1) / len(wanted), f"sensitivity to {knob}")
                points.update(self._swept(knob, values, layers, part, limit, log))
                cancel.raise_if_cancelled()
        finally:
            timer.cancel()
            remove()
        return self._of_choices(points)

    def _wanted(self) -> dict[tuple[str, tuple[Setting, ...]], list[str]]:
        """Return the layers to sweep by knob and values; one layer stands for those that only move with it."""
        found: dict[tuple[str, tuple[Setting, ...]], list[str]] = {}
        for dimension in self.space.dimensions:
            if len(dimension.layers) > 1 and dimension.precision:
                continue  # all layers' bits at once are measured on the first candidates
            for knob in sorted(dimension.names):
                values = tuple(dict.fromkeys(choice[knob] for choice in dimension.choices if knob in choice))
                if self.template.reader(knob) is not None and knob in dimension.knobs[dimension.layers[0]]:
                    found.setdefault((knob, values), []).append(dimension.layers[0])
        return found

    def _swept(
        self,
        knob: str,
        values: tuple[Setting, ...],
        layers: list[str],
        progress: Progress,
        cancel: CancelToken,
        log: Callable[[str], None],
    ) -> dict[tuple[str, str, Setting], float]:
        found: dict[tuple[str, str, Setting], float] = {}

        def keep(point: SensitivityPoint) -> None:
            found[point.layer, knob, point.value] = point.drop if point.expected is None else point.expected

        step = self.template.reader(knob)
        assert step is not None
        fields = self.registry.get(step.method).method.Parameters.model_fields
        fewer = {name: value for name, value in _FEWER.items() if name in fields}
        smallest = {name: min(value, int(step.parameters.get(name, value))) for name, value in fewer.items()}
        try:
            swept = Swept(
                self.graph,
                self.registry,
                step.method,
                knob,
                self.dataset,
                self.inference,
                self.training,
                parameters={**step.parameters, **smallest},
                layers=layers,
                samples=self.study.sensitivity_samples,
                data=self.data,
                seed=self.study.seed,
                store=self.folder / f"{knob}-{'_'.join(map(str, values))[:60]}.jsonl",
            )
            for point in sweep(swept, values, on_point=keep, watched=Watched(progress, cancel)).points:
                keep(point)
        except CancelledError:
            log(f"Sensitivities to {knob} were cut short: the rest is taken to be like what is known.")
        except WorkbenchError as error:
            log(f"No sensitivities to {knob} ({step.method}): {error}")
        return found

    def _of_choices(self, points: Mapping[tuple[str, str, Setting], float]) -> Drops:
        found: Drops = {}
        for place, dimension in enumerate(self.space.dimensions):
            for index, choice in enumerate(dimension.choices):
                keys = [(dimension.layers[0], knob, value) for knob, value in choice.items()]
                known = [points[key] for key in keys if key in points]
                if keys and len(known) == len(keys):
                    found[place, index] = sum(known)
        return found
