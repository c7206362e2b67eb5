"""Plugins written on the spot, found in no other place than the test's."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.data.metrics import registry as metric_registry
from workbench.data.readers import registry as reader_registry
from workbench.plugin_host import manifests

GOOD = """
from workbench.api import Method, MethodResult, Parameters, Stage, WEIGHT_BITS

class Zero(Method):
    id = "{id}.zero"
    title = "Zero small weights"
    stage = Stage.PRUNE
    knobs = (WEIGHT_BITS,)

    def apply(self, graph, plan, tools):
        tools.cancel.raise_if_cancelled()
        tools.progress.update(1.0, "done")
        return MethodResult(graph)
"""


@pytest.fixture
def make_plugin() -> Callable[..., Path]:
    """Return a function (folder, id=…, code=…, manifest=…) that writes a plugin and returns its folder."""

    def make(place: Path, id: str = "mine", code: str = GOOD, manifest: str | None = None, **files: str) -> Path:
        folder = place / id
        folder.mkdir(parents=True)
        manifest = (
            manifest
            or f'''
            [plugin]
            id = "{id}"
            title = "Mine"
            version = "1.0"
            api = 1
            [[method]]
            id = "{id}.zero"
            object = "code:Zero"
            '''
        )
        (folder / "plugin.toml").write_text(textwrap.dedent(manifest), encoding="utf-8")
        (folder / "code.py").write_text(code.replace("{id}", id), encoding="utf-8")
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A folder with `first`, `user` and `environment` as the only places where plugins are looked for."""
    for name in ("first", "user", "environment"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(manifests, "shipped_folder", lambda name: tmp_path / "first")
    monkeypatch.setattr(manifests, "user_folder", lambda: tmp_path / "user")
    monkeypatch.setenv(manifests.FOLDERS_VARIABLE, str(tmp_path / "environment"))
    return tmp_path


DATA_MANIFEST = """
    [plugin]
    id = "figures"
    title = "Figures"
    version = "1"
    api = 1
    [[metric]]
    name = "balanced"
    object = "code:Balanced"
    [[reader]]
    name = "counted"
    object = "code:Counted"
"""

DATA_CODE = '''
import numpy as np
from pydantic import Field
from workbench.api import ArraySource, DataError, Metric, Reader, ReaderOptions, Request, class_scores

class Balanced(Metric):
    """Mean over classes of the share of right samples of a class."""

    name = "balanced"
    title = "Balanced accuracy"

    def records(self, outputs, targets):
        if targets.ndim != 1 or targets.dtype.kind not in "iu":
            raise DataError("takes class scores")
        scores = class_scores(outputs, targets)
        rows = np.zeros((len(targets), 2 * scores.shape[1]))
        each = np.arange(len(targets))
        rows[each, targets] = scores.argmax(axis=1) == targets
        rows[each, scores.shape[1] + targets] = 1
        return rows

    def combine(self, sums, samples):
        right, all_ = np.split(sums, 2, axis=-1)
        return np.mean(right / np.maximum(all_, 1), axis=-1)

class Counted(Reader):
    """Samples 0, 1, 2 … of a text file that says how many."""

    name = "counted"
    title = "Counted samples"
    suffixes = (".count",)

    class Options(ReaderOptions):
        scale: float = Field(1.0, gt=0)

    def open(self, request: Request):
        options = self.options(request)
        path = request.path()
        x = np.random.default_rng(0).normal(size=(int(path.read_text()), 3, 8, 8)).astype(np.float32) * options.scale
        return ArraySource({"x": x}, np.arange(len(x)) % 5, (path,))
'''


@pytest.fixture
def own_registries(monkeypatch) -> None:
    """Metrics and readers that a test's plugins bring are forgotten with the test."""
    for offers in (metric_registry._METRICS, reader_registry._READERS):
        for name in ("_classes", "_plugins"):
            monkeypatch.setattr(offers, name, dict(getattr(offers, name)))


@pytest.fixture
def data_plugin(tmp_path, make_plugin, own_registries) -> Path:
    """A plugin with a metric, "balanced", and a reader, "counted"."""
    return make_plugin(tmp_path / "data", "figures", DATA_CODE, DATA_MANIFEST)
