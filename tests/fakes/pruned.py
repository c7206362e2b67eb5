"""The ResNet-20 project with branches, and a candidate whose pruning says what it ranked, cut and left out."""

from __future__ import annotations

from typing import Any

from tests.fakes.projects import resnet20_state
from workbench.domain.plan import Plan
from workbench.domain.recipe import Step
from workbench.domain.reports import LayerReport, LayerState, NewLayer, OperatorChange, StepReport
from workbench.project.state import ProjectState

PRUNED = "c3"
INNER = "layer2.0.conv1"
HISTOGRAM = {"edges": [0.0, 1.0, 2.0, 3.0], "kept": [0, 6, 18], "removed": [6, 2, 0], "cut": 1.25}


def details() -> dict[str, Any]:
    """What a global ranking reports."""
    return {
        "groups": {"g7": {"ratio": 0.25, "importance": HISTOGRAM}},
        "plan": {"default": {}, "layers": {INNER: {"prune_ratio": 0.25}, "layer3.2.conv1": {"prune_ratio": 0.75}}},
        "settled": {"scope": "layer", "target": "none"},
    }


def _with_branch(layer: LayerReport) -> LayerReport:
    if len(layer.path) < 3:
        return layer
    return layer.model_copy(update={"branch": f"{layer.path[1]}.add", "knobs": (*layer.knobs, "keep")})


def pruned_state() -> ProjectState:
    """The project; its candidate "Half" was pruned by a global ranking, lost a block, and had its last layer split."""
    state = resnet20_state()
    report = state.inspect
    assert report is not None
    groups = tuple(
        group.model_copy(
            update={
                "strata": (group.channels,),
                "layers": tuple(
                    member.model_copy(update={"per_unit": (1,) if member.axis == "out" else ()})
                    for member in group.layers
                ),
            }
        )
        for group in report.groups
    )
    layers = tuple(map(_with_branch, report.layers))
    report = report.model_copy(update={"layers": layers, "groups": groups})
    candidate = state.candidate(PRUNED)
    made = candidate.report
    changes = []
    for change in made.layers:
        if change.name == INNER:
            change = change.model_copy(update={"channels": 32, "removed_channels": (0, 3, 4, 5, 9, 12, 13, 31)})
        if change.name.startswith("layer1.1"):
            change = change.model_copy(update={"after": None, "branch": "layer1.1.add"})
        if change.name == "node_linear":
            change = change.model_copy(update={"factors": ("node_linear~1",)})
        changes.append(change)
    made = made.model_copy(
        update={
            "layers": tuple(changes),
            "new_layers": (
                NewLayer(
                    name="node_linear~1",
                    op="Gemm",
                    origin="node_linear",
                    state=LayerState(weight_shape=(8, 64), bits=32),
                ),
            ),
            "operators": (OperatorChange(op="Add", before=9, after=8),),
            "steps": (StepReport(method="prune.l1", seconds=1.0, details=details()), made.steps[1]),
        }
    )
    recipe = candidate.recipe.model_copy(update={"plan": Plan(default={"prune_ratio": 0.5})})
    candidates = tuple(
        entry.model_copy(update={"report": made, "recipe": recipe}) if entry.id == PRUNED else entry
        for entry in state.candidates
    )
    steps = (
        Step(method="prune.l1", parameters={"target": "macs", "scope": "global", "channel_multiple": 8}),
        *state.steps[1:],
    )
    return state.model_copy(update={"inspect": report, "candidates": candidates, "steps": steps})
