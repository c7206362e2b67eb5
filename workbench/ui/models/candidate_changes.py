"""What a candidate changed, for one layer and for the whole model, in the inspector's words."""

from __future__ import annotations

from workbench.project.state import Candidate
from workbench.ui.models import numbers
from workbench.ui.models.facts import Fact, exact, moved
from workbench.ui.models.memory_facts import memory_facts


def layer_changes(candidate: Candidate | None, layer: str) -> tuple[Fact, ...]:
    """Return what a candidate did to a layer; () where it says nothing of it."""
    if candidate is None:
        return ()
    change = next((change for change in candidate.report.layers if change.name == layer), None)
    if change is None:
        return ()
    if change.after is None:
        if change.branch is not None:
            return (Fact("Layer", "left out", f"With its branch, up to {change.branch}"),)
        return (Fact("Layer", "gone", "The candidate has no such layer any more"),)
    before, after = change.before, change.after
    facts = [Fact("Weight", moved(numbers.shape_text(before.weight_shape), numbers.shape_text(after.weight_shape)))]
    if change.removed_channels:
        stay = change.channels - len(change.removed_channels)
        gone = f"Removed channels: {numbers.ranges_text(change.removed_channels)}"
        facts.append(Fact("Channels", f"{stay} of {change.channels} stay", gone))
    if change.factors:
        tip = "New layers that do its work together with the one that kept its name"
        facts.append(Fact("Factors", ", ".join((*change.factors, layer)), tip))
    facts.append(Fact("Weight bits", moved(f"{before.bits:g}", f"{after.bits:g}")))
    facts.append(Fact("Activation bits", moved(f"{before.activation_bits:g}", f"{after.activation_bits:g}")))
    latency = candidate.report.latency
    times = [] if latency is None else [time for time in latency.operators if time.layer == layer]
    if times:
        total = sum(time.median_ms for time in times)
        tip = "Operators in the exported file: " + ", ".join(time.op for time in times)
        facts.append(Fact("Latency", f"{total:.3g}\N{NO-BREAK SPACE}ms", tip))
    return tuple(facts)


def candidate_facts(candidate: Candidate | None) -> tuple[Fact, ...]:
    """Return what was measured on a candidate, beside the original."""
    if candidate is None:
        return ()
    report = candidate.report
    facts = []
    if report.metric is not None:
        title = numbers.metric_title(report.metric.metric)
        tip = f"On {numbers.plural(report.metric.samples, 'test sample')}, 95 % interval"
        facts.append(Fact(title, numbers.metric_text(report.metric), tip))
        if report.difference is not None:
            text = numbers.difference_text(report.difference, report.metric.metric)
            facts.append(Fact("Difference", text, "Candidate minus original on the same samples, 95 % interval"))
    if report.latency is not None:
        facts.append(Fact("Latency", numbers.latency_text(report.latency.latency_ms)))
        facts.append(
            Fact("Time ratio", numbers.ratio_text(report.latency.ratio_to_first), "Candidate to original, interleaved")
        )
        facts.extend(memory_facts(report.latency))
    model, file = report.model, report.candidate
    size = moved(numbers.size_text(model.size_bytes), numbers.size_text(file.size_bytes))
    facts.append(Fact("Size", size, exact(file.size_bytes, "bytes")))
    if file.packed_bytes is not None:
        tip = "Counted: the file with every weight in as many bits as it was quantized to"
        facts.append(Fact("Packed size", numbers.size_text(file.packed_bytes), tip))
    for title, before, after in (("Params", model.params, file.params), ("MACs", model.macs, file.macs)):
        text = moved(numbers.count_text(before), numbers.count_text(after))
        facts.append(Fact(title, text, exact(after, "in the exported file")))
    return tuple(facts)
