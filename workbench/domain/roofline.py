"""What keeps each layer from being faster here, arithmetic or memory, by the peaks that the device was measured at.

The roofline model (Williams, Waterman and Patterson, 2009): a layer that does I operations for each byte it moves is no
faster than the lower of the device's peak of arithmetic and I times its memory bandwidth.

Notation: flops = 2 · MACs (integer operations are counted alike); bytes = weights + activations read and written, each
once, at the precision that the kernel computes in; intensity = flops / bytes; 1 GFLOP/s = 1e9 operations a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from workbench.domain.measurements import DeviceDescription, Interval, Noise
from workbench.domain.preflight import KernelForm
from workbench.domain.staircase import STAIR_FORMS

# The precisions whose peaks are measured: float, and the integers that processors are fastest at.
PEAK_FORMS: tuple[KernelForm, ...] = STAIR_FORMS
Bound = Literal["compute", "memory"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ComputePeak(_Value):
    """The most operations a second that any of some large kernels reached in one run of ten.

    Attributes:
        form: What it computes in.
        gflops: 1e9 operations a second, with a 95 % interval.
        kernel: Which kernel that was, in words.
    """

    form: KernelForm
    gflops: float
    ci95: Interval
    kernel: str


class MemoryPeak(_Value):
    """The most bytes a second that were read and written, in one run of ten, in arrays that no cache holds.

    Attributes:
        gbytes_per_s: 1e9 bytes a second, with a 95 % interval.
        kernel: "copy" (one array to another) or "add" (two arrays to a third).
        array_bytes: Size of each array.
        cache_bytes: Of the last-level cache; None where the system does not say.
    """

    gbytes_per_s: float
    ci95: Interval
    kernel: str
    array_bytes: int
    cache_bytes: int | None = None


class DevicePeaks(_Value):
    """The roofs of a device, with the thread setting in its description."""

    device: DeviceDescription
    compute: tuple[ComputePeak, ...]
    memory: MemoryPeak
    seconds: float = 0.0

    def peak(self, form: KernelForm) -> ComputePeak:
        """Return the peak of a form; KeyError where it was not measured."""
        for entry in self.compute:
            if entry.form == form:
                return entry
        raise KeyError(form)

    def roof(self, form: KernelForm, intensity: float) -> tuple[float, Bound]:
        """Return the most GFLOP/s at an intensity (operations a byte), and what binds there."""
        arithmetic, memory = self.peak(form).gflops, intensity * self.memory.gbytes_per_s
        return (memory, "memory") if memory < arithmetic else (arithmetic, "compute")

    def ridge(self, form: KernelForm) -> float:
        """Return the intensity from which on arithmetic binds."""
        return self.peak(form).gflops / self.memory.gbytes_per_s


class LayerRoof(_Value):
    """One layer under the device's roofs.

    Attributes:
        layer, op: Its name and operator.
        kernel: What the runtime executed for it.
        form: What that computes in.
        flops, bytes: Of one inference.
        intensity: Operations a byte.
        milliseconds: Median time of its operators.
        time_share: Of the time of all operators, 0-1.
        gflops: That it reached.
        roof_gflops: That it could reach at its intensity.
        roof_share: The former over the latter; above 1 where what it reads is still in a cache.
        bound: The roof above it.
        reason: Why there are no figures.
    """

    layer: str
    op: str
    kernel: str = ""
    form: KernelForm = "float32"
    flops: int = 0
    bytes: int = 0
    intensity: float = 0.0
    milliseconds: float = 0.0
    time_share: float = 0.0
    gflops: float = 0.0
    roof_gflops: float = 0.0
    roof_share: float = 0.0
    bound: Bound = "compute"
    reason: str = ""


class RooflineReport(_Value):
    """A model's layers under the roofs of a device.

    Attributes:
        model: Path of the file; `model_sha256` its hash.
        threads: As they were asked for.
        asked_batch: As it was asked for; a file may fix another.
        batch: Samples in one inference.
        layers: In graph order.
        total_ms: Sum of the medians of all operators; layers_ms: of those that belong to a layer with figures.
        seconds: Wall time.
    """

    model: str
    model_sha256: str
    peaks: DevicePeaks
    threads: int
    asked_batch: int
    batch: int
    layers: tuple[LayerRoof, ...]
    total_ms: float
    layers_ms: float
    noise: Noise
    seconds: float = 0.0

    @property
    def device(self) -> DeviceDescription:
        """Where it was measured."""
        return self.peaks.device

    @property
    def known(self) -> tuple[LayerRoof, ...]:
        """The layers that have figures."""
        return tuple(entry for entry in self.layers if not entry.reason)

    def layer(self, name: str) -> LayerRoof | None:
        """Return a layer; None where the report has none of that name."""
        return next((entry for entry in self.layers if entry.layer == name), None)


def under_roof(
    peaks: DevicePeaks,
    layer: str,
    op: str,
    *,
    kernel: str,
    form: KernelForm,
    flops: int,
    bytes: int,
    milliseconds: float,
    total_ms: float,
) -> LayerRoof:
    """Return a layer's place under the roofs; for arguments see LayerRoof, `total_ms` is of all operators."""
    intensity = flops / bytes
    roof, bound = peaks.roof(form, intensity)
    reached = flops / (milliseconds * 1e6)
    return LayerRoof(
        layer=layer,
        op=op,
        kernel=kernel,
        form=form,
        flops=flops,
        bytes=bytes,
        intensity=intensity,
        milliseconds=milliseconds,
        time_share=milliseconds / total_ms,
        gflops=reached,
        roof_gflops=roof,
        roof_share=reached / roof,
        bound=bound,
    )


def forms_of(layers: Iterable[LayerRoof]) -> tuple[KernelForm, ...]:
    """Return the forms that layers compute in, in the order of `PEAK_FORMS`."""
    used = {entry.form for entry in layers if not entry.reason}
    return tuple(form for form in PEAK_FORMS if form in used)
