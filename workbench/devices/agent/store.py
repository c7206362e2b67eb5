"""Keeps models on the device by their hash, so that each is sent once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from workbench.devices.agent.answers import AgentError

_CHUNK_BYTES = 1 << 20
_LIST = "files.json"
_KEPT_BYTES = 4 << 30


class ModelStore:
    """Models in a folder, each in one of its own that is called by its hash and is there whole or not at all.

    Args:
        folder: Of the agent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "models"

    def has(self, sha256: str) -> bool:
        """Whether the model was stored."""
        return (self._folder / sha256 / _LIST).is_file()

    def path(self, sha256: str) -> Path:
        """Return the model's file."""
        folder = self._folder / sha256
        return folder / str(json.loads((folder / _LIST).read_text())[0])

    def use(self, sha256: str) -> Path:
        """Return the model's file once its hash is found right, and note that it was used.

        Raises:
            AgentError: it is another file by now; it was removed.
        """
        folder = self._folder / sha256
        digest = hashlib.sha256()
        try:
            for name in json.loads((folder / _LIST).read_text()):
                with open(folder / name, "rb") as stream:
                    for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
                        digest.update(chunk)
        except (OSError, ValueError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise AgentError("damaged", str(error)) from error
        if digest.hexdigest() != sha256:
            shutil.rmtree(folder, ignore_errors=True)
            raise AgentError("damaged", "the stored model has another hash")
        os.utime(folder)
        return self.path(sha256)

    def receive(self, stream: BinaryIO) -> None:
        """Store the models that a stream holds, each as a line of JSON [hash, [[name, bytes], …]] and the files' bytes.

        Raises:
            AgentError: the stream ends early or holds something else, or the disk has no room.
        """
        for line in iter(stream.readline, b""):
            sha256, files = json.loads(line)
            self._receive_one(str(sha256), [(str(name), int(size)) for name, size in files], stream)

    def _receive_one(self, sha256: str, files: Sequence[tuple[str, int]], stream: BinaryIO) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        needed, free = sum(size for _, size in files), shutil.disk_usage(self._folder).free
        if needed > free:
            raise AgentError("storage", f"{needed / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")
        part = self._folder / f".{sha256}.{os.getpid()}"
        digest = hashlib.sha256()
        try:
            for name, size in files:
                place = part / name
                place.parent.mkdir(parents=True, exist_ok=True)
                with open(place, "wb") as file:
                    while size:
                        chunk = stream.read(min(size, _CHUNK_BYTES))
                        if not chunk:
                            raise AgentError("damaged", "the model arrived cut short")
                        digest.update(chunk)
                        file.write(chunk)
                        size -= len(chunk)
            if digest.hexdigest() != sha256:
                raise AgentError("damaged", "the model arrived changed")
            (part / _LIST).write_text(json.dumps([name for name, _ in files]))
            if not self.has(sha256):
                os.replace(part, self._folder / sha256)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def make_room(self, needed: Iterable[str]) -> None:
        """Remove the models that were not used for longest where all of them take more than 4 GiB.

        Args:
            needed: Hashes of models to keep.
        """
        kept = set(needed)
        if not self._folder.is_dir():
            return
        stored = [folder for folder in self._folder.iterdir() if len(folder.name) == 64]
        total = 0
        for folder in sorted(stored, key=lambda path: path.stat().st_mtime, reverse=True):
            total += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if total > _KEPT_BYTES and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
