"""What the device is and what it can run, for the check before any work and beside every figure after it."""

from __future__ import annotations

import os
import platform

from workbench.devices.agent.answers import AgentError
from workbench.devices.processor import cpu_name, integer_dot_products

_NEEDED = ("numpy", "onnxruntime")


def describe() -> dict[str, object]:
    """Return processor, system and versions; a module that can't be imported has its reason under "missing"."""
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in _NEEDED:
        try:
            versions[name] = str(__import__(name).__version__)
        except Exception as error:  # a broken installation raises anything, and is to be told, not to end the check
            missing[name] = f"{type(error).__name__}: {error}"
    return {
        "cpu": cpu_name(),
        "cores": _cores(),
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "integer_dot_products": integer_dot_products(),
        "versions": versions,
        "missing": missing,
    }


def needed_modules() -> None:
    """Import what measuring needs.

    Raises:
        AgentError: one is missing.
    """
    for name in _NEEDED:
        try:
            __import__(name)
        except Exception as error:  # as in `describe`
            raise AgentError("missing", f"{name}: {type(error).__name__}: {error}") from error


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
