"""Fine-tuning: what pruning and quantization took away comes back by training beside the original."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workbench.api import (
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    RecipeError,
    Stage,
    Tools,
    TrainingData,
    TrainingSettings,
    UnsupportedGraphError,
)

from .masks import KeepZeros


class FineTuneParameters(Parameters):
    """How to fine-tune; the defaults suit a convolutional network that lost half of its multiplications."""

    epochs: int = Field(3, ge=0, le=1000, title="Epochs", description="Passes over the training samples.")
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


class FineTune(Method):
    """Trains all weights with SGD on labels and on the original model's outputs; keeps the best epoch."""

    id = "train.finetune"
    title = "Fine-tuning"
    summary = "Trains the compressed model on labels and on the original's outputs and keeps the best epoch."
    source = "Hinton et al., 2015, Distilling the Knowledge in a Neural Network; Romero et al., 2015, FitNets"
    stage = Stage.TRAIN
    needs_data = True
    Parameters = FineTuneParameters

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Warn of settings that have no effect."""
        settings: FineTuneParameters = self.parameters
        if settings.epochs == 0:
            return ("Fine-tuning has 0 epochs and changes nothing.",)
        if settings.distillation == 0 and settings.feature_distillation == 0:
            return ("Distillation is off: the original model is not used.",)
        return ()

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph of the best epoch.

        Raises:
            RecipeError: the recipe names no data.
            UnsupportedGraphError: the graph or the original has an operator that can't be trained.
            DataError: the labels don't fit the model.
            JobError: the training diverged.
            CancelledError: cancelled before one epoch was complete.
        """
        chosen: FineTuneParameters = self.parameters
        if tools.data is None:
            raise RecipeError(
                "fine-tuning needs training data",
                where=self.id,
                found="a recipe without data",
                action="Name a data description with a train split under `data`.",
            )
        if chosen.epochs == 0:
            return MethodResult(graph, notes=("0 epochs: nothing was trained.",))
        teacher = self._teacher(tools)
        data: TrainingData = tools.data.training
        if chosen.samples is not None and chosen.samples < len(data):
            data = _FirstSamples(data, chosen.samples)
        zeros = KeepZeros.of(graph)
        result = tools.training.fit(
            graph,
            data,
            TrainingSettings(
                epochs=chosen.epochs,
                batch_size=chosen.batch_size,
                learning_rate=chosen.learning_rate,
                warmup_epochs=chosen.warmup_epochs,
                momentum=chosen.momentum,
                weight_decay=chosen.weight_decay,
                label_smoothing=chosen.label_smoothing,
                distillation_weight=chosen.distillation if teacher is not None else 0.0,
                temperature=chosen.temperature,
                feature_weight=chosen.feature_distillation,
                batch_norm=chosen.batch_norm,
                task=tools.data.task,  # type: ignore[arg-type]  # checked where DATA.yaml is read
                seed=tools.seed,
                threads=chosen.threads,
                precision=chosen.precision,
            ),
            teacher=teacher,
            validate=tools.data.validate,
            progress=tools.progress,
            cancel=tools.cancel,
            log=tools.log,
            hook=zeros,
            checkpoint=tools.checkpoint,
        )
        best = next((record for record in result.history if record.epoch == result.best_epoch), None)
        notes = [f"Epoch {result.best_epoch} of {len(result.history)} kept."]
        if best is not None and best.score is not None:
            notes[0] = f"Epoch {result.best_epoch} of {len(result.history)} kept, validation {best.score:.4f}."
        details: dict[str, Any] = {
            "history": [
                {"epoch": record.epoch, "loss": record.loss, "score": record.score, "seconds": record.seconds}
                for record in result.history
            ],
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
        }
        if zeros is not None:
            notes.append(zeros.note)
        return MethodResult(result.graph, notes=(*notes, *result.notes), details=details)

    def _teacher(self, tools: Tools) -> ModelGraph | None:
        if self.parameters.distillation == 0 and self.parameters.feature_distillation == 0:
            return None
        missing = tools.training.unsupported(tools.reference)
        if missing:
            raise UnsupportedGraphError(
                "the original model can't serve as teacher: it has " + ", ".join(missing[:3]),
                where=self.id,
                action="Set distillation and feature_distillation to 0.",
            )
        return tools.reference


class _FirstSamples:
    """The first samples of every shuffled epoch; implements TrainingData."""

    def __init__(self, data: TrainingData, samples: int) -> None:
        self._data = data
        self._samples = samples

    def __len__(self) -> int:
        return self._samples

    def shuffled(self, batch_size: int, seed: int) -> Any:
        """Yield batches until the limit; the last may be cut."""
        left = self._samples
        for batch in self._data.shuffled(batch_size, seed):
            if len(batch) < left:
                left -= len(batch)
                yield batch
                continue
            inputs = {name: array[:left] for name, array in batch.inputs.items()}
            yield type(batch)(inputs, None if batch.targets is None else batch.targets[:left])
            return
