"""Faults and questions above the work, never in its way: what happened, what it means, what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.errors import CancelledError, WorkbenchError
from workbench.ui.icons import icon
from workbench.ui.theme import Theme

_DETAIL_LINES = 9


@dataclass(frozen=True)
class Remedy:
    """A button of a notice; the notice goes away when it is used."""

    title: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Notice:
    """One thing to say; `key` names what it is about, so that news of the same replaces it."""

    title: str
    text: str = ""
    details: str = ""
    kind: Literal["error", "warning"] = "error"
    remedies: tuple[Remedy, ...] = ()
    key: str = ""


def notice_of(error: WorkbenchError, *, details: str = "", remedies: tuple[Remedy, ...] = ()) -> Notice:
    """Return an error as a notice: its sentence as title; place, expectation and next step below."""
    title = error.message.strip()
    # The name of a method or layer that begins it stays as it is written everywhere else.
    if title.partition(" ")[0].isalpha():
        title = title[:1].upper() + title[1:]
    parts = []
    if error.where:
        parts.append(f"{error.where}.")
    if error.expected:
        parts.append(f"Expected {_sentence(error.expected)}")
    if error.found:
        parts.append(f"Found {_sentence(error.found)}")
    if error.action:
        parts.append(_sentence(error.action))
    return Notice(title.rstrip("."), " ".join(parts), details, remedies=remedies, key=f"{error.kind}:{error.message}")


class Banner(QFrame):
    """Shows the newest of the notices that the user has not dismissed."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._notices: list[Notice] = []
        self.setObjectName("banner")
        self.title = QLabel()
        self.title.setProperty("role", "title")
        self.title.setWordWrap(True)
        self.text = QLabel()
        self.text.setWordWrap(True)
        for label in (self.title, self.text):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.details.setMaximumHeight(self.fontMetrics().height() * _DETAIL_LINES)
        self.more = QPushButton("Details")
        self.more.setProperty("role", "link")
        self.more.setCheckable(True)
        self.more.toggled.connect(self.details.setVisible)
        self.copy = QPushButton("Copy")
        self.copy.setProperty("role", "link")
        self.copy.clicked.connect(self._copy)
        self.count = QLabel()
        self.count.setProperty("role", "muted")
        self.close_button = QToolButton()
        self.close_button.setIcon(icon("close", theme))
        self.close_button.setAutoRaise(True)
        self.close_button.setToolTip("Dismiss")
        self.close_button.clicked.connect(self.dismiss)
        self._sign = QLabel()
        self._remedies = QHBoxLayout()
        self._remedies.setSpacing(8)
        self._lay_out()
        theme.themeChanged.connect(self._dress)
        self.hide()

    @property
    def notices(self) -> tuple[Notice, ...]:
        """All that are not dismissed, oldest first."""
        return tuple(self._notices)

    def show_error(self, error: WorkbenchError, *, details: str = "", remedies: tuple[Remedy, ...] = ()) -> None:
        """Show an error; a cancel is no error."""
        if not isinstance(error, CancelledError):
            self.show_notice(notice_of(error, details=details, remedies=remedies))

    def show_notice(self, notice: Notice) -> None:
        """Show a notice in front of the others."""
        self._notices = [other for other in self._notices if not (notice.key and other.key == notice.key)]
        self._notices.append(notice)
        self._show_last()

    def add_details(self, error: WorkbenchError, details: str, *remedies: Remedy) -> None:
        """Add what became known of an error that is shown already."""
        key = notice_of(error).key
        self._notices = [
            replace(notice, details=details or notice.details, remedies=(*notice.remedies, *remedies))
            if notice.key == key
            else notice
            for notice in self._notices
        ]
        self._show_last()

    def dismiss(self) -> None:
        """Put the notice in front away; the one before it comes to the front."""
        if self._notices:
            self._notices.pop()
        self._show_last()

    def withdraw(self, key: str) -> None:
        """Put the notice of this key away, if it is there, because it no longer holds."""
        rest = [notice for notice in self._notices if notice.key != key]
        if len(rest) != len(self._notices):
            self._notices = rest
            self._show_last()

    def clear(self) -> None:
        """Put all away, e.g. because another project is shown."""
        self._notices.clear()
        self._show_last()

    def _lay_out(self) -> None:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.text)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addLayout(self._remedies)
        for widget in (self.more, self.copy, self.count, self.close_button):
            buttons.addWidget(widget)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(words, 1)
        row.addLayout(buttons)
        row.setAlignment(buttons, Qt.AlignmentFlag.AlignTop)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(12, 8, 8, 8)
        outer.addLayout(row)
        outer.addWidget(self.details)

    def _show_last(self) -> None:
        while (item := self._remedies.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.setVisible(bool(self._notices))
        if not self._notices:
            return
        notice = self._notices[-1]
        self.title.setText(notice.title)
        self.text.setText(notice.text)
        self.text.setVisible(bool(notice.text))
        self.details.setPlainText(notice.details)
        self.more.setVisible(bool(notice.details))
        self.more.setChecked(False)
        self.details.hide()
        rest = len(self._notices) - 1
        self.count.setText(f"and {rest} more")
        self.count.setVisible(rest > 0)
        for remedy in notice.remedies:
            button = QPushButton(remedy.title)
            button.clicked.connect(lambda checked=False, remedy=remedy, notice=notice: self._use(remedy, notice))
            self._remedies.addWidget(button)
        self._dress()

    def _use(self, remedy: Remedy, notice: Notice) -> None:
        if notice in self._notices:
            self._notices.remove(notice)
        self._show_last()
        remedy.do()

    def _copy(self) -> None:
        if self._notices:
            notice = self._notices[-1]
            parts = (notice.title, notice.text, notice.details)
            QGuiApplication.clipboard().setText("\n".join(part for part in parts if part))

    def _dress(self) -> None:
        kind = self._notices[-1].kind if self._notices else "error"
        roles = self._theme.roles
        back = roles.error_back if kind == "error" else roles.warning_back
        line = roles.error if kind == "error" else roles.warning
        self.setStyleSheet(
            f"#banner {{ background: {back}; border: none; border-bottom: 1px solid {line}; }}"
            f"#banner QLabel {{ background: transparent; }}"
        )
        self._sign.setPixmap(icon(kind, self._theme, kind).pixmap(20, 20))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."
