"""What every pruning schedule can be told: which channels go, and how to train; as in pruning and in fine-tuning."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

from pydantic import Field

from workbench.api import Parameters

from .parameters import Normalisation, PruningParameters, Reduction, Scope, Target

CriterionName = Literal["l1", "l2", "geometric_median", "bn_scale", "taylor"]


def as_in_pruning(name: str) -> Any:
    """Return a field with the default, limits, unit and words that it has for the one-shot criteria."""
    return copy(PruningParameters.model_fields[name])


class ScheduleParameters(Parameters):
    """Parameters of every schedule."""

    criterion: CriterionName = Field(
        "l1",
        title="Criterion",
        description="What ranks the channels: norms of weights (l1, l2), likeness to all other filters "
        "(geometric_median), normalisation's scale (bn_scale), or the slope of the loss (taylor, needs labels).",
    )
    criterion_samples: int = Field(
        512,
        ge=1,
        le=1_000_000,
        title="Criterion samples",
        description="Training samples that taylor judges channels by before a training; within one it takes all.",
        json_schema_extra={"unit": "samples"},
    )
    scope: Scope = as_in_pruning("scope")
    target: Target = as_in_pruning("target")
    target_ratio: float = as_in_pruning("target_ratio")
    smallest_share: float = as_in_pruning("smallest_share")
    reduction: Reduction = as_in_pruning("reduction")
    normalisation: Normalisation = as_in_pruning("normalisation")
    channel_multiple: int = as_in_pruning("channel_multiple")
    restore_batch_norm: bool = as_in_pruning("restore_batch_norm")
    statistics_samples: int = as_in_pruning("statistics_samples")
    epochs: int = Field(
        3,
        ge=0,
        le=1000,
        title="Epochs",
        description="Passes over the training samples after the last channels are gone; the best of them is kept.",
        json_schema_extra={"unit": "epochs"},
    )
    learning_rate: float = Field(
        0.006,
        gt=0,
        le=10,
        title="Learning rate",
        description="Peak of the cosine schedule of every training. Lower it when training diverges or the model has "
        "no batch norm.",
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

    def ranking(self) -> PruningParameters:
        """Return what of this concerns ranking and allocation, as the one-shot criteria take it."""
        return PruningParameters.model_validate(
            {name: getattr(self, name) for name in PruningParameters.model_fields if hasattr(self, name)}
        )


class HookedParameters(ScheduleParameters):
    """Parameters of schedules that prune while they train."""

    schedule_epochs: int = Field(
        3,
        ge=1,
        le=1000,
        title="Schedule epochs",
        description="Passes over the training samples at full size, in which the channels are made ready to go.",
        json_schema_extra={"unit": "epochs"},
    )


class ExaminedParameters(HookedParameters):
    """Parameters of schedules that look at the ranking again and again."""

    examinations: int = Field(
        60,
        ge=1,
        le=100_000,
        title="Examinations",
        description="How often channels are ranked anew, spread evenly over the schedule's epochs; at most once a "
        "step.",
    )
