"""What `inspect` reports of real files, and how long it takes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from workbench.domain.errors import ModelFileError
from workbench.domain.reports import InspectReport
from workbench.graph.inspection import inspect_model, summary
from workbench.graph.storage import open_model


def test_a_report_holds_what_the_window_shows(shared: Path) -> None:
    path = shared / "data" / "models" / "resnet20_cifar10_folded.onnx"
    report = inspect_model(path, drawing=True)
    assert InspectReport.model_validate_json(report.model_dump_json()) == report
    assert report.model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert report.model.size_bytes == path.stat().st_size
    assert report.model == summary(open_model(path), path)
    assert report.inputs[0].shape == ("batch", 3, 32, 32)
    assert report.drawing is not None
    groups = {group.id for group in report.groups}
    assert all(layer.group in groups or layer.blocked for layer in report.layers)
    assert report.layers[-1].blocked is not None
    drawn = {node.layer for node in report.drawing.nodes if node.layer}
    assert drawn == {layer.name for layer in report.layers}
    assert report.notes == ()


def test_open_sizes_and_control_flow_are_noted(shared: Path) -> None:
    zoo = shared / "data" / "zoo"
    report = inspect_model(zoo / "yunet_n_dynamic.onnx")
    assert any("Dimension 'height'" in note and "height=" in note for note in report.notes)
    assert inspect_model(zoo / "yunet_n_dynamic.onnx", dimensions={"height": 320, "width": 320}).notes == ()
    assert any("inside control flow" in note for note in inspect_model(zoo / "silero_vad.onnx").notes)
    assert any("quantized already" in note for note in inspect_model(zoo / "edge_qdq_conv_perchannel.onnx").notes)
    with pytest.raises(ModelFileError, match="names no operator set"):
        inspect_model(zoo / "edge_noopset.onnx")


def test_resnet56_is_inspected_and_drawn(shared: Path) -> None:
    path = shared / "data" / "models" / "resnet56_cifar10_folded.onnx"
    report = inspect_model(path, drawing=True)
    assert len(report.layers) == 56
    assert report.drawing is not None
    assert {node.layer for node in report.drawing.nodes} >= {layer.name for layer in report.layers}
