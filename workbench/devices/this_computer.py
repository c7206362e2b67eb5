"""Latency on the machine at hand, all models interleaved in one process."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy
import onnxruntime

from workbench.devices.load import LoadWatch
from workbench.devices.memory import peak_memory_bytes
from workbench.devices.processor import cpu_name, integer_dot_products
from workbench.devices.rounds import time_rounds
from workbench.devices.statistics import judge, summarize
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError
from workbench.domain.measurements import DeviceDescription, LatencyReport, ModelLatency, OperatorTime
from workbench.domain.remote_device import LOCAL, DeviceCheck
from workbench.engines.inference_ort.kernel_times import TimedKernel, time_kernels
from workbench.engines.inference_ort.options import PROVIDER, available_cores
from workbench.engines.inference_ort.profile import profile_operators
from workbench.engines.inference_ort.sample_inputs import common_batch, random_inputs
from workbench.engines.inference_ort.session import open_session
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_size_bytes, open_model

_PROFILE_SECONDS = 1.0


class ThisComputer:
    """The machine that the workbench runs on; implements Device."""

    name = LOCAL

    def check(self, cancel: CancelToken | None = None) -> DeviceCheck:
        """Say what this computer is; see Device.check."""
        return DeviceCheck(
            name=self.name,
            cpu=cpu_name(),
            cores=available_cores(),
            system=platform.system(),
            machine=platform.machine(),
            python=platform.python_version(),
            versions={"numpy": numpy.__version__, "onnxruntime": onnxruntime.__version__},
            integer_dot_products=integer_dot_products(),
            seconds=0.0,
        )

    def describe(self, threads: int) -> DeviceDescription:
        """Return processor, threads and runtime of this machine."""
        return DeviceDescription(
            name=self.name,
            cpu=cpu_name(),
            threads=threads or available_cores(),
            runtime=f"onnxruntime {onnxruntime.__version__}",
            provider=PROVIDER,
        )

    def time_kernels(
        self,
        groups: Iterable[Sequence[ModelGraph]],
        *,
        count: int,
        threads: int = 1,
        seconds: float = 0.1,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[list[TimedKernel]]:
        """Time each group when it is asked for; see Device.time_kernels."""
        for number, graphs in enumerate(groups):
            if progress is not None:
                progress.update(number / count, f"timing kernels of shape {number + 1} of {count}")
            inputs = [random_inputs(graph.inputs) for graph in graphs]
            yield time_kernels(graphs, inputs, threads=threads, seconds=seconds, cancel=cancel)

    def measure(
        self,
        models: Sequence[Path],
        *,
        threads: int = 1,
        batch: int = 1,
        seconds: float = 5.0,
        operators: bool = True,
        memory: bool = True,
        dimensions: Mapping[str, int] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> LatencyReport:
        """Measure the models in interleaved rounds; see Device.measure.

        Threads spin while a model runs, as they do when deployed, and stop when it returns, so that one model's
        threads take no time from the next.

        Raises:
            ModelFileError: the runtime refuses a model.
            BadInputError: no models, a dynamic dimension without a value, or differing fixed batches.
            CancelledError: `cancel` was set.
        """
        if not models:
            raise BadInputError("there is no model to measure", action="Name at least one .onnx file.")
        progress = progress or Progress()
        progress.update(0.0, "opening")
        sessions = [open_session(path, threads=threads, cancel=cancel) for path in models]
        size = common_batch(
            [(path.name, session.inputs) for path, session in zip(models, sessions, strict=True)], batch
        )
        inputs = [
            random_inputs(session.inputs, batch=size, dimensions=dimensions, seed=seed, where=path.name)
            for session, path in zip(sessions, models, strict=True)
        ]
        watch = LoadWatch()
        timings = time_rounds(
            [partial(session.run_exactly, arrays) for session, arrays in zip(sessions, inputs, strict=True)],
            seconds=seconds,
            seed=seed,
            report=progress.part(0.0, 0.8, "timing").update,
            check=None if cancel is None else cancel.raise_if_cancelled,
        )
        noise = judge(timings.rounds_ms[:, 0], watch.read(), threads or available_cores())
        summaries = summarize(timings, seed)
        entries = []
        for index, path in enumerate(models):
            progress.update(0.8 + 0.2 * index / len(models), f"operators and memory of {path.name}")
            if cancel is not None:
                cancel.raise_if_cancelled()
            profiled: tuple[OperatorTime, ...] = ()
            if operators:
                graph = open_model(path)
                profiled = profile_operators(
                    path, inputs[index], graph, threads=threads, seconds=_PROFILE_SECONDS, cancel=cancel
                )
            latency, ratio = summaries[index]
            peak = None
            if memory:
                peak = peak_memory_bytes(path, batch=size, threads=threads, dimensions=dimensions)
            entries.append(
                ModelLatency(
                    path=str(path),
                    batch=size,
                    latency_ms=latency,
                    runs=len(timings.runs_ms[index]),
                    size_bytes=model_size_bytes(path),
                    peak_memory_bytes=peak,
                    ratio_to_first=ratio,
                    operators=profiled,
                )
            )
        progress.update(1.0)
        return LatencyReport(device=self.describe(threads), models=tuple(entries), noise=noise)
