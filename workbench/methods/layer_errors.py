"""Says how far what each layer computes is from what it computes in the original, over the channels that are left.

Notation: reference r, other o, over all elements and samples; signal to difference sum r² / sum (r - o)², in decibel.
Layers are joined by name. Files are executed node by node, because fused operators have no values within.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.comparison_reports import LayerError
from workbench.domain.ladder import IDENTICAL_DB
from workbench.engines.contracts import InferenceEngine
from workbench.graph.kept import Kept, kept
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.graph.storage import open_model
from workbench.methods.evaluation import chosen_samples

_BATCH = 16


class _Ratio:
    """Sums of squares of one layer's output."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._comparable = True

    def update(self, reference: np.ndarray, other: np.ndarray, left: Kept | None) -> None:
        """Take one batch; what can't be laid over each other is not compared."""
        if left is not None and left.axis < reference.ndim and reference.shape[left.axis] == left.count:
            reference = np.take(reference, left.positions, axis=left.axis)
        if reference.shape != other.shape:
            self._comparable = False
            return
        expected = reference.astype(np.float64)
        self._signal += float(np.square(expected).sum())
        self._noise += float(np.square(other.astype(np.float64) - expected).sum())

    def decibel(self) -> float | None:
        """Return the ratio; None where it could not be taken or is no number."""
        if not self._comparable or not np.isfinite(self._noise):
            return None
        if self._noise == 0:
            return IDENTICAL_DB
        ratio = 10 * np.log10(max(self._signal, np.finfo(np.float64).tiny) / self._noise)
        return float(np.clip(ratio, -IDENTICAL_DB, IDENTICAL_DB))


class _Side:
    """One model that is compared: its session, and which of its values each layer of the original is held against."""

    def __init__(
        self, engine: InferenceEngine, path: Path, original: ModelGraph, layers: dict[str, Node], cancel: CancelToken
    ) -> None:
        graph = open_model(path)
        known = {value for node in original.nodes for value in node.outputs}
        there = {value: node for node in graph.nodes for value in node.outputs}
        nodes = {node.name: node for node in graph.nodes}
        self.values: dict[str, tuple[str, str]] = {}
        self.left: dict[str, Kept | None] = {}
        for layer, before in layers.items():
            value, node = before.outputs[0], nodes.get(layer)
            # Names of values are the join: where a layer was split, or got its batch normalization back, another node
            # now makes the value; where it took one up, its output has the name of what followed it.
            if value in there:
                self.values[layer] = value, value
            elif node is not None:
                own = node.outputs[0]
                self.values[layer] = (own if own in known else value), own
            else:
                continue
            self.left[layer] = kept((node or there[value]).metadata)
        watched = tuple(dict.fromkeys(name for _, name in self.values.values()))
        self.session = engine.open(graph.with_outputs(watched), optimize=False, cancel=cancel) if watched else None
        self.ratios = {layer: _Ratio() for layer in self.values}


def layer_errors(
    engine: InferenceEngine,
    models: Sequence[Path],
    dataset: Dataset,
    *,
    samples: int,
    progress: Progress,
    cancel: CancelToken,
) -> tuple[LayerError, ...]:
    """Return the error of every layer of the first model in each of the others.

    Args:
        engine: Runs the files.
        models: The original first.
        dataset: Samples that fit all of them.
        samples: How many to look at.
        progress: Updated after each batch.
        cancel: Polled between batches and within them.

    Raises:
        CancelledError: `cancel` was set.
        JobError: the runtime failed.
    """
    original = open_model(models[0])
    layers = {node.name: node for node, _ in layer_nodes(original)}
    sides = [_Side(engine, path, original, layers, cancel) for path in models[1:]]
    names = tuple(dict.fromkeys(value for side in sides for value, _ in side.values.values()))
    if not names:
        return ()
    reference = engine.open(original.with_outputs(names), optimize=False, cancel=cancel)
    part, done = chosen_samples(dataset, samples), 0
    for batch in part.batches(_BATCH):
        cancel.raise_if_cancelled()
        expected = reference.run(batch.inputs)
        for side in sides:
            found = {} if side.session is None else side.session.run(batch.inputs)
            for layer, (value, own) in side.values.items():
                side.ratios[layer].update(expected[value], found[own], side.left[layer])
        done += len(batch)
        progress.update(done / len(part), f"layers on {done} of {len(part)} samples")
    return tuple(
        LayerError(
            layer=layer,
            sqnr_db=tuple(side.ratios[layer].decibel() if layer in side.ratios else None for side in sides),
        )
        for layer in layers
    )
