"""Latency on the machine at hand, all models interleaved in one process."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy
import onnxruntime

from workbench.devices._base import Bandwidth, EnergyFound
from workbench.devices.bandwidth import cache_bytes, stream_times
from workbench.devices.core_clocks import CoreClocks
from workbench.devices.energy_rounds import energy_rounds
from workbench.devices.held_cores import held_cores
from workbench.devices.load import LoadWatch
from workbench.devices.memory import MemoryUse, memory_use
from workbench.devices.processor import cpu_name, integer_dot_products
from workbench.devices.rapl import FOLDER, RaplCounters
from workbench.devices.rounds import time_rounds
from workbench.devices.statistics import judge, summarize, summarize_rates
from workbench.devices.streams import run_streams
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError
from workbench.domain.measurements import DeviceDescription, LatencyReport, ModelLatency, OperatorTime
from workbench.domain.remote_device import LOCAL, DeviceCheck
from workbench.domain.throughput import ModelThroughput, ThroughputReport
from workbench.engines.contracts import Inputs
from workbench.engines.inference_ort.kernel_times import TimedKernel, kernel_time, time_kernels
from workbench.engines.inference_ort.options import PROVIDER, available_cores
from workbench.engines.inference_ort.profile import profile_operators
from workbench.engines.inference_ort.sample_inputs import common_batch, random_inputs
from workbench.engines.inference_ort.session import OrtSession, open_session
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_size_bytes, open_model

_PROFILE_SECONDS = 1.0


class ThisComputer:
    """The machine that the workbench runs on; implements Device.

    Args:
        counters: Folder of the energy counters.
    """

    name = LOCAL

    def __init__(self, counters: Path = FOLDER) -> None:
        self._counters = counters

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
    ) -> Iterator[list[TimedKernel | None]]:
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
        progress = progress or Progress()
        progress.update(0.0, "opening")
        with held_cores(threads) as cores:
            # Threads that sessions start stay on the cores that hold this one.
            sessions, inputs, size = _opened(models, threads, batch, dimensions, seed, cancel)
            watch, clocks = LoadWatch(), CoreClocks(cores)
            told = progress.part(0.0, 0.8, "timing")

            def after_round(done: float, text: str) -> None:
                clocks.note()
                told.update(done, text)

            timings = time_rounds(
                [partial(session.run_exactly, arrays) for session, arrays in zip(sessions, inputs, strict=True)],
                seconds=seconds,
                seed=seed,
                report=after_round,
                check=None if cancel is None else cancel.raise_if_cancelled,
            )
        noise = judge(timings.rounds_ms[:, 0], watch.read(), threads or available_cores(), clocks.range_mhz())
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
            use = MemoryUse()
            if memory:
                use = memory_use(path, batch=size, threads=threads, dimensions=dimensions)
            entries.append(
                ModelLatency(
                    path=str(path),
                    batch=size,
                    latency_ms=latency,
                    runs=len(timings.runs_ms[index]),
                    size_bytes=model_size_bytes(path),
                    peak_memory_bytes=use.peak,
                    inference_memory_bytes=use.inference,
                    arena_bytes=use.arena,
                    ratio_to_first=ratio,
                    operators=profiled,
                )
            )
        progress.update(1.0)
        return LatencyReport(device=self.describe(threads), models=tuple(entries), noise=noise, cores=cores)

    def bandwidth(
        self,
        *,
        threads: int = 1,
        seconds: float = 2.0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Bandwidth:
        """Time passes over memory in this process; see Device.bandwidth."""
        if progress is not None:
            progress.update(0.0, "measuring the bandwidth of memory")
        check = None if cancel is None else cancel.raise_if_cancelled
        size, times = stream_times(threads=threads or available_cores(), seconds=seconds, check=check)
        return Bandwidth(size, cache_bytes(), {name: kernel_time(runs) for name, runs in times.items()})

    def throughput(
        self,
        models: Sequence[Path],
        *,
        threads: int = 1,
        batch: int = 1,
        streams: int = 1,
        seconds: float = 5.0,
        dimensions: Mapping[str, int] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> ThroughputReport:
        """Count samples a second, each stream in a thread with a session of its own; see Device.throughput."""
        began = time.perf_counter()
        progress = progress or Progress()
        progress.update(0.0, "opening")
        copies = [_opened(models, threads, batch, dimensions, seed, cancel) for _ in range(streams)]
        size = copies[0][2]
        runs = [
            [partial(sessions[place].run_exactly, inputs[place]) for sessions, inputs, _ in copies]
            for place in range(len(models))
        ]
        watch = LoadWatch()
        rates = numpy.array(
            run_streams(
                runs,
                seconds=seconds,
                seed=seed,
                report=progress.part(0.0, 1.0, "counting").update,
                check=None if cancel is None else cancel.raise_if_cancelled,
            )
        )
        noise = judge(1000 / rates[:, 0], watch.read(), streams * (threads or available_cores()))
        progress.update(1.0)
        return ThroughputReport(
            device=self.describe(threads),
            threads=threads,
            batch=size,
            streams=streams,
            models=tuple(
                ModelThroughput(path=str(path), samples_per_second=rate, ratio_to_first=ratio, windows=len(rates))
                for path, (rate, ratio) in zip(models, summarize_rates(rates * size, seed), strict=True)
            ),
            noise=noise,
            seconds=time.perf_counter() - began,
        )

    def energy(
        self,
        models: Sequence[Path],
        *,
        threads: int = 1,
        batch: int = 1,
        seconds: float = 10.0,
        dimensions: Mapping[str, int] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> EnergyFound:
        """Read the processor's energy counters while models run; see Device.energy."""
        sessions, inputs, size = _opened(models, threads, batch, dimensions, seed, cancel)
        device = self.describe(threads)
        try:
            counters = RaplCounters(self._counters)
        except OSError as error:
            return EnergyFound(device, size, None, (), str(error), None)
        watch = LoadWatch()
        rounds = energy_rounds(
            [partial(session.run_exactly, arrays) for session, arrays in zip(sessions, inputs, strict=True)],
            counters,
            seconds=seconds,
            seed=seed,
            report=(progress or Progress()).part(0.0, 1.0, "reading energy counters").update,
            check=None if cancel is None else cancel.raise_if_cancelled,
        )
        noise = judge(numpy.array(rounds.watts)[:, 0], watch.read(), threads or available_cores())
        return EnergyFound(device, size, rounds, counters.names, "", noise)


def _opened(
    models: Sequence[Path],
    threads: int,
    batch: int,
    dimensions: Mapping[str, int] | None,
    seed: int,
    cancel: CancelToken | None,
) -> tuple[list[OrtSession], list[Inputs], int]:
    """Return a session and inputs for every model, and the batch that they share."""
    if not models:
        raise BadInputError("there is no model to measure", action="Name at least one .onnx file.")
    sessions = [open_session(path, threads=threads, cancel=cancel) for path in models]
    size = common_batch([(path.name, session.inputs) for path, session in zip(models, sessions, strict=True)], batch)
    inputs: list[Inputs] = [
        random_inputs(session.inputs, batch=size, dimensions=dimensions, seed=seed, where=path.name)
        for session, path in zip(sessions, models, strict=True)
    ]
    return sessions, inputs, size
