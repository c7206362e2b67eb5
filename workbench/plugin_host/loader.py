"""Imports plugin code, in worker and command line only: what one plugin breaks is named and stays its own."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
import types
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from pathlib import Path

from pydantic import BaseModel

from workbench.domain.errors import PluginError
from workbench.domain.knobs import Knob
from workbench.methods.method import Method, Stage
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.manifests import Manifest, MethodEntry

PACKAGE = "workbench_plugins"


def load_plugins(manifests: Iterable[Manifest]) -> tuple[MethodRegistry, tuple[PluginError, ...]]:
    """Load all plugins' methods; returns the registry and what could not be loaded, each naming its plugin."""
    registry = MethodRegistry()
    failures: list[PluginError] = []
    for manifest in manifests:
        try:
            methods = load_methods(manifest)
        except PluginError as failure:
            failures.append(failure)
            continue
        for method in methods:
            try:
                registry.register(method, manifest.id, manifest.version)
            except PluginError as failure:
                failures.append(failure)
    return registry, tuple(failures)


def load_methods(manifest: Manifest) -> tuple[type[Method], ...]:
    """Import a plugin as the package `workbench_plugins.<id>` and return its methods, in the manifest's order.

    A plugin that was imported before is imported anew, so that an author sees the current code.

    Raises:
        PluginError: the code raises, or is not what the manifest says; names plugin, file and line.
    """
    if manifest.origin != "first-party":
        # If its import kills the process, this is the last output and names the culprit.
        print(f"loading plugin {manifest.id!r} from {manifest.folder}", file=sys.stderr, flush=True)
    package = _make_package(manifest)
    return tuple(_load(manifest, package, entry) for entry in manifest.methods)


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


def _load(manifest: Manifest, package: str, entry: MethodEntry) -> type[Method]:
    module_name, _, class_name = entry.object.partition(":")
    where = f"plugin {manifest.id!r}, method {entry.id!r}"
    with _Border(manifest, f"method {entry.id!r}"):
        module = importlib.import_module(f"{package}.{module_name}")
    found = getattr(module, class_name, None)
    if found is None:
        raise PluginError(
            f"{module_name}.py has no {class_name}", where=where, action="Correct `object` in plugin.toml."
        )
    fault = _fault_of(found, entry.id)
    if fault is not None:
        raise PluginError(f"{class_name} {fault}", where=where, action=f"See {manifest.folder / module_name}.py.")
    return found  # type: ignore[no-any-return]


def _fault_of(found: object, id: str) -> str | None:
    """Return what keeps an object from being the method called `id`, or None."""
    if not (isinstance(found, type) and issubclass(found, Method)):
        return "is not a subclass of workbench.api.Method"
    if inspect.isabstract(found):
        return f"does not define {', '.join(sorted(found.__abstractmethods__))}"
    for name, kind in (("id", str), ("title", str), ("stage", Stage), ("knobs", tuple)):
        if not isinstance(getattr(found, name, None), kind):
            return f"has no `{name}` of type {kind.__name__}"
    if not all(isinstance(knob, Knob) for knob in found.knobs):
        return "has something in `knobs` that is not a workbench.api.Knob"
    if not (isinstance(found.Parameters, type) and issubclass(found.Parameters, BaseModel)):
        return "has `Parameters` that are not a subclass of workbench.api.Parameters"
    if found.id != id:
        return f"says that its id is {found.id!r}, the manifest says {id!r}"
    return None


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
