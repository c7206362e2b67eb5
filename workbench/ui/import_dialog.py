"""Importing torch archives and Python factories: says that it runs their code, and asks first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from workbench.jobs.specs import ImportJob
from workbench.ui.panels.export import ask_path
from workbench.ui.session import Session

_KINDS = "Torch archives and Python files (*.pt2 *.py)"


class ImportDialog(QDialog):
    """Asks for the source, the function of a factory, and where the ONNX file goes.

    Args:
        session: Its worker imports.
        opened: Called with the ONNX file once it is written.
        source: To begin with.
    """

    def __init__(
        self, session: Session, opened: Callable[[Path], object], source: Path | None, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._opened = opened
        self.setWindowTitle("Import a torch model")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(520)
        self.source = QLineEdit()
        self.source.setPlaceholderText("model.pt2, or a .py file with a function that returns the model")
        browse = QPushButton("Choose…")
        browse.clicked.connect(
            lambda: ask_path(self, "Import", str(self._folder()), _KINDS, self.set_source, opening=True)
        )
        self.function = QLineEdit()
        self.function.setPlaceholderText("build_model")
        self.function.setToolTip("Name of the function in the .py file; it returns (model, example inputs)")
        self.target = QLineEdit()
        warning = QLabel(
            "Importing runs code from this file on your computer, with your rights. Import only what you trust. "
            "ONNX files are never executed and need no such trust."
        )
        warning.setWordWrap(True)
        warning.setProperty("role", "warning")
        self.problem = QLabel()
        self.problem.setProperty("role", "muted")
        self.problem.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = buttons.addButton("I trust it, import", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self._start)
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.source, 1)
        row.addWidget(browse)
        self._form = QFormLayout()
        self._form.addRow("Source", row)
        self._form.addRow("Function", self.function)
        self._form.addRow("Write to", self.target)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(16)
        outer.addLayout(self._form)
        outer.addWidget(warning)
        outer.addWidget(self.problem)
        outer.addWidget(buttons)
        for field in (self.source, self.function, self.target):
            field.textChanged.connect(self._check)
        self.source.textEdited.connect(self._suggest)
        if source is not None:
            self.set_source(source)
        self._check()

    def set_source(self, path: Path) -> None:
        """Import this file."""
        self.source.setText(str(path))
        self._suggest()

    def _suggest(self) -> None:
        text = self.source.text().strip()
        if text:
            self.target.setText(str(Path(text).with_suffix(".onnx")))

    def _folder(self) -> Path:
        return Path(self.source.text()).parent if self.source.text() else Path.home()

    def _check(self) -> None:
        source, target = self.source.text().strip(), self.target.text().strip()
        factory = source.lower().endswith(".py")
        self._form.setRowVisible(self.function, factory)
        reason = ""
        if not source:
            reason = "Choose a file first."
        elif not Path(source).is_file():
            reason = f"There is no file {Path(source).name}."
        elif factory and not self.function.text().strip().isidentifier():
            reason = "Name the function that returns the model."
        elif not target.lower().endswith(".onnx"):
            reason = "Name an .onnx file to write to."
        elif Path(target).exists():
            reason = f"{Path(target).name} exists already; name another file."
        self.problem.setText(reason)
        self.problem.setVisible(bool(reason))
        self.go.setEnabled(not reason)
        self.go.setToolTip(reason)

    def _start(self) -> None:
        source, target = Path(self.source.text().strip()).absolute(), Path(self.target.text().strip()).absolute()
        factory = source.suffix.lower() == ".py"
        opened = self._opened

        def imported(payload: dict[str, Any]) -> None:
            opened(target)

        self._session.jobs.submit(
            ImportJob(
                source=f"{source}:{self.function.text().strip()}" if factory else str(source),
                out=str(target),
                trusted=True,
            ),
            f"Import {source.name}",
            "batch",
            on_result=imported,
        )
        self._session.said.emit(f"Importing {source.name}; it opens when it is ready")
        self.accept()
