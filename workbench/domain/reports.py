"""What jobs report about models and candidates: the objects behind the JSON of the command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.knobs import Setting
from workbench.domain.measurements import (
    LatencyReport,
    MetricMeasurement,
    ModelLatency,
    PairedDifference,
    SensitivityPoint,
)
from workbench.domain.preflight import Prediction


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Dimension = int | str
ShapeReport = tuple[Dimension, ...]


class ModelSummary(_Report):
    """A model file at a glance; `macs` for one sample, `size_bytes` with external data.

    Attributes:
        bit_operations: MACs times weight bits times activation bits, where they were counted.
    """

    path: str
    sha256: str
    opset: int
    params: int
    macs: int
    size_bytes: int
    bit_operations: float | None = None


class TensorReport(_Report):
    """A graph input or output; unknown dimensions are their names, or "?"."""

    name: str
    dtype: str
    shape: ShapeReport


class LayerReport(_Report):
    """A compressible node.

    Attributes:
        arithmetic_intensity: MACs per byte moved (weights and activations, one sample); None without shapes.
        group: Id of the channel group of its output channels.
        blocked: Why its output channels can't be pruned, naming the node; None when they can.
        branch: Id of the part that can be left out with it, a residual block or a run of layers; None if there is none.
        path: Module hierarchy from the exporter's metadata, outermost first; () when there is none.
        refusals: Why knobs that layers of its operator have can't be turned on this one, by knob.
        blocked_by: Why single methods can't turn knobs that others can, by method and knob.
    """

    name: str
    op: str
    weight: str
    weight_shape: tuple[int, ...]
    input_shape: ShapeReport | None = None
    output_shape: ShapeReport | None = None
    params: int
    macs: int
    weight_bytes: int
    activation_bytes: int | None = None
    arithmetic_intensity: float | None = None
    knobs: tuple[str, ...] = ()
    group: str | None = None
    blocked: str | None = None
    branch: str | None = None
    path: tuple[str, ...] = ()
    refusals: dict[str, str] = Field(default_factory=dict)
    blocked_by: dict[str, dict[str, str]] = Field(default_factory=dict)


class GroupMember(_Report):
    """One side of a layer that loses channels with its group.

    Attributes:
        per_unit: On the "out" side, how many of the layer's channels a unit of each stratum takes, 0 for a stratum
            that the layer has no part in.
    """

    layer: str
    axis: Literal["out", "in"]
    per_unit: tuple[int, ...] = ()


class GroupReport(_Report):
    """Channels that must be removed together; `unit` channels go at a time.

    Attributes:
        strata: Units of each stratum: units that the same layers hold, of which a ratio takes its share.
    """

    id: str
    channels: int
    unit: int
    layers: tuple[GroupMember, ...]
    prunable: bool
    reason: str | None = None
    strata: tuple[int, ...] = ()


class NodeCost(_Report):
    """Cost of any node; `counted` is False for an operator whose MACs are unknown and taken as zero."""

    name: str
    op: str
    macs: int
    params: int
    counted: bool = True


class DrawnBlock(_Report):
    """A part of the model that can be drawn as one box, e.g. a module: `title` is short, `name` is whole.

    Attributes:
        parent: Id of the block around it, or None.
    """

    id: str
    title: str
    name: str
    parent: str | None = None


class DrawnNode(_Report):
    """A node of the picture: centre `x`, `y` and size in pixels at zoom 1; `layer` if it is compressible.

    Attributes:
        block: Id of the innermost block that it belongs to, or None.
    """

    id: str
    op: str
    family: str
    x: float
    y: float
    width: float
    height: float
    layer: str | None = None
    block: str | None = None


class DrawnEdge(_Report):
    """An edge between two drawn nodes with its bend points."""

    source: str
    target: str
    value: str
    points: tuple[tuple[float, float], ...] = ()


class Drawing(_Report):
    """Coordinates of a graph, top to bottom; `blocks` come with the outer ones before those within."""

    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    width: float
    height: float
    blocks: tuple[DrawnBlock, ...] = ()


class InspectReport(_Report):
    """What `inspect` finds in a model."""

    model: ModelSummary
    inputs: tuple[TensorReport, ...] = ()
    outputs: tuple[TensorReport, ...] = ()
    layers: tuple[LayerReport, ...]
    groups: tuple[GroupReport, ...]
    costs: tuple[NodeCost, ...] = ()
    uncounted_ops: tuple[str, ...] = ()
    drawing: Drawing | None = None
    notes: tuple[str, ...] = ()


class StepReport(_Report):
    """One executed step; `cached` when its result came from an earlier identical run."""

    method: str
    seconds: float
    notes: tuple[str, ...] = ()
    cached: bool = False
    details: dict[str, Any] = Field(default_factory=dict)


class LayerState(_Report):
    """A layer's weight shape and precisions; `bits` of its weights, `activation_bits` of its input."""

    weight_shape: tuple[int, ...]
    bits: float
    activation_bits: float = 32


class LayerChange(_Report):
    """A layer before and after.

    Attributes:
        after: None for a layer that is gone.
        channels: Along how many positions of its output the original's layer can lose some; 0 where none was lost.
        removed_channels: Those of them that are gone.
        factors: Layers that do its work together with what kept its name.
        branch: The branch that it left with, or None.
    """

    name: str
    before: LayerState
    after: LayerState | None
    channels: int = 0
    removed_channels: tuple[int, ...] = ()
    factors: tuple[str, ...] = ()
    branch: str | None = None


class NewLayer(_Report):
    """A layer that the original lacks; `origin` is the layer it was derived from, or None."""

    name: str
    op: str
    origin: str | None
    state: LayerState


class OperatorChange(_Report):
    """How many nodes of an operator there were and are."""

    op: str
    before: int
    after: int


class CandidateFile(_Report):
    """The exported file.

    Attributes:
        size_bytes: Of the file, as measured.
        packed_bytes: What it would take with every weight's bits packed without gaps, counted; None where its
            containers are no wider than the bits.
        bit_operations: MACs times weight bits times activation bits, where they were counted.
    """

    path: str
    sha256: str
    size_bytes: int
    params: int
    macs: int
    bit_operations: float | None = None
    packed_bytes: int | None = None


class CandidateReport(_Report):
    """A candidate with its measurements, all taken on the exported file.

    Attributes:
        prediction: What was foretold before the run, where that was asked for.
    """

    model: ModelSummary
    candidate: CandidateFile
    metric: MetricMeasurement | None = None
    baseline_metric: MetricMeasurement | None = None
    difference: PairedDifference | None = None
    latency: ModelLatency | None = None
    latency_report: LatencyReport | None = None
    layers: tuple[LayerChange, ...] = ()
    new_layers: tuple[NewLayer, ...] = ()
    operators: tuple[OperatorChange, ...] = ()
    steps: tuple[StepReport, ...] = ()
    recipe_sha256: str
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    prediction: Prediction | None = None


class SweepReport(_Report):
    """Sensitivities of one method and knob.

    Attributes:
        everything: Points of all layers together ("*"), where points are of all layers but one.
        evaluations: Graphs that were run, the original included.
    """

    method: str
    knob: str
    metric: str
    baseline: MetricMeasurement
    points: tuple[SensitivityPoint, ...]
    everything: tuple[SensitivityPoint, ...] = ()
    evaluations: int
    seconds: float
    skipped: dict[str, str] = Field(default_factory=dict)


class LayerDetail(_Report):
    """Weight statistics of one layer for the inspector: histogram counts with bin edges, and per-channel L1 norms."""

    layer: str
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    minimum: float
    maximum: float
    mean: float
    std: float
    zeros_ratio: float
    channel_l1: tuple[float, ...] = ()


class ParameterSchema(_Report):
    """A method as forms and tables need it: knobs it reads and the JSON schema of its parameters.

    Attributes:
        refused: By knob the values that it can honour on no layer, each with why.
        within_16_bits: Parameters, the best first, each of which keeps 8-bit results from saturating on the computer
            that lists it; none where they don't anyway.
    """

    id: str
    title: str
    stage: str
    summary: str = ""
    source: str = ""
    knobs: tuple[str, ...] = ()
    needs_data: bool = False
    json_schema: dict[str, Any] = Field(default_factory=dict)
    plugin: str = ""
    refused: dict[str, tuple[tuple[Setting, str], ...]] = Field(default_factory=dict)
    within_16_bits: tuple[dict[str, Any], ...] = ()


class DemoReport(_Report):
    """What the demo produced."""

    project: str
    front_png: str
    best_model: str
    candidates: tuple[CandidateReport, ...]
