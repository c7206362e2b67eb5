"""What can be asked of a worker: one frozen value per job, the same from the window and from the command line.

Paths are absolute. A job's result is the JSON of the report named in its docstring.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from workbench.domain.data_description import DataDescription
from workbench.domain.energy import EnergyCoefficients
from workbench.domain.knobs import Setting
from workbench.domain.recipe import Recipe, Step
from workbench.domain.remote_device import LOCAL, RemoteDevice
from workbench.domain.reports import Drawing
from workbench.domain.staircase import StaircaseReport
from workbench.domain.study import Study
from workbench.jobs.spec_base import MeasuringSpec, Spec
from workbench.jobs.sweep_specs import EstimateJob as EstimateJob
from workbench.jobs.sweep_specs import InteractionsJob as InteractionsJob
from workbench.jobs.sweep_specs import SweepJob as SweepJob


class InspectJob(Spec):
    """Open a model and describe it → InspectReport."""

    kind: Literal["inspect"] = "inspect"
    model: str
    drawing: bool = False
    dimensions: dict[str, int] = Field(default_factory=dict)


class LayerDetailJob(Spec):
    """Weight statistics of one layer → LayerDetail."""

    kind: Literal["layer_detail"] = "layer_detail"
    model: str
    layer: str


class DistributionJob(MeasuringSpec):
    """Count how a layer's weights, or what it reads, are spread, and what a quantizer makes of it → DistributionReport.

    The levels are those of `candidate`, or else what `step` makes of this layer alone, everything else left in float.

    Attributes:
        of: What to count.
        settings: The layer's bits by knob.
        step: A quantization; None leaves the layer in float.
        candidate: File to read the levels from.
        name: What the candidate is called.
        channel: Output channel to show alone.
        data: For activations, and for methods that need it; None without.
        samples: Calibration samples to observe.
    """

    kind: Literal["distribution"] = "distribution"
    layer: str
    of: Literal["weights", "activations"] = "weights"
    settings: dict[str, Setting] = Field(default_factory=dict)
    step: Step | None = None
    candidate: str | None = None
    name: str = ""
    channel: int | None = None
    data: DataDescription | None = None
    samples: int = Field(default=64, ge=1)
    seed: int = 0


class DrawJob(Spec):
    """Place the boxes of a graph of which blocks are closed → Drawing; for graphs too large to place in the window.

    Attributes:
        drawing: The whole graph.
        closed: Ids of its closed blocks.
    """

    kind: Literal["draw"] = "draw"
    drawing: Drawing
    closed: tuple[str, ...]


class PreviewDataJob(Spec):
    """Look at data with a model → DataPreview."""

    kind: Literal["preview_data"] = "preview_data"
    model: str | None
    data: DataDescription
    samples: int = 16
    metric_samples: int = 500


class ListArraysJob(Spec):
    """Read names, types and shapes of the arrays of an .npz or .npy file, or of a folder of .npy → ArraysReport."""

    kind: Literal["list_arrays"] = "list_arrays"
    path: str


class EvaluateJob(MeasuringSpec):
    """Metric of a model file, run on a device → MetricMeasurement."""

    kind: Literal["evaluate"] = "evaluate"
    data: DataDescription
    samples: int | Literal["all"] = "all"
    threads: int = 0
    batch: int = 100
    device: str = LOCAL


class LadderJob(MeasuringSpec):
    """Simulate a file in torch, execute it literally and as deployed, and compare → LadderReport.

    Attributes:
        original: Model that label-free metrics compare with; the file itself without it.
        samples: For the metric of each rung.
        compared_samples: For the comparison of inner values.
    """

    kind: Literal["ladder"] = "ladder"
    data: DataDescription
    original: str | None = None
    samples: int | Literal["all"] = "all"
    compared_samples: int = 64


class CompareJob(Spec):
    """Run models on the same samples, and find where they differ → ComparisonReport.

    Attributes:
        models: The original first.
        model_sha256s: Hashes that the files must still have, in the same order; () for any.
        pictures: Samples that come with a picture, for each model and verdict.
        layer_samples: For the errors of layers; 0 leaves them out.
    """

    kind: Literal["compare"] = "compare"
    models: tuple[str, ...]
    model_sha256s: tuple[str, ...] = ()
    data: DataDescription
    samples: int | Literal["all"] = "all"
    pictures: int = Field(default=36, ge=0)
    layer_samples: int = Field(default=64, ge=0)


class ProfileJob(Spec):
    """Interleaved latency of models → LatencyReport; `dimensions` are sizes of dynamic ones besides the batch."""

    kind: Literal["profile"] = "profile"
    models: tuple[str, ...]
    device: str = "local"
    threads: int = 1
    batch: int = 1
    operators: bool = True
    seconds: float = 5.0
    dimensions: dict[str, int] = Field(default_factory=dict)


class CompressJob(MeasuringSpec):
    """Run a recipe, export, measure → CandidateReport.

    Attributes:
        cache: Folder of step results by content hash, or None to keep none.
        baseline: File of the original's metric on the same samples (`methods.search.baseline`), or None to take it.
        dimensions: Sizes of dynamic dimensions besides the batch, for costs and latency.
    """

    kind: Literal["compress"] = "compress"
    recipe: Recipe
    out: str
    cache: str | None = None
    baseline: str | None = None
    threads: int = 1
    batch: int = 1
    measure_latency: bool = True
    latency_seconds: float = 4.0
    dimensions: dict[str, int] = Field(default_factory=dict)


class SearchJob(MeasuringSpec):
    """Make many candidates under objectives and budgets → SearchReport; each one also comes as a partial result.

    Attributes:
        study: With its data embedded.
        out: Folder of the study; one that was begun there goes on.
        scheduler: Address of a Dask scheduler whose workers build the candidates; None builds them here.
        staircases: What a project knows of its layers' time, beside what is kept on this machine.
    """

    kind: Literal["search"] = "search"
    study: Study
    out: str
    scheduler: str | None = None
    staircases: tuple[StaircaseReport, ...] = ()


class PreflightJob(MeasuringSpec):
    """Foretell what a recipe will take, and which precisions this device is fast at → Preflight.

    Attributes:
        recipe: Its data may be missing; nothing is trained or calibrated.
        dimensions: Sizes of dynamic dimensions besides the batch.
        remember: Whether kernel times are kept for the next time, and taken from the last.
    """

    kind: Literal["preflight"] = "preflight"
    recipe: Recipe
    threads: int = 1
    batch: int = 1
    seconds: float = 2.0
    dimensions: dict[str, int] = Field(default_factory=dict)
    remember: bool = True


class StaircaseJob(MeasuringSpec):
    """Time layers against their number of output channels → StaircaseReport.

    Each layer also comes as a partial result "staircase", a report of that layer alone.

    Attributes:
        layers: Names or globs; all without any.
        dimensions: Sizes of dynamic dimensions besides the batch.
        seconds: Measuring time for each layer that is not known yet.
        known_only: Whether nothing is measured: the report has those layers that are known.
        remember: Whether times are kept for the next time, and taken from the last.
        shared: What a project knows, perhaps from another user: what holds for the device is not measured again.
    """

    kind: Literal["staircase"] = "staircase"
    layers: tuple[str, ...] = ()
    device: str = LOCAL
    threads: int = 1
    batch: int = 1
    dimensions: dict[str, int] = Field(default_factory=dict)
    seconds: float = Field(default=1.5, gt=0)
    known_only: bool = False
    remember: bool = True
    shared: tuple[StaircaseReport, ...] = ()


class RooflineJob(MeasuringSpec):
    """Place a model's layers under the roofs of a device: arithmetic and memory → RooflineReport.

    Attributes:
        dimensions: Sizes of dynamic dimensions besides the batch.
        seconds: Measuring time for the model's latency, beside that for its operators.
        renew: Whether the device's peaks are measured anew, in place of those that were kept.
    """

    kind: Literal["roofline"] = "roofline"
    device: str = LOCAL
    threads: int = 1
    batch: int = 1
    dimensions: dict[str, int] = Field(default_factory=dict)
    seconds: float = Field(default=1.0, gt=0)
    renew: bool = False


class ThroughputJob(Spec):
    """Interleaved samples a second of models that several streams ask at once → ThroughputReport.

    Attributes:
        threads: Of each stream's own session.
        streams: Sessions that run at the same time.
    """

    kind: Literal["throughput"] = "throughput"
    models: tuple[str, ...]
    device: str = LOCAL
    threads: int = 1
    batch: int = 1
    streams: int = Field(default=1, ge=1, le=64)
    seconds: float = Field(default=5.0, gt=0)
    dimensions: dict[str, int] = Field(default_factory=dict)


class EnergyJob(Spec):
    """Energy of one inference, measured where counters can be read, and estimated in any case → EnergyReport."""

    kind: Literal["energy"] = "energy"
    models: tuple[str, ...]
    device: str = LOCAL
    threads: int = 1
    batch: int = 1
    seconds: float = Field(default=10.0, gt=0)
    dimensions: dict[str, int] = Field(default_factory=dict)
    coefficients: EnergyCoefficients = EnergyCoefficients()


class ImportJob(Spec):
    """Turn a torch.export archive or a Python factory into ONNX → ModelSummary."""

    kind: Literal["import"] = "import"
    source: str
    out: str
    trusted: bool = False


class ListMethodsJob(Spec):
    """Load all plugins → list of ParameterSchema under "methods" and load failures under "failures"."""

    kind: Literal["list_methods"] = "list_methods"


class CheckDeviceJob(Spec):
    """Find out whether a device can measure → DeviceCheck.

    Attributes:
        device: How it is reached, or the name of a known one.
    """

    kind: Literal["check_device"] = "check_device"
    device: RemoteDevice | str


class CheckPluginJob(Spec):
    """Run the compliance checks on a plugin folder → {"plugin", "checks": [{"name", "passed", "message"}]}."""

    kind: Literal["check_plugin"] = "check_plugin"
    path: str


JobSpec = Annotated[
    InspectJob
    | LayerDetailJob
    | DistributionJob
    | DrawJob
    | PreviewDataJob
    | EvaluateJob
    | LadderJob
    | CompareJob
    | ProfileJob
    | SweepJob
    | InteractionsJob
    | EstimateJob
    | CompressJob
    | SearchJob
    | PreflightJob
    | StaircaseJob
    | RooflineJob
    | ThroughputJob
    | EnergyJob
    | ImportJob
    | ListMethodsJob
    | ListArraysJob
    | CheckDeviceJob
    | CheckPluginJob,
    Field(discriminator="kind"),
]

job_spec_adapter: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)
