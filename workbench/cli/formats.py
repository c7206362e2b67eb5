"""Reports as text for people; scripts read the JSON instead."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.cli.console import format_seconds, table
from workbench.domain.ladder import IDENTICAL_DB, Agreement, LadderReport
from workbench.domain.measurements import LatencyReport, MetricMeasurement, is_share
from workbench.domain.operator_kinds import KIND_TITLES, kind_shares, operator_kind
from workbench.domain.preflight import PACKED_BITS, KernelForm, LayerOutlook, Preflight
from workbench.domain.reports import CandidateReport, InspectReport
from workbench.domain.trades import Trades, setting_text, trade_text, trades_of

_FORM_HEADS: dict[KernelForm, str] = {
    "float32": "float us",
    "uint8": "unsigned us",
    "int8": "signed us",
    "packed8": "packed 8 us",
    "packed4": "packed 4 us",
}


def count(number: float) -> str:
    """Return a count with the usual suffix: 4.6 k, 1.2 M, 3.1 G."""
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= limit:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:g}"


def size(number: float) -> str:
    """Return bytes in decimal units."""
    return f"{count(number)}B" if number >= 1000 else f"{number:g} B"


def shape(dimensions: Sequence[int | str] | None) -> str:
    """Return a shape as 1×3×32×32."""
    return "?" if dimensions is None else "×".join(str(dimension) for dimension in dimensions)


def metric(measurement: MetricMeasurement) -> str:
    """Return a metric with its interval, shares in per cent."""
    low, high = measurement.ci95
    if is_share(measurement.metric):
        return f"{measurement.value:.2%} (95 % {low:.2%} to {high:.2%}, {measurement.samples:,} samples)"
    return f"{measurement.value:.5g} (95 % {low:.5g} to {high:.5g}, {measurement.samples:,} samples)"


def inspect(report: InspectReport) -> str:
    """Return the layer table of a model."""
    model = report.model
    blocked = {group.id: group.reason for group in report.groups if not group.prunable}
    rows = [
        [
            layer.name,
            layer.op,
            shape(layer.weight_shape),
            shape(layer.output_shape),
            count(layer.params),
            count(layer.macs),
            layer.group or "-",
            layer.blocked or blocked.get(layer.group or "") or "",
        ]
        for layer in report.layers
    ]
    lines = [
        f"{model.path}: opset {model.opset}, {count(model.params)} parameters, {count(model.macs)} MACs, "
        f"{size(model.size_bytes)}, sha256 {model.sha256[:12]}",
        table(
            ["layer", "op", "weight", "output", "params", "MACs", "group", "not prunable because"], rows, right=(4, 5)
        ),
        f"{len(report.layers)} layers, {len(report.groups)} channel groups, "
        f"{sum(group.prunable for group in report.groups)} of them prunable",
    ]
    if report.uncounted_ops:
        lines.append("MACs not counted for: " + ", ".join(report.uncounted_ops))
    lines.extend(f"note: {note}" for note in report.notes)
    return "\n".join(lines)


def latency(report: LatencyReport, *, operators: int = 12) -> str:
    """Return latencies beside each other and the slowest operators of each model."""
    device = report.device
    rows = [
        [
            model.path,
            f"{model.latency_ms.median:.3f}",
            f"{model.latency_ms.ci95[0]:.3f} to {model.latency_ms.ci95[1]:.3f}",
            f"{model.latency_ms.p90:.3f}",
            "" if model.latency_ms.p99 is None else f"{model.latency_ms.p99:.3f}",
            f"{model.ratio_to_first.median:.3f}",
            f"{model.ratio_to_first.ci95[0]:.3f} to {model.ratio_to_first.ci95[1]:.3f}",
            size(model.size_bytes),
            *(
                "-" if used is None else size(used)
                for used in (model.peak_memory_bytes, model.inference_memory_bytes, model.arena_bytes)
            ),
            str(model.runs),
        ]
        for model in report.models
    ]
    times = ["median ms", "95 %", "p90 ms", "p99 ms", "ratio", "95 %"]
    lines = [
        f"{device.name}: {device.cpu}, {device.threads} thread(s), {device.runtime}, batch {report.models[0].batch}",
        table(["model", *times, "size", "peak", "inference", "arena", "runs"], rows, right=range(1, 12)),
    ]
    if report.models[0].peak_memory_bytes is not None:
        lines.append(
            "Memory: peak of loading and running, what running adds to what is resident after loading, and the "
            "runtime's arena, which holds activations."
        )
    if not report.noise.quiet:
        lines.append(
            f"The machine was not quiet: {report.noise.reason.rstrip('.')}. Treat small differences with care."
        )
    for model in report.models:
        if model.operators:
            slowest = sorted(model.operators, key=lambda entry: -entry.median_ms)[:operators]
            lines.append(f"\n{model.path}, slowest operators:")
            lines.append(
                table(
                    ["node", "op", "kernel", "layer", "ms", "share"],
                    [
                        [o.node, o.op, operator_kind(o.op), o.layer or "-", f"{o.median_ms:.4f}", f"{o.share:.1%}"]
                        for o in slowest
                    ],
                    right=(4, 5),
                )
            )
            shares = kind_shares(model.operators)
            lines.append("All of its time: " + ", ".join(f"{KIND_TITLES[kind]} {s:.0%}" for kind, s in shares.items()))
    return "\n".join(lines)


def ladder(report: LadderReport) -> str:
    """Return the rungs, and how well each reproduces the one before, value by value."""
    rungs = [
        [rung.title, rung.reason if rung.metric is None else f"{rung.metric.metric} {metric(rung.metric)}"]
        for rung in report.rungs
    ]
    rows = [
        [value.node, value.op, *_agreement(value.literal), *_agreement(value.deployed), "steps" if value.steps else ""]
        for value in report.values
    ]
    lines = [
        table(["execution", "metric"], rungs),
        f"\nAgreement on {report.compared_samples} samples (signal to difference; largest difference):",
        table(["node", "operator", "torch: dB", "largest", "as deployed: dB", "largest", ""], rows, right=(2, 3, 4, 5)),
        report.verdict,
    ]
    lines.extend(f"note: {note}" for note in report.notes)
    return "\n".join(lines)


def _agreement(agreement: Agreement | None) -> tuple[str, str]:
    if agreement is None:
        return "-", "-"
    if agreement.sqnr_db == IDENTICAL_DB:
        return "identical", "0"
    return f"{agreement.sqnr_db:.1f}", f"{agreement.max_error:.3g}"


def preflight(report: Preflight) -> str:
    """Return what is foretold of the whole, the warnings, and the kernels of every layer."""
    device = report.device
    lines = [f"{device.cpu}, {device.threads} thread(s), {device.runtime}, batch {report.batch}"]
    original = f"original {report.original.median:.3f} ms"
    if report.predicted is None or report.ratio is None:
        lines.append(f"{original}; no step changes the graph, so that there is nothing to foretell")
    else:
        low, high = report.ratio.ci95
        lines.append(
            f"predicted {report.predicted.median:.3f} ms, {report.ratio.median:.3f} of the original's time "
            f"({low:.3f} to {high:.3f}); {original}"
        )
    if report.quantizing_share is not None and report.layout_share is not None:
        lines.append(
            f"{report.quantizing_share:.1%} of it in quantizers that nothing fused, {report.layout_share:.1%} in "
            "changes of layout"
        )
    lines.extend(f"warning: {text}" for text in report.warnings)
    timed = {time.form for entry in report.layers for time in entry.kernels}
    forms = {form: head for form, head in _FORM_HEADS.items() if form in timed or form not in PACKED_BITS}
    rows = [
        [
            entry.layer,
            entry.op,
            entry.size,
            f"W{entry.weight_bits} A{entry.activation_bits}",
            *(_kernel(entry, form) for form in forms),
            "slower" if entry.slower else entry.reason,
        ]
        for entry in report.layers
    ]
    heads = ["layer", "operator", "weight", "plan", *forms.values(), ""]
    return "\n".join([*lines, table(heads, rows, right=tuple(range(4, 4 + len(forms))))])


def _kernel(entry: LayerOutlook, form: KernelForm) -> str:
    time = entry.time(form)
    if time is None:
        return ""
    mark = "*" if entry.form == form else " "
    return f"{time.microseconds:.1f}{mark}"


def candidate(report: CandidateReport) -> str:
    """Return a candidate's measurements and steps."""
    file, model = report.candidate, report.model
    lines = [
        f"{file.path}: {size(file.size_bytes)} (original {size(model.size_bytes)}), {count(file.params)} parameters "
        f"(of {count(model.params)}), {count(file.macs)} MACs (of {count(model.macs)})"
    ]
    if file.packed_bytes is not None:
        lines.append(
            f"packed: {size(file.packed_bytes)}, counted: the file with every weight in as many bits as it was "
            "quantized to"
        )
    if report.metric is not None:
        lines.append(f"{report.metric.metric}: {metric(report.metric)}")
    if report.baseline_metric is not None:
        lines.append(f"original: {metric(report.baseline_metric)}")
    if report.difference is not None:
        low, high = report.difference.ci95
        lines.append(f"difference: {report.difference.value:+.4f} (95 % {low:+.4f} to {high:+.4f})")
    if report.latency is not None and report.latency_report is not None:
        ratio = report.latency.ratio_to_first
        lines.append(
            f"latency: {report.latency.latency_ms.median:.3f} ms, {ratio.median:.3f} of the original "
            f"(95 % {ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f}; {report.latency_report.device.threads} thread(s), "
            f"batch {report.latency.batch})"
        )
        if report.prediction is not None:
            low, high = report.prediction.ratio.ci95
            lines.append(f"predicted: {report.prediction.ratio.median:.3f} of the original ({low:.3f} to {high:.3f})")
        if not report.latency_report.noise.quiet:
            lines.append(f"the machine was not quiet: {report.latency_report.noise.reason}")
    for number, step in enumerate(report.steps, 1):
        cached = ", from cache" if step.cached else ""
        lines.append(f"step {number} {step.method}: {format_seconds(step.seconds)}{cached}")
        lines.extend(f"    {note}" for note in step.notes)
        traded = trades_of(step.details)
        if traded is not None:
            original_ms = None if report.latency_report is None else report.latency_report.models[0].latency_ms.median
            lines.extend(f"    {line}" for line in trades(traded, original_ms).splitlines())
    lines.extend(f"warning: {warning}" for warning in report.warnings)
    lines.append(f"recipe sha256 {report.recipe_sha256[:12]}, file sha256 {file.sha256[:12]}")
    return "\n".join(lines)


def trades(found: Trades, original_ms: float | None = None) -> str:
    """Return what each layer got, and what one step more or less would change."""
    rows = [
        [
            layer,
            setting_text(entry.bits),
            f"{entry.loss:.2g}",
            trade_text(entry.dearer, found.units, original_ms),
            trade_text(entry.cheaper, found.units, original_ms),
        ]
        for layer, entry in found.layers.items()
    ]
    head = ["layer", "chosen", "loss", "one step dearer", "one step cheaper"]
    return f"{table(head, rows, right=[2])}\nloss: {found.units.loss}"


def candidates(reports: Sequence[tuple[str, CandidateReport]]) -> str:
    """Return a table of candidates by name, the original first."""
    rows = []
    first = reports[0][1]
    if first.baseline_metric is not None and first.latency_report is not None:
        original = first.latency_report.models[0]
        rows.append(
            [
                "original",
                _short(first.baseline_metric),
                "",
                f"{original.latency_ms.median:.3f}",
                "1.000",
                size(first.model.size_bytes),
                count(first.model.macs),
            ]
        )
    for name, report in reports:
        difference = report.difference
        drop = ""
        if difference is not None:
            half = (difference.ci95[1] - difference.ci95[0]) / 2
            drop = f"{100 * difference.value:+.2f} ±{100 * half:.2f}"
        rows.append(
            [
                name,
                "" if report.metric is None else _short(report.metric),
                drop,
                "" if report.latency is None else f"{report.latency.latency_ms.median:.3f}",
                "" if report.latency is None else f"{report.latency.ratio_to_first.median:.3f}",
                size(report.candidate.size_bytes),
                count(report.candidate.macs),
            ]
        )
    label = "metric" if first.metric is None else first.metric.metric
    return table(["candidate", label, "change", "ms", "ratio", "size", "MACs"], rows, right=range(1, 7))


def _short(measurement: MetricMeasurement) -> str:
    half = (measurement.ci95[1] - measurement.ci95[0]) / 2
    if is_share(measurement.metric):
        return f"{100 * measurement.value:.2f} % ±{100 * half:.2f}"
    return f"{measurement.value:.4g} ±{half:.2g}"
