"""A project as it looks in the middle of real work: ResNet-20's layers, sensitivities of two knobs, six candidates.

Shapes, parameters and MACs are ResNet-20's own; metrics and times are made up for tests and never shown to users.
"""

from __future__ import annotations

import math

from workbench.domain.data_description import DataDescription, Preprocess, Split
from workbench.domain.measurements import (
    DeviceDescription,
    Latency,
    LatencyReport,
    MetricMeasurement,
    ModelLatency,
    Noise,
    PairedDifference,
    Ratio,
    SensitivityPoint,
)
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import (
    CandidateFile,
    CandidateReport,
    GroupMember,
    GroupReport,
    InspectReport,
    LayerChange,
    LayerReport,
    LayerState,
    ModelSummary,
    ParameterSchema,
    StepReport,
)
from workbench.project.state import Candidate, ModelReference, ProjectState, Sensitivities

SHA = "a" * 64
_MODEL = "/models/resnet20.onnx"
_KNOBS = ("prune_ratio", "weight_bits", "activation_bits")


def methods() -> tuple[ParameterSchema, ...]:
    """The first-party methods as the worker lists them."""
    channel = {"type": "integer", "minimum": 1, "maximum": 64, "default": 1, "title": "Channel Multiple"}
    channel["description"] = "Channel counts are rounded to a multiple of this."  # type: ignore[assignment]
    return (
        _method("prune.l1", "L1-norm channel pruning", "prune", ("prune_ratio",), {"channel_multiple": channel}),
        _method("prune.random", "Random channel pruning", "prune", ("prune_ratio",), {}),
        _method(
            "train.finetune",
            "Fine-tune",
            "train",
            (),
            {
                "epochs": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1, "title": "Epochs"},
                "learning_rate": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": 10,
                    "default": 0.02,
                    "title": "Learning Rate",
                    "description": "Peak of the cosine schedule.",
                },
                "nesterov": {"type": "boolean", "default": True, "title": "Nesterov"},
                "batch_norm": {
                    "enum": ["train", "frozen"],
                    "type": "string",
                    "default": "train",
                    "title": "Batch Norm",
                },
                "warmup_epochs": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}], "default": None},
            },
            needs_data=True,
        ),
        _method(
            "quantize.ptq",
            "Post-training quantization",
            "quantize",
            ("weight_bits", "activation_bits"),
            {
                "calibrator": {"enum": ["min_max", "percentile", "mse"], "default": "mse", "title": "Calibrator"},
                "calibration_samples": {
                    "type": "integer",
                    "minimum": 1,
                    "default": 256,
                    "title": "Calibration Samples",
                },
            },
            needs_data=True,
        ),
    )


def inspect_report() -> InspectReport:
    """ResNet-20 with padded shortcuts: all block outputs are one channel group, inner convolutions stand alone."""
    layers = [_conv("conv1", 3, 16, 32, ("conv1",), "g0")]
    for stage, (width, side) in enumerate(((16, 32), (32, 16), (64, 8)), start=1):
        for block in range(3):
            entering = width // 2 if block == 0 and stage > 1 else width
            path = (f"layer{stage}", f"layer{stage}.{block}")
            name = f"layer{stage}.{block}"
            layers.append(_conv(f"{name}.conv1", entering, width, side, (*path, f"{name}.conv1"), f"g{len(layers)}"))
            layers.append(_conv(f"{name}.conv2", width, width, side, (*path, f"{name}.conv2"), "g0"))
    layers.append(
        LayerReport(
            name="node_linear",
            op="Gemm",
            weight="linear.weight",
            weight_shape=(10, 64),
            input_shape=("N", 64),
            output_shape=("N", 10),
            params=650,
            macs=640,
            weight_bytes=2600,
            activation_bytes=296,
            arithmetic_intensity=0.22,
            knobs=_KNOBS,
            blocked='its channels are the graph output "logits"',
            path=("linear",),
        )
    )
    return InspectReport(
        model=ModelSummary(
            path=_MODEL,
            sha256=SHA,
            opset=20,
            params=sum(layer.params for layer in layers),
            macs=sum(layer.macs for layer in layers),
            size_bytes=1_153_715,
        ),
        layers=tuple(layers),
        groups=tuple(_groups(layers)),
    )


def sensitivities(report: InspectReport) -> tuple[Sensitivities, ...]:
    """Drops of weight bits and pruning that grow with harshness and shrink with depth."""
    base = MetricMeasurement(metric="top1", value=0.9175, samples=2000, ci95=(0.9046, 0.9288))
    found = []
    for method, knob, values in (
        ("quantize.ptq", "weight_bits", (8, 4, 3, 2)),
        ("prune.l1", "prune_ratio", (0.25, 0.5, 0.75)),
    ):
        points = []
        for depth, layer in enumerate(report.layers):
            if layer.blocked and knob == "prune_ratio":
                continue
            weight = math.exp(-depth / 9) * (1.6 if layer.group == "g0" else 0.7)
            for rank, value in enumerate(values):
                drop = 0.0006 * weight * 5.2**rank * (1 + 0.3 * math.sin(3.1 * depth)) - 0.0004
                half = 0.0009 + 0.08 * abs(drop)
                interval = (drop - half, drop + half)
                points.append(
                    SensitivityPoint(
                        layer=layer.name, value=value, metric=0.9175 - drop, drop=drop, ci95=interval, samples=2000
                    )
                )
        found.append(Sensitivities(method=method, knob=knob, metric="top1", baseline=base, points=tuple(points)))
    return tuple(found)


def candidate(
    number: int,
    name: str,
    top1: float,
    ratio: float,
    size_bytes: int,
    macs: int,
    steps: tuple[Step, ...],
    plan: Plan,
    *,
    quiet: bool = True,
    deleted: bool = False,
) -> Candidate:
    """Build one candidate of the ResNet-20 project with its measurements."""
    report = inspect_report()
    base = baseline()
    half = 1.96 * math.sqrt(top1 * (1 - top1) / 10_000)
    recipe = Recipe(plan=plan, steps=steps)
    original = _latency(_MODEL, 1.024, 1.0, report.model.size_bytes)
    own = _latency(f"/runs/{number}.onnx", 1.024 * ratio, ratio, size_bytes)
    bits = plan.default.get("weight_bits", 32)
    share = 1 - float(plan.default.get("prune_ratio", 0.0))
    changes = []
    for layer in report.layers:
        kept = layer.weight_shape[0] if layer.blocked else round(layer.weight_shape[0] * share)
        changes.append(
            LayerChange(
                name=layer.name,
                before=LayerState(weight_shape=layer.weight_shape, bits=32),
                after=LayerState(weight_shape=(kept, *layer.weight_shape[1:]), bits=float(bits)),
            )
        )
    return Candidate(
        id=f"c{number}",
        name=name,
        recipe=recipe,
        artifact=f"{number:064d}",
        created=f"2026-05-04T12:0{number}:00+00:00",
        deleted=deleted,
        report=CandidateReport(
            model=report.model,
            candidate=CandidateFile(
                path=f"/runs/{number}.onnx",
                sha256=f"{number:064d}",
                size_bytes=size_bytes,
                params=round(report.model.params * macs / report.model.macs),
                macs=macs,
            ),
            metric=MetricMeasurement(metric="top1", value=top1, samples=10_000, ci95=(top1 - half, top1 + half)),
            baseline_metric=base,
            difference=PairedDifference(
                value=top1 - base.value, ci95=(top1 - base.value - 0.0021, top1 - base.value + 0.0021), p_value=0.04
            ),
            latency=own,
            latency_report=LatencyReport(
                device=_DEVICE,
                models=(original, own),
                noise=Noise(
                    quiet=quiet, drift_ratio=0.01 if quiet else 0.14, reason="" if quiet else "load rose to 1.9"
                ),
            ),
            layers=tuple(changes),
            steps=tuple(StepReport(method=step.method, seconds=12.5) for step in steps),
            recipe_sha256=recipe.sha256(),
        ),
    )


def baseline() -> MetricMeasurement:
    """The original's top-1 on all test images."""
    return MetricMeasurement(metric="top1", value=0.9173, samples=10_000, ci95=(0.9117, 0.9225))


def resnet20_state(*, candidates: bool = True) -> ProjectState:
    """The whole project."""
    report = inspect_report()
    prune, tune = Step(method="prune.l1"), Step(method="train.finetune", parameters={"epochs": 3})
    quantize = Step(method="quantize.ptq")
    w8 = {"weight_bits": 8, "activation_bits": 8}
    w4 = {"weight_bits": 4, "activation_bits": 8}
    made = (
        candidate(1, "W8A8", 0.9172, 0.446, 312_000, 40_551_040, (quantize,), Plan(default=w8)),
        candidate(2, "W4A8", 0.8967, 0.447, 186_000, 40_551_040, (quantize,), Plan(default=w4)),
        candidate(3, "Half", 0.8842, 0.65, 310_000, 20_800_000, (prune, tune), Plan(default={"prune_ratio": 0.5})),
        candidate(
            4,
            "Half, W8A8",
            0.8835,
            0.404,
            96_000,
            20_800_000,
            (prune, tune, quantize),
            Plan(default={"prune_ratio": 0.5, **w8}),
            quiet=False,
        ),
        candidate(
            5,
            "Third off, W8A8",
            0.9034,
            0.389,
            158_000,
            27_900_000,
            (prune, tune, quantize),
            Plan(default={"prune_ratio": 0.3, **w8}),
        ),
        candidate(
            6,
            "Three quarters off",
            0.7914,
            0.31,
            48_000,
            9_100_000,
            (prune, tune, quantize),
            Plan(default={"prune_ratio": 0.75, **w8}),
        ),
    )
    return ProjectState(
        model=ModelReference(path=_MODEL, sha256=SHA),
        inspect=report,
        data=DataDescription(
            train=Split(reader="npz", path="train.npz", inputs="x", targets="y"),
            test=Split(reader="npz", path="test.npz", inputs="x", targets="y"),
            preprocess=Preprocess(scale=255, layout="NHWC->NCHW"),
        ),
        baseline=baseline(),
        baseline_latency=LatencyReport(
            device=_DEVICE,
            models=(_latency(_MODEL, 1.024, 1.0, report.model.size_bytes),),
            noise=Noise(quiet=True, drift_ratio=0.006),
        ),
        sensitivities=sensitivities(report),
        plan=Plan(
            default=w8,
            layers={
                "conv1": {"weight_bits": 16},
                "layer3.0.conv1": {"prune_ratio": 0.5, "weight_bits": 4},
                "layer3.1.conv1": {"prune_ratio": 0.375},
            },
        ),
        steps=(prune, tune, quantize),
        candidates=made if candidates else (),
    )


_DEVICE = DeviceDescription(
    name="local", cpu="Example CPU", threads=1, runtime="onnxruntime 1.31", provider="CPUExecutionProvider"
)


def _method(
    id: str, title: str, stage: str, knobs: tuple[str, ...], properties: dict[str, object], *, needs_data: bool = False
) -> ParameterSchema:
    return ParameterSchema(
        id=id,
        title=title,
        stage=stage,
        summary=f"{title} of the first-party plugins.",
        source="Li et al., 2017" if id == "prune.l1" else "",
        knobs=knobs,
        needs_data=needs_data,
        json_schema={"type": "object", "properties": properties},
        plugin="first-party",
    )


def _conv(name: str, entering: int, width: int, side: int, path: tuple[str, ...], group: str) -> LayerReport:
    params = entering * width * 9 + width
    return LayerReport(
        name=name,
        op="Conv",
        weight=f"{name}.weight",
        weight_shape=(width, entering, 3, 3),
        input_shape=("N", entering, side, side),
        output_shape=("N", width, side, side),
        params=params,
        macs=entering * width * 9 * side * side,
        weight_bytes=4 * params,
        activation_bytes=4 * side * side * (entering + width),
        arithmetic_intensity=entering * width * 9 * side * side / (4 * (params + side * side * (entering + width))),
        knobs=_KNOBS,
        group=group,
        path=path,
    )


def _groups(layers: list[LayerReport]) -> list[GroupReport]:
    members: dict[str, list[GroupMember]] = {}
    for index, layer in enumerate(layers):
        if layer.group:
            members.setdefault(layer.group, []).append(GroupMember(layer=layer.name, axis="out"))
            if index + 1 < len(layers):
                members[layer.group].append(GroupMember(layer=layers[index + 1].name, axis="in"))
    channels = {layer.group: layer.weight_shape[0] for layer in layers if layer.group}
    return [
        GroupReport(id=id, channels=channels[id], unit=1, layers=tuple(found), prunable=True)
        for id, found in members.items()
    ]


def _latency(path: str, median: float, ratio: float, size_bytes: int) -> ModelLatency:
    return ModelLatency(
        path=path,
        batch=1,
        latency_ms=Latency(median=median, p90=median * 1.08, ci95=(median * 0.992, median * 1.008)),
        runs=400,
        size_bytes=size_bytes,
        ratio_to_first=Ratio(median=ratio, ci95=(ratio * 0.994, ratio * 1.006)),
    )
