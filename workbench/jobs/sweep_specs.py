"""Jobs that ask how much layers mind: one at a time, in pairs, or estimated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workbench.domain.data_description import DataDescription
from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.sensitivity_reports import Estimator
from workbench.jobs.spec_base import MeasuringSpec


class SweepJob(MeasuringSpec):
    r"""Sensitivities over layers and values → SweepReport; every point also comes as a partial result.

    Attributes:
        direction: Set one layer and leave the others, or set all others.
        early: End trials as soon as their rank is settled; all samples are run otherwise.
        budget: Drop that is accepted; trials then end when it is certain on which side of it they are.
        done: Points that an earlier run finished, as "layer\tvalue", which are not repeated.
        store: JSON-lines file that what was run is appended to and resumed from, or None.
    """

    kind: Literal["sweep"] = "sweep"
    data: DataDescription
    method: str
    parameters: dict[str, object] = Field(default_factory=dict)
    knob: str
    values: tuple[Setting, ...]
    layers: tuple[str, ...] = ()
    samples: int | Literal["all"] = 2000
    seed: int = 0
    direction: Literal["only", "all but"] = "only"
    early: bool = True
    budget: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    done: tuple[str, ...] = ()
    store: str | None = None


class InteractionsJob(MeasuringSpec):
    """What two layers lose together beyond what each loses alone → InteractionsReport.

    Attributes:
        value: Of the knob, set on both.
        layers: To pair; all without any.
        store: As in SweepJob.
    """

    kind: Literal["interactions"] = "interactions"
    data: DataDescription
    method: str
    parameters: dict[str, object] = Field(default_factory=dict)
    knob: str
    value: Setting
    layers: tuple[str, ...] = ()
    samples: int | Literal["all"] = 2000
    seed: int = 0
    early: bool = True
    store: str | None = None


class EstimateJob(MeasuringSpec):
    """Rank layers by what the outputs do, in seconds → EstimateReport.

    Attributes:
        estimator: What is looked at.
        measured: What a sweep has found so far, to compare with.
    """

    kind: Literal["estimate"] = "estimate"
    data: DataDescription
    method: str
    parameters: dict[str, object] = Field(default_factory=dict)
    knob: str
    values: tuple[Setting, ...]
    layers: tuple[str, ...] = ()
    estimator: Estimator = "divergence"
    samples: int = 48
    seed: int = 0
    measured: tuple[SensitivityPoint, ...] = ()
