"""What is to be drawn, as one frozen snapshot: structure, colours, legend, and what hovering tells; no Qt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.domain.knobs import Knob
from workbench.domain.plan import LayerSettings
from workbench.domain.reports import InspectReport
from workbench.project.state import ProjectState
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.overlays import Fill, Legend
from workbench.ui.graph_view.structure import Box, Structure, structure_of
from workbench.ui.models import numbers


@dataclass(frozen=True)
class Picture:
    """Structure, fills by node id, legend, and groups of coupled layers."""

    structure: Structure = field(default_factory=Structure)
    fills: dict[str, Fill] = field(default_factory=dict)
    legend: Legend = field(default_factory=lambda: Legend("Operator"))
    overlay: str = "operator"


def resolve(
    state: ProjectState,
    overlay: str,
    settings: LayerSettings | None,
    knobs: tuple[Knob, ...],
    structure: Structure | None = None,
) -> Picture:
    """Return what to draw.

    Args:
        state: The document.
        overlay: Id of the chosen overlay.
        settings: Every layer's settings under the plan, or None.
        knobs: All knobs that are known.
        structure: That of an earlier picture of the same model, to spare making it again.
    """
    made = structure if structure is not None else structure_of(state.inspect)
    shown = overlays.overlay(overlay, state, settings, knobs, made.owner)
    return Picture(made, shown.fills, shown.legend, overlay)


def coupled(report: InspectReport | None, layers: Iterable[str]) -> frozenset[str]:
    """Return the layers, without `layers` themselves, whose output channels go together with theirs."""
    if report is None:
        return frozenset()
    chosen = set(layers)
    groups = {layer.group for layer in report.layers if layer.name in chosen and layer.group is not None}
    return frozenset(layer.name for layer in report.layers if layer.group in groups) - chosen


def beside(report: InspectReport | None, layers: Iterable[str]) -> frozenset[str]:
    """Return the layers, without `layers` themselves, that can only be left out together with them."""
    if report is None:
        return frozenset()
    chosen = set(layers)
    branches = {layer.branch for layer in report.layers if layer.name in chosen and layer.branch is not None}
    return frozenset(layer.name for layer in report.layers if layer.branch in branches) - chosen


def tooltip(report: InspectReport, box: Box, fill: Fill | None) -> tuple[str, ...]:
    """Return the lines that hovering over a box shows: name, operator, shapes and costs, group, overlay value."""
    if box.members:
        return _block_tooltip(box, fill)
    lines = [box.name, box.title]
    layer = next((layer for layer in report.layers if layer.name == box.id), None)
    if layer is not None:
        lines.append(
            f"Weight {numbers.shape_text(layer.weight_shape)}, output {numbers.shape_text(layer.output_shape)}"
        )
        lines.append(f"{numbers.count_text(layer.params)} parameters, {numbers.count_text(layer.macs)} MACs")
        if layer.blocked is not None:
            lines.append(f"Can't be pruned: {layer.blocked}")
        elif layer.group is not None:
            group = next((group for group in report.groups if group.id == layer.group), None)
            if group is not None:
                members = len({member.layer for member in group.layers if member.axis == "out"})
                lines.append(f"Group {group.id}: {numbers.plural(members, 'layer')}, {group.channels} channels")
        if layer.branch is not None:
            members = sum(other.branch == layer.branch for other in report.layers)
            lines.append(f"Branch {layer.branch}: {numbers.plural(members, 'layer')}, can be left out")
    else:
        cost = next((cost for cost in report.costs if cost.name == box.id), None)
        if cost is not None and cost.counted and (cost.macs or cost.params):
            lines.append(f"{numbers.count_text(cost.params)} parameters, {numbers.count_text(cost.macs)} MACs")
    return (*lines, *_value_line(fill))


def _block_tooltip(box: Box, fill: Fill | None) -> tuple[str, ...]:
    return (
        box.name,
        f"Block of {numbers.plural(len(box.members), 'operator')}",
        box.note,
        *_value_line(fill),
        "Space or a double click expands it",
    )


def _value_line(fill: Fill | None) -> tuple[str, ...]:
    if fill is None or not fill.text:
        return ()
    return (f"{fill.title}{fill.text}{' (within noise)' if fill.uncertain else ''}",)
