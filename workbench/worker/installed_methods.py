"""What plugins bring, loaded once per process: this is where plugin code starts to run."""

from __future__ import annotations

from functools import cache

from workbench.data.metrics.registry import metrics
from workbench.data.readers.registry import readers
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import WorkbenchError
from workbench.jobs.context import JobContext
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_plugins
from workbench.plugin_host.manifests import find_plugins
from workbench.plugin_host.probe import sound_plugins


@cache
def installed_methods() -> tuple[MethodRegistry, tuple[WorkbenchError, ...]]:
    """Return the registry of all methods, and what kept other plugins from being loaded."""
    found = find_plugins()
    sound, unsound = sound_plugins(found.manifests)
    registry, failures = load_plugins(sound)
    return registry, (*found.problems, *unsound, *failures)


def loaded_methods(context: JobContext) -> MethodRegistry:
    """Return the registry of all methods; what could not be loaded, the job's log names."""
    registry, failures = installed_methods()
    for failure in failures:
        context.log(f"Not loaded: {failure}")
    return registry


def bring_data_plugins(description: DataDescription, context: JobContext) -> None:
    """Load the plugins if the data needs them: only where its metric or a reader is not the program's own."""
    splits = [split for split in (description.train, description.test) if split is not None]
    known = {reader.name for reader in readers()}
    if description.metric not in {metric.name for metric in metrics()} or any(s.reader not in known for s in splits):
        loaded_methods(context)
