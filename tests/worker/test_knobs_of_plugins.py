"""A knob that only a plugin of the user knows is listed by the worker and offered on the layers it can be turned on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.messages import Message, Result
from workbench.jobs.specs import InspectJob, ListMethodsJob
from workbench.jobs.supervisor import Supervisor
from workbench.plugin_host.template import new_plugin
from workbench.worker.dispatch import run_job
from workbench.worker.installed_methods import installed_methods


def test_layers_offer_the_knobs_of_the_users_plugins(
    small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_plugin(tmp_path / "plugins" / "sparse", "sparse")
    monkeypatch.setenv("WORKBENCH_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    save_model(small_cnn, tmp_path / "model.onnx")
    specs = {"methods": ListMethodsJob(), "inspect": InspectJob(model=str(tmp_path / "model.onnx"))}
    heard: list[Message] = []
    with Supervisor((sys.executable, "-m", "workbench", "worker"), heard.append) as supervisor:
        ids = {supervisor.submit(spec, title=name): name for name, spec in specs.items()}
        for job in ids:
            assert supervisor.wait(job, timeout_s=120).state == "done"
    found = {ids[message.job]: message.payload for message in heard if isinstance(message, Result)}
    assert found["methods"]["failures"] == []
    assert "sparse_share" in {knob["name"] for knob in found["methods"]["knobs"]}
    for layer in found["inspect"]["layers"]:
        assert {"weight_bits", "sparse_share"} <= set(layer["knobs"])
        assert ("prune_ratio" in layer["knobs"]) == (layer["blocked"] is None)


def test_a_plugin_that_fails_when_asked_about_a_layer_is_a_note(
    small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_plugin(tmp_path / "plugins" / "sparse", "sparse")
    code = tmp_path / "plugins" / "sparse" / "method.py"
    text = code.read_text(encoding="utf-8")
    blocked = "    @classmethod\n    def blocked(cls, knob, layer):\n        return layer.stride\n\n    def apply("
    assert "    def apply(" in text
    code.write_text(text.replace("    def apply(", blocked, 1), encoding="utf-8")
    monkeypatch.setenv("WORKBENCH_PLUGINS", str(tmp_path / "plugins"))
    save_model(small_cnn, tmp_path / "model.onnx")
    installed_methods.cache_clear()
    try:
        report = run_job(InspectJob(model=str(tmp_path / "model.onnx")), JobContext())
    finally:
        installed_methods.cache_clear()
    (note,) = report["notes"]
    assert note.startswith("plugin 'sparse', layer 'Conv_0': method 'sparse.")
    assert "raised AttributeError when asked about sparse_share" in note
    for layer in report["layers"]:
        assert "weight_bits" in layer["knobs"]
        assert "sparse_share" not in layer["knobs"]
