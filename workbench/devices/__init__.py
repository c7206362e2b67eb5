"""Where latency is measured: the machine at hand, later others that are reached over SSH."""

from workbench.devices._base import Device
from workbench.devices.this_computer import ThisComputer

__all__ = ["Device", "ThisComputer"]
