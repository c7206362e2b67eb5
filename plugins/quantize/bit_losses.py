"""What a layer's weights lose at each number of bits: four estimates, from seconds of work to the metric itself.

Notation: w a layer's weight, q(w) its rounded values, d = q(w) - w; f the network's outputs, L the loss of a sample,
H the Hessian of the mean loss with respect to w.

- output: sum |f_q - f|² / sum |f|² with that layer alone rounded.
- metric: what the validation score loses, likewise.
- gradient: mean of (d · ∂L/∂w)² over samples, the second-order change of the loss with the Fisher matrix in place of
  the Hessian and all of its terms within a layer.
- hessian: trace(H) / n · |d|² (HAWQ-V2, Dong et al., 2020), the trace by Hutchinson's estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.api import (
    Batch,
    MethodData,
    ModelGraph,
    Progress,
    SlopeSource,
    Tools,
    hessian_traces,
    weight_slopes,
)

from .weights import WeightRange, quantize_weight

Sensitivity = Literal["output", "metric", "gradient", "hessian"]
Losses = dict[str, dict[int, float]]
_BATCH = 64


@dataclass(frozen=True)
class Subject:
    """A weight whose bits are to be chosen: its initializer, and the axis of its output channels."""

    weight: str
    axis: int | None


@dataclass(frozen=True)
class Trials:
    """What all estimates work with.

    Attributes:
        graph: In float, folded.
        subjects: By layer.
        bits: The choices, ascending.
        data: Of the recipe.
        tools: Engines, progress, cancel.
        samples: Calibration samples to estimate on.
        rule: Range of weights; auto as in quantize.ptq.
        affine: Layers whose weights get zero points.
    """

    graph: ModelGraph
    subjects: Mapping[str, Subject]
    bits: Sequence[int]
    data: MethodData
    tools: Tools
    samples: int
    rule: Literal["auto", "minmax", "mse"]
    affine: frozenset[str] = frozenset()

    def weight(self, layer: str) -> np.ndarray:
        """Return a layer's weight."""
        array = self.graph.constant(self.subjects[layer].weight)
        assert array is not None, layer
        return array

    def rounded(self, layer: str, bits: int) -> np.ndarray:
        """Return the values that a layer's weight would have."""
        rule: WeightRange = ("minmax" if bits == 8 else "mse") if self.rule == "auto" else self.rule
        return quantize_weight(
            self.weight(layer), self.subjects[layer].axis, bits, rule, affine=layer in self.affine
        ).values()

    def batches(self, size: int = _BATCH) -> list[Batch]:
        """Return the samples."""
        return list(self.data.calibration(self.samples, size))


def losses(trials: Trials, sensitivity: Sensitivity, progress: Progress) -> Losses:
    """Return the loss of every layer at every choice, by layer and bits; 0 or more.

    Raises:
        DataError: there are no samples.
        UnsupportedGraphError: an operator has no gradient, where gradients are needed.
        CancelledError: tools.cancel was set.
    """
    return {"output": _by_output, "metric": _by_metric, "gradient": _by_gradient, "hessian": _by_hessian}[sensitivity](
        trials, progress
    )


def output_loss(trials: Trials) -> Callable[[ModelGraph], float]:
    """Return what says of a changed graph how far its outputs are from the original's, as a share of their power."""
    batches = trials.batches()
    session = trials.tools.inference.open(trials.graph, cancel=trials.tools.cancel)
    expected = [session.run(batch.inputs) for batch in batches]
    power = sum(_square(array) for outputs in expected for array in outputs.values())

    def loss(graph: ModelGraph) -> float:
        trial = trials.tools.inference.open(graph, cancel=trials.tools.cancel)
        noise = 0.0
        for batch, outputs in zip(batches, expected, strict=True):
            found = trial.run(batch.inputs)
            noise += sum(_square(found[name] - outputs[name]) for name in outputs)
        return noise / max(power, 1e-300)

    return loss


def metric_loss(trials: Trials) -> Callable[[ModelGraph], float]:
    """Return what says of a changed graph what its validation score loses."""
    original = trials.data.validate(trials.graph)
    return lambda graph: original - trials.data.validate(graph)


def _by_output(trials: Trials, progress: Progress) -> Losses:
    return _one_at_a_time(trials, output_loss(trials), progress)


def _by_metric(trials: Trials, progress: Progress) -> Losses:
    found = _one_at_a_time(trials, metric_loss(trials), progress)
    return {layer: never_gaining(by_bits) for layer, by_bits in found.items()}


def never_gaining(by_bits: Mapping[int, float]) -> dict[int, float]:
    """Return losses that don't fall with fewer bits: where they seem to, it is the noise of the samples."""
    least, found = 0.0, {}
    for bits in sorted(by_bits, reverse=True):
        least = max(least, by_bits[bits])
        found[bits] = least
    return {bits: found[bits] for bits in by_bits}


def _one_at_a_time(trials: Trials, loss: Callable[[ModelGraph], float], progress: Progress) -> Losses:
    found: Losses = {}
    for number, (layer, subject) in enumerate(trials.subjects.items()):
        found[layer] = {}
        for bits in trials.bits:
            trials.tools.cancel.raise_if_cancelled()
            trial = trials.graph.with_initializers({subject.weight: trials.rounded(layer, bits)})
            found[layer][bits] = loss(trial)
        progress.update((number + 1) / len(trials.subjects), f"sensitivity of {layer}")
    return found


def _by_gradient(trials: Trials, progress: Progress) -> Losses:
    found: Losses = {layer: {} for layer in trials.subjects}
    for number, bits in enumerate(trials.bits):
        changes = {
            subject.weight: trials.rounded(layer, bits) - trials.weight(layer)
            for layer, subject in trials.subjects.items()
        }
        part = progress.part(number / len(trials.bits), (number + 1) / len(trials.bits))
        slopes = weight_slopes(trials.graph, changes, _source(trials), progress=part)
        for layer, subject in trials.subjects.items():
            found[layer][bits] = float(np.square(slopes[subject.weight]).mean())
    return found


def _by_hessian(trials: Trials, progress: Progress) -> Losses:
    weights = {subject.weight: trials.weight(layer) for layer, subject in trials.subjects.items()}
    traces = hessian_traces(trials.graph, weights, _source(trials), progress)
    return {
        layer: {
            bits: max(traces[subject.weight], 0.0)
            / trials.weight(layer).size
            * _square(trials.rounded(layer, bits) - trials.weight(layer))
            for bits in trials.bits
        }
        for layer, subject in trials.subjects.items()
    }


def _source(trials: Trials) -> SlopeSource:
    tools = trials.tools
    return SlopeSource(tools.training, trials.data.task, trials.batches, trials.samples, tools.seed, tools.cancel)


def _square(array: np.ndarray) -> float:
    return float(np.square(array, dtype=np.float64).sum())
