"""Keeps what a sweep has run as JSON lines, one flushed line a trial and round, so that a kill loses at most one.

Points are not kept: they follow from the records of all trials, to the last bit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import zlib
from pathlib import Path
from threading import Lock

import numpy as np

from workbench.domain.errors import BadInputError, StorageError
from workbench.domain.knobs import Knob, Setting
from workbench.graph.model import ModelGraph
from workbench.methods.method import Method
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import Registered
from workbench.methods.step_cache import graph_sha256

# Of the records' order and meaning.
_VERSION = 2
_SYNC_SECONDS = 1.0


def sweep_key(
    graph: ModelGraph,
    method: Method,
    entry: Registered,
    knob: Knob,
    samples: str,
    seed: int,
    data: RecipeData | None,
) -> str:
    """Return the hash of everything that decides a sweep's points but layer and value.

    Args:
        graph: The original model.
        method: With its parameters.
        entry: Where it came from.
        knob: The one that is turned.
        samples: Fingerprint of the samples that the metric is taken on.
        seed: Of the method.
        data: What the method may calibrate on.
    """
    content = [
        _VERSION,
        graph_sha256(graph),
        [method.id, method.version, entry.plugin, entry.plugin_version],
        method.parameters.model_dump(mode="json"),
        knob.name,
        samples,
        seed,
        "" if data is None else data.fingerprint(),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class SweepStore:
    """A JSON-lines file of the records of any number of sweeps.

    Args:
        path: The file, or None to keep records in memory only.
        key: Of this sweep; lines of others are left alone.

    Raises:
        BadInputError: the file can't be read, or holds something else, to which nothing must be appended.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path = path
        self._key = key
        self._lock = Lock()
        self._found: dict[tuple[str, Setting], list[np.ndarray]] = {}
        self._torn = False
        self._due = 0.0
        if path is not None and path.exists():
            self._read(path)

    def get(self, layer: str, value: Setting) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the records (n, k) and divergences (n,) of a trial's first n samples, or None."""
        rows = self._found.get((layer, value))
        if rows is None:
            return None
        whole = np.concatenate(rows)
        return whole[:, :-1], whole[:, -1]

    def add(self, layer: str, value: Setting, start: int, records: np.ndarray, divergences: np.ndarray) -> None:
        """Append the records of the samples from `start` on; safe to call in several threads.

        Raises:
            StorageError: the file can't be written.
        """
        if self._path is None:
            return
        rows = np.column_stack([records.astype(np.float64), divergences])
        line = json.dumps(
            {
                "key": self._key,
                "layer": layer,
                "value": value,
                "start": start,
                "columns": rows.shape[1],
                "records": base64.b64encode(zlib.compress(rows.tobytes())).decode(),
            },
            separators=(",", ":"),
        )
        with self._lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(("\n" if self._torn else "") + line + "\n")
                    if time.monotonic() >= self._due:
                        # Neither a crash of the system nor power loss takes more than the last second.
                        stream.flush()
                        os.fsync(stream.fileno())
                        self._due = time.monotonic() + _SYNC_SECONDS
            except OSError as error:
                raise StorageError(f"{self._path} can't be written", found=str(error)) from error
            self._torn = False

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadInputError("the store can't be read", where=str(path), found=error.strerror) from error
        if text and not text.startswith('{"key":'):
            raise BadInputError(
                "is no store of sensitivities",
                where=str(path),
                expected="a file that an earlier sweep wrote, or a new name",
                found=f"a file that begins with {text[:12]!r}",
            )
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if entry["key"] != self._key:
                    continue
                rows = np.frombuffer(zlib.decompress(base64.b64decode(entry["records"])))
                rows = rows.reshape(-1, int(entry["columns"]))
                before = self._found.setdefault((str(entry["layer"]), entry["value"]), [])
                if sum(map(len, before)) == entry["start"]:
                    before.append(rows)
            except (ValueError, KeyError, TypeError, zlib.error):
                continue  # the line that a killed sweep was writing, or one of an older version
        self._found = {trial: rows for trial, rows in self._found.items() if rows}
