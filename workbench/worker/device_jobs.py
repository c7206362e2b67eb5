"""Finds devices by name, and the job that checks one before anything is measured on it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from workbench.devices._base import Device
from workbench.devices.ssh import SshDevice
from workbench.devices.this_computer import ThisComputer
from workbench.domain.remote_device import LOCAL, RemoteDevice
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CheckDeviceJob
from workbench.project.device_book import DeviceBook


def check_device(spec: CheckDeviceJob, context: JobContext) -> dict[str, Any]:
    """Find out whether a device can measure → DeviceCheck."""
    device = device_named(spec.device) if isinstance(spec.device, str) else SshDevice(spec.device)
    context.progress.update(0.0, f"connecting to {device.name}")
    return device.check(context.cancel).model_dump(mode="json")


def saturates(name: str) -> bool:
    """Return whether sums of 8-bit products saturate here, where accuracy is taken, or on the device of that name.

    Raises:
        DeviceError: there is no such device, or it can't be reached.
    """
    here = ThisComputer().check().integer_dot_products is False
    return here or (name != LOCAL and remote_device_named(name).check().integer_dot_products is False)


def device_named(name: str) -> Device:
    """Return the device of that name.

    Raises:
        DeviceError: there is none, or the list of devices can't be read.
    """
    return ThisComputer() if name == LOCAL else remote_device_named(name)


def remote_device_named(name: str) -> SshDevice:
    """Return the device of that name, which is another computer; for errors see `device_named`."""
    return _reached_by(DeviceBook().get(name))


@lru_cache(maxsize=16)
def _reached_by(settings: RemoteDevice) -> SshDevice:
    """Return the same object for the same settings: it knows what the machine is, and that it answered."""
    return SshDevice(settings)
