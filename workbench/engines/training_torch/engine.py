"""The training engine behind its contract: run, fit and re-estimate statistics of a model graph in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DataError
from workbench.engines.contracts import (
    Batch,
    ChannelAxis,
    Inputs,
    SlopeObserver,
    TrainingData,
    TrainingHook,
    TrainingResult,
    TrainingSettings,
)
from workbench.engines.reconstruction import RoundingResult, RoundingSettings, RoundingTask
from workbench.engines.training_torch.devices import reproducible, training_device
from workbench.engines.training_torch.from_graph import GraphModule, prefers_channels_last, unsupported
from workbench.engines.training_torch.gradients import SlopePass
from workbench.engines.training_torch.reconstruction import Reconstruction
from workbench.engines.training_torch.trainer import Trainer, Watch
from workbench.graph.model import ModelGraph


class TorchEngine:
    """Executes the same graph with gradients and writes weights back by name.

    Args:
        threads: Of torch in `run` and `reestimate_batch_norm`; 0 takes all cores. The settings say it for `fit`.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads
        self._last: GraphModule | None = None

    def unsupported(self, graph: ModelGraph) -> tuple[str, ...]:
        """Return "Op (node name)" for every node that this engine can't execute; () if it can run the graph."""
        return unsupported(graph)

    def run(self, graph: ModelGraph, inputs: Inputs, values: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run one batch in inference mode; returns the graph's outputs, or the named values.

        Raises:
            UnsupportedGraphError: names the operators that are missing.
            DataError: an input is missing, or there is no value of a given name.
        """
        # Batches of one graph come in a row; compiling it anew for each would cost more than running it.
        if self._last is None or self._last.graph is not graph:
            self._last = GraphModule(graph, trainable=False)
        module = self._last
        names = module.output_names if values is None else tuple(values)
        for name in names:
            _check_known(graph, name)
        with reproducible(0, self._threads), torch.inference_mode():
            results = module(module.feed(inputs), names)
        return {name: _array(tensor, _declared(graph, name)) for name, tensor in results.items()}

    def reestimate_batch_norm(
        self,
        graph: ModelGraph,
        batches: Iterable[Batch],
        *,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ModelGraph:
        """Return the graph with every BatchNormalization's mean and variance taken anew from the batches.

        Each batch is normalized by its own statistics; mean and (population) variance over all samples are kept.

        Raises:
            UnsupportedGraphError: names the operators that are missing.
            DataError: there are no batches.
            CancelledError: cancelled.
        """
        device = training_device()
        module = GraphModule(graph, device=device, channels_last=prefers_channels_last(graph))
        if not module.statistics:
            return graph
        module.mode.batch_norm = "collect"
        seen = 0
        with reproducible(0, self._threads), torch.inference_mode():
            for batch in batches:
                if cancel is not None:
                    cancel.raise_if_cancelled()
                module(module.feed(batch.inputs))
                seen += len(batch)
                if progress is not None and total:
                    progress.update(seen / total, f"{seen} of {total} samples")
        if not seen:
            raise DataError(
                "batch statistics can't be estimated without samples",
                action="Name a train split in the data description.",
            )
        return graph.with_initializers(_statistics(graph, module))

    def observe_slopes(
        self,
        graph: ModelGraph,
        axes: Sequence[ChannelAxis],
        observer: SlopeObserver,
        batches: Iterable[Batch],
        *,
        task: str,
        labels: Literal["data", "model"] = "data",
        seed: int = 0,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Feed every batch's slopes (gradient times value, summed over positions) to the observer.

        Raises:
            UnsupportedGraphError: the graph has an operator that this engine can't execute.
            DataError: there is no such value, labels are missing or don't fit, or there are no batches.
            JobError: the loss is not finite.
            CancelledError: cancelled.
        """
        for axis in axes:
            _check_known(graph, axis.value)
        with reproducible(seed, self._threads):
            SlopePass(graph, axes, task, labels, seed).run(observer, batches, progress, total, cancel)

    def fit(
        self,
        graph: ModelGraph,
        data: TrainingData,
        settings: TrainingSettings,
        *,
        teacher: ModelGraph | None = None,
        validate: Callable[[ModelGraph], float] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        log: Callable[[str], None] | None = None,
        hook: TrainingHook | None = None,
        checkpoint: Path | None = None,
    ) -> TrainingResult:
        """Train all float initializers and return the epoch that `validate` (higher is better) scores best.

        The same arguments on the same machine give the same bytes; the number of threads is part of the arguments.
        A cancel after the first epoch returns the best so far with `stopped_early`; before that it raises. With a
        `checkpoint` file every epoch is stored, and the same training goes on from there with the same result.

        Raises:
            UnsupportedGraphError: the graph has an operator that this engine can't execute.
            DataError: the labels don't fit the model's output.
            JobError: the training diverged.
            CancelledError: cancelled before one epoch was complete.
        """
        watch = Watch(validate, progress or Progress(), cancel or CancelToken(), log or (lambda text: None))
        with reproducible(settings.seed, settings.threads) as threads:
            return Trainer(graph, settings, teacher, threads, hook).run(data, watch, checkpoint)

    def reconstruct(
        self,
        task: RoundingTask,
        settings: RoundingSettings,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> RoundingResult:
        """Learn how to round the weights of a part of a network, so that it makes what the exact part makes.

        The same arguments on the same machine give the same bytes; the number of threads is part of the arguments.

        Raises:
            UnsupportedGraphError: the part has an operator that this engine can't execute.
            JobError: the error is not finite.
            CancelledError: cancelled.
        """
        with reproducible(settings.seed, settings.threads or self._threads):
            return Reconstruction(task, settings).run(progress or Progress(), cancel or CancelToken())


def _check_known(graph: ModelGraph, name: str) -> None:
    try:
        graph.value(name)
    except KeyError:
        raise DataError(f"the graph has no value {name!r}", where=graph.source) from None


def _declared(graph: ModelGraph, name: str) -> np.dtype | None:
    dtype = graph.value(name).dtype
    if dtype is None:
        return None
    return np.dtype(getattr(ml_dtypes, dtype)) if hasattr(ml_dtypes, dtype) else np.dtype(dtype)


def _array(tensor: Tensor, dtype: np.dtype | None) -> np.ndarray:
    array = tensor.cpu().numpy()
    return array if dtype is None or array.dtype == dtype else array.astype(dtype)


def _statistics(graph: ModelGraph, module: GraphModule) -> dict[str, np.ndarray]:
    """Return new means and variances by initializer name."""
    arrays: dict[str, np.ndarray] = {}
    for node in graph.nodes:
        if node.op != "BatchNormalization" or node.inputs[3] not in module.mode.moments:
            continue
        samples, first, second = module.mode.moments[node.inputs[3]]
        mean = first / samples
        variance = (second / samples - mean.square()).clamp(min=0)
        for name, value in ((node.inputs[3], mean), (node.inputs[4], variance)):
            stored = graph.constant(name)
            assert stored is not None
            arrays[name] = value.cpu().numpy().astype(stored.dtype)
    return arrays
