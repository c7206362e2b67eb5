"""A machine reached over SSH as a place to measure: what was measured there reads like what is measured here."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from pydantic import ValidationError

from workbench.devices._base import Bandwidth, EnergyFound
from workbench.devices.agent_calls import AgentCalls, SentModel, missing_modules
from workbench.devices.remote_results import (
    RemoteBandwidth,
    RemoteEnergy,
    RemoteFacts,
    RemoteKernelTimes,
    RemoteRates,
    RemoteTimes,
)
from workbench.devices.remote_run import run_there
from workbench.devices.remote_session import RemoteRunner
from workbench.devices.ssh_link import DroppedError, SshLink
from workbench.devices.statistics import judge, summarize, summarize_rates
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, DeviceError
from workbench.domain.measurements import DeviceDescription, LatencyReport, ModelLatency, OperatorTime
from workbench.domain.remote_device import DeviceCheck, RemoteDevice
from workbench.domain.throughput import ModelThroughput, ThroughputReport
from workbench.engines.inference_ort.kernel_times import TimedKernel, kernel_time
from workbench.engines.inference_ort.options import PROVIDER
from workbench.engines.inference_ort.profile import joined
from workbench.engines.inference_ort.sample_inputs import common_batch, input_shapes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_size_bytes, open_model, save_model

_OPERATOR_SECONDS = 1.0


class SshDevice:
    """Another machine; implements Device, and opens models to be evaluated there.

    Args:
        settings: How it is reached.
        patience_s: How long a dropped connection is waited for; by default five minutes.
    """

    def __init__(self, settings: RemoteDevice, *, patience_s: float | None = None) -> None:
        self.settings = settings
        self._calls = AgentCalls(settings) if patience_s is None else AgentCalls(settings, patience_s=patience_s)
        self._known: RemoteFacts | None = None

    @property
    def name(self) -> str:
        """Name in recipes and on the command line."""
        return self.settings.name

    def check(self, cancel: CancelToken | None = None) -> DeviceCheck:
        """Connect once, without waiting for a connection that is not there; see Device.check."""
        began = time.monotonic()
        try:
            facts = self._facts(cancel)
        except DroppedError as dropped:
            raise dropped.error from None
        return DeviceCheck(
            name=self.name,
            cpu=facts.cpu,
            cores=facts.cores,
            system=facts.system,
            machine=facts.machine,
            python=facts.python,
            versions=facts.versions,
            integer_dot_products=facts.integer_dot_products,
            seconds=time.monotonic() - began,
            notes=tuple(_notes(facts)),
        )

    def describe(self, threads: int) -> DeviceDescription:
        """Return what the machine is, as it was when it last answered; see Device.describe."""
        known = self._known or self._calls.insist(self._facts)
        return self._description(known, threads)

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
        """Time all groups in one run there; see Device.time_kernels.

        Raises:
            ModelFileError: the runtime there refuses all kernels of a group.
            DeviceError: the device can't be reached, or can't measure.
            JobError: the run failed there, or its result is damaged.
            CancelledError: `cancel` was set.
        """
        sizes: list[int] = []
        sent: list[SentModel] = []
        described = []
        with tempfile.TemporaryDirectory(prefix="workbench-kernels-") as folder:
            for graphs in groups:
                sizes.append(len(graphs))
                for graph in graphs:
                    path = Path(folder) / f"kernel-{len(sent)}.onnx"
                    save_model(graph, path)
                    sent.append(SentModel.of(path))
                    described.append(_described(sent[-1], input_shapes(graph.inputs)))
            if not sent:
                return
            job = {
                "task": "kernels",
                "models": described,
                "groups": sizes,
                "threads": threads,
                "seconds": seconds,
                "seed": 0,
            }
            result = run_there(self._calls, job, sent, RemoteKernelTimes, progress or Progress(), cancel)
        self._known = result.device
        times = iter(result.runs_us)
        for size in sizes:
            yield [kernel_time(runs) if runs else None for runs in itertools.islice(times, size)]

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
        """Measure the models in interleaved rounds there; see Device.measure.

        The rounds go on where the connection drops, and are fetched when it is back.

        Raises:
            ModelFileError: a model can't be read, or the runtime there refuses it.
            BadInputError: no models, a dynamic dimension without a value, or differing fixed batches.
            DeviceError: the device can't be reached, or can't measure.
            JobError: the run failed there, or its result is damaged.
            CancelledError: `cancel` was set.
        """
        progress = progress or Progress()
        chosen = _chosen(models, batch, dimensions)
        job = {
            "task": "models",
            "models": chosen.described,
            "threads": threads,
            "seconds": seconds,
            "seed": seed,
            "operators": operators,
            "operator_seconds": _OPERATOR_SECONDS,
            "memory": memory,
        }
        result = run_there(self._calls, job, chosen.sent, RemoteTimes, progress, cancel)
        self._known = result.device
        progress.update(1.0)
        return self._report(result, list(models), chosen.graphs, chosen.batch, threads, seed)

    def bandwidth(
        self,
        *,
        threads: int = 1,
        seconds: float = 2.0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Bandwidth:
        """Time passes over the memory there; see Device.bandwidth."""
        job = {"task": "bandwidth", "models": [], "threads": threads, "seconds": seconds}
        found = run_there(self._calls, job, (), RemoteBandwidth, progress or Progress(), cancel)
        self._known = found.device
        times = {name: kernel_time(runs) for name, runs in found.runs_us.items()}
        return Bandwidth(found.array_bytes, found.cache_bytes, {str(name): time for name, time in times.items()})

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
        """Count samples a second there; see Device.throughput."""
        began = time.perf_counter()
        chosen = _chosen(models, batch, dimensions)
        job = {
            "task": "throughput",
            "models": chosen.described,
            "threads": threads,
            "streams": streams,
            "seconds": seconds,
            "seed": seed,
        }
        found = run_there(self._calls, job, chosen.sent, RemoteRates, progress or Progress(), cancel)
        self._known = found.device
        rates = np.array(found.rates)
        return ThroughputReport(
            device=self._description(found.device, threads),
            threads=threads,
            batch=chosen.batch,
            streams=streams,
            models=tuple(
                ModelThroughput(path=str(path), samples_per_second=rate, ratio_to_first=ratio, windows=len(rates))
                for path, (rate, ratio) in zip(models, summarize_rates(rates * chosen.batch, seed), strict=True)
            ),
            noise=judge(1000 / rates[:, 0], found.load, streams * (threads or found.device.cores)),
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
        """Read the energy counters there; see Device.energy."""
        chosen = _chosen(models, batch, dimensions)
        job = {"task": "energy", "models": chosen.described, "threads": threads, "seconds": seconds, "seed": seed}
        found = run_there(self._calls, job, chosen.sent, RemoteEnergy, progress or Progress(), cancel)
        self._known = found.device
        device = self._description(found.device, threads)
        if found.rounds is None or found.load is None:
            return EnergyFound(device, chosen.batch, None, (), found.why_not, None)
        noise = judge(np.array(found.rounds.watts)[:, 0], found.load, threads or found.device.cores)
        return EnergyFound(device, chosen.batch, found.rounds, found.counters, "", noise)

    def running(self) -> RemoteRunner:
        """Return what runs model files there, batch by batch, while it is entered."""
        return RemoteRunner(self._calls)

    def _facts(self, cancel: CancelToken | None = None) -> RemoteFacts:
        facts = self._calls.exchange(("describe",), self._told, cancel)
        if facts.missing:
            raise missing_modules(self.settings, facts.missing)
        self._known = facts
        return facts

    def _told(self, link: SshLink) -> RemoteFacts:
        answer = dict(self._calls.expect(link.answer(), "device"))
        del answer["type"]
        try:
            return RemoteFacts.model_validate(answer)
        except ValidationError as error:
            raise DeviceError(
                "the agent's description is not understood", where=f"device {self.name}", found=str(answer)[:200]
            ) from error

    def _description(self, facts: RemoteFacts, threads: int) -> DeviceDescription:
        return DeviceDescription(
            name=self.name,
            cpu=facts.cpu,
            threads=threads or facts.cores,
            runtime=f"onnxruntime {facts.versions['onnxruntime']}",
            provider=PROVIDER,
        )

    def _report(
        self,
        result: RemoteTimes,
        models: Sequence[Path],
        graphs: Sequence[ModelGraph],
        batch: int,
        threads: int,
        seed: int,
    ) -> LatencyReport:
        timings = result.timings()
        entries = []
        for index, (latency, ratio) in enumerate(summarize(timings, seed)):
            timed = {(name, op): median for name, op, median in result.operators[index]}
            operators: tuple[OperatorTime, ...] = joined(timed, graphs[index]) if timed else ()
            entries.append(
                ModelLatency(
                    path=str(models[index]),
                    batch=batch,
                    latency_ms=latency,
                    runs=len(timings.runs_ms[index]),
                    size_bytes=model_size_bytes(models[index]),
                    peak_memory_bytes=result.memory[index].peak,
                    inference_memory_bytes=result.memory[index].inference,
                    arena_bytes=result.memory[index].arena,
                    ratio_to_first=ratio,
                    operators=operators,
                )
            )
        noise = judge(timings.rounds_ms[:, 0], result.load, threads or result.device.cores, result.clock_mhz)
        return LatencyReport(
            device=self._description(result.device, threads), models=tuple(entries), noise=noise, cores=result.cores
        )


class _Chosen(NamedTuple):
    """Models as a job needs them, and the batch that they share."""

    graphs: list[ModelGraph]
    sent: list[SentModel]
    described: list[dict[str, object]]
    batch: int


def _chosen(models: Sequence[Path], batch: int, dimensions: Mapping[str, int] | None) -> _Chosen:
    if not models:
        raise BadInputError("there is no model to measure", action="Name at least one .onnx file.")
    graphs = [open_model(path) for path in models]
    size = common_batch([(path.name, graph.inputs) for path, graph in zip(models, graphs, strict=True)], batch)
    sent = [SentModel.of(path) for path in models]
    described = []
    for graph, model in zip(graphs, sent, strict=True):
        shapes = input_shapes(graph.inputs, batch=size, dimensions=dimensions, where=model.path.name)
        described.append(_described(model, shapes))
    return _Chosen(graphs, sent, described, size)


def _described(model: SentModel, shapes: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> dict[str, object]:
    """Return a model as jobs name it: by hash, with the types and shapes of its inputs."""
    return {
        "sha256": model.sha256,
        "shapes": {name: [str(dtype), list(shape)] for name, (dtype, shape) in shapes.items()},
    }


def _notes(facts: RemoteFacts) -> list[str]:
    notes = []
    here, there = onnxruntime.__version__, facts.versions["onnxruntime"]
    if here.split(".")[:2] != there.split(".")[:2]:
        notes.append(f"ONNX Runtime is {there} there and {here} here: kernels and fusion may differ.")
    if facts.system != "Linux":
        notes.append("What other processes do there, and the memory of a model, can be seen on Linux only.")
    if facts.integer_dot_products is False:
        notes.append("Its processor adds pairs of 8-bit products in 16 bits, where sums can saturate.")
    return notes
