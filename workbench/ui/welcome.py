"""What a new user sees first: three ways in, and the way back to what was open last."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from workbench.project.places import untitled_folder, untitled_projects
from workbench.project.recent import RecentFile, RecentFiles
from workbench.ui.actions import Actions
from workbench.ui.icons import icon
from workbench.ui.theme import Theme, title_font

_WIDTH = 640
_LISTED = 8


class Welcome(QWidget):
    """Buttons and the recent files.

    Signals:
        opened: Path of the recent file that was clicked.
    """

    opened = Signal(object)

    def __init__(self, theme: Theme, actions: Actions, recent: RecentFiles, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._recent = recent
        self._current: Path | None = None
        self.setObjectName("welcome")
        head = QLabel("Model compression workbench")
        font = title_font()
        font.setPointSizeF(font.pointSizeF() * 1.35)
        head.setFont(font)
        lead = QLabel(
            "Open a trained network, see what every layer costs and minds, compress it, and choose from candidates "
            "whose accuracy and latency were measured on the exported file."
        )
        lead.setWordWrap(True)
        lead.setProperty("role", "muted")
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for id, name, role in (
            ("model.open", "model", "primary"),
            ("project.open", "open", ""),
            ("project.demo", "demo", ""),
        ):
            action = actions.action(id)
            button = QPushButton(action.text())
            button.setIcon(icon(name, theme, "on_accent" if role else "text"))
            button.setProperty("role", role)
            button.setToolTip(action.toolTip())
            button.setMinimumHeight(32)
            button.clicked.connect(action.trigger)
            buttons.addWidget(button)
        buttons.addStretch(1)
        drop = QLabel("Or drop a model (.onnx, .pt2), a project (.mcw), or data or a recipe (.yaml) on the window.")
        drop.setProperty("role", "muted")
        self._list = QVBoxLayout()
        self._list.setSpacing(0)
        column = QVBoxLayout()
        column.setSpacing(16)
        column.addStretch(2)
        column.addWidget(head)
        column.addWidget(lead)
        column.addLayout(buttons)
        column.addWidget(drop)
        column.addSpacing(8)
        column.addLayout(self._list)
        column.addStretch(3)
        frame = QFrame()
        frame.setLayout(column)
        frame.setMaximumWidth(_WIDTH)
        frame.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(32, 16, 32, 16)
        outer.addStretch(1)
        outer.addWidget(frame, 20)
        outer.addStretch(1)
        self.refresh()

    @property
    def links(self) -> list[QPushButton]:
        """The recent files' buttons, newest first."""
        return self.findChildren(QPushButton, "recent")

    def refresh(self, current: Path | None = None) -> None:
        """Read the recent files, and projects that were never named, again."""
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.setParent(None)
                widget.deleteLater()
        self._current = current
        entries = recent_entries(self._recent, current)
        if not entries:
            return
        title = QLabel("Recent")
        title.setProperty("role", "title")
        title.setContentsMargins(0, 0, 0, 4)
        self._list.addWidget(title)
        for path, name, when in entries:
            self._list.addWidget(self._row(path, name, when))

    def _row(self, path: Path, name: str, when: str) -> QWidget:
        button = QPushButton()
        button.setObjectName("recent")
        button.setProperty("role", "link")
        button.setText(name)
        button.setToolTip(str(path))
        button.setIcon(icon("model" if path.suffix == ".onnx" else "open", self._theme, "muted"))
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        reason = RecentFile(path=path, opened="").why_missing
        button.setEnabled(reason is None)
        button.clicked.connect(lambda: self.opened.emit(path))
        folder = "" if path.parent == untitled_folder() else str(path.parent)
        place = QLabel(QFontMetrics(self.font()).elidedText(folder, Qt.TextElideMode.ElideMiddle, 280))
        place.setProperty("role", "muted")
        time = QLabel(when if reason is None else "not there now")
        time.setProperty("role", "muted")
        for widget in (button, place, time):
            widget.setToolTip("\n".join(filter(None, (str(path), reason))))
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(button)
        layout.addWidget(place, 1)
        layout.addWidget(time)
        if reason is not None:
            forget = QToolButton()
            forget.setObjectName("forget")
            forget.setAutoRaise(True)
            forget.setIcon(icon("close", self._theme, "muted"))
            forget.setToolTip(f"Take {name} off this list")
            forget.setAccessibleName(forget.toolTip())
            forget.clicked.connect(lambda: self._forget(path))
            layout.addWidget(forget)
        return row

    def _forget(self, path: Path) -> None:
        with contextlib.suppress(OSError):  # a list that can't be written costs convenience only, and stays as it is
            self._recent.remove(path)
        self.refresh(self._current)


def recent_entries(recent: RecentFiles, current: Path | None = None) -> list[tuple[Path, str, str]]:
    """Return (path, name, when) of recent files and of projects without a name, newest first."""
    rows = {entry.path: (entry.path.name, _instant(entry.opened)) for entry in recent.entries}
    for path in untitled_projects():
        stamp = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        rows[path.absolute()] = (f"Unnamed project of {stamp.astimezone():%d %B, %H:%M}", stamp)
    if current is not None:
        rows.pop(current.absolute(), None)
    ordered = sorted(rows.items(), key=lambda item: item[1][1], reverse=True)
    return [(path, name, _ago(when)) for path, (name, when) in ordered[:_LISTED]]


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _ago(when: datetime) -> str:
    seconds = (datetime.now(UTC) - when).total_seconds()
    for limit, size, unit in ((3600, 60, "min"), (86400, 3600, "h"), (30 * 86400, 86400, "d")):
        if seconds < limit:
            count = int(seconds // size)
            return f"{count} {unit} ago" if count else "just now"
    return f"{when.astimezone():%d %b %Y}"
