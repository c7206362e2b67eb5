"""The two engines of this process, each loaded when a job first needs it: torch alone takes two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.engines.contracts import (
    Batch,
    ChannelAxis,
    InferenceEngine,
    Inputs,
    SlopeObserver,
    TrainingData,
    TrainingEngine,
    TrainingHook,
    TrainingResult,
    TrainingSettings,
)
from workbench.engines.reconstruction import RoundingResult, RoundingSettings, RoundingTask
from workbench.graph.model import ModelGraph


@cache
def inference_engine() -> InferenceEngine:
    """Return this process's ONNX Runtime engine."""
    from workbench.devices.processor import integer_dot_products
    from workbench.engines.inference_ort import OrtEngine

    return OrtEngine(integer_dot_products=integer_dot_products())


@cache
def _torch_engine(threads: int) -> TrainingEngine:
    from workbench.engines.training_torch import TorchEngine

    return TorchEngine(threads)


class DeferredTrainingEngine:
    """A TrainingEngine that imports torch at its first use.

    Args:
        threads: Of torch where the settings of a training don't say it; 0 takes all cores.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads

    def unsupported(self, graph: ModelGraph) -> tuple[str, ...]:
        """See TrainingEngine."""
        return _torch_engine(self._threads).unsupported(graph)

    def run(self, graph: ModelGraph, inputs: Inputs, values: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """See TrainingEngine."""
        return _torch_engine(self._threads).run(graph, inputs, values)

    def reestimate_batch_norm(
        self,
        graph: ModelGraph,
        batches: Iterable[Batch],
        *,
        progress: Progress | None = None,
        total: int | None = None,
        cancel: CancelToken | None = None,
    ) -> ModelGraph:
        """See TrainingEngine."""
        return _torch_engine(self._threads).reestimate_batch_norm(
            graph, batches, progress=progress, total=total, cancel=cancel
        )

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
        """See TrainingEngine."""
        _torch_engine(self._threads).observe_slopes(
            graph,
            axes,
            observer,
            batches,
            task=task,
            labels=labels,
            seed=seed,
            progress=progress,
            total=total,
            cancel=cancel,
        )

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
        """See TrainingEngine."""
        return _torch_engine(self._threads).fit(
            graph,
            data,
            settings,
            teacher=teacher,
            validate=validate,
            progress=progress,
            cancel=cancel,
            log=log,
            hook=hook,
            checkpoint=checkpoint,
        )

    def reconstruct(
        self,
        task: RoundingTask,
        settings: RoundingSettings,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> RoundingResult:
        """See TrainingEngine."""
        return _torch_engine(self._threads).reconstruct(task, settings, progress=progress, cancel=cancel)
