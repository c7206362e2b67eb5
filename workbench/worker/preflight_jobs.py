"""The job that answers "will it help here?" before a recipe runs: kernels by layer, and a stand-in of the whole."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from workbench.devices.kernel_book import KernelBook
from workbench.domain.integer_sums import saturation
from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS
from workbench.domain.measurements import LatencyReport, ModelLatency
from workbench.domain.preflight import (
    FORM_TITLES,
    INTEGER_FORMS,
    PACKED_BITS,
    KernelForm,
    KernelTime,
    LayerOutlook,
    Preflight,
)
from workbench.engines.inference_ort.kernel_rounds import LAYOUT_CHANGES
from workbench.graph.compared_values import layers_with_zero_points, saturating_layers
from workbench.graph.kernel_graphs import INTEGER_OPERATORS, KernelShape, kernel_forms, kernel_shapes
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.packed_codes import NBITS_OPERATOR
from workbench.graph.passes.drop_traces import drop_traces
from workbench.graph.storage import save_model
from workbench.graph.weights import weight_of, weight_values
from workbench.jobs.context import JobContext
from workbench.jobs.specs import PreflightJob
from workbench.methods.outline import Outline, outline
from workbench.project.places import cache_folder
from workbench.worker.device_jobs import device_named
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import loaded_methods
from workbench.worker.measuring_jobs import check_measurable, latency, runnable_model
from workbench.worker.model_jobs import onnx_file

# Two files of the same structure differ by so much at most in how they lie in memory: see the benchmark.
_STAND_IN_ERROR = 0.04
_NOTABLE_SHARE = 0.1


def foretell(spec: PreflightJob, context: JobContext) -> dict[str, Any]:
    """Foretell what a recipe will take → Preflight."""
    path = onnx_file(spec.model, context, spec.model_sha256)
    check_measurable(path, device=spec.recipe.device, batch=spec.batch, dimensions=spec.dimensions)
    graph = runnable_model(path)
    registry = loaded_methods(context)
    progress = context.progress
    progress.update(0.0, "making a stand-in")
    made = outline(
        graph,
        spec.recipe,
        registry,
        inference_engine(),
        DeferredTrainingEngine(threads=1),
        dimensions=spec.dimensions,
        cancel=context.cancel,
    )
    shapes = _shapes(made.unquantized, spec)
    # Quantizing may pad channels, up to what integer kernels compute fast.
    deployed = {name: shape for name, shape in _shapes(made.graph, spec).items() if name in shapes}
    kernels = _kernels(shapes, deployed, spec, JobContext(progress=progress.part(0.1, 0.6), cancel=context.cancel))
    changed = made.graph is not graph
    with tempfile.TemporaryDirectory(prefix="workbench-preflight-") as folder:
        stand_in = Path(folder) / "stand-in.onnx"
        save_model(drop_traces(made.graph), stand_in)
        report = latency(
            [path, stand_in] if changed else [path],
            device=spec.recipe.device,
            threads=spec.threads,
            batch=spec.batch,
            seconds=spec.seconds,
            operators=True,
            dimensions=spec.dimensions,
            context=JobContext(
                progress=progress.part(0.6, 1.0, "timing the stand-in"),
                cancel=context.cancel,
                log=context.log,
                partial=context.partial,
            ),
        )
    outlooks = tuple(_outlooks(made, shapes, kernels))
    methods = [registry.get(step.method).method for step in spec.recipe.steps if step.enabled]
    ways_out = next((method.within_16_bits for method in methods if method.within_16_bits), ())
    return _foretold(spec, made, outlooks, report, ways_out).model_dump(mode="json")


def _kernels(
    shapes: Mapping[str, KernelShape], deployed: Mapping[str, KernelShape], spec: PreflightJob, context: JobContext
) -> dict[str, tuple[KernelTime, ...]]:
    """Return the times of every layer's kernels on the recipe's device."""
    device = device_named(spec.recipe.device)
    book = KernelBook(cache_folder() / "kernels" if spec.remember else None, spec.threads, device)
    plain = book.times(shapes, progress=context.progress.part(0.0, 0.6), cancel=context.cancel)
    padded = book.times(deployed, progress=context.progress.part(0.6, 1.0), cancel=context.cancel)
    found = {}
    for name, times in plain.items():
        forms = {entry.form: entry for entry in padded.get(name, times)}
        found[name] = tuple(
            entry if entry.form == "float32" else forms[entry.form] for entry in times if entry.form in forms
        )
    return found


def _shapes(graph: ModelGraph, spec: PreflightJob) -> dict[str, KernelShape]:
    layers = {node.name: weight for node, weight in layer_nodes(graph)}
    return kernel_shapes(graph, layers, spec.batch, spec.dimensions)


def _foretold(
    spec: PreflightJob,
    made: Outline,
    outlooks: tuple[LayerOutlook, ...],
    report: LatencyReport,
    ways_out: Sequence[Mapping[str, Any]],
) -> Preflight:
    original = report.models[0].latency_ms
    predicted = ratio = quantizing = layout = None
    if len(report.models) > 1:
        stand_in = report.models[1]
        ratio = stand_in.ratio_to_first.model_copy(update={"ci95": _wider(stand_in.ratio_to_first.ci95)})
        # Not the original's time by the ratio: where the clock drifts, that comes to lie beside what was measured.
        predicted = stand_in.latency_ms.model_copy(update={"ci95": _wider(stand_in.latency_ms.ci95)})
        quantizing = _share(stand_in, frozenset({"QuantizeLinear", "DequantizeLinear"}))
        layout = _share(stand_in, LAYOUT_CHANGES)
    foretold = Preflight(
        device=report.device,
        batch=report.models[0].batch,
        original=original,
        predicted=predicted,
        ratio=ratio,
        quantizing_share=quantizing,
        layout_share=layout,
        layers=outlooks,
        left_out=made.left_out,
        noise=report.noise,
    )
    exact = device_named(spec.recipe.device).check().integer_dot_products
    saturating = saturating_layers(made.graph) if exact is False else ()
    uneven = layers_with_zero_points(made.graph)
    return foretold.model_copy(update={"warnings": tuple(_warnings(foretold, saturating, uneven, ways_out))})


def _wider(interval: tuple[float, float]) -> tuple[float, float]:
    return interval[0] * (1 - _STAND_IN_ERROR), interval[1] * (1 + _STAND_IN_ERROR)


def _share(model: ModelLatency, ops: frozenset[str]) -> float:
    return sum(entry.share for entry in model.operators if entry.op in ops)


def _outlooks(
    made: Outline, shapes: Mapping[str, KernelShape], kernels: Mapping[str, tuple[KernelTime, ...]]
) -> list[LayerOutlook]:
    found = []
    for node, weight in layer_nodes(made.unquantized):
        shape = shapes.get(node.name)
        reason = ""
        if shape is None:
            known = node.op in INTEGER_OPERATORS
            reason = "the size of what it reads is not known" if known else f"{node.op} has no integer kernel"
        size = "×".join(map(str, weight_values(made.unquantized, weight).shape))
        if shape is not None:
            size = f"{size} on {'×'.join(map(str, shape.data))}"
        times = kernels.get(node.name, ())
        timed = {entry.form for entry in times}
        refused = () if shape is None else tuple(form for form in kernel_forms(shape) if form not in timed)
        found.append(
            LayerOutlook(
                layer=node.name,
                op=node.op,
                size=size,
                weight_bits=int(made.settings.number(node.name, WEIGHT_BITS)),
                activation_bits=int(made.settings.number(node.name, ACTIVATION_BITS)),
                form=_form(made.graph, node.name),
                kernels=times,
                refused=refused,
                reason=reason,
            )
        )
    return found


def _form(graph: ModelGraph, layer: str) -> KernelForm:
    """Return how a layer of the stand-in computes: in integers if its weight and what it reads are such."""
    nodes = {node.name: node for node in graph.nodes}
    node = nodes.get(layer)
    weight = None if node is None else weight_of(graph, node)
    if node is not None and node.op == NBITS_OPERATOR:
        return "packed4" if int(node.attribute("bits", 4)) <= 4 else "packed8"
    if node is None or weight is None or not weight.quantized or node.op not in INTEGER_OPERATORS:
        return "float32"
    for value in node.inputs[:2]:
        producer = graph.producer(value)
        if producer is not None and producer.op == "DequantizeLinear" and producer not in weight.through:
            dtype = graph.value(producer.inputs[0]).dtype
            return "int8" if dtype == "int8" else "uint8" if dtype == "uint8" else "float32"
    return "float32"


def _warnings(
    foretold: Preflight,
    saturating: tuple[str, ...],
    uneven: tuple[str, ...],
    ways_out: Sequence[Mapping[str, Any]],
) -> list[str]:
    found = []
    slow = [entry for entry in foretold.layers if entry.slower and entry.form != "float32"]
    integers = [entry for entry in foretold.layers if entry.form in INTEGER_FORMS]
    signed = [entry for entry in slow if entry.form == "int8"]
    if signed:
        worst = max(signed, key=lambda entry: entry.ratio("int8") or 0.0)
        plain, other = worst.ratio("int8") or 0.0, worst.ratio("uint8") or 0.0
        found.append(
            f"Signed activations are slow on this processor: {len(signed)} of {len(integers)} integer layers take "
            f"longer than in float ({worst.layer}: {plain:.2g} times; {other:.2g} times with unsigned activations). "
            "Set activation_type to uint8."
        )
    packed = [entry for entry in slow if entry.form in PACKED_BITS]
    if packed:
        names = ", ".join(entry.layer for entry in packed[:3])
        found.append(f"{len(packed)} layers with packed weights are slower here than in float: {names}.")
    unsigned = [entry for entry in slow if entry.form == "uint8"]
    if unsigned:
        names = ", ".join(entry.layer for entry in unsigned[:3])
        found.append(
            f"{len(unsigned)} of {len(integers)} integer layers are by themselves slower than in float here: {names}. "
            "Between other integer layers they may still pay, because nothing is converted."
        )
    if saturating:
        found.append(saturation(saturating, ways_out))
    for form in get_args(KernelForm):
        missing = [entry.layer for entry in foretold.layers if form in entry.refused]
        if missing:
            found.append(
                f"The runtime of this device has no kernel for {FORM_TITLES[form]}: {len(missing)} layer(s) can't be "
                f"computed so ({', '.join(missing[:3])})."
            )
    if uneven:
        found.append(
            f"The weights of {len(uneven)} layer(s) have zero points ({', '.join(uneven[:3])}), which costs the "
            "runtime's fastest kernels: the prediction has that, the layers' own times are of weights without."
        )
    if foretold.ratio is not None and foretold.ratio.ci95[0] > 1.0:
        found.append(f"The plan makes the model slower here: {foretold.ratio.median:.2f} times the original's time.")
    if foretold.quantizing_share is not None and foretold.quantizing_share > _NOTABLE_SHARE:
        found.append(
            f"{foretold.quantizing_share:.0%} of the time goes into quantizers between float and integer layers; "
            "quantize the layers between them too, or leave small islands in float."
        )
    if foretold.left_out:
        found.append(f"The prediction lacks {len(foretold.left_out)} step(s): {'; '.join(foretold.left_out)}.")
    if not foretold.noise.quiet:
        found.append(f"The machine was not quiet: {foretold.noise.reason}.")
    return found
