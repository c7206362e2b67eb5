"""Remembers how long kernels take on a device, so that each shape is measured once.

One JSON file a device (processor, runtime, threads): {key of the shape: {form: [microseconds, low, high]}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.devices._base import Device
from workbench.devices.device_file import DeviceFile
from workbench.devices.this_computer import ThisComputer
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DeviceError
from workbench.domain.preflight import KernelForm, KernelTime
from workbench.graph.kernel_graphs import KernelShape, kernel_forms, kernel_graph

_SECONDS = 0.1
_VERSION = 2


class KernelBook:
    """Kernel times of a device.

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
        self._file = DeviceFile(folder, self._device.describe(threads), _VERSION)
        self._times = _read(self._file.read())

    def times(
        self,
        shapes: Mapping[str, KernelShape],
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> dict[str, tuple[KernelTime, ...]]:
        """Return the times of all forms by layer, less those that the device's runtime refuses.

        What is not known yet is measured and kept.

        Args:
            shapes: By layer.
            progress: Over the shapes that are new.
            cancel: Checked between rounds of measuring; what was measured before stays.

        Raises:
            ModelFileError: the runtime refuses all kernels of a shape.
            DeviceError: the device can't be reached, or can't measure, or refuses floats.
            CancelledError: `cancel` was set.
        """
        new = {shape.key: shape for shape in shapes.values() if shape.key not in self._times}
        try:
            forms = {key: kernel_forms(shape) for key, shape in new.items()}
            groups = ([kernel_graph(shape, form) for form in forms[key]] for key, shape in new.items())
            timed = self._device.time_kernels(
                groups, count=len(new), threads=self._threads, seconds=_SECONDS, progress=progress, cancel=cancel
            )
            for key, found in zip(new, timed, strict=True):
                known = {form: entry for form, entry in zip(forms[key], found, strict=True) if entry is not None}
                if "float32" not in known:
                    raise DeviceError(
                        f"the runtime refuses {new[key].op} in float",
                        where=self._device.name,
                        action="Bring the onnxruntime there up to date.",
                    )
                self._times[key] = {form: (entry.microseconds, *entry.ci95) for form, entry in known.items()}
        finally:
            if new:
                self._keep()
        if progress is not None:
            progress.update(1.0)
        return {
            layer: tuple(
                KernelTime(form=form, microseconds=middle, ci95=(low, high))
                for form, (middle, low, high) in self._times[shape.key].items()
            )
            for layer, shape in shapes.items()
        }

    def _keep(self) -> None:
        # Another process may have measured other shapes meanwhile.
        self._file.write(json.dumps(_read(self._file.read()) | self._times))


def _read(text: str | None) -> dict[str, dict[KernelForm, tuple[float, float, float]]]:
    try:
        found = json.loads(text or "{}")
        return {key: _entry(entry) for key, entry in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _entry(entry: Mapping[KernelForm, Sequence[float]]) -> dict[KernelForm, tuple[float, float, float]]:
    read: dict[KernelForm, tuple[float, float, float]] = {}
    for form, (middle, low, high) in entry.items():
        read[form] = float(middle), float(low), float(high)
    if "float32" not in read:
        raise ValueError(entry)
    return read
