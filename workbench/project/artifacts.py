"""The big files beside a project (candidates), named by their SHA-256 so that none is stored twice or mistaken.

A model that is more than one file lies in a folder of that name, since its structure names its weights' file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from workbench.domain.errors import ProjectError, StorageError
from workbench.project.companions import SUFFIX, companion

_CHUNK_BYTES = 1 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of one file's bytes; OSError if it can't be read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class Artifacts:
    """The folder `<name>.artifacts` of a project; made when the first file comes.

    A file's name is its hash and its suffix. Files never change, so copies of a project may share them; weights in a
    file of their own are copied, because runtimes refuse hard links to such data as unsafe.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, project: Path) -> Artifacts:
        """Return the artifacts of a project file."""
        return cls(project.with_suffix(".artifacts"))

    def add(self, path: Path, sha256: str | None = None) -> str:
        """Copy a file in and return its hash; a file that is there already is not copied again.

        Args:
            path: The file; weights of a model that lie beside it come along.
            sha256: Its hash, where it is known; a model of two files needs it.

        Raises:
            ProjectError: there is no such file.
            StorageError: the folder can't be written; nothing is left behind.
        """
        try:
            sha256 = sha256 or file_sha256(path)
            weights = companion(path)
        except OSError as error:
            raise ProjectError(f"can't be read: {error.strerror}", where=str(path)) from error
        if weights is None:
            self._copy(path, self.folder / f"{sha256}{path.suffix}")
        else:
            self._copy_together((path, weights), self.folder / sha256)
        return sha256

    def adopt(self, path: Path, sha256: str) -> None:
        """Move a finished file in whose hash is known; on the same drive this takes no time, whatever its size.

        Raises:
            StorageError: the folder can't be written, or the file is gone.
        """
        target = self.folder / f"{sha256}{path.suffix}"
        weights = companion(path) if path.exists() else None
        if weights is not None:
            self._copy_together((path, weights), self.folder / sha256, link=True)
            weights.unlink(missing_ok=True)
        elif not target.exists():
            with contextlib.suppress(OSError):  # another drive: copy
                self.folder.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
                return
            self._copy(path, target)
        path.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Return where a file lies; of a model that is two files, the one to open.

        Raises:
            ProjectError: it is gone.
        """
        found = self._find(sha256)
        if found is None:
            raise ProjectError(
                "a file of the project is gone",
                where=str(self.folder),
                expected=f"a file {sha256[:12]}…",
                action="Put the folder back beside the project, or run the candidate's recipe again.",
            )
        return found if found.is_file() else next(part for part in found.iterdir() if part.suffix != SUFFIX)

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and self._find(sha256) is not None

    def copy_to(self, other: Artifacts) -> None:
        """Give another project all files that it lacks, as hard links where the file system can.

        Raises:
            StorageError: its folder can't be written.
        """
        for path in self._files():
            if path.is_dir():
                other._copy_together(tuple(path.iterdir()), other.folder / path.name)
            else:
                other._copy(path, other.folder / path.name, link=True)

    def collect(self, referenced: Iterable[str]) -> tuple[Path, ...]:
        """Delete the files that are not referenced, and return them. Only ever done when the user asks."""
        keep = set(referenced)
        gone = tuple(path for path in self._files() if path.name.split(".")[0] not in keep)
        for path in gone:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return gone

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> tuple[Path, ...]:
        return tuple(path for path in self.folder.glob("*") if not path.name.startswith("."))

    def _find(self, sha256: str) -> Path | None:
        return next((path for path in self._files() if path.name.split(".")[0] == sha256), None)

    def _copy_together(self, sources: Sequence[Path], target: Path, *, link: bool = False) -> None:
        """Copy files into a folder that appears whole or not at all."""
        if target.exists():
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for source in sources:
                if link:
                    with contextlib.suppress(OSError):
                        os.link(source, part / source.name)
                        continue
                shutil.copyfile(source, part / source.name)
            os.replace(part, target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _copy(self, source: Path, target: Path, *, link: bool = False) -> None:
        if target.exists():
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if link:
                with contextlib.suppress(OSError):
                    os.link(source, target)
                    return
            with source.open("rb") as reader, part.open("wb") as writer:
                shutil.copyfileobj(reader, writer, _CHUNK_BYTES)
                writer.flush()
                os.fsync(writer.fileno())
            os.replace(part, target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"a file of the project can't be written: {error.strerror or error}",
        where=str(target.parent),
        action="Make room or choose another folder; nothing was changed.",
    )
