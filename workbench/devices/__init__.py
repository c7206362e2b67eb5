"""Where latency is measured: the machine at hand, and others that are reached over SSH."""

from workbench.devices._base import Device
from workbench.devices.ssh import SshDevice
from workbench.devices.this_computer import ThisComputer

__all__ = ["Device", "SshDevice", "ThisComputer"]
