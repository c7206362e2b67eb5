"""Remembers a device's peaks of arithmetic and memory, so that each is measured once for a thread setting.

Peaks of arithmetic are those of operators in the runtime, as layers run there: the best of some kernels so large that
nothing but arithmetic binds them. Those of memory are of `devices.bandwidth`. A peak is what one run in ten beats:
whatever else the machine does only makes runs longer.
"""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import ValidationError

from workbench.devices._base import Device, all_timed
from workbench.devices.bandwidth import PASSES
from workbench.devices.device_file import DeviceFile
from workbench.devices.this_computer import ThisComputer
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.measurements import DeviceDescription
from workbench.domain.roofline import PEAK_FORMS, ComputePeak, DevicePeaks, MemoryPeak
from workbench.graph.kernel_graphs import KernelShape, kernel_graph

_SECONDS = 0.7
_BANDWIDTH_SECONDS = 2.0
_VERSION = 1
_EVEN = (("pads", (1, 1, 1, 1)),)
# (words, kernel, multiply-accumulates); all do hundreds of operations for each byte.
_KERNELS = (
    ("MatMul 512×1024 by 1024×1024", KernelShape("MatMul", (512, 1024), (1024, 1024), 1, False, ()), 512 * 1024 * 1024),
    (
        "Conv 3×3, 256 to 256 channels, 28×28",
        KernelShape("Conv", (1, 256, 28, 28), (256, 256, 3, 3), 1, False, _EVEN),
        28 * 28 * 256 * 256 * 9,
    ),
    (
        "Conv 3×3, 64 to 64 channels, 56×56",
        KernelShape("Conv", (1, 64, 56, 56), (64, 64, 3, 3), 1, False, _EVEN),
        56 * 56 * 64 * 64 * 9,
    ),
)


class PeakBook:
    """Peaks of a device.

    Args:
        folder: Where the file lies, or None to remember nothing.
        threads: Of the runtime.
        device: By default this computer.

    Raises:
        DeviceError: the device can't be reached.
    """

    def __init__(self, folder: Path | None, threads: int, device: Device | None = None) -> None:
        self._threads = threads
        self._device = device or ThisComputer()
        self.description: DeviceDescription = self._device.describe(threads)
        self._file = DeviceFile(folder, self.description, _VERSION, ".peaks")
        self.known = _read(self._file.read())

    def peaks(
        self, *, renew: bool = False, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> DevicePeaks:
        """Return the peaks; they are measured where they are not known yet, which takes a few seconds.

        Args:
            renew: Whether they are measured though they are known.
            progress: Of the measurement.
            cancel: Checked between rounds.

        Raises:
            DeviceError: the device can't be reached, or can't measure.
            CancelledError: `cancel` was set.
        """
        if self.known is None or renew:
            self.known = self._measure(progress or Progress(), cancel)
            self._file.write(self.known.model_dump_json())
        return self.known

    def _measure(self, progress: Progress, cancel: CancelToken | None) -> DevicePeaks:
        began = time.perf_counter()
        groups = ([kernel_graph(shape, form) for form in PEAK_FORMS] for _, shape, _ in _KERNELS)
        timed = self._device.time_kernels(
            groups,
            count=len(_KERNELS),
            threads=self._threads,
            seconds=_SECONDS,
            progress=progress.part(0.0, 0.6, "peaks"),
            cancel=cancel,
        )
        best: dict[str, ComputePeak] = {}
        for (words, _, macs), times in zip(_KERNELS, timed, strict=True):
            for form, found in zip(PEAK_FORMS, all_timed(times, self._device), strict=True):
                middle, fast, slow = (2e-3 * macs / us for us in (found.fast, *found.fast_ci95))
                if form not in best or middle > best[form].gflops:
                    best[form] = ComputePeak(form=form, gflops=middle, ci95=(slow, fast), kernel=words)
        memory = self._device.bandwidth(
            threads=self._threads, seconds=_BANDWIDTH_SECONDS, progress=progress.part(0.6, 1.0, "peaks"), cancel=cancel
        )
        progress.update(1.0)
        rates = []
        for kernel, found in memory.times.items():
            moved = PASSES[kernel] * memory.array_bytes / 1e3
            fastest, slowest = found.fast_ci95
            rates.append((moved / found.fast, (moved / slowest, moved / fastest), kernel))
        rate, interval, kernel = max(rates)
        return DevicePeaks(
            device=self.description,
            compute=tuple(best[form] for form in PEAK_FORMS),
            memory=MemoryPeak(
                gbytes_per_s=rate,
                ci95=interval,
                kernel=kernel,
                array_bytes=memory.array_bytes,
                cache_bytes=memory.cache_bytes,
            ),
            seconds=time.perf_counter() - began,
        )


def _read(text: str | None) -> DevicePeaks | None:
    try:
        found = DevicePeaks.model_validate_json(text or "")
    except ValidationError:
        return None
    return found if {entry.form for entry in found.compute} >= set(PEAK_FORMS) else None
