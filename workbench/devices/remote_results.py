"""What the agent answers, as values that are checked before anything is made of them."""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from workbench.devices.load import Load


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
    load: Load
    operators: tuple[tuple[tuple[str, str, float], ...], ...]
    peak_memory_bytes: tuple[int | None, ...]

    @field_validator("rounds_ms", "runs_ms")
    @classmethod
    def _are_times(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if not rows or any(not row or not all(0 < time < math.inf for time in row) for row in rows):
            raise ValueError("times in milliseconds")
        return rows

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        counts = {len(row) for row in self.rounds_ms}
        counts |= {len(self.runs_ms), len(self.operators), len(self.peak_memory_bytes)}
        return counts == {len(self.models)}

    def rounds(self) -> np.ndarray:
        """Return the rounds as an array (rounds, models)."""
        return np.array(self.rounds_ms)


class RemoteKernelTimes(RemoteAnswer):
    """What the agent measured of single kernels; see `devices.agent.kernels.time_kernels`."""

    runs_us: tuple[tuple[float, ...], ...]

    @field_validator("runs_us")
    @classmethod
    def _are_times(cls, rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        # The runtime counts whole microseconds, of which a small kernel may take none.
        if not rows or any(not row or not all(0 <= time < math.inf for time in row) for row in rows):
            raise ValueError("times in microseconds")
        return rows

    @property
    def is_whole(self) -> bool:
        """See RemoteAnswer."""
        return len(self.runs_us) == len(self.models)
