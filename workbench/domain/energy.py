"""What an inference costs in energy: measured by the processor's own counters where they can be read, else estimated.

The estimate is an order of magnitude for comparing models, not a measurement: multiplications and moved bytes, each
times a coefficient. Those given here are of a 45 nm process at 0.9 V (Horowitz, "Computing's energy problem", ISSCC
2014); newer processes take less of each.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.measurements import DeviceDescription, Interval, Noise, Ratio

Picojoules = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EnergyCoefficients(_Value):
    """Picojoules of one multiply-accumulate by precision, and of one byte moved between processor and memory.

    Attributes:
        float32_pj_per_mac: A multiplication (3.7 pJ) and an addition (0.9 pJ).
        int8_pj_per_mac: A multiplication of 8 bits (0.2 pJ) and an addition of 32 bits (0.1 pJ).
        dram_pj_per_byte: The lower end of 1.3 to 2.6 nJ for 64 bits.
    """

    float32_pj_per_mac: Picojoules = Field(
        4.6, title="Picojoules a float MAC", description="A multiplication (3.7 pJ) and an addition (0.9 pJ) at 45 nm."
    )
    int8_pj_per_mac: Picojoules = Field(
        0.3,
        title="Picojoules an 8-bit MAC",
        description="A multiplication of 8 bits (0.2 pJ) and an addition of 32 (0.1 pJ).",
    )
    dram_pj_per_byte: Picojoules = Field(
        162.5,
        title="Picojoules a byte moved",
        description="To or from memory: the lower end of 1.3 to 2.6 nJ for 64 bits.",
    )


class EnergyEstimate(_Value):
    """An estimate of the energy of one inference, in millijoules; see the module for what it is worth.

    Attributes:
        arithmetic_mj: Of all multiply-accumulates.
        memory_mj: As if every weight and every activation of the layers went to memory once.
    """

    arithmetic_mj: float
    memory_mj: float
    macs_float: int
    macs_integer: int
    bytes: int

    @property
    def total_mj(self) -> float:
        """Both together."""
        return self.arithmetic_mj + self.memory_mj


class MeasuredEnergy(_Value):
    """Energy of one inference above the idle machine's, in millijoules, with its 95 % interval.

    Attributes:
        watts: Mean power while the model runs, idle power included.
        ratio_to_first: Of the same round.
        inferences: How many it was taken over.
    """

    millijoules: float
    ci95: Interval
    watts: float
    ratio_to_first: Ratio
    inferences: int


class ModelEnergy(_Value):
    """One model; `measured` is None where the counters can't be read, `estimate` where sizes are not known."""

    path: str
    measured: MeasuredEnergy | None = None
    estimate: EnergyEstimate | None = None
    why_no_estimate: str = ""


class EnergyReport(_Value):
    """Energy of several models; the first one is the reference of the ratios.

    Attributes:
        source: The counters that were read, in words; "" where there are none.
        why_not_measured: Why there are no measured figures, in words; "" where there are.
        idle_watts: Power of the idle machine, which was taken off; None without counters.
        coefficients: Of the estimate.
        estimate_basis: Where the coefficients are from.
    """

    device: DeviceDescription
    threads: int
    batch: int
    models: tuple[ModelEnergy, ...]
    source: str = ""
    why_not_measured: str = ""
    idle_watts: float | None = None
    coefficients: EnergyCoefficients
    estimate_basis: str
    noise: Noise | None = None


def estimate(macs_float: int, macs_integer: int, bytes: int, coefficients: EnergyCoefficients) -> EnergyEstimate:
    """Return the estimate for counts of one inference."""
    arithmetic = macs_float * coefficients.float32_pj_per_mac + macs_integer * coefficients.int8_pj_per_mac
    return EnergyEstimate(
        arithmetic_mj=arithmetic * 1e-9,
        memory_mj=bytes * coefficients.dram_pj_per_byte * 1e-9,
        macs_float=macs_float,
        macs_integer=macs_integer,
        bytes=bytes,
    )
