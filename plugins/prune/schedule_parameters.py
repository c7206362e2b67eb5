"""What every pruning schedule can be told: which channels go, and how to train; as in pruning and in fine-tuning."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.api import TrainingParameters

from .parameters import Normalisation, PruningParameters, Reduction, Scope, Target, with_fast_multiple

CriterionName = Literal["l1", "l2", "geometric_median", "bn_scale", "taylor"]


def as_in_pruning(name: str) -> Any:
    """Return a field with the default, limits, unit and words that it has for the one-shot criteria."""
    return copy(PruningParameters.model_fields[name])


class ScheduleParameters(TrainingParameters):
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
    ranking_rounds: int = as_in_pruning("ranking_rounds")
    per_cost: bool = as_in_pruning("per_cost")
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

    @model_validator(mode="before")
    @classmethod
    def _fast_counts(cls, given: Any) -> Any:
        return with_fast_multiple(given)

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
