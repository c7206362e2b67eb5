"""The readers by the name that DATA.yaml uses, first-party and plugins' alike."""

from __future__ import annotations

from workbench.data.readers._base import Reader
from workbench.data.readers.csv_manifest import CsvReader
from workbench.data.readers.idx import IdxReader
from workbench.data.readers.image_folder import ImageFolderReader
from workbench.data.readers.npy import NpyReader
from workbench.data.readers.npz import NpzReader
from workbench.data.readers.random_samples import RandomReader
from workbench.data.readers.text import TextReader
from workbench.domain.errors import DataError, PluginError

_READERS: dict[str, type[Reader]] = {
    reader.name: reader
    for reader in (NpzReader, NpyReader, IdxReader, ImageFolderReader, CsvReader, TextReader, RandomReader)
}


def readers() -> tuple[type[Reader], ...]:
    """Return all known readers."""
    return tuple(_READERS.values())


def register_reader(reader: type[Reader]) -> None:
    """Add a plugin's reader; PluginError if its name is taken by another one."""
    known = _READERS.setdefault(reader.name, reader)
    if known is not reader:
        raise PluginError(f"the reader name {reader.name!r} is already taken", found=known.__qualname__)


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
