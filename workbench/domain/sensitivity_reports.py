"""What is reported beside sweeps: interactions of layers, and estimates of sensitivity."""

from __future__ import annotations

from typing import Literal

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


# What an estimate looks at, all of them larger where a layer suffers more. Notation: d the change of a layer's weights,
# L the loss of a sample with labels drawn from the model's own prediction, H the Hessian of the mean loss.
ESTIMATORS: dict[str, str] = {
    "divergence": "how far the outputs go from the original's: Kullback-Leibler divergence of scores, in nats, or the "
    "share of the outputs' energy",
    "sqnr": "noise of the outputs over their power: 10 to the minus tenth of the SQNR in decibels",
    "taylor": "first-order change of the loss: the mean of |d · ∂L/∂w| (Molchanov et al., 2017)",
    "fisher": "second-order change of the loss by the Fisher matrix: the mean of (d · ∂L/∂w)² (Theis et al., 2018)",
    "hessian": "trace(H) / n · |d|², the trace by Hutchinson's estimate (HAWQ-V2, Dong et al., 2020)",
}
Estimator = Literal["divergence", "sqnr", "taylor", "fisher", "hessian"]


class EstimatedPoint(_Report):
    """What an estimator says of one knob of one layer at one value, by default how far the outputs go.

    `divergence` is the estimator's figure, whichever it is (see ESTIMATORS).
    """

    layer: str
    value: Setting
    divergence: float


class EstimateReport(_Report):
    """Estimated sensitivities of one method and knob: a ranking, not drops of the metric.

    Attributes:
        estimator: What was looked at, a key of ESTIMATORS.
        samples: Looked at.
        rank_correlation: Spearman's, with the drops that were measured so far; None while there are fewer than three.
        compared: Number of points behind it.
    """

    method: str
    knob: str
    estimator: Estimator = "divergence"
    samples: int
    points: tuple[EstimatedPoint, ...]
    rank_correlation: float | None = None
    compared: int = 0
    seconds: float
    skipped: dict[str, str] = Field(default_factory=dict)
