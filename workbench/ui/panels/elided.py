"""Text that may be too long for its place: cut, in full on hover, and never wider than its panel."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

_LEAST = 24


class ElidedLabel(QLabel):
    """A line of text that gives way.

    Args:
        text: What it says.
        parent: Of the widget.
        cut: Where it is cut: names in the middle, sentences at their end, since half a number reads as another one.
    """

    def __init__(
        self, text: str = "", parent: QWidget | None = None, cut: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle
    ) -> None:
        super().__init__(parent)
        self._full, self._tip, self._cut = "", "", cut
        self._cut_for: tuple[str, str, int, str] | None = None
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(_LEAST)
        self.set_full(text)

    @property
    def full(self) -> str:
        """The whole text."""
        return self._full

    def set_full(self, text: str, tip: str = "") -> None:
        """Show a text; `tip` stands on hover below what had to be cut."""
        self._full, self._tip = text, tip
        self.setAccessibleName(text)
        self._elide()
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Wide enough for the whole text, for layouts that have the room."""
        self.ensurePolished()
        return QSize(self.fontMetrics().horizontalAdvance(self._full) + 2, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """As narrow as it may become."""
        return QSize(_LEAST, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        """Cut anew with another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._elide()

    def _elide(self) -> None:
        cut_for = (self._full, self._tip, self.contentsRect().width(), self.font().key())
        if cut_for == self._cut_for:
            return
        self._cut_for = cut_for
        shown = self.fontMetrics().elidedText(self._full, self._cut, self.contentsRect().width())
        self.setText(shown)
        parts = [self._full if shown != self._full else "", self._tip]
        self.setToolTip("\n".join(part for part in parts if part))


class ElidedLink(QPushButton):
    """A button that looks like a link and gives way."""

    def __init__(self, text: str, tip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._full, self._tip = text, tip
        self.setProperty("role", "link")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(text)
        self._elide()

    def sizeHint(self) -> QSize:
        """As high as its text, as narrow as it must be."""
        return QSize(_LEAST, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """See `sizeHint`."""
        return self.sizeHint()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut anew."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        shown = self.fontMetrics().elidedText(self._full, Qt.TextElideMode.ElideMiddle, max(self.width() - 10, _LEAST))
        self.setText(shown.replace("&", "&&"))
        parts = [self._full if shown != self._full else "", self._tip]
        self.setToolTip("\n".join(part for part in parts if part))
