"""Times the trial graphs of a running step on the recipe's device, the way the finished candidate will be timed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from workbench.devices._base import Device
from workbench.domain.cancel import CancelToken
from workbench.graph.model import ModelGraph
from workbench.graph.passes.drop_traces import drop_traces
from workbench.graph.storage import open_model, save_model
from workbench.methods.step import fold_given_back

_SECONDS = 1.5


class DeviceGauge:
    """A LatencyGauge on a device.

    Args:
        original: Model file that ratios refer to.
        device: Returns the device; asked only when something is timed.
        threads: Of the runtime.
        batch: Samples in one inference.
        dimensions: Sizes of dynamic dimensions other than the batch, by name.
        seconds: Measuring time for original and trial together.
        log: Is told when the machine was not quiet.
    """

    def __init__(
        self,
        original: Path,
        device: Callable[[], Device],
        *,
        threads: int = 1,
        batch: int = 1,
        dimensions: Mapping[str, int] | None = None,
        seconds: float = _SECONDS,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._original = original
        self._device = device
        self._threads, self._batch, self._dimensions = threads, batch, dict(dimensions or {})
        self._seconds = seconds
        self._log = log

    @property
    def setting(self) -> str:
        """See LatencyGauge."""
        described = self._device().describe(self._threads).model_dump(mode="json")
        return json.dumps({**described, "batch": self._batch, "dimensions": self._dimensions}, sort_keys=True)

    def ratio(self, graph: ModelGraph, cancel: CancelToken) -> float:
        """See LatencyGauge."""
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            trial = Path(folder) / "trial.onnx"
            # As it will be deployed: batch norm that a step gave back is folded again in the end.
            save_model(drop_traces(fold_given_back(graph, self._graph)), trial)
            report = self._device().measure(
                (self._original, trial),
                threads=self._threads,
                batch=self._batch,
                seconds=self._seconds,
                operators=False,
                memory=False,
                dimensions=self._dimensions,
                cancel=cancel,
            )
        if not report.noise.quiet:
            self._log(f"The machine was not quiet while a trial was timed: {report.noise.reason}.")
        return report.models[1].ratio_to_first.median

    @cached_property
    def _graph(self) -> ModelGraph:
        return open_model(self._original)
