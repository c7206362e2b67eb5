"""Remembers what torch archives were imported to, by content, so that a .pt2 the user once trusted is a model."""

from __future__ import annotations

from pathlib import Path

from workbench.domain.errors import BadInputError, ModelFileError, StorageError
from workbench.graph.storage import open_model, save_model
from workbench.jobs.context import JobContext
from workbench.project.artifacts import file_sha256
from workbench.project.places import cache_folder


def is_archive(path: Path) -> bool:
    """Whether the name is that of a torch.export archive."""
    return path.suffix.lower() == ".pt2"


def remember_import(archive: Path, onnx: Path, context: JobContext) -> None:
    """Keep a copy of the ONNX file that an archive was turned into; a disk that refuses is only told of."""
    kept = _kept(archive)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_model(open_model(onnx), kept)
    except (OSError, StorageError) as error:
        context.log(f"Use {onnx.name} from now on; {archive.name} could not be remembered: {error}")


def imported_archive(archive: Path) -> Path:
    """Return the ONNX file that an archive of this content was imported to.

    Raises:
        ModelFileError: it can't be read.
        BadInputError: it was not imported here yet.
    """
    kept = _kept(archive)
    if not kept.is_file():
        raise BadInputError(
            "is a torch.export archive that was not imported yet",
            where=str(archive),
            expected="an .onnx file, or an archive that was imported before",
            action=f"Import it first: workbench import {archive.name} --out {archive.with_suffix('.onnx').name}",
        )
    return kept


def _kept(archive: Path) -> Path:
    try:
        return cache_folder() / "imported" / f"{file_sha256(archive)}.onnx"
    except FileNotFoundError as error:
        raise ModelFileError("there is no such file", where=str(archive), action="Check the path.") from error
    except OSError as error:
        raise ModelFileError(f"can't be read: {error.strerror}", where=str(archive)) from error
