"""Merges layers as long as there is something to merge, and keeps only what proves to be the same function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from workbench.api import (
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    Stage,
    Tools,
    fold_batch_norm,
    fold_constants,
    merge_affine,
    merge_affine_ahead,
    merge_branches,
    remove_idle,
)

from .proof import Proof

TOLERANCE = 1e-5
_MOST_ROUNDS = 10
_SHOWN = 4
_PASSES: tuple[tuple[str, Callable[[ModelGraph], ModelGraph]], ...] = (
    ("Constants worked out", fold_constants),
    ("Idle nodes removed", remove_idle),
    ("Batch norm folded into the layers before it", fold_batch_norm),
    ("Constant scales and offsets folded into the layers before them", merge_affine),
    ("Scales, offsets and batch norm folded into the layers behind them", merge_affine_ahead),
    ("Parallel branches merged into one convolution", merge_branches),
)
_OF_BATCH_NORM = frozenset({fold_batch_norm, merge_affine_ahead, merge_branches})


class MergeParameters(Parameters):
    """Parameters of layer merging."""

    batch_norm: bool = Field(
        default=True,
        description="Fold batch norm too, and merge the branches that it stands in. Turn it off where the model is "
        "trained afterwards: networks recover by their batch norm.",
    )
    calibration_samples: int = Field(
        default=64,
        ge=0,
        le=10_000,
        description="Training samples that the result is compared on, besides random inputs, where there is data.",
    )


class MergeLayers(Method):
    """Applies the exact merging passes until none finds anything.

    After each of them the outputs are compared with the original's on random inputs and on calibration samples; a pass
    that moves any output by more than 1e-5 of its largest value is refused, named with the figure, and left out.
    """

    id = "merge.layers"
    title = "Layer merging"
    summary = "Folds batch norm, constants, idle nodes and parallel branches into the layers beside them; exact."
    source = "Jacob et al., 2018 (batch norm); Ding et al., 2021, RepVGG (branches)"
    stage = Stage.DECOMPOSE
    Parameters = MergeParameters

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the merged graph itself, which is quickly made."""
        return self.apply(graph, plan, tools).graph

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph with as few nodes as merging leaves.

        Raises:
            UnsupportedGraphError: no inputs are known to prove it on, or the graph's shapes contradict each other.
            CancelledError: tools.cancel was set.
        """
        tools.cancel.raise_if_cancelled()
        tools.progress.update(0.0, "running the original")
        proof = Proof(graph, tools, self.parameters.calibration_samples)
        passes = [entry for entry in _PASSES if self.parameters.batch_norm or entry[1] not in _OF_BATCH_NORM]
        current, deviation = graph, 0.0
        merged: dict[str, list[str]] = {}
        refused: dict[str, float] = {}
        for number in range(_MOST_ROUNDS):
            before = current
            for place, (title, step) in enumerate(passes):
                tools.cancel.raise_if_cancelled()
                tools.progress.update((number + place / len(passes)) / _MOST_ROUNDS, title.lower())
                changed = step(current)
                if title in refused or _structure(changed) == _structure(current):
                    continue
                moved = proof.deviation(changed)
                if moved > TOLERANCE:
                    refused[title] = moved
                    tools.log(f"{title}: refused, since an output moved by {moved:.1e} of its largest value.")
                    continue
                merged.setdefault(title, []).extend(_gone(current, changed))
                current, deviation = changed, moved
            if current is before:
                break
        notes = [f"{title}: {_listed(names)}." for title, names in merged.items()]
        notes += [
            f"Refused: {title.lower()} (an output moved by {moved:.1e} of its largest value, more than {TOLERANCE:g})."
            for title, moved in refused.items()
        ]
        if not merged:
            return MethodResult(graph, notes=("Nothing to merge.", *notes))
        counts = (len(graph.nodes), len(current.nodes))
        proven = f"outputs differ by at most {deviation:.1e} of their largest value on {' and '.join(proof.sources)}"
        details: dict[str, Any] = {
            "nodes_before": counts[0],
            "nodes_after": counts[1],
            "deviation": deviation,
            "merged": merged,
            "refused": {title: str(moved) for title, moved in refused.items()},
        }
        return MethodResult(current, (f"{counts[0]} nodes → {counts[1]}; {proven}.", *notes), details)


def _structure(graph: ModelGraph) -> tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...]:
    """Return what changes whenever a pass did something."""
    return tuple((node.name, node.op, node.inputs, node.outputs) for node in graph.nodes)


def _gone(before: ModelGraph, after: ModelGraph) -> list[str]:
    kept = {node.name for node in after.nodes}
    return [node.name for node in before.nodes if node.name not in kept]


def _listed(names: list[str]) -> str:
    if not names:
        return "inputs rewritten"
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"{len(names)} nodes fewer ({shown})"
