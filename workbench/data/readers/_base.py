"""The contract of readers, so that a new file format is one file and everything above it stays as it is.

Notation: N samples of a split; a raw array is (N, …) as the file holds it, before any preprocessing.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.domain.data_description import Split
from workbench.domain.errors import DataError
from workbench.graph.model import ValueInfo

Indices = np.ndarray


@dataclass(frozen=True)
class Request:
    """What a reader is asked for.

    Attributes:
        split: The entry of DATA.yaml.
        where: Dotted name of that entry for messages ("test", "train").
        folder: Where relative paths start.
        task: Task of DATA.yaml.
        model_inputs: Inputs of the model that the data is for; () while no model is chosen.
        resize: (height, width) that image files are brought to while they are decoded, or None.
        keys: Array or column of every model input; empty where DATA.yaml leaves the choice to the reader.
    """

    split: Split
    where: str
    folder: Path
    task: str = "classification"
    model_inputs: tuple[ValueInfo, ...] = ()
    resize: tuple[int, int] | None = None
    keys: tuple[str, ...] = ()

    def path(self) -> Path:
        """Return the split's file or folder.

        Raises:
            DataError: the entry names none, or it does not exist.
        """
        if not self.split.path:
            raise DataError(
                f"the reader {self.split.reader!r} needs a path", where=self.where, action=f"Add {self.where}.path."
            )
        return self.resolve(self.split.path, f"{self.where}.path")

    def resolve(self, name: str, where: str) -> Path:
        """Return `name` relative to DATA.yaml's folder; DataError naming `where` if it does not exist."""
        path = self.folder / Path(name).expanduser()
        if not path.exists():
            raise DataError(
                f"{path} does not exist", where=where, action="Correct the path; it is relative to the DATA.yaml."
            )
        return path


class Source(ABC):
    """The raw samples of a split."""

    @abstractmethod
    def __len__(self) -> int:
        """Return N."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """Names of the input arrays."""

    @abstractmethod
    def read(self, indices: Indices) -> dict[str, np.ndarray]:
        """Return the raw inputs (n, …) of the samples at `indices` (n,), by key.

        Raises:
            DataError: a sample can't be read; names it.
        """

    @property
    @abstractmethod
    def targets(self) -> np.ndarray | None:
        """All labels (N, …), or None; memory-mapped where they are large."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; () where the source knows none."""
        return ()

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """The files that the samples depend on, for fingerprints."""

    def fingerprint(self) -> str:
        """Return a hash of the names, sizes and modification times of the files, cheap even for large data."""
        digest = hashlib.sha256()
        for path in self.files:
            status = path.stat()
            digest.update(json.dumps([str(path), status.st_size, status.st_mtime_ns]).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ArraySource(Source):
    """Samples that lie in arrays, in memory or memory-mapped."""

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    paths: tuple[Path, ...]
    names: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self.arrays)

    def read(self, indices: Indices) -> dict[str, np.ndarray]:
        """Copy the samples; a run of neighbours is read as one slice, which a memory map serves fastest."""
        first, count = int(indices[0]) if len(indices) else 0, len(indices)
        if np.array_equal(indices, np.arange(first, first + count)):
            return {key: np.asarray(array[first : first + count]) for key, array in self.arrays.items()}
        return {key: np.asarray(array[indices]) for key, array in self.arrays.items()}

    @property
    def targets(self) -> np.ndarray | None:
        """The label array."""
        return self.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, where given."""
        return self.names

    @property
    def files(self) -> tuple[Path, ...]:
        """The arrays' files."""
        return self.paths


class ReaderOptions(BaseModel):
    """Base of a reader's own keys in DATA.yaml; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reader(ABC):
    """Opens one kind of data.

    Attributes:
        name: Word in DATA.yaml.
        title: In the wizard's list.
        suffixes: File endings by which the wizard guesses the reader, () for folders.
        Options: The reader's own keys.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[ReaderOptions]] = ReaderOptions

    @abstractmethod
    def open(self, request: Request) -> Source:
        """Open the samples without reading more of them than needed.

        Raises:
            DataError: missing, truncated or empty file, unknown key, lengths that differ, or an unknown option.
        """

    def options(self, request: Request) -> Any:
        """Return the split's further keys as this reader's options.

        Raises:
            DataError: an unknown key or a value of the wrong type; names it.
        """
        try:
            return self.Options.model_validate(request.split.model_extra or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join([request.where, *(str(part) for part in first["loc"])])
            known = ", ".join(self.Options.model_fields) or "no further keys"
            raise DataError(
                f"not a setting of the reader {self.name!r}: {first['msg']}",
                where=place,
                expected=f"of this reader's own keys: {known}",
                found=repr(first.get("input")),
            ) from error


def checked_arrays(
    arrays: Mapping[str, np.ndarray], labels: np.ndarray | None, paths: Sequence[Path], where: str
) -> ArraySource:
    """Return a source of arrays that agree in length.

    Raises:
        DataError: an array is a scalar, empty, holds objects or text, or its length differs from the others'.
    """
    named = dict(arrays) if labels is None else {**arrays, "targets": labels}
    for key, array in named.items():
        if array.dtype.kind not in "biuf":
            raise DataError(f"array {key!r} holds {array.dtype}", where=where, expected="numbers")
        if array.ndim == 0 or len(array) == 0:
            raise DataError(f"array {key!r} is empty", where=where, expected="at least one sample")
    lengths = {key: len(array) for key, array in named.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        raise DataError("the arrays differ in length", where=where, expected="one entry per sample", found=found)
    return ArraySource(arrays, labels, tuple(paths))
