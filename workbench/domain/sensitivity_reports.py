"""What is reported beside sweeps: interactions of layers, and estimates of sensitivity."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.knobs import Setting
from workbench.domain.measurements import Interval, MetricMeasurement, SensitivityPoint


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interaction(_Report):
    """Two layers, or two groups that move together, set at once.

    Attributes:
        layers: The two.
        drop: What both lose, against the original on the same samples.
        interaction: That, less what each loses alone; above 0 they aggravate each other, below 0 they share a loss.
    """

    layers: tuple[str, str]
    drop: float
    ci95: Interval
    interaction: float
    interaction_ci95: Interval
    samples: int


class InteractionsReport(_Report):
    """Interactions of layers at one value of a knob; `points` are the layers alone."""

    method: str
    knob: str
    value: Setting
    metric: str
    baseline: MetricMeasurement
    points: tuple[SensitivityPoint, ...]
    pairs: tuple[Interaction, ...]
    evaluations: int
    seconds: float
    skipped: dict[str, str] = Field(default_factory=dict)


class EstimatedPoint(_Report):
    """How far a model's outputs go from the original's when one knob of one layer takes one value.

    For scores of classes the mean Kullback-Leibler divergence in nats, else the share of the outputs' energy.
    """

    layer: str
    value: Setting
    divergence: float


class EstimateReport(_Report):
    """Estimated sensitivities of one method and knob: a ranking, not drops of the metric.

    Attributes:
        samples: Looked at.
        rank_correlation: Spearman's, with the drops that were measured so far; None while there are fewer than three.
        compared: Number of points behind it.
    """

    method: str
    knob: str
    samples: int
    points: tuple[EstimatedPoint, ...]
    rank_correlation: float | None = None
    compared: int = 0
    seconds: float
    skipped: dict[str, str] = Field(default_factory=dict)
