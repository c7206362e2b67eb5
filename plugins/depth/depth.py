"""Fewer layers instead of narrower ones: whole branches go, by hand or by how little the network needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from workbench.api import (
    KEEP,
    Branch,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    find_branches,
    normalised,
    remove_branches,
    with_new_statistics,
)

from .scores import CRITERIA, Scores


class DepthParameters(Parameters):
    """Parameters of depth pruning."""

    remove: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Branches",
        description="Leave out this many branches besides those that the plan leaves out, the least needed first.",
    )
    criterion: Literal["similarity", "metric", "taylor"] = Field(
        default="similarity",
        title="Criterion",
        description="What tells how much a branch is needed: how little it changes what it gets (no labels needed), "
        "how far the metric drops without it, or the loss's first-order change.",
    )
    one_by_one: bool = Field(
        default=True,
        title="One by one",
        description="Judge the rest anew after each branch that went: branches make up for each other.",
    )
    samples: int = Field(
        default=256,
        ge=1,
        le=1_000_000,
        title="Samples",
        description="Training samples that branches are judged by; the metric takes those held out for validation.",
        json_schema_extra={"unit": "samples"},
    )
    restore_batch_norm: bool = Field(
        default=True,
        title="Restore batch norm",
        description="Give convolutions whose batch norm was folded a new one first; networks recover by it.",
    )
    statistics_samples: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        title="Statistics",
        description="Samples that batch-norm statistics are taken anew from; 0 leaves them.",
        json_schema_extra={"unit": "samples"},
    )


class DepthPruning(Method):
    """Leaves out residual branches and runs of layers that keep their shape."""

    id = "prune.depth"
    title = "Depth pruning"
    summary = "Leaves out whole residual blocks or runs of layers: fewer operators, time in proportion."
    source = "Men et al., 2024, ShortGPT; Molchanov et al., 2019 (taylor)"
    stage = Stage.PRUNE
    knobs = (KEEP,)
    Parameters = DepthParameters

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return what ranking needs; branches that the plan names need nothing."""
        if not self.parameters.remove:
            return frozenset()
        return {
            "similarity": frozenset({Requirement.DATA}),
            "metric": frozenset({Requirement.DATA, Requirement.LABELS}),
            "taylor": frozenset({Requirement.DATA, Requirement.LABELS, Requirement.GRADIENTS}),
        }[self.parameters.criterion]

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse settings that contradict each other inside a branch, and more branches than there are.

        Raises:
            RecipeError: names the layers and their branch.
        """
        chosen, free = self._divided(graph, plan)
        if self.parameters.remove > len(free):
            raise RecipeError(
                f"{self.parameters.remove} branches are to be left out, but only {len(free)} more can be ranked",
                where=self.id,
                action=f"Set remove to {len(free)} or less.",
            )
        if not chosen and not self.parameters.remove:
            return ("No layer has keep: no, and remove is 0: nothing is left out.",)
        return ()

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return the graph without the branches that the plan leaves out; None where others are to be ranked."""
        chosen, _ = self._divided(graph, plan)
        return None if self.parameters.remove else remove_branches(graph, [branch.id for branch in chosen])

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph without the branches.

        Raises:
            RecipeError: as `check`.
            DataError: samples or labels that the criterion needs are missing.
            CancelledError: tools.cancel was set.
        """
        self.check(graph, plan)
        chosen, free = self._divided(graph, plan)
        if not chosen and not self.parameters.remove:
            return MethodResult(graph, ("nothing left out",))
        notes: list[str] = []
        whole = graph
        if self.parameters.restore_batch_norm:
            first = replace(tools, progress=tools.progress.part(0.0, 0.2, "batch-norm statistics"))
            whole = normalised(graph, first, self.parameters.statistics_samples, notes)
        smaller = remove_branches(whole, [branch.id for branch in chosen])
        ranking = replace(tools, progress=tools.progress.part(0.2, 0.7, "ranking branches"))
        smaller, ranked, scores = self._least_needed(smaller, [branch.id for branch in free], ranking)
        last = replace(tools, progress=tools.progress.part(0.7, 1.0, "batch-norm statistics"))
        smaller = with_new_statistics(smaller, last, self.parameters.statistics_samples, notes)
        by_id = {branch.id: branch for branch in (*chosen, *free)}
        gone = [by_id[name] for name in (*(branch.id for branch in chosen), *ranked)]
        layers = [layer for branch in gone for layer in branch.layers]
        notes.insert(0, f"{len(gone)} of {len(by_id)} branches left out: {_listed(layers)}.")
        details: dict[str, Any] = {
            "removed": [branch.id for branch in gone],
            "scores": scores,
            "plan": {"default": {}, "layers": {layer: {KEEP.name: "no"} for layer in layers}},
            # Who takes the plan over must not have as many again ranked on top of it.
            "settled": {"remove": 0},
        }
        return MethodResult(smaller, tuple(notes), details)

    def _divided(self, graph: ModelGraph, plan: LayerSettings) -> tuple[list[Branch], list[Branch]]:
        """Return the branches that the plan leaves out, and those of the rest that can be ranked.

        A line that names a layer beats a glob, a glob the default; layers of the branch without one follow.
        """
        chosen: list[Branch] = []
        free: list[Branch] = []
        for branch in find_branches(graph):
            strongest = max(plan.origin(layer, KEEP) for layer in branch.layers)
            asked = {layer: _kept(plan, layer) for layer in branch.layers if plan.origin(layer, KEEP) == strongest}
            if len(set(asked.values())) > 1:
                kept, gone = (next(layer for layer in asked if asked[layer] is stays) for stays in (True, False))
                raise RecipeError(
                    f"layers {kept!r} (keep: yes) and {gone!r} (keep: no) are parts of one branch",
                    where=f"branch {branch.id!r}",
                    expected=f"one setting for all of {_listed(branch.layers)}",
                    action="Give them the same setting, or set it on one of them only.",
                )
            if not any(asked.values()):
                chosen.append(branch)
            # What a run adds to its input can't be told from its slope.
            elif branch.kind == "residual" or self.parameters.criterion != "taylor":
                free.append(branch)
        return chosen, free

    def _least_needed(
        self, graph: ModelGraph, candidates: list[str], tools: Tools
    ) -> tuple[ModelGraph, list[str], Scores]:
        """Return the graph without the least needed candidates, their ids in the order they went, and all scores."""
        score, wanted = CRITERIA[self.parameters.criterion], self.parameters.remove
        gone: list[str] = []
        scores: Scores = {}
        rounds = wanted if self.parameters.one_by_one else min(wanted, 1)
        for number in range(rounds):
            part = replace(tools, progress=tools.progress.part(number / rounds, (number + 1) / rounds))
            open_branches = [branch for branch in find_branches(graph) if branch.id in candidates]
            found = score(graph, open_branches, part, self.parameters.samples)
            scores = {**found, **scores} if not self.parameters.one_by_one else {**scores, **found}
            order = sorted(found, key=lambda name: (found[name], candidates.index(name)))
            taken = order[: 1 if self.parameters.one_by_one else wanted]
            graph = remove_branches(graph, taken)
            gone.extend(taken)
        return graph, gone, scores


def _kept(plan: LayerSettings, layer: str) -> bool:
    return plan.get(layer, {}).get(KEEP.name, KEEP.untouched) == KEEP.untouched


def _listed(layers: Sequence[str]) -> str:
    return ", ".join(layers[:6]) + (f" and {len(layers) - 6} more" if len(layers) > 6 else "")
