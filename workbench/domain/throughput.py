"""How many samples a second models get through when several streams ask at once, in batches or one by one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from workbench.domain.measurements import DeviceDescription, Interval, Noise, Ratio


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rate(_Value):
    """Samples a second: the median of all windows with its 95 % bootstrap interval."""

    median: float
    ci95: Interval


class ModelThroughput(_Value):
    """One model.

    Attributes:
        windows: How many stretches of time the rate was taken over.
        ratio_to_first: Of the rates of the same round; above 1 is more than the first model gets through.
    """

    path: str
    samples_per_second: Rate
    ratio_to_first: Ratio
    windows: int


class ThroughputReport(_Value):
    """Interleaved throughput of several models; the first one is the reference of the ratios.

    Attributes:
        threads: Of each stream's own session.
        batch: Samples in one inference.
        streams: Sessions that run at the same time, each asked by a thread of its own.
        seconds: Wall time.
    """

    device: DeviceDescription
    threads: int
    batch: int
    streams: int
    models: tuple[ModelThroughput, ...]
    noise: Noise
    seconds: float = 0.0
