"""Copying and saving what tables and plots show: one way for all panels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QModelIndex, QPoint, QRect, QSize, Qt
from PySide6.QtGui import QGuiApplication, QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QAbstractItemView, QFileDialog, QWidget

from workbench.domain.errors import StorageError
from workbench.ui.session import Session


def selected_as_text(view: QAbstractItemView) -> str:
    """Return the selected rows (all rows where none is selected) as tab-separated text with headings, as shown."""
    model = view.model()
    rows = sorted({index.row() for index in view.selectionModel().selectedIndexes()}) or range(model.rowCount())
    hidden = getattr(view, "isColumnHidden", lambda column: False)
    columns = [column for column in range(model.columnCount()) if not hidden(column)]
    heading = [str(model.headerData(column, Qt.Orientation.Horizontal) or "") for column in columns]
    lines = ["\t".join(heading)]
    lines.extend(
        "\t".join(str(model.index(row, column, QModelIndex()).data() or "") for column in columns) for row in rows
    )
    return "\n".join(lines) + "\n"


def copy_text(session: Session, text: str, what: str) -> None:
    """Put text on the clipboard and say so in the status bar."""
    QGuiApplication.clipboard().setText(text)
    session.said.emit(f"Copied {what}")


def copy_picture(session: Session, widget: QWidget, what: str) -> None:
    """Put a picture of a widget on the clipboard."""
    QGuiApplication.clipboard().setPixmap(widget.grab())
    session.said.emit(f"Copied {what}")


def ask_path(
    parent: QWidget, title: str, suggested: str, kinds: str, then: Callable[[Path], object], *, opening: bool = False
) -> QFileDialog:
    """Ask for a file without blocking the window; `then` is called with the path unless the user cancels."""
    dialog = QFileDialog(parent, title, suggested, kinds)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    if not opening:
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.selectFile(suggested)
        dialog.setDefaultSuffix(Path(suggested).suffix.lstrip("."))
    else:
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.fileSelected.connect(lambda path: then(Path(path)))
    dialog.open()
    return dialog


def save_text(session: Session, path: Path, text: str) -> None:
    """Write a text file; a fault is shown in the banner."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        session.failed.emit(_not_written(path, error.strerror or str(error)))
        return
    session.said.emit(f"Exported {path.name}")


def save_picture(session: Session, path: Path, widget: QWidget) -> None:
    """Write a widget as PNG (twice its size on screen) or, for a path that ends in .svg, as SVG."""
    written = _save_svg(path, widget) if path.suffix.lower() == ".svg" else _save_png(path, widget)
    if written:
        session.said.emit(f"Exported {path.name}")
    else:
        session.failed.emit(_not_written(path, "the picture could not be written"))


def _save_png(path: Path, widget: QWidget) -> bool:
    pixmap = QPixmap(widget.size() * 2)
    pixmap.setDevicePixelRatio(2.0)
    # Views have another `render` of their own, which draws their scene alone.
    QWidget.render(widget, pixmap)
    return pixmap.save(str(path), "PNG")


def _save_svg(path: Path, widget: QWidget) -> bool:
    generator = QSvgGenerator()
    generator.setFileName(str(path))
    generator.setSize(QSize(widget.width(), widget.height()))
    generator.setViewBox(QRect(0, 0, widget.width(), widget.height()))
    painter = QPainter()
    if not painter.begin(generator):
        return False
    QWidget.render(widget, painter, QPoint())
    return painter.end()


def _not_written(path: Path, why: str) -> StorageError:
    return StorageError(
        f"Can't write {path.name}: {why}", where=str(path.parent), action="Choose another folder or free some space."
    )
