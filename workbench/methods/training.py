"""What every method that trains shares: its parameters, the data and teacher of its trainings, and where they resume.

One set of names, units and defaults, so that a form, a recipe and a search know them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from workbench.domain.cancel import Progress
from workbench.domain.errors import RecipeError, UnsupportedGraphError
from workbench.engines.contracts import Batch, Task, TrainingData, TrainingHook, TrainingResult, TrainingSettings
from workbench.graph.model import ModelGraph
from workbench.methods.keep_zeros import KeepZeros, sparse_weights
from workbench.methods.method import MethodData, Parameters, Tools

_STATISTICS_BATCH = 64


class TrainingParameters(Parameters):
    """How to train; the defaults suit a convolutional network that lost half of its multiplications."""

    epochs: int = Field(
        3,
        ge=0,
        le=1000,
        title="Epochs",
        description="Passes over the training samples.",
        json_schema_extra={"unit": "epochs"},
    )
    # ResNet-20 from its folded file, all inner channels halved, 3 epochs of 20,000 images, batch 64. Top-1 by learning
    # rate, at feature distillation 10: 0.004 → 0.891, 0.01 → 0.888. By feature distillation: none 0.882 (at 0.002),
    # 2 → 0.889 and 10 → 0.891 (at 0.004), 30 → 0.897 and 100 → 0.897 (at 0.006). Longer trainings bear more.
    learning_rate: float = Field(
        0.006,
        gt=0,
        le=10,
        title="Learning rate",
        description="Peak of the cosine schedule. Lower it when training diverges or the model has no batch norm.",
    )
    batch_size: int = Field(
        64,
        ge=1,
        le=65536,
        title="Batch size",
        description="Samples a step.",
        json_schema_extra={"unit": "samples"},
    )
    warmup_epochs: float = Field(
        0.2,
        ge=0,
        le=100,
        title="Warm-up",
        description="The learning rate rises linearly over this many epochs.",
        json_schema_extra={"unit": "epochs"},
    )
    momentum: float = Field(0.9, ge=0, lt=1, title="Momentum", description="Nesterov momentum of SGD.")
    weight_decay: float = Field(
        5e-4, ge=0, le=1, title="Weight decay", description="Pulls weights, but not biases and normalization, to zero."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, title="Label smoothing", description="Share of each label that is spread over all classes."
    )
    distillation: float = Field(
        0.9,
        ge=0,
        le=1,
        title="Distillation",
        description="Share of the loss that comes from the original model's outputs; the rest comes from the labels.",
    )
    temperature: float = Field(
        4.0,
        gt=0,
        le=100,
        title="Temperature",
        description="Softens both models' outputs for distillation, so that unlikely classes count too.",
    )
    feature_distillation: float = Field(
        30.0,
        ge=0,
        le=1000,
        title="Feature distillation",
        description="Weight of the distance to the original's feature maps at the ends of blocks, added to the loss; "
        "pruned channels are left out. 0 switches it off.",
    )
    mixing: float | None = Field(
        None,
        ge=0,
        le=1,
        title="Mixed pictures",
        description="Share of the batches in which pictures are pasted into each other, labelled by the original model "
        "alone: for long trainings on few pictures. Empty: half of them where weights get 1 bit, else none.",
    )
    batch_norm: Literal["train", "frozen"] = Field(
        "train",
        title="Batch norm",
        description="Train the normalization's statistics along, or keep them as they are.",
    )
    samples: int | None = Field(
        None,
        ge=1,
        title="Samples",
        description="Use only this many training samples an epoch; empty takes all.",
        json_schema_extra={"unit": "samples"},
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        title="Threads",
        description="0 takes all cores. The last bits of the result depend on it: set it to repeat a result elsewhere.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        title="Precision",
        description="Of products while training; auto takes bfloat16 where the processor multiplies it in hardware.",
    )


@dataclass(frozen=True)
class Training:
    """What all trainings of one step have in common.

    Attributes:
        parameters: Of the method.
        tools: Of the run.
        data: The recipe's data.
        samples: What an epoch consists of.
        teacher: The original model, or None for none.
    """

    parameters: TrainingParameters
    tools: Tools
    data: MethodData
    samples: TrainingData
    teacher: ModelGraph | None

    @staticmethod
    def of(parameters: TrainingParameters, tools: Tools, method: str) -> Training:
        """Return the trainings of the step of a method, given by its id.

        Raises:
            RecipeError: the recipe names no data.
            UnsupportedGraphError: the original can't be the teacher.
        """
        if tools.data is None:
            raise RecipeError(
                "it needs training data",
                where=method,
                found="a recipe without data",
                action="Name a data description with a train split under `data`.",
            )
        samples: TrainingData = tools.data.training
        if parameters.samples is not None and parameters.samples < len(samples):
            samples = _FirstSamples(samples, parameters.samples)
        return Training(parameters, tools, tools.data, samples, _teacher(parameters, tools, method))

    def statistics_batches(self, samples: int) -> Iterator[Batch]:
        """Yield what statistics of batch norm are taken from: training samples, augmented as in training."""
        return statistics_batches(self.data, samples, self.tools.seed)

    def fit(
        self,
        graph: ModelGraph,
        *,
        epochs: int | None = None,
        name: str = "",
        progress: Progress | None = None,
        hook: TrainingHook | None = None,
        keep_best: bool = True,
        also: tuple[str, ...] = (),
        also_rate: float = 1.0,
        deployed: Callable[[ModelGraph], ModelGraph] | None = None,
        zeros_of: ModelGraph | None = None,
        mixing: float = 0.0,
    ) -> TrainingResult:
        """Train; weights that an earlier step made sparse keep their zeros, which the result's notes say.

        Args:
            graph: What to train.
            epochs: In place of the parameters' own.
            name: Sets the checkpoint apart in methods that train several times.
            progress: In place of the step's whole.
            hook: Takes part in the training.
            keep_best: The best epoch, or else the last one.
            also: Settings that are trained like weights, such as quantizers' scales and zero points.
            also_rate: Their learning rate as a multiple of the weights'.
            deployed: Returns what is exported for trained weights, so that epochs are scored, and the best one is
                chosen, by that; None where it is the trained graph itself.
            zeros_of: The graph that says which weights are sparse, under the same names; `graph` if None.
            mixing: Share of mixed batches where the parameters leave it open.

        Raises:
            DataError: the labels don't fit the model.
            JobError: the training diverged.
            CancelledError: cancelled before one epoch was complete.
        """
        chosen, tools = self.parameters, self.tools
        sparse = sparse_weights(graph if zeros_of is None else zeros_of)
        zeros = KeepZeros(sparse, hook) if sparse else None
        form = deployed or (lambda trained: trained)
        result = tools.training.fit(
            graph,
            self.samples,
            TrainingSettings(
                epochs=chosen.epochs if epochs is None else epochs,
                batch_size=chosen.batch_size,
                learning_rate=chosen.learning_rate,
                warmup_epochs=chosen.warmup_epochs,
                momentum=chosen.momentum,
                weight_decay=chosen.weight_decay,
                label_smoothing=chosen.label_smoothing,
                distillation_weight=chosen.distillation if self.teacher is not None else 0.0,
                temperature=chosen.temperature,
                feature_weight=chosen.feature_distillation,
                mixing=mixing if chosen.mixing is None else chosen.mixing,
                batch_norm=chosen.batch_norm,
                task=cast("Task", self.data.task),  # checked where DATA.yaml is read
                seed=tools.seed,
                threads=chosen.threads,
                precision=chosen.precision,
                also=also,
                also_rate=also_rate,
            ),
            teacher=self.teacher,
            validate=(lambda trained: self.data.validate(form(trained))) if keep_best else None,
            progress=tools.progress if progress is None else progress,
            cancel=tools.cancel,
            log=tools.log,
            hook=hook if zeros is None else zeros,
            checkpoint=_named(tools.checkpoint, name),
        )
        return result if zeros is None else replace(result, notes=(zeros.note, *result.notes))


def statistics_batches(data: MethodData, samples: int, seed: int) -> Iterator[Batch]:
    """Yield up to `samples` training samples, augmented as in training, for statistics of batch norm.

    Augmentation moves them, and weights were trained with them: ResNet-20, statistics taken anew, top-1 on 5,000
    images 0.9192 → 0.8894 from 1,000 samples as they are, 0.9182 from 1,024 that are flipped and shifted.

    Raises:
        DataError: the data has no train split.
    """
    return _FirstSamples(data.training, min(samples, len(data.training))).shuffled(_STATISTICS_BATCH, seed)


def training_history(result: TrainingResult) -> list[dict[str, Any]]:
    """Return a training's epochs for the report."""
    return [
        {"epoch": record.epoch, "loss": record.loss, "score": record.score, "seconds": record.seconds}
        for record in result.history
    ]


class _FirstSamples:
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


def _teacher(parameters: TrainingParameters, tools: Tools, method: str) -> ModelGraph | None:
    outputs_alone = tools.data is not None and tools.data.task == "outputs"
    if parameters.distillation == 0 and parameters.feature_distillation == 0 and not outputs_alone:
        return None
    missing = tools.training.unsupported(tools.reference)
    if missing:
        raise UnsupportedGraphError(
            "the original model can't serve as teacher: it has " + ", ".join(missing[:3]),
            where=method,
            action="Set distillation and feature_distillation to 0.",
        )
    return tools.reference


def _named(checkpoint: Path | None, name: str) -> Path | None:
    return checkpoint if checkpoint is None or not name else checkpoint.with_name(f"{checkpoint.name}-{name}")
