"""Streams gradients of the loss past an observer, so that scores from a million samples need the memory of one batch.

Notation: n samples, a (n, …, c, …) a value with channels c, L_n the loss of sample n. The *slope* of channel c is the
derivative of L_n by a factor on the channel: the sum of a · ∂L_n/∂a over all positions. Removing the channel moves that
factor from 1 to 0. A weight has one slope a batch, of the loss of all of its samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DataError, JobError
from workbench.engines.contracts import Batch, ChannelAxis, SlopeObserver
from workbench.engines.training_torch.devices import training_device
from workbench.engines.training_torch.from_graph import GraphModule, prefers_channels_last
from workbench.engines.training_torch.losses import Losses, trained_values
from workbench.graph.model import ModelGraph

_CLASS_TASKS = ("classification", "segmentation", "language")


class SlopePass:
    """One pass over samples that takes slopes.

    Args:
        graph: The model; it runs in inference mode.
        axes: Values or weights, each with the axis its channels lie on.
        task: Decides the loss.
        labels: "data" takes the loss of the samples' labels. "model" draws labels from the model's own prediction, so
            that the mean square of a slope is the diagonal of the Gauss-Newton matrix (Martens, 2014).
        seed: Of the drawn labels.

    Raises:
        UnsupportedGraphError: the graph has an operator that this engine can't execute.
    """

    def __init__(
        self, graph: ModelGraph, axes: Sequence[ChannelAxis], task: str, labels: Literal["data", "model"], seed: int
    ) -> None:
        device = training_device()
        self._graph = graph
        self._axes = tuple(dict.fromkeys(axes))
        self._task, self._labels = task, labels
        self._module = GraphModule(graph, device=device, channels_last=prefers_channels_last(graph))
        self._losses = Losses(task, 0.0, 0.0, 1.0)
        self._values = trained_values(graph, task)
        self._observed = tuple(dict.fromkeys(axis.value for axis in self._axes))
        self._generator = torch.Generator(device).manual_seed(seed)

    def run(
        self,
        observer: SlopeObserver,
        batches: Iterable[Batch],
        progress: Progress | None,
        total: int | None,
        cancel: CancelToken | None,
    ) -> None:
        """Take the slopes of every batch; see TrainingEngine.observe_slopes."""
        seen = 0
        for batch in batches:
            if cancel is not None:
                cancel.raise_if_cancelled()
            observer.update(self._slopes(batch))
            seen += len(batch)
            if progress is not None and total:
                progress.update(min(seen / total, 1.0), f"{seen} of {total} samples")
        if not seen:
            raise DataError("there are no samples", action="Name a train split in the data description.")

    def _slopes(self, batch: Batch) -> dict[ChannelAxis, np.ndarray]:
        names = tuple(dict.fromkeys((*self._observed, *self._values)))
        results = self._module(self._module.feed(batch.inputs), names)
        loss = self._loss([results[name] for name in self._values], batch)
        if not bool(torch.isfinite(loss)):
            raise JobError(
                f"the loss of the original model is {float(loss.detach())}, so that nothing can be ranked by it",
                where=self._graph.source,
                action="Check labels and preprocessing in the data description.",
            )
        tensors = {name: results[name] for name in self._observed if results[name].requires_grad}
        gradients = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
        found = dict(zip(tensors, gradients, strict=True))
        return {axis: self._slope(results[axis.value], found.get(axis.value), axis, len(batch)) for axis in self._axes}

    def _slope(self, value: Tensor, gradient: Tensor | None, axis: ChannelAxis, samples: int) -> np.ndarray:
        """Return the slopes (n, c), or (1, c) where the first axis does not count samples."""
        value = value.detach()
        channel = axis.axis % value.dim()
        if gradient is None:
            return np.zeros((1, value.shape[channel]), np.float32)
        product = value * gradient
        rows = channel != 0 and axis.value not in self._module.weights and product.shape[0] % samples == 0
        others = [index for index in range(product.dim()) if index != channel and not (rows and index == 0)]
        sums = product.sum(others) if others else product
        if rows:
            # Sequences may be folded into the first axis; their steps belong to one sample.
            sums = sums.reshape(samples, -1, sums.shape[-1]).sum(1)
        return np.asarray(sums.reshape(-1, value.shape[channel]).cpu().numpy())

    def _loss(self, outputs: Sequence[Tensor], batch: Batch) -> Tensor:
        """Return the loss of a batch, summed over its samples."""
        if self._labels == "model":
            return self._drawn([output.float() for output in outputs])
        return self._losses(outputs, batch.targets, None) * len(batch)

    def _drawn(self, outputs: Sequence[Tensor]) -> Tensor:
        if self._task not in _CLASS_TASKS:
            # The gradient of a squared distance to the output plus noise of variance 1 is the noise.
            terms = [
                (output * torch.randn(output.shape, generator=self._generator, device=output.device)).sum()
                for output in outputs
                if output.is_floating_point()
            ]
            return torch.stack(terms).sum()
        logits = outputs[0].flatten(1) if self._task == "classification" else outputs[0]
        if self._task == "segmentation":
            logits = logits.movedim(1, -1)
        rows = torch.log_softmax(logits, -1).reshape(-1, logits.shape[-1])
        labels = torch.multinomial(rows.detach().exp(), 1, generator=self._generator)
        # As in the loss of labels, positions are averaged and samples summed.
        return -rows.gather(1, labels).sum() * (len(logits) / len(rows))
