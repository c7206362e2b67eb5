"""An inspector on its own, with a session and a runner that does nothing by itself."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from tests.fakes.projects import methods
from tests.fakes.runner import FakeRunner
from workbench.project.document import Document
from workbench.project.state import ProjectState
from workbench.ui.bridge import JobsBridge
from workbench.ui.panels.inspector import InspectorPanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme


class InspectorDesk:
    """A panel with the session and the fake runner behind it."""

    def __init__(self, state: ProjectState, scratch: Path, qtbot: QtBot) -> None:
        self.qtbot = qtbot
        self.bridge = JobsBridge(self._start)
        self.session = Session(Document(state), self.bridge, Theme("light"), scratch)
        self.session.methods = methods()
        self.said: list[str] = []
        self.session.said.connect(self.said.append)
        self.panel = InspectorPanel(self.session)
        self.panel.resize(340, 900)
        qtbot.addWidget(self.panel)
        with qtbot.waitExposed(self.panel):
            self.panel.show()
        qtbot.waitUntil(lambda: not self.panel.tabs.stack.busy)

    def _start(self, listener):
        self.runner = FakeRunner(listener)
        return self.runner
