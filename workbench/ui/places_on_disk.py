"""Shows a folder in the system's file manager."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from workbench.domain.errors import StorageError
from workbench.ui.session import Session


def show_folder(folder: Path, session: Session) -> None:
    """Open a folder, which is made if it is not there; where no file manager answers, its path is said."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        session.failed.emit(StorageError(f"The folder can't be made: {error.strerror}", where=str(folder)))
        return
    if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
        session.said.emit(str(folder))
