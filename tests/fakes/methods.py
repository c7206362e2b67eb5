"""Small real methods for tests of pipeline and sweep: they round, shake, and misbehave in every way a plugin can."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import ACTIVATION_BITS, PRUNE_RATIO, WEIGHT_BITS, Knob
from workbench.domain.plan import LayerSettings
from workbench.engines.contracts import TrainingEngine
from workbench.graph.channels import channel_groups
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.passes.remove_channels import remove_channels
from workbench.methods.method import Method, MethodResult, Parameters, Stage, Tools
from workbench.methods.registry import MethodRegistry


class RoundWeights(Method):
    """Rounds each layer's weight to `weight_bits` levels, simulated in float; counts how often it ran."""

    id = "test.round"
    title = "Round weights"
    stage = Stage.QUANTIZE
    knobs = (WEIGHT_BITS,)
    runs: ClassVar[int] = 0

    class Parameters(Parameters):
        """`reach`: share of the largest weight that the grid spans."""

        reach: float = Field(default=1.0, gt=0, le=1)

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse 3 bits and warn at 2."""
        touched = {layer: plan.number(layer, WEIGHT_BITS) for layer in plan.touched(WEIGHT_BITS)}
        for layer, bits in touched.items():
            if bits == 3:
                raise RecipeError(f"layer {layer!r} can't have 3 bits", where=self.id)
        return tuple(f"layer {layer!r} has 2 bits only" for layer, bits in touched.items() if bits == 2)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Round."""
        type(self).runs += 1
        changed = {}
        for node, weight in layer_nodes(graph):
            bits = plan.number(node.name, WEIGHT_BITS)
            if bits < 32:
                values = graph.constant(weight.name)
                assert values is not None
                step = self.parameters.reach * np.abs(values).max() / (2 ** (bits - 1) - 1)
                changed[weight.name] = (np.rint(values / step) * step).astype(np.float32)
        return MethodResult(graph.with_initializers(changed), (f"rounded {len(changed)} layers",), {"n": len(changed)})


class Shake(Method):
    """Adds seeded noise to all weights; reads no knob."""

    id = "test.shake"
    title = "Shake weights"
    stage = Stage.TRAIN
    runs: ClassVar[int] = 0

    class Parameters(Parameters):
        """`size`: standard deviation of the noise."""

        size: float = Field(default=0.01, ge=0)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Shake."""
        type(self).runs += 1
        noise = {
            weight.name: (graph.constant(weight.name) + tools.rng.normal(0, self.parameters.size, weight.shape)).astype(
                np.float32
            )
            for _, weight in layer_nodes(graph)
        }
        return MethodResult(graph.with_initializers(noise))


class DropFirstChannels(Method):
    """Removes the first units of every group whose first layer has a prune ratio."""

    id = "test.drop"
    title = "Drop channels"
    stage = Stage.PRUNE
    knobs = (PRUNE_RATIO,)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Drop."""
        removal = {}
        for group in channel_groups(graph):
            ratio = max(plan.number(member.layer, PRUNE_RATIO) for member in group.out_members)
            if group.prunable and ratio > 0:
                removal[group.id] = range(int(ratio * group.units))
        return MethodResult(remove_channels(graph, removal))


class NeedsCalibration(Method):
    """Looks at calibration samples and returns the graph as it is."""

    id = "test.calibrate"
    title = "Calibrate"
    stage = Stage.QUANTIZE
    knobs = (ACTIVATION_BITS,)
    needs_data = True

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Count the samples and score the graph."""
        assert tools.data is not None
        samples = sum(len(batch) for batch in tools.data.calibration(12))
        return MethodResult(graph, details={"samples": samples, "score": tools.data.validate(graph)})


class Misbehave(Method):
    """Raises, returns nonsense, breaks the graph, or is cancelled by itself, as `how` says."""

    id = "test.misbehave"
    title = "Misbehave"
    stage = Stage.ENCODE

    class Parameters(Parameters):
        """`how`: what goes wrong."""

        how: str = "raise"

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Go wrong."""
        if self.parameters.how == "raise":
            raise ZeroDivisionError("one over nothing")
        if self.parameters.how == "nothing":
            return None  # type: ignore[return-value]
        if self.parameters.how == "bytes":
            return MethodResult(graph.to_bytes())  # type: ignore[arg-type]
        if self.parameters.how == "numpy":
            figures = {"mean": np.float32(0.5), "norms": np.array([1.0, np.nan]), "worst": float("inf")}
            return MethodResult(graph, (3,), figures)  # type: ignore[arg-type]
        if self.parameters.how == "object":
            return MethodResult(graph, details={"graph": graph})
        if self.parameters.how == "outputs":
            return MethodResult(graph.with_outputs([graph.nodes[0].outputs[0]]))
        if self.parameters.how == "nan":
            name = graph.initializers[-1]
            return MethodResult(graph.with_initializers({name: np.full_like(graph.constant(name), np.nan)}))
        tools.cancel.cancel()
        tools.cancel.raise_if_cancelled()
        raise AssertionError


class FineKnob(Method):
    """Brings a knob of its own."""

    id = "test.fine"
    title = "Fine"
    stage = Stage.ENCODE
    knobs = (Knob("fineness", "Fine", "levels", untouched=0, low=0, high=9, sweep=(1, 2)),)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Leave the graph as it is."""
        return MethodResult(graph)


class NoTraining:
    """Stands where a training engine belongs in tests that train nothing; using it fails."""

    def __getattr__(self, name: str) -> TrainingEngine:
        raise AssertionError(f"a test without training asked the training engine for {name}")


def registry() -> MethodRegistry:
    """Return a registry of these methods, their counters at zero."""
    found = MethodRegistry()
    for method in (RoundWeights, Shake, DropFirstChannels, NeedsCalibration, Misbehave, FineKnob):
        found.register(method, "fakes", "1")
    RoundWeights.runs = Shake.runs = 0
    return found


def cancelling_at(token: CancelToken, fraction: float) -> Progress:
    """Return a progress that cancels once `fraction` is reached."""

    def report(done: float, text: str) -> None:
        if done >= fraction:
            token.cancel()

    return Progress(report)
