"""Ctrl+K: type a few letters of anything that can be done or gone to, press Enter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QSize, Qt
from PySide6.QtGui import QColor, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from workbench.ui.fuzzy import score
from workbench.ui.session import Session
from workbench.ui.theme import Theme

_Index = QModelIndex | QPersistentModelIndex
_MOST = 60
_WIDTH, _HEIGHT = 560, 380


@dataclass(frozen=True)
class Entry:
    """A line of the palette: what it does, where it belongs or why it can't be done, and its shortcut."""

    title: str
    do: Callable[[], object]
    group: str = ""
    keys: str = ""
    reason: str | None = None


def ranked(entries: list[Entry], query: str) -> list[Entry]:
    """Return the entries that match, best first; what can't be done now comes after what can."""
    found = [
        (value, place, entry) for place, entry in enumerate(entries) if (value := _value(entry, query)) is not None
    ]
    found.sort(key=lambda item: (item[2].reason is not None, -item[0], item[1]))
    return [entry for _, _, entry in found[:_MOST]]


def _value(entry: Entry, query: str) -> float | None:
    title = score(query, entry.title)
    whole = score(query, f"{entry.title} {entry.group}")
    if title is None:
        return None if whole is None else whole - 4
    return max(title, (whole if whole is not None else title) - 4)


class Palette(QDialog):
    """The palette; made anew each time it is opened."""

    def __init__(self, session: Session, entries: list[Entry], parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("palette")
        self._session = session
        self._entries = entries
        self.field = QLineEdit()
        self.field.setPlaceholderText("Type what you want to do, or the name of a layer or candidate")
        self.field.setClearButtonEnabled(True)
        self.field.installEventFilter(self)
        self.list = QListWidget()
        self.list.setUniformItemSizes(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setItemDelegate(_EntryDelegate(session.theme, self.list))
        self.list.itemClicked.connect(self._use)
        self.field.textChanged.connect(self._fill)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(8)
        layout.addWidget(self.field)
        layout.addWidget(self.list)
        roles = session.theme.roles
        self.setStyleSheet(
            f"#palette {{ background: {roles.raised}; border: 1px solid {roles.border}; }}QLineEdit {{ padding: 6px; }}"
        )
        self.resize(min(_WIDTH, parent.width() - 32), min(_HEIGHT, parent.height() - 64))
        corner = parent.mapToGlobal(parent.rect().topLeft())
        self.move(corner.x() + (parent.width() - self.width()) // 2, corner.y() + 72)
        self._fill("")
        self.field.setFocus()

    def shown(self) -> list[str]:
        """Return the titles listed now, best first."""
        return [self.list.item(row).text() for row in range(self.list.count())]

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let arrows and Enter in the field move and choose in the list."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 8, Qt.Key.Key_PageUp: -8}.get(
                Qt.Key(event.key())
            )
            if step is not None and self.list.count():
                row = self.list.currentRow() + step
                row = row % self.list.count() if abs(step) == 1 else min(max(row, 0), self.list.count() - 1)
                self.list.setCurrentRow(row)
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                if self.list.currentItem() is not None:
                    self._use(self.list.currentItem())
                return True
        return super().eventFilter(watched, event)

    def _fill(self, text: str) -> None:
        self.list.clear()
        for entry in ranked(self._entries, text):
            item = QListWidgetItem(entry.title)
            item.setData(Qt.ItemDataRole.UserRole, entry)
            item.setToolTip(entry.reason or "")
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _use(self, item: QListWidgetItem) -> None:
        entry: Entry = item.data(Qt.ItemDataRole.UserRole)
        if entry.reason is not None:
            self._session.said.emit(f"{entry.title}: {entry.reason}")
            return
        self.close()
        entry.do()


class _EntryDelegate(QStyledItemDelegate):
    """Draws title on the left; group or reason, and the shortcut, on the right."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: _Index) -> QSize:
        return QSize(100, option.fontMetrics.height() + 12)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: _Index) -> None:
        entry: Entry = index.data(Qt.ItemDataRole.UserRole)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        rect = option.rect
        painter.save()
        if chosen:
            painter.fillRect(rect, self._theme.color("selection"))
        rect = rect.adjusted(8, 0, -8, 0)
        metrics = option.fontMetrics
        middle = Qt.AlignmentFlag.AlignVCenter
        if entry.keys:
            painter.setPen(self._theme.color("muted"))
            painter.drawText(rect, middle | Qt.AlignmentFlag.AlignRight, entry.keys)
            rect = rect.adjusted(0, 0, -metrics.horizontalAdvance(entry.keys) - 16, 0)
        color: QColor = self._theme.color("text" if entry.reason is None else "faint")
        painter.setPen(color)
        painter.drawText(rect, middle | Qt.AlignmentFlag.AlignLeft, entry.title)
        rest = rect.adjusted(metrics.horizontalAdvance(entry.title) + 12, 0, 0, 0)
        painter.setPen(self._theme.color("muted"))
        note = metrics.elidedText(entry.reason or entry.group, Qt.TextElideMode.ElideRight, max(rest.width(), 0))
        painter.drawText(rest, middle | Qt.AlignmentFlag.AlignLeft, note)
        painter.restore()
