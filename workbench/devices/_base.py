"""What a device promises, so that jobs measure latency without knowing where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from workbench.devices.energy_rounds import EnergyRounds
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DeviceError
from workbench.domain.measurements import DeviceDescription, LatencyReport, Noise
from workbench.domain.remote_device import DeviceCheck
from workbench.domain.throughput import ThroughputReport
from workbench.engines.inference_ort.kernel_times import TimedKernel
from workbench.graph.model import ModelGraph


class Bandwidth(NamedTuple):
    """How long passes over memory took: size of each array in bytes, that of the cache, and the time by kernel."""

    array_bytes: int
    cache_bytes: int | None
    times: dict[str, TimedKernel]


class EnergyFound(NamedTuple):
    """What a device's energy counters said of models; without `rounds`, `why_not` says why there are none."""

    device: DeviceDescription
    batch: int
    rounds: EnergyRounds | None
    counters: tuple[str, ...]
    why_not: str
    noise: Noise | None


class Device(Protocol):
    """A machine that runs model files and says how long they take."""

    @property
    def name(self) -> str:
        """Name in recipes and on the command line."""
        ...

    def check(self, cancel: CancelToken | None = None) -> DeviceCheck:
        """Return what the device is once it turns out that it can measure.

        Raises:
            DeviceError: it can't be reached, or lacks what measuring needs; says what to do.
            CancelledError: `cancel` was set.
        """
        ...

    def describe(self, threads: int) -> DeviceDescription:
        """Return what the machine is and what it runs models with."""
        ...

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
        """Yield the times of the kernels of one-layer models; those of a group are timed in turn.

        A kernel that the device's runtime refuses is None.

        Args:
            groups: The models.
            count: How many groups there are.
            threads: Threads of the runtime.
            seconds: Measuring time for each group.
            progress: Over the groups.
            cancel: Checked between rounds; what was yielded before is as it should be.

        Raises:
            ModelFileError: the runtime refuses all kernels of a group.
            DeviceError: the device can't be reached, or can't measure.
            CancelledError: `cancel` was set.
        """
        ...

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
        """Measure the models against each other; the first is the reference of the ratios.

        Args:
            models: Files, the reference first.
            threads: Threads of the runtime.
            batch: Samples in one inference.
            seconds: Measuring time for all models together, warm-up and profiles excluded.
            operators: Whether to measure every operator too.
            memory: Whether to measure peak memory too, which takes a process of its own for every model.
            dimensions: Sizes of dynamic dimensions other than the batch, by name.
            seed: Of the inputs, the order of the rounds and the bootstrap.
            progress: Of the measurement.
            cancel: Checked between runs, and interrupts one that is under way.

        Raises:
            ModelFileError: the runtime refuses a model.
            BadInputError: a dynamic dimension without a value, or models that differ in their fixed batch.
            DeviceError: the device can't be reached, or can't measure.
            CancelledError: `cancel` was set.
        """
        ...

    def bandwidth(
        self,
        *,
        threads: int = 1,
        seconds: float = 2.0,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Bandwidth:
        """Time passes over arrays that no cache holds; see `devices.bandwidth`.

        Raises:
            DeviceError: the device can't be reached, or can't measure.
            CancelledError: `cancel` was set.
        """
        ...

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
        """Count samples a second with so many streams at once, each a session of its own; otherwise as `measure`."""
        ...

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
        """Read the energy counters while models run, in rounds; otherwise as `measure`."""
        ...


def all_timed(times: Sequence[TimedKernel | None], device: Device) -> list[TimedKernel]:
    """Return the times of kernels of which every one is needed.

    Raises:
        DeviceError: the device's runtime refused one.
    """
    found = [time for time in times if time is not None]
    if len(found) < len(times):
        raise DeviceError(
            f"the runtime refuses {len(times) - len(found)} of {len(times)} kernels that are to be timed",
            where=device.name,
            action="Bring the onnxruntime there up to date.",
        )
    return found
