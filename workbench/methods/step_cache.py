"""Keeps the results of steps by the hash of all that decides them, so that a changed last step reruns only itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from workbench.domain.errors import ModelFileError, StorageError
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model
from workbench.methods.method import MethodResult

_LIBRARIES: Final = ("numpy", "onnx", "onnx-ir", "onnxruntime", "torch", "scipy")
_ENTRY: Final = re.compile(r"[0-9a-f]{64}\.(onnx|json|epochs.*)")
DEFAULT_LIMIT_BYTES: Final = 4 * 1024**3
_UNFINISHED: Final = ".epochs"
_ABANDONED_SECONDS: Final = 7 * 24 * 3600


@dataclass(frozen=True)
class StepKey:
    """What decides a step's result.

    Attributes:
        graph: Hash of the graph that goes in.
        reference: Hash of the original model, teacher of trainings.
        method: Id, version and parameters of the method, and its plugin with version.
        settings: For every layer the settings of the knobs that the method reads, each with its origin in the plan.
        seed: Of the step.
        data: Fingerprint of the data that methods see.
        timed: Where and how latencies were taken, for methods that aim at one; "" for all others.
    """

    graph: str
    reference: str
    method: tuple[str, int, str, str]
    parameters: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    seed: int
    data: str
    timed: str = ""

    def digest(self) -> str:
        """Return the SHA-256 of all of it and of the versions of the libraries that compute it."""
        content = [
            self.graph,
            self.reference,
            self.method,
            self.parameters,
            self.settings,
            self.seed,
            self.data,
            {name: _version(name) for name in _LIBRARIES},
        ]
        if self.timed:
            content.append(self.timed)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def graph_sha256(graph: ModelGraph) -> str:
    """Return the hash of a graph's bytes."""
    return hashlib.sha256(graph.to_bytes()).hexdigest()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


class StepCache:
    """A folder with one graph (.onnx) and one note (.json) per step result, least recently used ones removed first.

    Several processes may share it: entries are written whole under another name and then renamed.

    Args:
        folder: Made if it does not exist.
        limit_bytes: Size beyond which old entries go.
    """

    def __init__(self, folder: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit_bytes

    def get(self, key: str) -> MethodResult | None:
        """Return the kept result, or None if there is none (or it was damaged, which removes it)."""
        graph_file, note_file = self._files(key)
        try:
            note = json.loads(note_file.read_text(encoding="utf-8"))
            result = MethodResult(_in_memory(graph_file), tuple(note["notes"]), note["details"])
            os.utime(note_file)
        except OSError:
            return None
        except (ModelFileError, ValueError, KeyError, TypeError):
            self._remove(key)
            return None
        return result

    def put(self, key: str, result: MethodResult) -> None:
        """Keep a result.

        Raises:
            StorageError: the folder can't be written to; nothing half-written stays.
        """
        graph_file, note_file = self._files(key)
        try:
            note = json.dumps({"notes": result.notes, "details": result.details})
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_whole(graph_file, result.graph.to_bytes())
            # The note comes last: an entry without one does not exist.
            _write_whole(note_file, note.encode())
        except (OSError, TypeError) as error:
            raise StorageError(f"the step cache {self._folder} can't be written", found=str(error)) from error
        for unfinished in self._folder.glob(f"{key}{_UNFINISHED}*"):
            unfinished.unlink(missing_ok=True)
        self._evict(keep=key)

    def checkpoint(self, key: str) -> Path:
        """Return where an unfinished step may store what it has; `put` of the same key removes it.

        Steps that train several times add suffixes of their own to the name.
        """
        return self._folder / f"{key}{_UNFINISHED}"

    def size_bytes(self) -> int:
        """Return the size of all entries; other files of the folder are none of the cache's business."""
        return sum(path.stat().st_size for path in self._folder.glob("*") if _ENTRY.fullmatch(path.name))

    def _files(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.onnx", self._folder / f"{key}.json"

    def _remove(self, key: str) -> None:
        for path in reversed(self._files(key)):
            path.unlink(missing_ok=True)

    def _evict(self, keep: str) -> None:
        total = self.size_bytes()
        if total > self._limit:
            for unfinished in sorted(self._folder.glob(f"*{_UNFINISHED}*"), key=lambda path: path.stat().st_mtime_ns):
                # A step of another process may be at work on a young one.
                if time.time() - unfinished.stat().st_mtime > _ABANDONED_SECONDS:
                    total -= unfinished.stat().st_size
                    unfinished.unlink(missing_ok=True)
        notes = [path for path in self._folder.glob("*.json") if _ENTRY.fullmatch(path.name)]
        notes.sort(key=lambda path: path.stat().st_mtime_ns)
        for note in notes:
            if total <= self._limit:
                return
            if note.stem != keep:
                total -= sum(path.stat().st_size for path in self._files(note.stem) if path.exists())
                self._remove(note.stem)


def _in_memory(path: Path) -> ModelGraph:
    graph = open_model(path)
    return ModelGraph(graph.edit())


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
