"""What quantization-aware training can be told: how it trains, how it quantizes, and what joins the two."""

from __future__ import annotations

from copy import copy
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.api import TrainingParameters

from .parameters import QuantizationParameters

Estimator = Literal["lsq", "lsq+", "pact", "dorefa", "fixed"]


def as_in_training(name: str) -> Any:
    """Return a field with the default, limits, unit and words that it has for every training."""
    return copy(TrainingParameters.model_fields[name])


class QatParameters(QuantizationParameters, TrainingParameters):
    """Parameters of training, of quantization, and of the way between them."""

    epochs: int = Field(
        10,
        ge=0,
        le=1000,
        title="Epochs",
        description="Passes over the training samples, shared among the stages; the best of the last stage is kept.",
        json_schema_extra={"unit": "epochs"},
    )
    learning_rate: float = Field(
        0.01, gt=0, le=10, title="Learning rate", description="Peak of the cosine schedule of every stage."
    )
    momentum: float = as_in_training("momentum")
    estimator: Estimator = Field(
        "lsq",
        title="Estimator",
        description="What is learned beside the weights: lsq the scales of weights and activations, lsq+ the zero "
        "points too, pact where activations are clipped (weights as in dorefa), dorefa nothing (weights through a "
        "tanh), fixed nothing.",
    )
    scale_rate: float = Field(
        1.0,
        ge=0,
        le=100,
        title="Rate of scales",
        description="Learning rate of scales and zero points as a multiple of the weights'.",
    )
    stages: str = Field(
        "",
        pattern=r"^([2-8]( *, *[2-8])*)?$",
        title="Stages",
        description="Bits to go through before those of the plan, such as 8, 4: in each stage no layer has fewer. "
        "Empty trains at the plan's bits from the start.",
    )
    last_stage: float = Field(
        0.5,
        gt=0,
        le=1,
        title="Share of the last stage",
        description="Share of the epochs that is left for the bits of the plan where there are stages before.",
    )
    damping: float | None = Field(
        None,
        ge=0,
        le=100,
        title="Damping",
        description="Pulls weights to their levels, from nothing in the beginning to this strength, so that they stop "
        "jumping between two; empty damps weights of 3 bits and fewer by 0.03.",
    )
    # ResNet-20, 6,000 images, W3A3: given back 0.885 at a learning rate of 0.01; left folded 0.894 at 0.0003, 0.171 at
    # 0.002. W4A4, 3 epochs of 19,000, left folded at 0.0003: 0.912.
    restore_batch_norm: bool = Field(
        True,
        title="Give batch norm back",
        description="Train with batch norm behind every convolution that came with it folded in; it is folded into the "
        "scales again, exactly. Without it, train at a learning rate of about 0.0003: better where few steps suffice.",
    )
    statistics_samples: int = Field(
        0,
        ge=0,
        title="Statistics samples",
        description="Training samples that batch norm's statistics are taken from anew before a file is made; 0 keeps "
        "the averages of the training.",
        json_schema_extra={"unit": "samples"},
    )

    @model_validator(mode="after")
    def _some_epochs(self) -> QatParameters:
        if self.epochs and self.epochs < len(self.stage_bits) + 1:
            raise ValueError(f"{len(self.stage_bits)} stages and the plan's bits need an epoch each, not {self.epochs}")
        return self

    @property
    def stage_bits(self) -> tuple[int, ...]:
        """Least bits of every stage before the plan's own."""
        return tuple(int(part) for part in self.stages.split(",") if part.strip())

    def stage_epochs(self) -> tuple[int, ...]:
        """Return the epochs of every stage, the plan's own last: at least one each, all of them together."""
        before = len(self.stage_bits)
        if not before:
            return (self.epochs,)
        last = min(max(round(self.epochs * self.last_stage), 1), self.epochs - before)
        rest = self.epochs - last
        return (*(rest // before + (number < rest % before) for number in range(before)), last)

    def calibration(self) -> QuantizationParameters:
        """Return what of this concerns calibration; `momentum` there means another one."""
        names = set(QuantizationParameters.model_fields) - {"momentum"}
        return QuantizationParameters.model_validate({name: getattr(self, name) for name in names})
