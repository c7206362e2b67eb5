"""What plugins are installed and why some are not, and a template for a new one; their code is never imported here."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.errors import WorkbenchError
from workbench.plugin_host.manifests import find_plugins, user_folder
from workbench.plugin_host.template import new_plugin
from workbench.ui.session import Session


class PluginsDialog(QDialog):
    """A tree of plugins and their methods, and the problems below."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Installed plugins")
        self.resize(min(960, max(parent.width() - 64, 720)), min(640, max(parent.height() - 96, 420)))
        found = find_plugins()
        loaded = {method.id: method for method in session.methods}
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Plugin or method", "What it does", "Version", "From"])
        self.tree.setAlternatingRowColors(True)
        for manifest in found.manifests:
            row = QTreeWidgetItem([manifest.title, manifest.summary, manifest.version, manifest.origin])
            row.setToolTip(0, str(manifest.folder))
            row.setToolTip(1, manifest.summary)
            self.tree.addTopLevelItem(row)
            for method in manifest.methods:
                known = loaded.get(method.id)
                text = known.title if known is not None else "not loaded"
                child = QTreeWidgetItem([method.id, text, "", ""])
                child.setToolTip(1, text)
                row.addChild(child)
        self.tree.expandAll()
        header = self.tree.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setStretchLastSection(False)
        self.problems = QLabel("\n".join(str(problem) for problem in found.problems))
        self.problems.setWordWrap(True)
        self.problems.setProperty("role", "warning")
        self.problems.setVisible(bool(found.problems))
        place = QLabel(f"Your own plugins: {user_folder()}")
        place.setProperty("role", "muted")
        place.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        for widget in (self.tree, self.problems, place, buttons):
            layout.addWidget(widget)


class NewPluginDialog(QDialog):
    """Asks for a name and writes the template."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("New plugin")
        self.setMinimumWidth(460)
        self.name = QLineEdit("my_method")
        self.folder = QLineEdit(str(user_folder()))
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setProperty("role", "error")
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("In folder", self.folder)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        buttons.addButton("Write the template", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self._write)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 16, 16, 16)
        layout.addLayout(form)
        layout.addWidget(self.problem)
        layout.addWidget(buttons)

    def _write(self) -> None:
        name = self.name.text().strip()
        folder = Path(self.folder.text().strip()).expanduser() / name
        try:
            new_plugin(folder, name)
        except WorkbenchError as error:
            self.problem.setText(str(error))
            return
        self._session.said.emit(f"Wrote {folder}; its methods are read now")
        self._session.list_methods()
        self.accept()
