"""The readers by the name that DATA.yaml uses, first-party and plugins' alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.data.readers._base import Reader
from workbench.data.readers.csv_manifest import CsvReader
from workbench.data.readers.idx import IdxReader
from workbench.data.readers.image_folder import ImageFolderReader
from workbench.data.readers.npy import NpyReader
from workbench.data.readers.npz import NpzReader
from workbench.data.readers.random_samples import RandomReader
from workbench.data.readers.text import TextReader
from workbench.domain.errors import DataError, PluginError, WorkbenchError

_READERS: dict[str, type[Reader]] = {
    reader.name: reader
    for reader in (NpzReader, NpyReader, IdxReader, ImageFolderReader, CsvReader, TextReader, RandomReader)
}
_PLUGINS: dict[str, str] = {}


def readers() -> tuple[type[Reader], ...]:
    """Return all known readers."""
    return tuple(_READERS.values())


def register_reader(reader: type[Reader], plugin: str) -> None:
    """Add a plugin's reader, or the plugin's newer version of it; PluginError as `require_free_reader`."""
    require_free_reader(reader.name, plugin)
    _READERS[reader.name], _PLUGINS[reader.name] = reader, plugin


def require_free_reader(name: str, plugin: str) -> None:
    """Raise PluginError if a reader of that name comes with the program or from another plugin."""
    owner = _PLUGINS.get(name)
    if name in _READERS and owner != plugin:
        raise PluginError(
            f"the reader name {name!r} is already taken",
            where=f"plugin {plugin!r}",
            found="a reader of the program" if owner is None else f"it in plugin {owner!r}",
            action="Give it another name.",
        )


def plugin_readers() -> tuple[tuple[type[Reader], str], ...]:
    """Return the readers that plugins brought, each with its plugin."""
    return tuple((_READERS[name], plugin) for name, plugin in _PLUGINS.items())


def reader_named(name: str, where: str) -> Reader:
    """Return the reader called `name`; DataError listing the known ones if there is none."""
    if name not in _READERS:
        raise DataError(
            f"unknown reader {name!r}",
            where=f"{where}.reader",
            expected="one of " + ", ".join(_READERS),
            action="Correct the name or install the plugin that brings it.",
        )
    return _READERS[name]()


@contextmanager
def naming_reader(name: str, where: str) -> Iterator[None]:
    """Name a reader in whatever it raises unexpectedly: it may be a plugin's.

    Raises:
        DataError: with the original exception as its cause; our own errors pass.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:  # the border to foreign code: anything may come
        plugin = _PLUGINS.get(name)
        owner = "" if plugin is None else f" of plugin {plugin!r}"
        raise DataError(f"the reader {name!r}{owner} raised {type(error).__name__}: {error}", where=where) from error
