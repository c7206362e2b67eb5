"""Movement pruning: while training, weights that move towards zero go, whatever their size."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from workbench.api import (
    ModelGraph,
    Requirement,
    Stage,
    Tools,
    Training,
    TrainingParameters,
    sparse_weights,
    training_history,
)

from .schedule import Rise
from .scores import MovementScores
from .sparsification import Outcome, Sparsification
from .subjects import Subject


class MovementParameters(TrainingParameters):
    """How to train while weights go."""

    epochs: int = Field(
        6,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training samples, in which the zeros come.",
        json_schema_extra={"unit": "epochs"},
    )
    # Movement is for new tasks, where the original's feature maps are no aim.
    feature_distillation: float = Field(
        0.0,
        ge=0,
        le=1000,
        title="Feature distillation",
        description="Weight of the distance to the original's feature maps at the ends of blocks, added to the loss. "
        "0 switches it off.",
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
        training = Training.of(chosen, tools, self.id)
        rise = Rise(chosen.observed_share, chosen.settled_share)
        hook = MovementScores(subjects, rise, chosen.update_steps, sparse_weights(graph))
        result = training.fit(graph, progress=tools.progress.part(0.0, 0.95), hook=hook, keep_best=False)
        notes = [f"{len(result.history)} epochs, the last one kept.", *result.notes]
        details: dict[str, Any] = {
            "history": training_history(result),
            "stopped_early": result.stopped_early,
        }
        if result.stopped_early:
            notes.append("cancelled before all zeros had come: fewer weights than asked for may be zero")
        else:
            score = training.data.validate(result.graph)
            details["validation"] = score
            notes.append(f"validation {score:.4f}")
        return Outcome(result.graph, tuple(notes), details=details)
