"""Finds out what every choice saves by itself, from stand-ins of the right structure, before anything is built.

Choices that change a network alike (one of several equal blocks) are timed once; what a choice saves is taken on top
of the precision that is cheapest by itself, since most of the front will have that.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, WorkbenchError
from workbench.domain.measurements import Ratio
from workbench.domain.study import Study
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.bit_operations import bit_operations
from workbench.graph.cost import graph_cost
from workbench.graph.held_bytes import held_bytes
from workbench.graph.kernel_graphs import kernel_shapes
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.passes.drop_traces import drop_traces
from workbench.methods.outline import outline
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.space import Proposal, Space
from workbench.methods.search.template import Template

# Stand-ins that are timed against the original in one run.
_TOGETHER = 6
_LARGE_BYTES = 64_000_000


class Stopwatch(Protocol):
    """Times graphs against the original on the study's device, interleaved."""

    def ratios(self, graphs: Sequence[ModelGraph], cancel: CancelToken) -> tuple[Ratio, ...]:
        """Return each graph's time as a share of the original's.

        Raises:
            WorkbenchError: the device can't measure.
            CancelledError: `cancel` was set.
        """
        ...


@dataclass(frozen=True)
class StandIn:
    """What is known of a proposal's structure: shares of the original's costs; `signature` tells structures apart."""

    costs: Mapping[str, float]
    signature: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Original:
    macs: int
    params: int
    size: int
    bitops: float
    held: float


@dataclass
class StandIns:
    """Makes and times stand-ins, each once.

    Attributes:
        graph: The original.
        study: Completed.
        template: Makes recipes.
        space: Of the study.
        registry, inference, training: As for a recipe.
        stopwatch: None where no objective or budget is a latency.
        known: Ratios by signature, from an earlier run of the study.
        on_timed: Takes (signature, ratio) of what was timed anew.
        made: By proposal, what was made; the graph until it was timed.
        memory_bytes: What the original was measured to take, where memory is an objective or a budget.
    """

    graph: ModelGraph
    study: Study
    space: Space
    template: Template
    registry: MethodRegistry
    inference: InferenceEngine
    training: TrainingEngine
    stopwatch: Stopwatch | None
    known: dict[str, Ratio]
    on_timed: Callable[[str, Ratio], None]
    log: Callable[[str], None]
    made: dict[Proposal, tuple[StandIn, ModelGraph | None]] = field(default_factory=dict)
    memory_bytes: float | None = None

    def of(self, proposal: Proposal, cancel: CancelToken) -> StandIn | None:
        """Return what a proposal's structure costs, not timed; None where no stand-in can be made.

        Raises:
            CancelledError: cancelled.
        """
        key = self.space.canonical(proposal)
        if key not in self.made:
            recipe = self.template.recipe(key)
            try:
                made = outline(
                    self.graph,
                    recipe,
                    self.registry,
                    self.inference,
                    self.training,
                    dimensions=self.study.dimensions,
                    cancel=cancel,
                )
                graph = drop_traces(made.graph)
                # Without its weights' values, which mean nothing, two of one structure are one.
                stand_in = StandIn(self._counted(graph), self._signature(graph), made.left_out)
                waits = self.stopwatch is not None and stand_in.signature not in self.known
                self.made[key] = (stand_in, graph if waits else None)
            except CancelledError:
                raise
            except WorkbenchError as error:
                self.log(f"No stand-in of a proposal: {error}")
                return None
        return self.made[key][0]

    def timed(
        self,
        proposals: Sequence[Proposal],
        progress: Progress,
        cancel: CancelToken,
        seconds: float = math.inf,
    ) -> dict[Proposal, Ratio]:
        """Return the measured ratio of each proposal's stand-in; those without one are left out.

        Args:
            proposals: The most important ones first.
            progress: Over the structures that are new.
            cancel: Polled between runs.
            seconds: After so long no further structure is timed.

        Raises:
            CancelledError: cancelled; what was timed is kept.
        """
        if self.stopwatch is None:
            return {}
        waiting: dict[str, ModelGraph] = {}
        for proposal in proposals:
            stand_in = self.of(proposal, cancel)
            made = self.made.get(self.space.canonical(proposal))
            if stand_in is None or made is None or made[1] is None or stand_in.signature in self.known:
                continue
            waiting.setdefault(stand_in.signature, made[1])
        names, began = list(waiting), time.monotonic()
        for begin in range(0, len(names), _TOGETHER):
            if time.monotonic() - began > seconds:
                self.log(f"{len(names) - begin} structures were not timed: their time is estimated from the others'.")
                break
            part = names[begin : begin + _TOGETHER]
            progress.update(begin / len(names), f"timing structures {begin + 1} to {begin + len(part)} of {len(names)}")
            found = self.stopwatch.ratios([waiting[name] for name in part], cancel)
            for name, ratio in zip(part, found, strict=True):
                self.known[name] = ratio
                self.on_timed(name, ratio)
        for key, (stand_in, _) in self.made.items():
            # Timed once, its graph is not needed again.
            if stand_in.signature in self.known:
                self.made[key] = (stand_in, None)
        found_of = {proposal: self.of(proposal, cancel) for proposal in proposals}
        return {
            proposal: self.known[made.signature]
            for proposal, made in found_of.items()
            if made is not None and made.signature in self.known
        }

    def _counted(self, graph: ModelGraph) -> dict[str, float]:
        sizes = self.study.dimensions
        now, before = graph_cost(graph, sizes), self._original
        costs = {
            "macs": now.macs / max(before.macs, 1),
            "params": now.params / max(before.params, 1),
            "size": _size(graph) / max(before.size, 1),
            "bitops": bit_operations(graph, sizes) / max(before.bitops, 1.0),
        }
        if self.memory_bytes:
            # The runtime's own part stays as it is.
            saved = before.held - held_bytes(graph, sizes)
            costs["memory"] = max(self.memory_bytes - saved, 0.0) / self.memory_bytes
        return costs

    @cached_property
    def _original(self) -> _Original:
        sizes = self.study.dimensions
        cost = graph_cost(self.graph, sizes)
        held = held_bytes(self.graph, sizes) if self.memory_bytes else 0.0
        return _Original(cost.macs, cost.params, _size(self.graph), bit_operations(self.graph, sizes), held)

    def _signature(self, graph: ModelGraph) -> str:
        layers = {node.name: weight for node, weight in layer_nodes(graph)}
        shapes = kernel_shapes(graph, layers, self.study.batch, self.study.dimensions)
        operators: dict[str, int] = {}
        for node in graph.nodes:
            operators[node.op] = operators.get(node.op, 0) + 1
        others = sorted(str(weight.shape) for name, weight in layers.items() if name not in shapes)
        return json.dumps([sorted(shape.key for shape in shapes.values()), sorted(operators.items()), others])


def _size(graph: ModelGraph) -> int:
    """Return the bytes of a file; of a large one only its weights', which are nearly all of it."""
    return graph.weight_bytes if graph.weight_bytes > _LARGE_BYTES else len(graph.to_bytes())
