"""The fields of one split of the data: format, file, arrays, and the format's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QCompleter,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QWidget,
)

from workbench.data.array_guess import ArrayGuess
from workbench.domain.data_description import Split
from workbench.domain.data_reports import ArrayReport, ArraysReport
from workbench.ui.models import numbers
from workbench.ui.models.data_offers import READERS, DataOffers, origin
from workbench.ui.models.parameter_form import fields
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.parameter_form import ParameterForm
from workbench.ui.panels.wheel_guard import guard_wheel

KEYS = {
    "npz": ("Array of the inputs, e.g. x", "Array of the labels, e.g. y"),
    "npy": ("File of the inputs, where the path is a folder", "File of the labels, e.g. y.npy"),
    "idx": (None, "File of the labels, e.g. labels.gz"),
    "image_folder": (None, None),
    "csv": ("Column of the files, e.g. file", "Column of the labels, e.g. label"),
    "text": (None, None),
    "random": (None, None),
}
"""What "inputs" and "targets" name for each of the program's readers; None where there is nothing to name."""
_PLUGIN_KEYS = ("Where the plugin asks for it", "Where the plugin asks for it")
GUESSED_READERS = ("npz", "npy")
"""Readers whose files say what arrays they hold."""
_SHOWN_ARRAYS = 6


class SplitFields(QGroupBox):
    """Reader, path and keys of one split.

    Signals:
        changed: Some field says something else.
        fileChosen: The user named another file, or another format for it.
    """

    changed = Signal()
    fileChosen = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self._offers = DataOffers()
        self._own: dict[str, dict[str, Any]] = {}
        """Own settings by reader, so that one's are not given to another."""
        self._mapping: dict[str, str] | None = None
        self._guessed: dict[QLineEdit, str] = {}
        self._shown_reader: str | None = None
        self.reader = QComboBox()
        for name, text in READERS.items():
            self.reader.addItem(text, name)
        self.path = QLineEdit()
        self.path.setPlaceholderText("File or folder")
        browse = QToolButton()
        browse.setText("Browse…")
        browse.clicked.connect(self._browse)
        self.inputs = QLineEdit()
        self.targets = QLineEdit()
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setProperty("role", "muted")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setToolTip("Taken from names and shapes of the arrays; change the fields where it is wrong")
        self.settings: ParameterForm | None = None
        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(browse)
        self._form = QFormLayout(self)
        self._row = row
        for text, field in (("Format", self.reader), ("Path", row), ("Inputs", self.inputs), ("Labels", self.targets)):
            self._form.addRow(row_title(text), field)
        self._form.addRow(self.note)
        self.reader.currentIndexChanged.connect(self._reader_changed)
        self.reader.activated.connect(self._file_chosen)
        self.path.textEdited.connect(self._path_edited)
        self._show_keys()
        self.show_arrays(None, ArrayGuess())
        for line in (self.path, self.inputs, self.targets):
            line.textChanged.connect(self.changed)

    @property
    def reader_name(self) -> str:
        """Name of the chosen reader."""
        return str(self.reader.currentData())

    def content(self) -> dict[str, Any] | None:
        """Return the split's entry, or None while no path is given to a reader that needs one."""
        reader = self.reader_name
        path = self.path.text().strip()
        if not path and reader != "random":
            return None
        entry = {**self._own.get(reader, {}), "reader": reader, "path": path if reader != "random" else None}
        names = {"inputs": self._mapping or self.inputs.text().strip(), "targets": self.targets.text().strip()}
        for (key, name), taken in zip(names.items(), KEYS.get(reader, _PLUGIN_KEYS), strict=True):
            # What a file said of its own reader is kept, even where the form has no field for it.
            entry[key] = name or None if taken is not None or reader == self._shown_reader else None
        return {key: value for key, value in entry.items() if value is not None}

    def show_split(self, split: Split | None) -> None:
        """Fill the fields."""
        known = {"reader", "path", "inputs", "targets"}
        content = {} if split is None else split.model_dump(mode="json")
        reader = content.get("reader", "npz")
        self._own[reader] = {key: value for key, value in content.items() if key not in known}
        inputs = content.get("inputs")
        # Several inputs are mapped by name; that mapping is kept as it is and shown, not edited here.
        self._mapping = inputs if isinstance(inputs, dict) else None
        self.inputs.setReadOnly(self._mapping is not None)
        self.inputs.setText(
            ", ".join(f"{name}: {key}" for name, key in inputs.items()) if isinstance(inputs, dict) else inputs or ""
        )
        self._shown_reader = reader
        self._guessed.clear()
        self._choose_reader(reader)
        self._show_settings()
        self.path.setText(content.get("path") or "")
        self.targets.setText(content.get("targets") or "")

    def show_offers(self, offers: DataOffers) -> None:
        """Offer plugins' readers, too, and the settings of all."""
        self._offers = offers
        for reader in offers.readers:
            row = self.reader.findData(reader.name)
            if row < 0:
                row = self.reader.count()
                self.reader.addItem(reader.title, reader.name)
            elif reader.plugin:
                self.reader.setItemText(row, reader.title)
            self.reader.setItemData(row, origin(reader.plugin), Qt.ItemDataRole.ToolTipRole)
        self._show_keys()
        self._show_settings()

    def show_arrays(self, report: ArraysReport | None, guess: ArrayGuess) -> None:
        """Say what a file holds, offer its arrays in the fields, and fill in what they seem to be.

        What the user typed stays; an earlier guess goes.
        """
        numeric = () if report is None else report.arrays
        names = [array.name for array in numeric]
        for line in (self.inputs, self.targets):
            completer = QCompleter(names, line)
            completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
            completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
            line.setCompleter(completer)
        filled = []
        itself = None if report is None else report.itself
        for line, name, what in ((self.inputs, guess.inputs, "inputs"), (self.targets, guess.targets, "labels")):
            # A .npy file is its own input; its name would only be said twice.
            wanted = "" if name is None or (line is self.inputs and itself is not None) else name
            if self._mapping is not None or line.text() not in ("", self._guessed.get(line, "")):
                continue
            line.setText(wanted)
            self._guessed[line] = wanted
            if wanted:
                filled.append(f"{wanted} as {what}")
        lines = []
        if filled:
            lines.append(f"Guessed: {', '.join(filled)}")
        if numeric:
            lines.append(_listed(numeric))
        self.note.setText("\n".join(lines))
        self._form.setRowVisible(self.note, bool(lines))

    def _path_edited(self) -> None:
        found = self._offers.reader_for(self.path.text().strip())
        if found is not None and found != self.reader_name:
            self._choose_reader(found)
        self._file_chosen()

    def _file_chosen(self) -> None:
        self.show_arrays(None, ArrayGuess())
        self.fileChosen.emit()

    def _choose_reader(self, reader: str) -> None:
        if self.reader.findData(reader) < 0:
            self.reader.addItem(reader, reader)
        self.reader.setCurrentIndex(self.reader.findData(reader))

    def _reader_changed(self) -> None:
        self._show_keys()
        self._show_settings()
        self.changed.emit()

    def _show_keys(self) -> None:
        """Show the fields that the format has."""
        reader = self.reader_name
        self._form.setRowVisible(self._row, reader != "random")
        for field, hint in zip((self.inputs, self.targets), KEYS.get(reader, _PLUGIN_KEYS), strict=True):
            self._form.setRowVisible(field, hint is not None)
            field.setPlaceholderText(hint or "")
            field.setToolTip(hint or "")
        tip = self.reader.itemData(self.reader.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        self.reader.setToolTip(tip or "")

    def _show_settings(self) -> None:
        """Show a form for the format's own settings, where it has any."""
        if self.settings is not None:
            self._form.removeRow(self.settings)
            self.settings = None
        reader = self.reader_name
        offered = self._offers.reader(reader)
        if offered is None or not fields(offered.json_schema):
            return
        self.settings = ParameterForm(offered.json_schema, self._own.get(reader, {}))
        layout = self.settings.layout()
        if isinstance(layout, QFormLayout):
            # Its editors stand below the fields above.
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setHorizontalSpacing(self._form.horizontalSpacing())
            layout.setVerticalSpacing(self._form.verticalSpacing())
            for line in range(layout.rowCount()):
                item = layout.itemAt(line, QFormLayout.ItemRole.LabelRole)
                label = None if item is None else item.widget()
                if label is not None:
                    label.setMinimumWidth(row_title("").minimumWidth())
        self.settings.edited.connect(self._settings_edited)
        self._form.addRow(self.settings)
        guard_wheel(self.settings)

    def _settings_edited(self, values: dict[str, Any]) -> None:
        self._own[self.reader_name] = values
        self.changed.emit()

    def _browse(self) -> None:
        chosen = ask_path(self, "Choose data", self.path.text(), "All files (*)", self._chosen, opening=True)
        if self.reader.currentData() == "image_folder":
            chosen.setFileMode(chosen.FileMode.Directory)

    def _chosen(self, path: Path) -> None:
        self.path.setText(str(path))
        self._path_edited()


def row_title(text: str) -> QLabel:
    """Return a row's label, of one width in all groups so that their fields line up."""
    label = QLabel(text)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance("Deviation") + 8)
    return label


def _listed(arrays: tuple[ArrayReport, ...]) -> str:
    """Return what the arrays are, in a line each."""
    lines = [f"{a.name}: {numbers.shape_text(a.shape)}, {a.dtype}" for a in arrays[:_SHOWN_ARRAYS]]
    rest = len(arrays) - _SHOWN_ARRAYS
    return "\n".join([*lines, f"and {rest} more"] if rest > 0 else lines)
