"""The door to the window: when it can open, what its process imports, and what the demo queues."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench import app
from workbench.domain.installation import shipped_folder

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are found another way elsewhere")

_IMPORTS = """
import sys
from PySide6.QtWidgets import QApplication
from workbench.app import make_window
application = QApplication([])
window = make_window(application)
window.show()
window.build_workspace()
from workbench.ui import demo_run, import_dialog, plugin_dialogs
from workbench.ui.panels import data_wizard
window.close()
print(sorted({"torch", "onnxruntime", "onnx", "onnx_ir", "onnxscript"} & sys.modules.keys()))
"""


def test_window_process_imports_no_runtime(user_folders: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


@LINUX
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, False),
        ({"DISPLAY": ":0", "QT_QPA_PLATFORM": "minimal:x"}, False),
        ({"DISPLAY": ":987"}, False),
        ({"DISPLAY": "nonsense"}, False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
    ],
)
def test_display_is_found(variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert app.can_open_window() is expected


@LINUX
def test_missing_qt_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setitem(sys.modules, "PySide6", None)
    assert app.can_open_window() is False
    assert "Qt can't be loaded" in capsys.readouterr().err
    assert app.main([]) == 2
    assert "Traceback" not in capsys.readouterr().err


@LINUX
def test_no_display_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert app.main(["model.onnx"]) == 2
    assert "No display found" in capsys.readouterr().err


def test_demo_fills_a_project(desk: Callable[..., Any], tmp_path: Path, qtbot: Any) -> None:
    resources = shipped_folder("resources")
    if resources is None or not (resources / "demo" / "model.onnx").is_file():
        pytest.skip("this checkout has no demo model")
    entry = desk(empty=True)
    report = desk(folder="two").session.state.inspect
    entry.window.start_demo(tmp_path / "out")
    inspect = entry.runner.last("inspect")
    assert Path(entry.runner.specs[inspect].model) == tmp_path / "out" / "demo" / "model.onnx"
    entry.runner.finish(inspect, report.model_dump(mode="json"))
    qtbot.waitUntil(lambda: entry.session.state.data is not None)
    kinds = [spec.kind for spec in entry.runner.specs.values()]
    recipes = len(list((resources / "demo" / "recipes").glob("*.yaml")))
    assert kinds.count("evaluate") == kinds.count("sweep") == kinds.count("profile") == 1
    assert kinds.count("compress") == recipes
    assert entry.session.state.plan.knobs()
    assert entry.session.document.path == tmp_path / "out" / "demo" / "demo.mcw"
