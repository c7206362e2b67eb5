"""Where latency is measured: the machine at hand, later others that are reached over SSH."""

from workbench.devices._base import Device
from workbench.devices.this_computer import ThisComputer, measure

__all__ = ["Device", "ThisComputer", "measure"]
