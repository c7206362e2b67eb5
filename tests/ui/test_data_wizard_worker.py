"""The data wizard with a real worker: a plugin's reader and metric are chosen and used, arrays of a file are found."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox

from tests.plugin_host.conftest import DATA_CODE, DATA_MANIFEST
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.plugin_host.manifests import FOLDERS_VARIABLE
from workbench.ui.main_window import MainWindow
from workbench.ui.panels.data_wizard import DataWizard

WAIT_MS = 90_000


@pytest.fixture
def window(
    real_window: Callable[[], MainWindow],
    small_cnn: ModelGraph,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> MainWindow:
    """A window with a model, whose worker finds a plugin with a metric and a reader."""
    folder = tmp_path / "plugins" / "figures"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(textwrap.dedent(DATA_MANIFEST), encoding="utf-8")
    (folder / "code.py").write_text(DATA_CODE, encoding="utf-8")
    monkeypatch.setenv(FOLDERS_VARIABLE, str(folder))
    save_model(small_cnn, tmp_path / "model.onnx")
    shown = real_window()
    shown.session.list_methods()
    shown.open_file(tmp_path / "model.onnx")
    qtbot.waitUntil(lambda: shown.session.state.inspect is not None, timeout=WAIT_MS)
    return shown


def wizard_of(window: MainWindow) -> DataWizard:
    window.actions_.trigger("data.choose")
    (wizard,) = [child for child in window.findChildren(DataWizard) if child.isVisible()]
    return wizard


@pytest.mark.slow
def test_plugins_and_arrays_through_the_wizard(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    session = window.session
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "photos.npz", pixels=rng.normal(size=(40, 8, 8, 3)).astype(np.float32), kinds=rng.integers(0, 5, 40)
    )
    (tmp_path / "some.count").write_text("60", encoding="utf-8")

    # The wizard may be open before the plugins are read.
    wizard = wizard_of(window)
    form = wizard.form
    qtbot.waitUntil(lambda: form.metrics.findData("balanced") >= 0, timeout=WAIT_MS)
    qtbot.keyClicks(form.test.path, str(tmp_path / "some.count"))
    assert form.test.reader_name == "counted"
    form.metrics.setCurrentIndex(form.metrics.findData("balanced"))
    assert form.metrics.toolTip() == "From the plugin figures"
    form.test.settings.findChild(QDoubleSpinBox).setValue(2.0)
    qtbot.keyClicks(form.train.path, str(tmp_path / "photos.npz"))
    qtbot.waitUntil(lambda: form.train.inputs.text() == "pixels", timeout=WAIT_MS)
    assert form.train.targets.text() == "kinds"
    # Only the test split decides on the axes, which its samples have already.
    assert form.layout_.currentText() == "none"
    qtbot.waitUntil(wizard.use.isEnabled, timeout=WAIT_MS)
    qtbot.mouseClick(wizard.use, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state.baseline is not None, timeout=WAIT_MS)
    assert (session.state.baseline.metric, session.state.baseline.samples) == ("balanced", 60)
    assert session.state.data.test.model_extra == {"scale": 2.0}

    # Another file for the same model: what it holds and how its axes lie is found out.
    wizard = wizard_of(window)
    form = wizard.form
    assert form.test.settings.values == {"scale": 2.0}
    form.layout_.setCurrentText("none")
    form.test.path.selectAll()
    qtbot.keyClicks(form.test.path, str(tmp_path / "photos.npz"))
    qtbot.waitUntil(lambda: form.test.targets.text() == "kinds", timeout=WAIT_MS)
    assert form.test.content() == {
        "reader": "npz",
        "path": str(tmp_path / "photos.npz"),
        "inputs": "pixels",
        "targets": "kinds",
    }
    wizard.reject()
