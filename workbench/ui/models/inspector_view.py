"""What the inspector says about the selection, as one frozen snapshot resolved from the document without Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from workbench.domain.knobs import PRUNE_RATIO, Knob, Setting
from workbench.domain.operator_kinds import KIND_TITLES, operator_kind
from workbench.domain.reports import InspectReport, LayerReport, ParameterSchema, TensorReport
from workbench.project.staircases import paying_counts
from workbench.project.state import Candidate, ProjectState
from workbench.ui import colors
from workbench.ui.models import numbers
from workbench.ui.models.candidate_changes import candidate_facts, layer_changes
from workbench.ui.models.channel_counts import ChannelCounts, channel_counts, multiple_of
from workbench.ui.models.device_words import device_words
from workbench.ui.models.facts import Fact, exact, with_share
from workbench.ui.models.importance import Importance, layer_importance, says_importance
from workbench.ui.models.layer_geometry import geometry_facts
from workbench.ui.models.layer_table import LayerRow, LayerTable
from workbench.ui.models.layer_ties import BranchView, GroupView, Limit, Member, branch_view, group_view, limits
from workbench.ui.models.measured_choices import NONE_MEASURED, MeasuredChoice
from workbench.ui.models.memory_facts import memory_facts
from workbench.ui.models.result_plan import result_plans, take_over_title
from workbench.ui.models.setting_choices import refused_by_all

Kind = Literal["none", "model", "layer", "layers", "node"]


@dataclass(frozen=True)
class KnobView:
    """One setting of the selection.

    Attributes:
        value: In force on all layers it can be turned on; None where they differ.
        own: Whether a line of the plan gives it to at least one of them.
        reason: Why it can't be turned on any of them; None when it can.
        note: What an edit reaches beyond the selection, or leaves out of it.
        counts: The channels that a share of them is taken of, where one layer is selected.
        refused: Choices that can't be done on any of the layers, each with why.
        measured: Choices whose time on the device is known, where one layer is selected.
    """

    knob: Knob
    value: Setting | None
    own: bool
    reason: str | None = None
    note: str = ""
    counts: ChannelCounts | None = None
    refused: Mapping[Setting, str] = field(default_factory=dict)
    measured: Mapping[Setting, MeasuredChoice] = field(default_factory=dict)


@dataclass(frozen=True)
class Inspection:
    """Everything the inspector shows.

    Attributes:
        heading, subtitle: What is selected.
        name: What "Copy name" copies.
        current: The layer whose plots are shown, or None.
        layers: All selected layers, which an edit changes.
        chosen: The selected layers as links, where there are several.
        branch: The branch that can be left out with the layer.
        blocked: Why the layer's channels can't be pruned.
        limits: What can't be done with the layer, and why, in sentences that name the node.
        neighbours: Sections of nodes before and after a selected node.
        changes: What the selected candidate did, under the title `candidate`.
        importance: What the candidate's pruning found of the layer's channels, step by step.
        ranked: Whether it ranked channels at all, of this layer or of others.
        take_over: What the act is called that puts the candidate's results into the plan; "" where it has none.
    """

    kind: Kind = "none"
    heading: str = ""
    subtitle: str = ""
    name: str = ""
    current: str | None = None
    layers: tuple[str, ...] = ()
    chosen: tuple[Member, ...] = ()
    facts: tuple[Fact, ...] = ()
    group: GroupView | None = None
    branch: BranchView | None = None
    blocked: str | None = None
    limits: tuple[Limit, ...] = ()
    knobs: tuple[KnobView, ...] = ()
    neighbours: tuple[tuple[str, tuple[Member, ...]], ...] = ()
    candidate: str = ""
    changes: tuple[Fact, ...] = ()
    importance: tuple[Importance, ...] = ()
    ranked: bool = False
    take_over: str = ""


def resolve_inspection(
    state: ProjectState,
    table: LayerTable,
    selected: Sequence[str],
    candidate: Candidate | None = None,
    methods: Iterable[ParameterSchema] = (),
) -> Inspection:
    """Return the snapshot.

    Args:
        state: The document's value.
        table: The same document as the layer table shows it; settings and labels are taken from there.
        selected: Names of layers or other nodes, the current one last; names that the model lacks are left out.
        candidate: The selected candidate.
        methods: The known methods, whose defaults say how channel counts are rounded.
    """
    report = state.inspect
    if report is None:
        return Inspection()
    layers = {layer.name: layer for layer in report.layers}
    chosen = [name for name in selected if name in layers]
    if len(chosen) == 1 and len(selected) == 1:
        return _layer(state, report, layers[chosen[0]], table, candidate, methods)
    if chosen:
        return _layers(state, report, chosen, table, candidate)
    if selected and (node := _node(state, report, selected[-1])) is not None:
        return node
    return _model(state, report, candidate)


def as_text(inspection: Inspection) -> str:
    """Return all values as tab-separated lines, as "Copy values" puts them on the clipboard."""
    lines = [f"{inspection.name or inspection.heading}\t{inspection.subtitle}".rstrip()]
    lines.extend(f"{fact.title}\t{fact.value}" for fact in inspection.facts)
    if inspection.group is not None:
        lines.append(f"Channel group\t{inspection.group.id}")
        lines.extend(f"Member\t{member.name}\t{member.note}" for member in inspection.group.members)
    if inspection.branch is not None:
        lines.append(f"Branch\t{inspection.branch.id}")
        lines.extend(f"Branch layer\t{member.name}" for member in inspection.branch.members)
    if inspection.blocked:
        lines.append(f"Can't be pruned\t{inspection.blocked}")
    lines.extend(limit.text.replace(": ", "\t", 1) for limit in inspection.limits if not limit.channels)
    for view in inspection.knobs:
        if view.reason is None:
            value = "several values" if view.value is None else numbers.setting_text(view.value, view.knob.unit)
            lines.append(f"{view.knob.title}\t{value}")
    lines.extend(f"{inspection.candidate}: {fact.title}\t{fact.value}" for fact in inspection.changes)
    return "\n".join(lines) + "\n"


# --- the kinds of selection -------------------------------------------------------------------------------------------


def _layer(
    state: ProjectState,
    report: InspectReport,
    layer: LayerReport,
    table: LayerTable,
    candidate: Candidate | None,
    methods: Iterable[ParameterSchema],
) -> Inspection:
    labels = {row.name: row.label for row in table.rows}
    geometry = geometry_facts(layer)
    facts = [Fact("Weight", numbers.shape_text(layer.weight_shape), f"{layer.weight}, as it is stored")]
    if geometry.window:
        facts.append(Fact("Kernel", geometry.window, geometry.tip))
    facts += [
        Fact("Input", numbers.shape_text(layer.input_shape), "Shape of the input"),
        Fact("Output", numbers.shape_text(layer.output_shape), "Shape of the output"),
        Fact("Params", with_share(layer.params, report.model.params), exact(layer.params, "parameters")),
        Fact("MACs", with_share(layer.macs, report.model.macs), exact(layer.macs, "multiply-accumulates, one sample")),
        Fact("Weight bytes", numbers.size_text(layer.weight_bytes), exact(layer.weight_bytes, "bytes in the file")),
    ]
    if layer.activation_bytes is not None:
        tip = exact(layer.activation_bytes, "bytes of input and output, one sample")
        facts.append(Fact("Activation bytes", numbers.size_text(layer.activation_bytes), tip))
    if layer.arithmetic_intensity is not None:
        facts.append(
            Fact(
                "Intensity",
                f"{layer.arithmetic_intensity:.3g}\N{NO-BREAK SPACE}MACs/B",
                "Arithmetic intensity: multiply-accumulates per byte of weights and activations moved. "
                "Low values are bound by memory, where fewer bits help more than fewer MACs.",
            )
        )
    facts.extend(_operator_time(state, layer.name))
    if len(layer.path) > 1:
        facts.append(Fact("Module", " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(layer.path)))
    reads = [group.id for group in report.groups if any(m.layer == layer.name and m.axis == "in" for m in group.layers)]
    if reads:
        facts.append(Fact("Reads group", ", ".join(reads), "The channel group that its input channels belong to"))
    return Inspection(
        kind="layer",
        heading=labels.get(layer.name, layer.name),
        subtitle=_summary(layer, geometry.summary),
        name=layer.name,
        current=layer.name,
        layers=(layer.name,),
        facts=tuple(facts),
        group=group_view(report, layer, labels),
        branch=branch_view(report, layer, labels),
        blocked=layer.blocked,
        limits=limits(report, layer, table.knobs),
        knobs=_knobs(state, table, (layer.name,), _counts(state, report, table, layer.name, methods)),
        candidate=candidate.name if candidate is not None else "",
        changes=layer_changes(candidate, layer.name),
        importance=layer_importance(candidate, report, layer.name),
        ranked=says_importance(candidate),
        take_over=_take_over(candidate),
    )


def _layers(
    state: ProjectState,
    report: InspectReport,
    chosen: Sequence[str],
    table: LayerTable,
    candidate: Candidate | None,
) -> Inspection:
    rows = {row.name: row for row in table.rows}
    members = [layer for layer in report.layers if layer.name in set(chosen)]
    params, macs = sum(layer.params for layer in members), sum(layer.macs for layer in members)
    size = sum(layer.weight_bytes for layer in members)
    return Inspection(
        kind="layers",
        heading=numbers.plural(len(chosen), "layer"),
        subtitle=f"plots show {rows[chosen[-1]].label}",
        name="\n".join(chosen),
        current=chosen[-1],
        layers=tuple(chosen),
        chosen=tuple(Member(name, rows[name].label, rows[name].op) for name in chosen),
        facts=(
            Fact("Params", with_share(params, report.model.params), exact(params, "parameters")),
            Fact("MACs", with_share(macs, report.model.macs), exact(macs, "multiply-accumulates, one sample")),
            Fact("Weight bytes", numbers.size_text(size), exact(size, "bytes in the file")),
        ),
        knobs=_knobs(state, table, tuple(chosen)),
        candidate="" if candidate is None else candidate.name,
        importance=layer_importance(candidate, report, chosen[-1]),
        ranked=says_importance(candidate),
        take_over=_take_over(candidate),
    )


def _node(state: ProjectState, report: InspectReport, name: str) -> Inspection | None:
    drawn = {} if report.drawing is None else {node.id: node for node in report.drawing.nodes}
    cost = next((cost for cost in report.costs if cost.name == name), None)
    node = drawn.get(name)
    if node is None and cost is None:
        return None
    op = node.op if node is not None else cost.op if cost is not None else ""
    facts: list[Fact] = []
    for prefix, tensors, title in (("input:", report.inputs, "Input"), ("output:", report.outputs, "Output")):
        if name.startswith(prefix):
            tensor = next((tensor for tensor in tensors if tensor.name == name.removeprefix(prefix)), None)
            facts.append(Fact(title, op if tensor is None else _tensor_text(tensor)))
            op = f"Graph {title.lower()}"
    if node is not None and node.family in colors.FAMILIES:
        facts.append(
            Fact("Family", colors.FAMILIES[node.family][1], "The operator family that colours it in the graph")
        )
    if cost is not None:
        unknown = "MACs of this operator are not known and count as zero" if not cost.counted else ""
        macs = with_share(cost.macs, report.model.macs) if cost.counted else "unknown"
        facts.append(Fact("MACs", macs, unknown or exact(cost.macs, "multiply-accumulates, one sample")))
        facts.append(Fact("Params", numbers.count_text(cost.params), exact(cost.params, "parameters")))
    facts.extend(_operator_time(state, name))
    edges = () if report.drawing is None else report.drawing.edges
    before = dict.fromkeys(edge.source for edge in edges if edge.target == name)
    after = dict.fromkeys(edge.target for edge in edges if edge.source == name)
    sections = (("Takes from", before), ("Gives to", after))
    return Inspection(
        kind="node",
        heading=name.partition(":")[2] if op.startswith("Graph ") else name,
        subtitle=op,
        name=name,
        facts=tuple(facts),
        neighbours=tuple(
            (title, tuple(Member(id, id, drawn[id].op if id in drawn else "") for id in ids))
            for title, ids in sections
            if ids
        ),
    )


def _model(state: ProjectState, report: InspectReport, candidate: Candidate | None) -> Inspection:
    model = report.model
    prunable = sum(1 for layer in report.layers if layer.group and not layer.blocked)
    facts = [
        Fact("Layers", f"{len(report.layers)}, {prunable} prunable", "Nodes with weights that can be compressed"),
        Fact("Params", numbers.count_text(model.params), exact(model.params, "parameters")),
        Fact("MACs", numbers.count_text(model.macs), exact(model.macs, "multiply-accumulates, one sample")),
        Fact("Size", numbers.size_text(model.size_bytes), exact(model.size_bytes, "bytes, with external data")),
        Fact("Opset", str(model.opset), "Version of the ONNX operator set"),
    ]
    facts.extend(Fact("Input", _tensor_text(tensor)) for tensor in report.inputs)
    facts.extend(Fact("Output", _tensor_text(tensor)) for tensor in report.outputs)
    if report.uncounted_ops:
        names = ", ".join(report.uncounted_ops)
        facts.append(Fact("Not counted", names, f"Operators whose MACs are unknown and count as zero: {names}"))
    if state.baseline is not None:
        tip = f"On {numbers.plural(state.baseline.samples, 'test sample')}, 95 % interval"
        facts.append(Fact(numbers.metric_title(state.baseline.metric), numbers.metric_text(state.baseline), tip))
    if state.baseline_latency is not None:
        device = state.baseline_latency.device
        first = state.baseline_latency.models[0]
        how = f"batch {first.batch}, {numbers.plural(device.threads, 'thread')}, {device.cpu}, {device.runtime}"
        tip = f"Median of {first.runs} runs, {how}, 95 % interval"
        facts.append(Fact("Latency", numbers.latency_text(first.latency_ms) + device_words(device.name), tip))
        facts.extend(memory_facts(first))
    return Inspection(
        kind="model",
        heading=Path(model.path).name,
        subtitle="the whole model",
        name=model.path,
        facts=tuple(facts),
        candidate="" if candidate is None else candidate.name,
        changes=candidate_facts(candidate),
        take_over=_take_over(candidate),
    )


# --- parts ------------------------------------------------------------------------------------------------------------


def _take_over(candidate: Candidate | None) -> str:
    results = result_plans(candidate)
    return take_over_title(results) if results else ""


def _summary(layer: LayerReport, geometry: str) -> str:
    return f"{layer.op} {geometry}".rstrip() + f"  {numbers.count_text(layer.macs, 'MACs')}"


def _counts(
    state: ProjectState, report: InspectReport, table: LayerTable, layer: str, methods: Iterable[ParameterSchema]
) -> ChannelCounts | None:
    row = next((row for row in table.rows if row.name == layer), None)
    settings = {} if row is None else {k.name: cell.value for k, cell in zip(table.knobs, row.knobs, strict=True)}
    return channel_counts(report, layer, multiple_of(state, methods), paying_counts(state, layer, settings))


def _knobs(
    state: ProjectState, table: LayerTable, names: tuple[str, ...], counts: ChannelCounts | None = None
) -> tuple[KnobView, ...]:
    rows: list[LayerRow] = [row for row in table.rows if row.name in set(names)]
    views = []
    for place, knob in enumerate(table.knobs):
        cells = [row.knobs[place] for row in rows]
        able = [cell for cell in cells if cell.reason is None]
        if not able:
            views.append(KnobView(knob, None, False, cells[0].reason if cells else None))
            continue
        values = {cell.value for cell in able}
        notes = []
        if len(able) < len(cells):
            notes.append(f"Reaches {len(able)} of {len(cells)} selected layers")
        own = counts if knob.name == PRUNE_RATIO.name else None
        if own is not None and isinstance(able[0].value, float) and able[0].value > 0:
            notes.append(own.text(able[0].value))
        if len(names) == 1 and able[0].note:
            notes.append(able[0].note)
        turned = any(cell.own or cell.value != knob.untouched for cell in able)
        # A recipe without steps gets those that the plan needs when it is run.
        if turned and state.steps and knob.name in table.unread:
            notes.append("No step of the recipe reads this setting")
        views.append(
            KnobView(
                knob,
                next(iter(values)) if len(values) == 1 else None,
                any(cell.own for cell in able),
                note=". ".join(notes),
                counts=own,
                refused=refused_by_all(cell.refused for cell in able),
                measured=able[0].measured if len(names) == 1 else NONE_MEASURED,
            )
        )
    return tuple(views)


def _operator_time(state: ProjectState, node: str) -> Iterable[Fact]:
    if state.baseline_latency is None:
        return
    operators = state.baseline_latency.models[0].operators
    times = [time for time in operators if (time.layer or time.node) == node]
    if times:
        total, share = sum(time.median_ms for time in times), sum(time.share for time in times)
        kernels = ", ".join(dict.fromkeys(f"{time.op}: {KIND_TITLES[operator_kind(time.op)]}" for time in times))
        tip = f"Median time of its operators in the original, and their share of the whole\n{kernels}"
        yield Fact("Latency", f"{total:.3g}\N{NO-BREAK SPACE}ms ({share:.0%})", tip)


def _tensor_text(tensor: TensorReport) -> str:
    return f"{tensor.name}  {numbers.shape_text(tensor.shape)}  {tensor.dtype}"
