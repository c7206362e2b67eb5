"""Finds plugins by their manifests, as data: no plugin code is imported, so that the window may look at them.

A plugin is a folder with a `plugin.toml`. Folders are looked for in the program's own `plugins`, in those that the
environment variable WORKBENCH_PLUGINS names, in the user's plugin folder, and behind the entry points of the group
`workbench.plugins` (each names a package, possibly within another, that contains the manifest).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from workbench.domain.errors import PluginError
from workbench.domain.installation import shipped_folder
from workbench.domain.interface import API_VERSION
from workbench.project.places import data_folder

MANIFEST = "plugin.toml"
FOLDERS_VARIABLE = "WORKBENCH_PLUGINS"
ENTRY_POINTS = "workbench.plugins"
ID_PATTERN = r"^[a-z][a-z0-9_]*$"
_OBJECT_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_OFFERS = {"method": "methods", "metric": "metrics", "reader": "readers", "strategy": "strategies"}

Origin = Literal["first-party", "environment", "user", "package"]


class MethodEntry(BaseModel):
    """A method that a plugin offers: `object` is "module:Class", the module within the plugin's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")]
    object: Annotated[str, StringConstraints(pattern=_OBJECT_PATTERN)]


class NamedEntry(BaseModel):
    """A metric, reader or strategy that a plugin offers; `name` is its word in DATA.yaml or STUDY.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    object: Annotated[str, StringConstraints(pattern=_OBJECT_PATTERN)]


class Manifest(BaseModel):
    """What a plugin says of itself; it offers something.

    Attributes:
        api: Version of the interface that it was written against.
        summary: One sentence about it.
        methods, metrics, readers, strategies: What it offers.
        folder: Where it lies.
        origin: How it was found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=ID_PATTERN)]
    title: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    version: Annotated[str, StringConstraints(min_length=1)]
    api: int
    summary: str = ""
    methods: tuple[MethodEntry, ...] = ()
    metrics: tuple[NamedEntry, ...] = ()
    readers: tuple[NamedEntry, ...] = ()
    strategies: tuple[NamedEntry, ...] = ()
    folder: Path
    origin: Origin


@dataclass(frozen=True)
class FoundPlugins:
    """The usable manifests, first-party ones first, and why others are not among them."""

    manifests: tuple[Manifest, ...]
    problems: tuple[PluginError, ...]


def find_plugins() -> FoundPlugins:
    """Read all manifests; of several plugins with the same id the one found first is taken."""
    manifests: dict[str, Manifest] = {}
    problems: list[PluginError] = []
    seen: set[Path] = set()
    for folder, origin in _folders(problems):
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        try:
            manifest = read_manifest(folder, origin)
        except PluginError as problem:
            problems.append(problem)
            continue
        first = manifests.setdefault(manifest.id, manifest)
        if first is not manifest:
            problems.append(
                PluginError(
                    f"plugin {manifest.id!r} is left out because there is another one with its id",
                    where=str(folder),
                    found=f"the {first.origin} plugin in {first.folder}",
                    action="Change the id in its plugin.toml, or remove one of the two.",
                )
            )
    return FoundPlugins(tuple(manifests.values()), tuple(problems))


def read_manifest(folder: Path, origin: Origin = "user") -> Manifest:
    """Read a plugin folder's manifest.

    Raises:
        PluginError: it is missing, not TOML, incomplete, written for another interface, or offers something that
            this version does not know; names file and key.
    """
    path = folder / MANIFEST
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise PluginError("there is no manifest", where=str(path), expected="a file plugin.toml") from error
    except OSError as error:
        raise PluginError(f"the manifest can't be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PluginError(f"the manifest is not TOML: {error}", where=str(path)) from error
    unknown = sorted(content.keys() - {"plugin", *_OFFERS})
    if unknown:
        raise PluginError(
            f"the manifest has a section {unknown[0]!r} that this version does not know",
            where=str(path),
            expected="[plugin] and [[method]], [[metric]], [[reader]] or [[strategy]]",
            action="Remove it, or install a newer version of the program.",
        )
    plugin = content.get("plugin")
    if not isinstance(plugin, dict):
        raise PluginError("the manifest has no [plugin] section", where=str(path))
    _check_interface(plugin.get("api"), path)
    foreign = sorted(plugin.keys() - {"id", "title", "version", "api", "summary"})
    if foreign:
        raise PluginError(f"the manifest's [plugin] section has an unknown key {foreign[0]!r}", where=str(path))
    try:
        manifest = Manifest.model_validate(
            {
                **plugin,
                **{field: content.get(section, []) for section, field in _OFFERS.items()},
                "folder": folder.absolute(),
                "origin": origin,
            }
        )
    except ValidationError as error:
        raise _invalid(error, path) from error
    offered = [
        *(("method", entry.id) for entry in manifest.methods),
        *(("metric", entry.name) for entry in manifest.metrics),
        *(("reader", entry.name) for entry in manifest.readers),
        *(("strategy", entry.name) for entry in manifest.strategies),
    ]
    if not offered:
        raise PluginError(
            "the manifest offers nothing",
            where=str(path),
            expected="a [[method]], [[metric]], [[reader]] or [[strategy]] section",
        )
    twice = next((entry for entry in offered if offered.count(entry) > 1), None)
    if twice is not None:
        raise PluginError(f"the {twice[0]} {twice[1]!r} is listed twice", where=str(path))
    return manifest


def user_folder() -> Path:
    """Return the folder in which the user puts plugins; it may not exist."""
    return data_folder() / "plugins"


def _folders(problems: list[PluginError]) -> Iterator[tuple[Path, Origin]]:
    own = shipped_folder("plugins")
    if own is not None:
        yield from ((folder, "first-party") for folder in _plugins_in(own))
    for text in filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)):
        place = Path(text).expanduser()
        if not place.is_dir():
            problems.append(PluginError(f"{FOLDERS_VARIABLE} names a folder that does not exist", where=str(place)))
        yield from ((folder, "environment") for folder in _plugins_in(place))
    yield from ((folder, "user") for folder in _plugins_in(user_folder()))
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        folder = _package_folder(entry.module)
        if folder is None:
            problems.append(
                PluginError(
                    f"the entry point {entry.name!r} names no package folder",
                    where=entry.value,
                    action=f"Reinstall {entry.dist.name}." if entry.dist is not None else None,
                )
            )
        else:
            yield folder, "package"


def _plugins_in(place: Path) -> list[Path]:
    """Return `place` itself if it is a plugin, else the plugins in it."""
    if (place / MANIFEST).is_file():
        return [place]
    return sorted(path.parent for path in place.glob(f"*/{MANIFEST}"))


def _package_folder(module: str) -> Path | None:
    """Return a package's folder; only the top package is looked up, which imports nothing."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    for place in (spec.submodule_search_locations if spec is not None else None) or ():
        folder = Path(place).joinpath(*rest)
        if folder.is_dir():
            return folder
    return None


def _check_interface(api: object, path: Path) -> None:
    number = type(api) is int  # true and 1.0 equal 1
    if number and api == API_VERSION:
        return
    if isinstance(api, int) and api > API_VERSION:
        action = "Install a newer version of the program."
    else:
        action = "Adapt the plugin (see `workbench plugin new`)." if number else f"Write `api = {API_VERSION}`."
    found = "none" if api is None else f"api = {api!r}"
    raise PluginError(
        "the plugin was written for another plugin interface",
        where=str(path),
        expected=f"api = {API_VERSION}",
        found=found,
        action=action,
    )


def _invalid(error: ValidationError, path: Path) -> PluginError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    for section, field in _OFFERS.items():
        place = place.replace(field, section)
    said = first["msg"][0].lower() + first["msg"][1:]
    found = None if first["type"] == "missing" else repr(first["input"])[:80]
    return PluginError(f"the manifest's {place or 'content'} is wrong: {said}", where=str(path), found=found)
