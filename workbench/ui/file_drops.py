"""Files dropped anywhere on the window: whatever widget lies below, the window says what it will do, and does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, QRectF, Qt
from PySide6.QtGui import QDropEvent, QPainter, QPaintEvent, QPen, QWindow
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from workbench.ui.models.dropped import kind_of, words_for
from workbench.ui.session import Session

_SHADE = 225
_ROUND = 8


class FileDrops(QObject):
    """Takes files before any widget sees them: several take a drag and then do nothing with it, or paste the path.

    Args:
        window: Where they may be dropped.
        session: Its project decides what a file would become.
        open_all: Opens what was dropped.
    """

    def __init__(self, window: QWidget, session: Session, open_all: Callable[[tuple[Path, ...]], object]) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._open_all = open_all
        self._watched: QWindow | None = None
        self.hint = DropHint(session, window)

    def watch(self) -> None:
        """Begin, once the window is there; again for a window that the system made anew."""
        handle = self._window.windowHandle()
        if handle is not None and handle is not self._watched:
            self._watched = handle
            handle.installEventFilter(self)

    def stop(self) -> None:
        """End, before the window is taken down."""
        if self._watched is not None:
            self._watched.removeEventFilter(self)
            self._watched = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow drags of files; everything else goes its way."""
        kind = event.type()
        if kind == QEvent.Type.DragLeave:
            self.hint.hide()
        elif kind in (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop) and isinstance(event, QDropEvent):
            return self._follow(kind, event)
        return False

    def _follow(self, kind: QEvent.Type, event: QDropEvent) -> bool:
        paths = dropped_files(event.mimeData())
        if not paths:
            return False
        if kind == QEvent.Type.DragEnter:
            self.hint.say(*words_for(paths, self._session.state))
        if kind != QEvent.Type.DragMove:
            event.setAccepted(any(kind_of(path) is not None for path in paths))
            event.setDropAction(Qt.DropAction.CopyAction)
        if kind == QEvent.Type.Drop:
            self.hint.hide()
            self._open_all(paths)
        return True


class DropHint(QWidget):
    """What will happen, over the whole window."""

    def __init__(self, session: Session, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._theme = session.theme
        self.setObjectName("dropHint")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.title = QLabel()
        self.title.setProperty("role", "title")
        self.text = QLabel()
        self.text.setProperty("role", "muted")
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        layout.addStretch(1)
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            layout.addWidget(label)
        layout.addStretch(1)
        self.hide()

    def say(self, title: str, text: str) -> None:
        """Show what dropping would do."""
        self.title.setText(title)
        self.text.setText(text)
        self.setGeometry(self._window.rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Shade what is below, and frame it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        shade = self._theme.color("window")
        shade.setAlpha(_SHADE)
        painter.fillRect(self.rect(), shade)
        painter.setPen(QPen(self._theme.color("accent"), 2, Qt.PenStyle.DashLine))
        inset = 2 * _ROUND
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), _ROUND, _ROUND)


def dropped_files(data: QMimeData) -> tuple[Path, ...]:
    """Return the files of this computer that are dragged; none for anything else, such as a step of the recipe."""
    return tuple(Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile())
