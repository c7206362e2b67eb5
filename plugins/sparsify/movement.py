"""Movement pruning: while training, weights that move towards zero go, whatever their size."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from workbench.api import (
    DataError,
    ModelGraph,
    Parameters,
    Requirement,
    Stage,
    Tools,
    TrainingSettings,
    UnsupportedGraphError,
)

from .schedule import Rise
from .scores import MovementScores
from .sparsification import Outcome, Sparsification
from .subjects import Subject


class MovementParameters(Parameters):
    """How to train while weights go."""

    epochs: int = Field(
        6, ge=1, le=1000, title="Epochs", description="Passes over the training samples, in which the zeros come."
    )
    learning_rate: float = Field(
        0.004, gt=0, le=10, title="Learning rate", description="Peak of the cosine schedule, of the weights that stay."
    )
    batch_size: int = Field(
        64, ge=1, le=65536, title="Batch size", description="Samples a step.", json_schema_extra={"unit": "samples"}
    )
    weight_decay: float = Field(
        5e-4, ge=0, le=1, title="Weight decay", description="Pulls the weights that stay to zero."
    )
    distillation: float = Field(
        0.9,
        ge=0,
        le=1,
        title="Distillation",
        description="Share of the loss that comes from the original model's outputs; the rest comes from the labels.",
    )
    observed_share: float = Field(
        0.15,
        ge=0,
        lt=1,
        title="Observed first",
        description="Share of the steps in which weights are only watched, before the first becomes zero.",
    )
    settled_share: float = Field(
        0.35,
        ge=0,
        lt=1,
        title="Settled last",
        description="Share of the steps at the end in which the zeros stay where they are and the rest recovers.",
    )
    update_steps: int = Field(
        16, ge=1, le=100_000, title="Steps an update", description="Steps after which the zeros are chosen anew."
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


class Movement(Sparsification):
    """Trains with a score for each weight, -sum of w · dL/dw over the steps, and keeps the highest scores.

    Masked weights keep their value and their score goes on changing (straight-through), so that they may come back
    until the zeros settle. The share of zeros rises with the cube of time (Zhu & Gupta, 2017); N:M patterns lose one
    weight of every M after the other. Made for trainings in which weights still move (transfer to a new task); for a
    network that has converged, prune.sparsegpt and fine-tuning are the safer way. The last epoch is kept, since the
    ones before it have fewer zeros.
    """

    id = "prune.movement"
    title = "Sparse weights by movement while training"
    summary = "Trains the model and sets weights to zero that move towards it; for models that still learn."
    source = "Sanh et al., 2020, Movement Pruning: Adaptive Sparsity by Fine-Tuning"
    stage = Stage.TRAIN
    needs_data = True
    Parameters = MovementParameters

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Samples to train on, and gradients."""
        return frozenset({Requirement.DATA, Requirement.GRADIENTS})

    def sparse(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> Outcome:
        """Return the trained graph of the last epoch, with zeros."""
        chosen: MovementParameters = self.parameters
        if tools.data is None:
            raise DataError("training data is needed, and the recipe names none", action="Add `data:` to the recipe.")
        data = tools.data
        teacher = tools.reference if chosen.distillation > 0 or data.task == "outputs" else None
        missing = () if teacher is None else tools.training.unsupported(teacher)
        if missing:
            raise UnsupportedGraphError(
                "the original model can't serve as teacher: it has " + ", ".join(missing[:3]),
                where=self.id,
                action="Set distillation to 0.",
            )
        hook = MovementScores(subjects, Rise(chosen.observed_share, chosen.settled_share), chosen.update_steps)
        result = tools.training.fit(
            graph,
            data.training,
            TrainingSettings(
                epochs=chosen.epochs,
                batch_size=chosen.batch_size,
                learning_rate=chosen.learning_rate,
                weight_decay=chosen.weight_decay,
                distillation_weight=chosen.distillation,
                task=data.task,  # type: ignore[arg-type]  # checked where DATA.yaml is read
                seed=tools.seed,
                threads=chosen.threads,
                precision=chosen.precision,
            ),
            teacher=teacher,
            progress=tools.progress.part(0.0, 0.95),
            cancel=tools.cancel,
            log=tools.log,
            hook=hook,
            checkpoint=tools.checkpoint,
        )
        notes = [f"{len(result.history)} epochs, the last one kept.", *result.notes]
        details: dict[str, Any] = {
            "history": [
                {"epoch": record.epoch, "loss": record.loss, "seconds": record.seconds} for record in result.history
            ],
            "stopped_early": result.stopped_early,
        }
        if result.stopped_early:
            notes.append("cancelled before all zeros had come: fewer weights than asked for may be zero")
        else:
            score = data.validate(result.graph)
            details["validation"] = score
            notes.append(f"validation {score:.4f}")
        return Outcome(result.graph, tuple(notes), details=details)
