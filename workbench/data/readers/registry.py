"""The readers by the name that DATA.yaml uses, first-party and plugins' alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.data.offers import Offers
from workbench.data.readers._base import Reader
from workbench.data.readers.csv_manifest import CsvReader
from workbench.data.readers.idx import IdxReader
from workbench.data.readers.image_folder import ImageFolderReader
from workbench.data.readers.npy import NpyReader
from workbench.data.readers.npz import NpzReader
from workbench.data.readers.random_samples import RandomReader
from workbench.data.readers.text import TextReader
from workbench.domain.errors import DataError, WorkbenchError

_READERS: Offers[Reader] = Offers(
    "reader", (NpzReader, NpyReader, IdxReader, ImageFolderReader, CsvReader, TextReader, RandomReader)
)

readers = _READERS.all
register_reader = _READERS.register
require_free_reader = _READERS.require_free
reader_owner = _READERS.owner


def reader_named(name: str, where: str) -> Reader:
    """Return the reader called `name`; DataError listing the known ones if there is none."""
    return _READERS.named(name, f"{where}.reader")()


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
        plugin = _READERS.owner(name)
        owner = "" if plugin is None else f" of plugin {plugin!r}"
        raise DataError(f"the reader {name!r}{owner} raised {type(error).__name__}: {error}", where=where) from error
