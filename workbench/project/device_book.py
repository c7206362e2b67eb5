"""Remembers the machines that the user measures on, for every project, the window and the command line alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.data.yaml_text import one_line, read_yaml, validated, write_yaml
from workbench.domain.errors import DeviceError, StorageError
from workbench.domain.remote_device import LOCAL, RemoteDevice
from workbench.project.places import config_folder


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[RemoteDevice, ...] = ()
    version: int = Field(default=1, ge=1, le=1)


class DeviceBook:
    """The devices by name, in `devices.yaml`, which may be edited by hand too.

    Args:
        file: Where they are kept; by default in the user's configuration folder.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or config_folder() / "devices.yaml"

    def __iter__(self) -> Iterator[RemoteDevice]:
        """Iterate over the devices in the order of their names; DeviceError if the file is not right."""
        return iter(self._read())

    def get(self, name: str) -> RemoteDevice:
        """Return a device.

        Raises:
            DeviceError: there is none of that name, or the file is not right.
        """
        devices = self._read()
        found = next((device for device in devices if device.name == name), None)
        if found is None:
            known = ", ".join(repr(known) for known in (LOCAL, *(device.name for device in devices)))
            raise DeviceError(
                f"there is no device {name!r}",
                expected=f"one of {known}",
                action=f"Add it: `workbench device add {name} --host …`, or Analyse ▸ Measure on ▸ Devices…",
            )
        return found

    def put(self, device: RemoteDevice) -> None:
        """Add a device, or change the one of that name.

        Raises:
            DeviceError: the file is not right.
            StorageError: it can't be written.
        """
        self._write((*(other for other in self._read() if other.name != device.name), device))

    def remove(self, name: str) -> RemoteDevice:
        """Forget a device, and return it; for errors see `get` and `put`."""
        removed = self.get(name)
        self._write(tuple(other for other in self._read() if other.name != name))
        return removed

    def _read(self) -> tuple[RemoteDevice, ...]:
        if not self.file.exists():
            return ()
        content = validated(_Content, read_yaml(self.file, DeviceError, "list of devices"), DeviceError, str(self.file))
        return tuple(sorted(content.devices, key=lambda device: device.name))

    def _write(self, devices: tuple[RemoteDevice, ...]) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.file.parent} can't be made", found=error.strerror or str(error)) from error
        ordered = sorted(devices, key=lambda device: device.name)
        write_yaml(
            {"version": 1, "devices": [device.model_dump(mode="json", exclude_defaults=True) for device in ordered]},
            self.file,
        )


def device_from(fields: dict[str, object], where: str) -> RemoteDevice:
    """Return the device that fields of a form or of a command line describe.

    Args:
        fields: By name; a key's file may begin with "~".
        where: Names the form in messages.

    Raises:
        DeviceError: the first field that is not right.
    """
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    if isinstance(given.get("key"), str):
        given["key"] = os.path.abspath(os.path.expanduser(str(given["key"])))
    try:
        return RemoteDevice.model_validate(given)
    except ValidationError as fault:
        raise one_line(fault, DeviceError, where) from fault
