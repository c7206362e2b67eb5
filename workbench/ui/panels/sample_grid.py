"""Pictures of samples with label and prediction: the eye finds a wrong label or layout faster than any check."""

from __future__ import annotations

import base64

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from workbench.domain.data_reports import SamplePreview
from workbench.ui.models.compared_samples import Thumbnail
from workbench.ui.theme import Theme

_SIDE = 72


class SampleGrid(QListWidget):
    """Thumbnails; a wrong prediction is said in words below the picture, not by colour alone."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setViewMode(QListWidget.ViewMode.IconMode)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.setMovement(QListWidget.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setIconSize(QSize(_SIDE, _SIDE))
        self._cell = QSize(_SIDE + 56, _SIDE + 2 * self.fontMetrics().lineSpacing() + 16)
        self.setGridSize(self._cell)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setWordWrap(True)
        self.setSpacing(4)

    def show_samples(self, samples: tuple[SamplePreview, ...]) -> None:
        """Replace the thumbnails with samples, their labels and predictions."""
        self.show_thumbnails(
            tuple(
                Thumbnail(
                    sample.image_png_base64,
                    _caption(sample),
                    f"Sample {sample.index}\nLabel: {sample.label}\nPrediction: {sample.prediction or 'none'}",
                    bad=sample.correct is False,
                )
                for sample in samples
            )
        )

    def show_thumbnails(self, thumbnails: tuple[Thumbnail, ...]) -> None:
        """Replace the thumbnails."""
        self.clear()
        for entry in thumbnails:
            item = QListWidgetItem(self._fitting(entry.caption))
            # Without a size of its own an item gets one line, and the prediction would be cut off.
            item.setSizeHint(self._cell - QSize(8, 4))
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
            item.setIcon(QIcon(_picture(entry.picture)))
            item.setToolTip(entry.tip)
            if entry.bad:
                item.setForeground(self._theme.color("error"))
            self.addItem(item)

    def _fitting(self, caption: str) -> str:
        """Shorten lines that would be broken, which would push the last one out of the cell."""
        room = self._cell.width() - 16
        metrics = self.fontMetrics()
        return "\n".join(metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, room) for line in caption.split("\n"))


def _caption(sample: SamplePreview) -> str:
    label = sample.label if sample.label is not None else "no label"
    if sample.correct is False:
        return f"{label}\n✗ {sample.prediction}"
    return f"✓ {label}" if sample.correct else label


def _picture(png_base64: str | None) -> QPixmap:
    pixmap = QPixmap(_SIDE, _SIDE)
    pixmap.fill(Qt.GlobalColor.transparent)
    if png_base64 is not None:
        loaded = QPixmap()
        loaded.loadFromData(base64.b64decode(png_base64), "PNG")
        if not loaded.isNull():
            mode = Qt.TransformationMode.FastTransformation
            return loaded.scaled(_SIDE, _SIDE, Qt.AspectRatioMode.KeepAspectRatio, mode)
    return pixmap
