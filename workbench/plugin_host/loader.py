"""Imports plugin code, in worker and command line only: what one plugin breaks is named and stays its own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from workbench.data.metrics._base import Metric
from workbench.data.metrics.registry import register_metric
from workbench.data.readers._base import Reader
from workbench.data.readers.registry import register_reader
from workbench.domain.errors import PluginError
from workbench.methods.method import Method
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.registry import register_strategy
from workbench.methods.search.strategy import Strategy
from workbench.plugin_host.manifests import Manifest
from workbench.plugin_host.offers import fault_of_method, fault_of_metric, fault_of_reader, fault_of_strategy

PACKAGE = "workbench_plugins"


@dataclass(frozen=True)
class Offer:
    """What a plugin brings, in its manifest's order."""

    methods: tuple[type[Method], ...] = ()
    metrics: tuple[type[Metric], ...] = ()
    readers: tuple[type[Reader], ...] = ()
    strategies: tuple[type[Strategy], ...] = ()


def load_plugins(manifests: Iterable[Manifest]) -> tuple[MethodRegistry, tuple[PluginError, ...]]:
    """Load all plugins; returns the methods and what could not be loaded, each failure naming its plugin.

    Metrics, readers and strategies are from then on known to `metric_named`, `reader_named` and `make_strategy` in this
    process.
    """
    registry = MethodRegistry()
    failures: list[PluginError] = []
    for manifest in manifests:
        try:
            offer = load_plugin(manifest)
        except PluginError as failure:
            failures.append(failure)
            continue
        entries: list[Callable[[], None]] = [
            *(partial(registry.register, method, manifest.id, manifest.version) for method in offer.methods),
            *(partial(register_metric, metric, manifest.id) for metric in offer.metrics),
            *(partial(register_reader, reader, manifest.id) for reader in offer.readers),
            *(partial(register_strategy, strategy, manifest.id) for strategy in offer.strategies),
        ]
        for register in entries:
            try:
                register()
            except PluginError as failure:
                failures.append(failure)
    return registry, tuple(failures)


def load_plugin(manifest: Manifest) -> Offer:
    """Import a plugin as the package `workbench_plugins.<id>` and return what it offers.

    A plugin that was imported before is imported anew, so that an author sees the current code.

    Raises:
        PluginError: the code raises, or is not what the manifest says; names plugin, file and line.
    """
    if manifest.origin != "first-party":
        # If its import kills the process, this is the last output and names the culprit.
        print(f"loading plugin {manifest.id!r} from {manifest.folder}", file=sys.stderr, flush=True)
    package = _make_package(manifest)
    return Offer(
        methods=tuple(
            _load(manifest, package, entry.object, f"method {entry.id!r}", partial(fault_of_method, id=entry.id))
            for entry in manifest.methods
        ),
        metrics=tuple(
            _load(manifest, package, entry.object, f"metric {entry.name!r}", partial(fault_of_metric, name=entry.name))
            for entry in manifest.metrics
        ),
        readers=tuple(
            _load(manifest, package, entry.object, f"reader {entry.name!r}", partial(fault_of_reader, name=entry.name))
            for entry in manifest.readers
        ),
        strategies=tuple(
            _load(
                manifest, package, entry.object, f"strategy {entry.name!r}", partial(fault_of_strategy, name=entry.name)
            )
            for entry in manifest.strategies
        ),
    )


def load_methods(manifest: Manifest) -> tuple[type[Method], ...]:
    """Return only a plugin's methods; PluginError as `load_plugin`."""
    return load_plugin(manifest).methods


def _make_package(manifest: Manifest) -> str:
    parent = sys.modules.get(PACKAGE)
    if parent is None:
        parent = types.ModuleType(PACKAGE, "The plugins that are loaded, each as a package of its own.")
        parent.__path__ = []
        sys.modules[PACKAGE] = parent
    name = f"{PACKAGE}.{manifest.id}"
    for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[loaded]
    importlib.invalidate_caches()
    start = manifest.folder / "__init__.py"
    if start.is_file():
        spec = importlib.util.spec_from_file_location(name, start, submodule_search_locations=[str(manifest.folder)])
    else:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(manifest.folder)]
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    setattr(parent, manifest.id, module)
    if spec.loader is not None:
        with _Border(manifest, "its package"):
            spec.loader.exec_module(module)
    return name


def _load(manifest: Manifest, package: str, place: str, what: str, fault_of: Callable[[object], str | None]) -> Any:
    """Return the object at `place` ("module:Class"), which `fault_of` finds nothing wrong with."""
    module_name, _, class_name = place.partition(":")
    where = f"plugin {manifest.id!r}, {what}"
    with _Border(manifest, what):
        module = importlib.import_module(f"{package}.{module_name}")
    found = getattr(module, class_name, None)
    if found is None:
        raise PluginError(
            f"{module_name}.py has no {class_name}", where=where, action="Correct `object` in plugin.toml."
        )
    fault = fault_of(found)
    if fault is not None:
        raise PluginError(f"{class_name} {fault}", where=where, action=f"See {manifest.folder / module_name}.py.")
    return found


class _Border:
    """Turns whatever plugin code raises while it is imported into a PluginError that names its file and line."""

    def __init__(self, manifest: Manifest, what: str) -> None:
        self._manifest = manifest
        self._what = what

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: types.TracebackType | None) -> None:
        # SystemExit too: a plugin that calls exit() must not end the worker.
        if not isinstance(error, (Exception, SystemExit)):
            return
        raise PluginError(
            f"{self._what} can't be loaded: {describe(error, self._manifest.folder)}",
            where=f"plugin {self._manifest.id!r}",
            action="Repair or remove the plugin; all others are loaded.",
        ) from error


def describe(error: BaseException, folder: Path) -> str:
    """Return an exception in one line with the last place in the plugin's folder that it passed."""
    said = " ".join(str(error).split())
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text} ({Path(error.filename).name})"
    inside = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)
    ]
    return f"{text} ({Path(inside[-1].filename).name}, line {inside[-1].lineno})" if inside else text
