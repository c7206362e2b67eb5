"""Takes slopes of the loss along changes of weights, all layers in one pass: what gradients tell of a change.

Notation: w a weight, d a change of it, L the loss of a sample, H the Hessian of the mean loss with respect to w.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.engines.contracts import Batch, ChannelAxis, TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.graph.passes.perturb_weights import perturb_weights

_BATCH = 64
_SMALL_STEP = 1e-3
_PROBES = 8


@dataclass(frozen=True)
class SlopeSource:
    """Where slopes come from.

    Attributes:
        training: Engine with gradients.
        task: Of the data; decides the loss. Labels are drawn from the model's own prediction.
        batches: Returns the samples in batches of a size; called once for every pass.
        samples: How many there are.
        seed: Of the labels and of random directions.
        cancel: Checked between batches.
    """

    training: TrainingEngine
    task: str
    batches: Callable[[int], Iterable[Batch]]
    samples: int
    seed: int
    cancel: CancelToken


def weight_slopes(
    graph: ModelGraph,
    changes: Mapping[str, np.ndarray],
    source: SlopeSource,
    *,
    batch_size: int = 1,
    share: float = _SMALL_STEP,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Return d · ∂L/∂w of every batch, summed over its samples (batches,), by weight, a share of the changes ahead.

    Args:
        graph: The model.
        changes: d by initializer, of its shape.
        source: Samples and gradients.
        batch_size: 1 gives the slopes of single samples.
        share: Of the changes that is added; slopes are divided by it.
        progress: Of the pass.

    Raises:
        UnsupportedGraphError: an operator has no gradient.
        DataError: there are no samples.
        CancelledError: cancelled.
    """
    scaled = {weight: np.asarray(share * change, np.float32) for weight, change in changes.items()}
    moved, names = perturb_weights(graph, scaled)
    observer = _Observer({weight: ChannelAxis(name, 0) for weight, name in names.items()})
    source.training.observe_slopes(
        moved,
        tuple(observer.axes.values()),
        observer,
        source.batches(batch_size),
        task=source.task,
        labels="model",
        seed=source.seed,
        progress=progress,
        total=source.samples,
        cancel=source.cancel,
    )
    return {weight: np.array(found) / share for weight, found in observer.found.items()}


def hessian_traces(
    graph: ModelGraph, weights: Mapping[str, np.ndarray], source: SlopeSource, progress: Progress | None = None
) -> dict[str, float]:
    """Return trace(H) by weight, by Hutchinson's estimate (HAWQ-V2, Dong et al., 2020).

    With random signs v and the gradient g: the mean of v · (g(w + h v) - g(w - h v)) / 2h, all weights in one pass.

    Args:
        graph: The model.
        weights: Their values by initializer.
        source: Samples and gradients.
        progress: Of all passes.

    Raises:
        UnsupportedGraphError: an operator has no gradient.
        DataError: there are no samples.
        CancelledError: cancelled.
    """
    rng, progress = np.random.default_rng(source.seed), progress or Progress()
    traces = dict.fromkeys(weights, 0.0)
    # Steps in proportion to each layer's own weights, so that one number suits all.
    steps = {name: _SMALL_STEP * float(np.sqrt(np.mean(np.square(array))) or 1.0) for name, array in weights.items()}
    for probe in range(_PROBES):
        signs = {name: rng.choice(np.array([-1, 1], np.float32), size=array.shape) for name, array in weights.items()}
        ends = []
        for side, sign in enumerate((1.0, -1.0)):
            moved = {name: (sign * steps[name] * signs[name]).astype(np.float32) for name in weights}
            first = (2 * probe + side) / (2 * _PROBES)
            part = progress.part(first, first + 1 / (2 * _PROBES))
            found = weight_slopes(graph, moved, source, batch_size=_BATCH, share=1.0, progress=part)
            # The observed slope is along the signed step; both ends are wanted along v.
            ends.append({name: sign * float(found[name].sum()) / source.samples / steps[name] for name in weights})
        for name in weights:
            traces[name] += (ends[0][name] - ends[1][name]) / (2 * steps[name]) / _PROBES
    return traces


class _Observer:
    """Adds up the slopes of each batch."""

    def __init__(self, axes: Mapping[str, ChannelAxis]) -> None:
        self.axes = dict(axes)
        self.found: dict[str, list[float]] = {weight: [] for weight in axes}

    def update(self, slopes: Mapping[ChannelAxis, np.ndarray]) -> None:
        """Take one batch."""
        for weight, axis in self.axes.items():
            self.found[weight].append(float(slopes[axis].astype(np.float64).sum()))
