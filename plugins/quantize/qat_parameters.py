"""What quantization-aware training can be told: how it trains, how it quantizes, and what joins the two."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.api import ACTIVATION_BITS, MOST_BRANCHES, WEIGHT_BITS, LayerSettings, TrainingParameters

from .grids import Rounding
from .parameters import QuantizationParameters
from .qat_binary import BinaryEstimator, Ends

Estimator = Literal["lsq", "lsq+", "pact", "dorefa", "fixed"]


@dataclass(frozen=True)
class StageBits:
    """How few bits a stage may have.

    Attributes:
        least: No layer has fewer; 0 leaves the plan as it is.
        weights_only: Whether that holds for weights only.
    """

    least: int
    weights_only: bool = False

    @property
    def name(self) -> str:
        """What sets this stage apart."""
        return f"{'w' if self.weights_only else ''}{self.least}"

    def of(self, plan: LayerSettings) -> LayerSettings:
        """Return the plan of this stage."""
        for knob in (WEIGHT_BITS,) if self.weights_only else (WEIGHT_BITS, ACTIVATION_BITS):
            few = [name for name in plan if plan.number(name, knob) < self.least]
            plan = plan.with_values(knob, dict.fromkeys(few, self.least))
        return plan


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
        pattern=r"^(w?[2-8]( *, *w?[2-8])*)?$",
        title="Stages",
        description="Bits to go through before those of the plan, such as 8, 4: in each stage no layer has fewer. "
        "With a w before it, as in w8, only weights have no fewer: activations are trained first. Empty trains at the "
        "plan's bits from the start.",
    )
    last_stage: float = Field(
        0.5,
        gt=0,
        le=1,
        title="Share of the last stage",
        description="Share of the epochs that is left for the bits of the plan where there are stages before.",
    )
    binary: BinaryEstimator = Field(
        "xnor",
        title="Binary weights",
        description="How weights of 1 bit learn: xnor straight through their signs; irnet about the mean of each "
        "channel with a slope that sharpens step by step; recu likewise, straight through, and those that went too far "
        "to turn are put back.",
    )
    binary_branches: int = Field(
        1,
        ge=1,
        le=MOST_BRANCHES,
        title="Binary branches",
        description="Bases of signs that a weight of 1 bit is the sum of, as many parallel binary convolutions would "
        "compute (ABC-Net, residual binarization). Their scales are powers of two of one another, so that the file "
        "holds them as one integer convolution: 2 bases make the levels -3, -1, 1, 3 times the channel's scale, 3 the "
        "odd ones to 7. The same numbers, no slower, worth as many bits a weight.",
    )
    binary_slope: Literal["clip", "polynomial"] = Field(
        "clip",
        title="Slope of binary activations",
        description="How gradients pass activations of 1 bit, which are 0 or the scale: clip straight through between "
        "the two, polynomial most where one turns into the other (Bi-Real Net).",
    )
    ends: Ends = Field(
        "8bit",
        title="First and last layer",
        description="What the first and the last layer get in place of 1 bit where the plan does not name them: 8 "
        "bits, float (weights, and what they read), or what the plan says of all.",
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
    # ResNet-20, signs straight through, half of the batches mixed, activations in float, 2 epochs, top-1 on the test
    # images: 0.8699 by the averages, 0.8727 by 1,024 samples, 0.8732 by 2,560.
    statistics_samples: int | None = Field(
        None,
        ge=0,
        title="Statistics samples",
        description="Training samples that batch norm's statistics are taken from anew before a file is made; 0 keeps "
        "the averages of the training. Empty takes 2,048 where pictures are mixed, which move the averages, else 0.",
        json_schema_extra={"unit": "samples"},
    )

    @model_validator(mode="after")
    def _fits_together(self) -> QatParameters:
        if self.epochs and self.epochs < len(self.stage_bits) + 1:
            raise ValueError(f"{len(self.stage_bits)} stages and the plan's bits need an epoch each, not {self.epochs}")
        if self.weight_scales == "tensor" and self.restore_batch_norm:
            raise ValueError("one scale for a whole weight can't hold batch norm; set restore_batch_norm to false")
        return self

    @property
    def stage_bits(self) -> tuple[StageBits, ...]:
        """Least bits of every stage before the plan's own."""
        parts = [part.strip() for part in self.stages.split(",") if part.strip()]
        return tuple(StageBits(int(part.lstrip("w")), part.startswith("w")) for part in parts)

    @property
    def levels(self) -> Rounding:
        """How weights are rounded beyond their range."""
        return Rounding(branches=self.binary_branches)

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
