"""The methods that plugins bring, loaded once per process: this is where plugin code starts to run."""

from __future__ import annotations

from functools import cache

from workbench.domain.errors import WorkbenchError
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_plugins
from workbench.plugin_host.manifests import find_plugins


@cache
def installed_methods() -> tuple[MethodRegistry, tuple[WorkbenchError, ...]]:
    """Return the registry of all methods, and what kept other plugins from being loaded."""
    found = find_plugins()
    registry, failures = load_plugins(found.manifests)
    return registry, (*found.problems, *failures)
