"""What every pruning criterion can be told, so that forms, command line and recipes speak of it alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.api import Parameters

Scope = Literal["layer", "global"]
Target = Literal["none", "macs", "params", "size", "latency"]
Reduction = Literal["sum", "mean", "max"]
Normalisation = Literal["auto", "none", "mean", "max", "standard"]

NORMALISATION_DOC = (
    "What the scores of one layer are divided by before layers are compared: their mean or largest, or standard "
    "scores (distance to the mean in deviations). Auto takes the mean where scope global compares scores that have no "
    "common scale, such as norms, and else none."
)
FAST_MULTIPLE = 8


def with_fast_multiple(given: Any) -> Any:
    """Return parameters with channel counts on multiples of 8 where a latency is the target and none was given.

    It happens to the parameters themselves, so that the report and the cache know what was rounded to.
    """
    if isinstance(given, Mapping) and given.get("target") == "latency" and "channel_multiple" not in given:
        return {**given, "channel_multiple": FAST_MULTIPLE}
    return given


class PruningParameters(Parameters):
    """Parameters of every criterion."""

    scope: Scope = Field(
        default="layer",
        description="Rank channels within each layer, or across all layers whose ratio the plan leaves to its "
        "default; then the ratio of each layer is a result.",
    )
    target: Target = Field(
        default="none",
        description="Prune until this much of the original model is left, instead of by the plan's default ratio. "
        "Layers with a line of their own in the plan keep it. A latency is measured while the step runs, at most ten "
        "times 2 s, with the run's batch and threads; another run may measure, and choose, otherwise.",
    )
    target_ratio: float = Field(
        default=0.5,
        ge=0.01,
        le=1,
        description="Share of the original's multiplications, parameters, bytes or time that may stay.",
        json_schema_extra={"unit": "share of the original"},
    )
    smallest_share: float = Field(
        default=0.1,
        ge=0.05,
        le=1,
        description="A target or a global ranking leaves every layer at least this share of its channels.",
        json_schema_extra={"unit": "share of channels"},
    )
    reduction: Reduction = Field(
        default="sum",
        description="How the scores of all layers that hold the same channels become one.",
    )
    normalisation: Normalisation = Field(default="auto", description=NORMALISATION_DOC)
    ranking_rounds: int = Field(
        default=6,
        ge=1,
        le=100,
        title="Ranking rounds",
        description="With scope global and normalisation by mean or standard scores, the scale of each layer is taken "
        "anew from the channels that are left, so many times for every half of the channels that goes; 1 ranks once. "
        "It costs no samples. Measured on ResNet-20 at half the multiplications, l1 without training, top-1: ranked "
        "once 0.43, in 6 rounds 0.71, half of each layer 0.57 (rounds as in Fang et al., 2023, DepGraph).",
        json_schema_extra={"unit": "rounds per halving"},
    )
    per_cost: bool = Field(
        default=False,
        description="With scope global, divide a channel's importance by what its removal saves: the target's "
        "parameters or bytes, else multiplications.",
    )
    channel_multiple: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Kept channels are rounded to this multiple. Runtimes compute in blocks of 8 or 16 channels: "
        "measured on ResNet-20 with one thread, 2.2 times fewer multiplications took 1.00 of the time with odd counts, "
        "and 3.0 times fewer took 0.63 with multiples of 8. A target of latency takes 8 unless this is set.",
        json_schema_extra={"unit": "channels"},
    )
    reconstruct: bool = Field(
        default=False,
        description="Change the weights that read what is left by least squares on samples, so that they make up for "
        "what goes; much of the accuracy comes back without training.",
    )
    restore_batch_norm: bool = Field(
        default=True,
        description="Give convolutions whose batch norm was folded a new one before pruning; networks recover by it.",
    )
    statistics_samples: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Samples that batch-norm statistics are taken anew from; 0 leaves them.",
        json_schema_extra={"unit": "samples"},
    )

    @model_validator(mode="before")
    @classmethod
    def _fast_counts(cls, given: Any) -> Any:
        return with_fast_multiple(given)


class SampledParameters(PruningParameters):
    """Parameters of criteria that look at samples."""

    samples: int = Field(
        default=512,
        ge=1,
        le=1_000_000,
        description="Training samples that channels are judged by.",
        json_schema_extra={"unit": "samples"},
    )
