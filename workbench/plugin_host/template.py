"""Writes a new plugin that works at once and passes the compliance suite, for its author to change."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.domain.errors import BadInputError, StorageError
from workbench.domain.interface import API_VERSION
from workbench.plugin_host.manifests import ID_PATTERN, MANIFEST

_MANIFEST = """\
# What the program reads before it imports any code. One [[method]] section for each method. A [[metric]] or [[reader]]
# section with `name` (its word in DATA.yaml) and `object` offers a workbench.api.Metric or workbench.api.Reader.
[plugin]
id = "{id}"
title = "{title}"
version = "0.1"
summary = "Sets the smallest weights of every layer to zero."
api = {api}

[[method]]
id = "{id}.smallest"
object = "method:SmallestWeights"
"""

_METHOD = '''\
"""Sets the smallest weights of every layer to zero (magnitude pruning; Han et al., 2015). Replace it with your idea."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from workbench.api import Knob, LayerSettings, Method, MethodResult, ModelGraph, Parameters, Stage, Tools

# A knob gets its column in the layer table, its sweep and its search dimension by being listed in Method.knobs.
SHARE = Knob(
    "{id}_share",
    "Zeros",
    "share of weights",
    untouched=0.0,
    low=0.0,
    high=0.95,
    step=0.05,
    sweep=(0.25, 0.5, 0.75),
    doc="Share of the layer's weights that is set to zero.",
)


class SmallestWeights(Method):
    """Zeros the weights of smallest magnitude, layer by layer."""

    id = "{id}.smallest"
    title = "Zero the smallest weights"
    summary = "Sets the given share of each layer's weights to zero, the smallest first."
    source = "Han et al., 2015"
    stage = Stage.PRUNE
    knobs = (SHARE,)

    class Parameters(Parameters):
        """Validation, form, command line and search space in one."""

        compare: Literal["layer", "channel"] = Field("layer", description="Among which weights the smallest are taken.")

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return a graph with new weights; `graph` itself stays as it is."""
        layers = plan.touched(SHARE)
        changed: dict[str, np.ndarray] = {{}}
        zeros = 0
        for number, layer in enumerate(layers):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(number / len(layers), layer)
            name = _weight(graph, layer)
            if name is not None:
                changed[name] = self._zeroed(graph.constant(name), plan.number(layer, SHARE))
                zeros += int((changed[name] == 0).sum())
        tools.progress.update(1.0, f"{{len(changed)}} layers")
        return MethodResult(
            graph.with_initializers(changed),
            notes=(f"{{zeros}} weights of {{len(changed)}} layers are zero",),
            details={{"zeros": zeros, "layers": sorted(changed)}},
        )

    def _zeroed(self, weight: np.ndarray, share: float) -> np.ndarray:
        """Return a copy of `weight` (out, …) with `share` of its values set to zero."""
        rows = weight.reshape(weight.shape[0], -1) if self.parameters.compare == "channel" else weight.reshape(1, -1)
        count = round(share * rows.shape[1])
        smallest = np.argsort(np.abs(rows), axis=1, kind="stable")[:, :count]
        result = rows.copy()
        np.put_along_axis(result, smallest, 0, axis=1)
        return result.reshape(weight.shape)


def _weight(graph: ModelGraph, layer: str) -> str | None:
    """Return the name of a layer's float weight, or None if it has none that can be changed."""
    for name in graph.node(layer).inputs[1:]:
        if name in graph.initializers:
            array = graph.constant(name)
            if array is not None and array.ndim > 1 and array.dtype == np.float32:
                return name
    return None
'''

_README = """\
# {title}

A plugin of the model-compression workbench. `plugin.toml` says what it offers, `method.py` does the work.

    workbench plugin check {folder}

tries it on a small network: the same seed must give the same bytes, the input graph must stay untouched, the result
must run in ONNX Runtime and in torch, progress and cancel must work, and bad parameters must be refused.

The program finds the plugin when its folder lies in the user's plugin folder, or when the environment variable
`WORKBENCH_PLUGINS` names the folder or the one it lies in. A Python package can bring plugins, too: an entry point of
the group `workbench.plugins` names the package folder with the `plugin.toml`.

Import from `workbench.api` only; everything else may change.
"""

_TEST = '''\
"""Run with pytest: the plugin keeps every promise that the workbench checks."""

import subprocess
import sys
from pathlib import Path


def test_the_plugin_passes_the_compliance_suite():
    folder = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "workbench", "plugin", "check", str(folder)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
'''


def new_plugin(folder: Path, id: str) -> tuple[Path, ...]:
    """Write a plugin called `id` into `folder` and return the files.

    Raises:
        BadInputError: the id is not one, or the folder exists and is not empty.
        StorageError: the folder can't be written.
    """
    if not re.fullmatch(ID_PATTERN.strip("^$"), id):
        suggestion = re.sub(r"[^a-z0-9_]+", "_", id.lower()).strip("_").lstrip("0123456789_") or "my_plugin"
        raise BadInputError(
            f"{id!r} can't be a plugin's id",
            expected="a lower-case letter, then lower-case letters, digits and underscores",
            action=f"Call it {suggestion!r}, for instance.",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError("the folder is not empty", where=str(folder), action="Name a new one.")
    title = id.replace("_", " ").capitalize()
    texts = {
        MANIFEST: _MANIFEST.format(id=id, title=title, api=API_VERSION),
        "method.py": _METHOD.format(id=id),
        "README.md": _README.format(title=title, folder=folder.name),
        "tests/test_compliance.py": _TEST,
    }
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"the plugin can't be written: {error.strerror}", where=str(folder)) from error
    return tuple(folder / name for name in texts)
