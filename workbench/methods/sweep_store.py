"""Keeps sensitivity points as JSON lines, one flushed line a point, so that a killed sweep loses at most one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from workbench.domain.errors import BadInputError, StorageError
from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.graph.model import ModelGraph
from workbench.methods.method import Method
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import Registered
from workbench.methods.step_cache import graph_sha256


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
    """A JSON-lines file of points of any number of sweeps.

    Args:
        path: The file, or None to keep points in memory only.
        key: Of this sweep; lines of others are left alone.

    Raises:
        BadInputError: the file can't be read, or holds something else, to which nothing must be appended.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path = path
        self._key = key
        self._points: dict[tuple[str, Setting], SensitivityPoint] = {}
        self._torn = False
        if path is not None and path.exists():
            self._read(path)

    def get(self, layer: str, value: Setting) -> SensitivityPoint | None:
        """Return a point taken earlier, or None."""
        return self._points.get((layer, value))

    def add(self, point: SensitivityPoint) -> None:
        """Append a point; StorageError if the file can't be written."""
        self._points[point.layer, point.value] = point
        if self._path is None:
            return
        line = json.dumps({"key": self._key, "point": point.model_dump(mode="json")}, separators=(",", ":"))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(("\n" if self._torn else "") + line + "\n")
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
                if entry["key"] == self._key:
                    point = SensitivityPoint.model_validate(entry["point"])
                    self._points[point.layer, point.value] = point
            except (ValueError, KeyError, TypeError, ValidationError):
                continue  # the line that a killed sweep was writing
