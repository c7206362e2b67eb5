"""Remembers how long layers take at every width on a device, so that each staircase is climbed once.

All widths of a layer are timed in turn, round by round: what the machine does meanwhile hits all steps alike. Times
of other days would not do, which is why these lie beside the kernel book's and not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from workbench.devices._base import Device, all_timed
from workbench.devices.device_file import DeviceFile
from workbench.devices.this_computer import ThisComputer
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.measurements import DeviceDescription
from workbench.domain.staircase import STAIR_FORMS, StairPoint, Stairs, stair_counts
from workbench.graph.kernel_graphs import kernel_graph
from workbench.graph.kernel_widths import Narrowing

_SECONDS = 1.5
_VERSION = 2

Curves = tuple[Stairs, ...]


class StairBook:
    """Staircases of a device.

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
        self._file = DeviceFile(folder, self.description, _VERSION, ".stairs")
        self._curves = _read(self._file.read())

    def known(self, wanted: Narrowing) -> Curves | None:
        """Return the curves of a kernel where they were measured before."""
        return self._curves.get(wanted.key)

    def climb(
        self,
        wanted: Iterable[Narrowing],
        *,
        seconds: float = _SECONDS,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[tuple[Narrowing, Curves]]:
        """Time what is not known yet, each once, and yield it as it comes; what was yielded is kept.

        Args:
            wanted: Those whose number of channels can't be changed are left out.
            seconds: Measuring time for each.
            progress: Over those that are new.
            cancel: Checked between rounds.

        Raises:
            ModelFileError: the runtime refuses all kernels of a layer.
            DeviceError: the device can't be reached, or can't measure.
            CancelledError: `cancel` was set.
        """
        new = {
            entry.key: (entry, stair_counts(entry.channels))
            for entry in wanted
            if entry.key not in self._curves and entry.channels is not None
        }
        groups = (
            [kernel_graph(entry.at(count), form) for count in counts for form in STAIR_FORMS]
            for entry, counts in new.values()
        )
        timed = self._device.time_kernels(
            groups, count=len(new), threads=self._threads, seconds=seconds, progress=progress, cancel=cancel
        )
        for (key, (entry, counts)), times in zip(new.items(), timed, strict=True):
            points: dict[str, list[StairPoint]] = {form: [] for form in STAIR_FORMS}
            places = ((count, form) for count in counts for form in STAIR_FORMS)
            for (count, form), time in zip(places, all_timed(times, self._device), strict=True):
                points[form].append(StairPoint(channels=count, microseconds=time.microseconds, ci95=time.ci95))
            self._curves[key] = tuple(Stairs.of(form, points[form]) for form in STAIR_FORMS)
            self._keep()
            yield entry, self._curves[key]

    def _keep(self) -> None:
        # Another process may have measured other shapes meanwhile.
        whole = _read(self._file.read()) | self._curves
        text = {key: [curve.model_dump(mode="json", exclude={"edges"}) for curve in whole[key]] for key in whole}
        self._file.write(json.dumps(text))


def _read(text: str | None) -> dict[str, Curves]:
    try:
        found = json.loads(text or "{}")
        # Edges are found anew, so that a better rule for them needs no new measurement.
        return {
            key: tuple(Stairs.of(entry["form"], map(StairPoint.model_validate, entry["points"])) for entry in entries)
            for key, entries in found.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
