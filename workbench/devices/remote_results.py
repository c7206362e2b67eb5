"""What the agent answers, as values that are checked before anything is made of them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from workbench.devices.energy_rounds import EnergyRounds
from workbench.devices.load import Load
from workbench.devices.memory import MemoryUse
from workbench.devices.rounds import Timings


class RemoteFacts(BaseModel):
    """What the agent says of its device; see `devices.agent.description.describe`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    system: str
    machine: str
    python: str
    integer_dot_products: bool | None
    versions: dict[str, str]
    missing: dict[str, str]


class RemoteAnswer(BaseModel):
    """What every run gives: what the device is, and the hashes of the models that were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: RemoteFacts
    models: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether there is something of every model."""
        raise NotImplementedError


class RemoteTimes(RemoteAnswer):
    """What the agent measured; see `devices.agent.measuring.measure`."""

    rounds_ms: tuple[tuple[float, ...], ...]
    runs_ms: tuple[tuple[float, ...], ...]
    active_ms: tuple[tuple[float, ...], ...]
    load: Load
    cores: tuple[int, ...]
    clock_mhz: tuple[float, float] | None = None
    operators: tuple[tuple[tuple[str, str, float], ...], ...]
    memory: tuple[MemoryUse, ...]

    @field_validator("rounds_ms", "runs_ms", "active_ms")
    @classmethod
    def _are_times(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if not rows or any(not row or not all(0 < time < math.inf for time in row) for row in rows):
            raise ValueError("times in milliseconds")
        return rows

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        counts = {len(row) for row in self.rounds_ms}
        counts |= {len(self.runs_ms), len(self.operators), len(self.memory)}
        if counts != {len(self.models)}:
            return False
        lengths = [len(row) for row in self.runs_ms]
        return [len(row) for row in self.active_ms] == lengths and not any(
            length % len(self.rounds_ms) for length in lengths
        )

    def timings(self) -> Timings:
        """Return what the rounds gave, as if they had been run here."""
        runs, active = (tuple(np.array(row) for row in rows) for rows in (self.runs_ms, self.active_ms))
        return Timings(np.array(self.rounds_ms), runs, active, sum(float(run.sum()) for run in runs) / 1000)


class RemoteKernelTimes(RemoteAnswer):
    """What the agent measured of single kernels, none where refused; see `devices.agent.kernels.time_kernels`."""

    runs_us: tuple[tuple[float, ...], ...]

    @field_validator("runs_us")
    @classmethod
    def _are_times(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        # The runtime counts whole microseconds, of which a small kernel may take none.
        if not any(rows) or any(not all(0 <= time < math.inf for time in row) for row in rows):
            raise ValueError("times in microseconds")
        return rows

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        return len(self.runs_us) == len(self.models)


class RemoteBandwidth(RemoteAnswer):
    """What the agent measured of memory; see `devices.agent.bandwidth.measure_bandwidth`."""

    array_bytes: int = Field(gt=0)
    cache_bytes: int | None
    runs_us: dict[Literal["copy", "add"], tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]]

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        return len(self.runs_us) == 2 and all(self.runs_us.values())


class RemoteRates(RemoteAnswer):
    """What the agent counted; see `devices.agent.throughput.measure_throughput`."""

    rates: tuple[tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], ...]
    load: Load

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        return bool(self.rates) and {len(row) for row in self.rates} == {len(self.models)}


class RemoteEnergy(RemoteAnswer):
    """What the agent read; see `devices.agent.energy.measure_energy`."""

    why_not: str = ""
    rounds: EnergyRounds | None = None
    counters: tuple[str, ...] = ()
    load: Load | None = None

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        found = self.rounds
        return bool(self.why_not) if found is None else {len(row) for row in found.joules} == {len(self.models)}
