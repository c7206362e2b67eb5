"""An empty panel teaches: what will appear here, and the one button that makes it appear."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget


class EmptyState(QWidget):
    """A title, a sentence and at most one button, in the middle of a panel."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = QLabel()
        self._title.setProperty("role", "title")
        self._text = QLabel()
        self._text.setProperty("role", "muted")
        self._text.setWordWrap(True)
        self._button = QPushButton()
        self._button.setProperty("role", "primary")
        self._act: Callable[[], object] | None = None
        self._button.clicked.connect(self._clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 16, 24, 16)
        layout.setSpacing(8)
        layout.addStretch()
        for label in (self._title, self._text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(label)
        layout.addSpacing(4)
        layout.addWidget(self._button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch()

    @property
    def button(self) -> QPushButton:
        """The button."""
        return self._button

    @property
    def message(self) -> str:
        """The sentence shown."""
        return self._text.text()

    def show_message(
        self,
        title: str,
        text: str,
        button: str = "",
        act: Callable[[], object] | None = None,
        *,
        blocked: str | None = None,
    ) -> None:
        """Say what will appear; `blocked` disables the button and says why in its tooltip."""
        self._title.setText(title)
        self._text.setText(text)
        self._act = act
        self._button.setText(button)
        self._button.setVisible(act is not None)
        self._button.setEnabled(blocked is None)
        self._button.setToolTip(blocked or "")

    def _clicked(self) -> None:
        if self._act is not None:
            self._act()


class Pages(QStackedWidget):
    """A panel's content or its empty state, whichever applies."""

    def __init__(self, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.empty = EmptyState()
        self.addWidget(self.empty)
        self.addWidget(content)

    def show_content(self) -> None:
        """Show the panel itself."""
        self.setCurrentIndex(1)

    def show_empty(
        self,
        title: str,
        text: str,
        button: str = "",
        act: Callable[[], object] | None = None,
        *,
        blocked: str | None = None,
    ) -> None:
        """Show the empty state."""
        self.empty.show_message(title, text, button, act, blocked=blocked)
        self.setCurrentIndex(0)
