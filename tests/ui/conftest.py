"""Windows for tests: with folders of the user that belong to the test, on a real worker or on none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.app import make_window
from workbench.graph.model import ModelGraph
from workbench.project.document import Document
from workbench.project.recent import RecentFiles
from workbench.project.state import ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.main_window import MainWindow
from workbench.ui.preferences import Preferences
from workbench.ui.session import Session
from workbench.ui.theme import Theme

_JOB_MS = 120_000


@pytest.fixture
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data, settings and caches lie within the test's folder, for worker processes too."""
    for name in ("DATA", "CONFIG", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def session(qapp: QApplication, tmp_path: Path) -> Iterator[Session]:
    """A session without a window about ResNet-20 with candidates, whose jobs are answered by nobody."""
    bridge = JobsBridge(FakeRunner)
    made = Session(Document(resnet20_state()), bridge, Theme("light"), tmp_path)
    made.methods = methods()
    yield made
    bridge.close()


@pytest.fixture
def preferences(user_folders: Path) -> Preferences:
    """Settings in a file of the test."""
    return Preferences(user_folders / "settings.ini")


@pytest.fixture
def real_window(qapp: QApplication, preferences: Preferences) -> Iterator[Callable[[], MainWindow]]:
    """Makes windows with a worker process each; all are closed at the end."""
    windows: list[MainWindow] = []

    def make() -> MainWindow:
        window = make_window(qapp, preferences)
        windows.append(window)
        window.show()
        window.build_workspace()
        return window

    yield make
    for window in windows:
        window.close_and_cancel()
        window.deleteLater()
    qapp.processEvents()


class Desk:
    """A window whose jobs a test answers itself; `runner` has what was submitted."""

    def __init__(self, state: ProjectState | None, preferences: Preferences, folder: Path) -> None:
        self.runner: FakeRunner
        document = Document.untitled() if state is None else Document.create(folder / "project.mcw", state)
        self.session = Session(document, JobsBridge(self._start), Theme("light"), folder / "scratch")
        self.session.methods = methods()
        self.window = MainWindow(self.session, preferences, RecentFiles(folder / "recent.json"), folder / "logs")
        self.session.setParent(self.window)
        self.window.resize(1280, 800)
        self.window.show()
        self.window.build_workspace()

    def _start(self, listener: Callable[..., None]) -> FakeRunner:
        self.runner = FakeRunner(listener)
        return self.runner


@pytest.fixture
def desk(qapp: QApplication, preferences: Preferences, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Makes desks, by default with a project in the middle of real work; all are closed at the end."""
    desks: list[Desk] = []

    def make(*, empty: bool = False, folder: str = "one") -> Desk:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        desks.append(Desk(None if empty else resnet20_state(), preferences, place))
        return desks[-1]

    yield make
    for entry in desks:
        entry.window.close_and_cancel()
        entry.window.deleteLater()
    qapp.processEvents()


@pytest.fixture
def labelled_data(tmp_path: Path, small_cnn: object) -> Path:
    """A DATA.yaml of 60 random samples with arbitrary labels that fit `small_cnn`."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 40), ("test", 60)):
        images = rng.normal(size=(count, 3, 8, 8)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=images, y=rng.integers(0, 5, count))
    path = tmp_path / "data.yaml"
    split = "{{reader: npz, path: {}.npz, inputs: x, targets: y}}"
    path.write_text(
        f"task: classification\nmetric: top1\ntrain: {split.format('train')}\ntest: {split.format('test')}\n"
    )
    return path


@pytest.fixture
def measured_window(
    real_window: Callable[[], MainWindow], small_cnn: ModelGraph, labelled_data: Path, tmp_path: Path, qtbot: QtBot
) -> MainWindow:
    """A window on a real worker, with the small network, its data and the baseline."""
    path = tmp_path / "small.onnx"
    path.write_bytes(small_cnn.to_bytes())
    made = real_window()
    made.open_file(path)
    made.session.list_methods()
    qtbot.waitUntil(lambda: made.session.state.inspect is not None and bool(made.session.methods), timeout=_JOB_MS)
    made.open_file(labelled_data)
    # The latency comes behind the metric, and would else come in while a test looks.
    qtbot.waitUntil(lambda: made.session.state.baseline_latency is not None, timeout=_JOB_MS)
    return made
