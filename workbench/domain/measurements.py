"""Numbers with their unit, sample count and interval, and where and how they were taken."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.knobs import Setting

Interval = tuple[float, float]

_SHARE_METRICS = frozenset({"top1", "top5", "miou"})


def is_share(metric: str) -> bool:
    """Whether the metric lies in 0-1 and is shown in per cent."""
    return metric in _SHARE_METRICS


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricMeasurement(_Value):
    """A metric of a model file on a data set.

    Attributes:
        metric: Name ("top1", "mse", …); shares such as top1 are 0-1.
        value: Point estimate.
        samples: Number of samples it was taken on.
        ci95: 95 % interval (Wilson for shares, bootstrap or normal otherwise).
        higher_is_better: Direction of the metric.
        seconds: Wall time of the evaluation.
    """

    metric: str
    value: float
    samples: int
    ci95: Interval
    higher_is_better: bool = True
    seconds: float | None = None


class PairedDifference(_Value):
    """Candidate minus original on the same samples.

    Attributes:
        value: Difference of the metric (candidate - original).
        ci95: 95 % interval of that difference.
        p_value: McNemar's exact test for shares of correct samples, else None.
        only_original_correct, only_candidate_correct: Discordant pairs, for shares of correct samples.
    """

    value: float
    ci95: Interval
    p_value: float | None = None
    only_original_correct: int | None = None
    only_candidate_correct: int | None = None


class Latency(_Value):
    """Wall time of one inference in milliseconds; `p99` is None where it was measured before there was one."""

    median: float
    p90: float
    ci95: Interval
    p99: float | None = None


class Ratio(_Value):
    """A median of ratios, each of one round of interleaved runs, with its 95 % bootstrap interval."""

    median: float
    ci95: Interval


class OperatorTime(_Value):
    """One operator of the deployed graph: `node` as the runtime names it, `layer` in the original graph."""

    node: str
    layer: str | None
    op: str
    median_ms: float
    share: float


class ModelLatency(_Value):
    """One model's entry of a latency measurement.

    Attributes:
        peak_memory_bytes: The most resident memory that loading and running add to a process with the runtime.
        inference_memory_bytes: The most that running adds to what is resident after loading.
        arena_bytes: How large the runtime's arena grows, which holds activations, by the runtime's own account.
    """

    path: str
    batch: int
    latency_ms: Latency
    runs: int
    size_bytes: int
    peak_memory_bytes: int | None = None
    inference_memory_bytes: int | None = None
    arena_bytes: int | None = None
    ratio_to_first: Ratio
    operators: tuple[OperatorTime, ...] = ()


class DeviceDescription(_Value):
    """The machine and runtime that a latency was measured on."""

    name: str
    cpu: str
    threads: int
    runtime: str
    provider: str


class Noise(_Value):
    """Whether the machine was quiet while measuring; `reason` says what disturbed it.

    `drift_ratio` is the largest relative change of the first model's median between parts of the run, `clock_mhz` the
    clock of the cores that were held in the slowest and in the fastest part, where the system tells it.
    """

    quiet: bool
    drift_ratio: float
    reason: str = ""
    clock_mhz: Interval | None = None


class LatencyReport(_Value):
    """Interleaved latency of several models; the first one is the reference of the ratios.

    `cores` are those that the runs were held on; empty where the system can't hold them, or was not asked to.
    """

    device: DeviceDescription
    models: tuple[ModelLatency, ...]
    noise: Noise
    cores: tuple[int, ...] = ()


class SensitivityPoint(_Value):
    """Change of the metric when one knob of one layer takes one value, everything else untouched.

    Attributes:
        metric: The metric's value with that setting.
        drop: Loss against the baseline, positive is worse, whatever the metric's direction.
        ci95: Interval of the drop, paired on the same samples.
        samples: How many it was taken on; fewer than the sweep has where enough was known before.
        coupled: Layers whose channels changed along.
        expected: Drop that is expected on all samples, in the light of what the setting does to the outputs and of the
            other settings; for ranking. None where nothing but the samples was looked at.
        expected_ci95: Its interval.
        provisional: More samples are still to come.
    """

    layer: str
    value: Setting
    metric: float
    drop: float
    ci95: Interval
    samples: int
    coupled: tuple[str, ...] = Field(default=())
    expected: float | None = None
    expected_ci95: Interval | None = None
    provisional: bool = False

    @property
    def likely(self) -> float:
        """Best knowledge of the drop: what is expected, or where nothing was, what was measured."""
        return self.drop if self.expected is None else self.expected

    @property
    def likely_ci95(self) -> Interval:
        """Interval of `likely`."""
        return self.ci95 if self.expected is None or self.expected_ci95 is None else self.expected_ci95
