"""How the numbers of a layer are spread before and after its quantizer, and what that quantizer can express."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Subject = Literal["weights", "activations"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Spread(_Value):
    """Numbers in bins of equal width, and the levels that they are rounded to.

    Attributes:
        in_steps: Whether numbers are given in units of their own channel's scale, because channels differ in it.
        low, width: Where the first bin begins, and how wide each is.
        counts: Numbers in each bin before they are rounded.
        minimum, maximum: Of the numbers before.
        step: Distance of evenly spaced levels, in the unit of the rest.
        levels: What the quantizer can yield, in ascending order; () where it is unknown or differs by block.
        level_counts: Numbers at each level after rounding.
        after: Numbers in each bin after rounding, where no levels are given; else ().
        clip: Lowest and highest level; None without levels.
        clipped: Numbers that lie more than half a step beyond them.
        total: Numbers before.
        sqnr_db: 10 lg of their power to that of the rounding error; None where they can't be paired.
    """

    in_steps: bool = False
    low: float
    width: float
    counts: tuple[int, ...]
    minimum: float
    maximum: float
    step: float = 1.0
    levels: tuple[float, ...] = ()
    level_counts: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    clip: tuple[float, float] | None = None
    clipped: int = 0
    total: int
    sqnr_db: float | None = None


class DistributionReport(_Value):
    """The weights of a layer, or what it reads, with the quantizer that a method or a finished file has for them.

    Attributes:
        of: What is shown.
        quantizer: Who made the levels, in words; "" where nothing is quantized.
        bits: Of the quantizer; 32 where there is none.
        scope: What shares a scale: all numbers, an output channel, or a block of inputs.
        scales: How many scales there are, from `least_scale` to `most_scale`.
        channels: Output channels of which one can be shown; 0 where they share a scale.
        channel: The one that is shown, or None for all.
        samples: Calibration samples that activations were observed on.
        notes: What should be known about the comparison, in sentences.
    """

    layer: str
    of: Subject
    quantizer: str = ""
    bits: float = 32.0
    scope: Literal["tensor", "channel", "block"] = "tensor"
    scales: int = 0
    least_scale: float = 0.0
    most_scale: float = 0.0
    channels: int = 0
    channel: int | None = None
    samples: int = 0
    spread: Spread
    notes: tuple[str, ...] = ()
