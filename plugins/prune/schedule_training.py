"""Runs the trainings of a schedule, each with a checkpoint of its own, so that all of them go on after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.api import (
    Batch,
    MethodData,
    ModelGraph,
    Progress,
    RecipeError,
    Tools,
    TrainingData,
    TrainingHook,
    TrainingResult,
    TrainingSettings,
    UnsupportedGraphError,
)

from .schedule_parameters import ScheduleParameters


@dataclass(frozen=True)
class Training:
    """What all trainings of one run have in common.

    Attributes:
        parameters: Of the schedule.
        tools: Of the run.
        data: The recipe's data.
        samples: What an epoch consists of.
        teacher: The original model, or None for none.
    """

    parameters: ScheduleParameters
    tools: Tools
    data: MethodData
    samples: TrainingData
    teacher: ModelGraph | None

    @staticmethod
    def of(parameters: ScheduleParameters, tools: Tools, method: str) -> Training:
        """Return the trainings of a run.

        Raises:
            RecipeError: the recipe names no data.
            UnsupportedGraphError: the original can't be the teacher.
        """
        if tools.data is None:
            raise RecipeError(
                f"{method} needs training data",
                where=method,
                found="a recipe without data",
                action="Name a data description with a train split under `data`.",
            )
        samples: TrainingData = tools.data.training
        if parameters.samples is not None and parameters.samples < len(samples):
            samples = FirstSamples(samples, parameters.samples)
        return Training(parameters, tools, tools.data, samples, _teacher(parameters, tools, method))

    def fit(
        self,
        graph: ModelGraph,
        epochs: int,
        name: str,
        progress: Progress,
        *,
        hook: TrainingHook | None = None,
        keep_best: bool,
    ) -> TrainingResult:
        """Train; `name` sets the checkpoint apart, `keep_best` asks for the best epoch instead of the last.

        Raises:
            CancelledError: cancelled before one epoch was complete, or at all where the last epoch is wanted.
            JobError: the training diverged.
        """
        chosen, tools = self.parameters, self.tools
        settings = TrainingSettings(
            epochs=epochs,
            batch_size=chosen.batch_size,
            learning_rate=chosen.learning_rate,
            warmup_epochs=chosen.warmup_epochs,
            momentum=chosen.momentum,
            weight_decay=chosen.weight_decay,
            label_smoothing=chosen.label_smoothing,
            distillation_weight=chosen.distillation if self.teacher is not None else 0.0,
            temperature=chosen.temperature,
            feature_weight=chosen.feature_distillation,
            batch_norm=chosen.batch_norm,
            task=self.data.task,  # type: ignore[arg-type]  # checked where DATA.yaml is read
            seed=tools.seed,
            threads=chosen.threads,
            precision=chosen.precision,
        )
        result = tools.training.fit(
            graph,
            self.samples,
            settings,
            teacher=self.teacher,
            validate=self.data.validate if keep_best else None,
            progress=progress,
            cancel=tools.cancel,
            log=tools.log,
            hook=hook,
            checkpoint=self._checkpoint(name),
        )
        if result.stopped_early and not keep_best:
            # Half a schedule has no result at the plan's ratio; its epochs are in the checkpoint.
            tools.cancel.raise_if_cancelled()
        return result

    def _checkpoint(self, name: str) -> Path | None:
        base = self.tools.checkpoint
        return None if base is None else base.with_name(f"{base.name}-{name}")


class FirstSamples:
    """The first samples of every shuffled epoch; implements TrainingData."""

    def __init__(self, data: TrainingData, samples: int) -> None:
        self._data = data
        self._samples = samples

    def __len__(self) -> int:
        return self._samples

    def shuffled(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield batches until the limit; the last may be cut."""
        left = self._samples
        for batch in self._data.shuffled(batch_size, seed):
            if len(batch) < left:
                left -= len(batch)
                yield batch
                continue
            inputs = {name: array[:left] for name, array in batch.inputs.items()}
            yield Batch(inputs, None if batch.targets is None else batch.targets[:left])
            return


def history(result: TrainingResult) -> list[dict[str, Any]]:
    """Return a training's epochs for the report."""
    return [
        {"epoch": record.epoch, "loss": record.loss, "score": record.score, "seconds": record.seconds}
        for record in result.history
    ]


def _teacher(parameters: ScheduleParameters, tools: Tools, method: str) -> ModelGraph | None:
    if parameters.distillation == 0 and parameters.feature_distillation == 0:
        return None
    missing = tools.training.unsupported(tools.reference)
    if missing:
        raise UnsupportedGraphError(
            "the original model can't serve as teacher: it has " + ", ".join(missing[:3]),
            where=method,
            action="Set distillation and feature_distillation to 0.",
        )
    return tools.reference
