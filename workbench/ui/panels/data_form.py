"""The data wizard's fields: a DATA.yaml as a form, and the form's content as a DATA.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.data.description_file import data_description_content, data_description_from
from workbench.domain.data_description import Crop, DataDescription, Split
from workbench.domain.errors import DataError
from workbench.ui.models import numbers
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.wheel_guard import guard_wheel

READERS = {
    "npz": "NumPy archive (.npz)",
    "npy": "NumPy arrays (.npy)",
    "idx": "MNIST files (IDX, also .gz)",
    "image_folder": "Image folder, one folder a class",
    "csv": "CSV manifest: file, label",
    "text": "Text",
    "random": "Random numbers, no labels",
}
KEYS = {
    "npz": ("Array of the inputs, e.g. x", "Array of the labels, e.g. y"),
    "npy": ("File of the inputs, where the path is a folder", "File of the labels, e.g. y.npy"),
    "idx": (None, "File of the labels, e.g. labels.gz"),
    "image_folder": (None, None),
    "csv": ("Column of the files, e.g. file", "Column of the labels, e.g. label"),
    "text": (None, None),
    "random": (None, None),
}
"""What "inputs" and "targets" name for each reader; None where there is nothing to name."""
TASKS = {
    "classification": ("Classification", ("top1", "top5")),
    "regression": ("Regression", ("mse", "psnr")),
    "segmentation": ("Segmentation", ("miou",)),
    "language": ("Language", ("perplexity",)),
    "outputs": ("Compare outputs with the original", ("sqnr", "cosine", "mse")),
}
LAYOUTS = ("none", "NHWC->NCHW", "NCHW->NHWC", "HW->NCHW")


class SplitFields(QGroupBox):
    """Reader, path and keys of one split."""

    changed = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
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
        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(browse)
        self._form = QFormLayout(self)
        self._row = row
        for text, field in (("Format", self.reader), ("Path", row), ("Inputs", self.inputs), ("Labels", self.targets)):
            self._form.addRow(_title(text), field)
        self._extra: dict[str, Any] = {}
        self._shown_reader: str | None = None
        self.reader.currentIndexChanged.connect(self._reader_changed)
        self._show_keys()
        for field in (self.path, self.inputs, self.targets):
            field.textChanged.connect(self.changed)

    def content(self) -> dict[str, Any] | None:
        """Return the split's entry, or None while no path is given to a reader that needs one."""
        reader = str(self.reader.currentData())
        path = self.path.text().strip()
        if not path and reader != "random":
            return None
        entry = {**self._extra, "reader": reader, "path": path if reader != "random" else None}
        names = {
            "inputs": self._extra.get("inputs") or self.inputs.text().strip(),
            "targets": self.targets.text().strip(),
        }
        for (key, name), taken in zip(names.items(), KEYS.get(reader, ("", "")), strict=True):
            # What a file said of its own reader is kept, even where the form has no field for it.
            entry[key] = name or None if taken is not None or reader == self._shown_reader else None
        return {key: value for key, value in entry.items() if value is not None}

    def show_split(self, split: Split | None) -> None:
        """Fill the fields."""
        known = {"reader", "path", "inputs", "targets"}
        content = {} if split is None else split.model_dump(mode="json")
        self._extra = {key: value for key, value in content.items() if key not in known}
        inputs = content.get("inputs")
        if isinstance(inputs, dict):
            # Several inputs are mapped by name; that mapping is kept as it is and shown, not edited here.
            self._extra["inputs"] = inputs
        self.inputs.setReadOnly(isinstance(inputs, dict))
        self.inputs.setText(
            ", ".join(f"{name}: {key}" for name, key in inputs.items()) if isinstance(inputs, dict) else inputs or ""
        )
        reader = content.get("reader", "npz")
        self._shown_reader = reader
        if self.reader.findData(reader) < 0:
            self.reader.addItem(reader, reader)
        self.reader.setCurrentIndex(self.reader.findData(reader))
        self.path.setText(content.get("path") or "")
        self.targets.setText(content.get("targets") or "")

    def _reader_changed(self) -> None:
        self._show_keys()
        self.changed.emit()

    def _show_keys(self) -> None:
        """Show the fields that the format has."""
        reader = str(self.reader.currentData())
        self._form.setRowVisible(self._row, reader != "random")
        for field, hint in zip((self.inputs, self.targets), KEYS.get(reader, ("", "")), strict=True):
            self._form.setRowVisible(field, hint is not None)
            field.setPlaceholderText(hint or "")
            field.setToolTip(hint or "")

    def _browse(self) -> None:
        chosen = ask_path(self, "Choose data", self.path.text(), "All files (*)", self._chosen, opening=True)
        if self.reader.currentData() == "image_folder":
            chosen.setFileMode(chosen.FileMode.Directory)

    def _chosen(self, path: Path) -> None:
        self.path.setText(str(path))


class DataForm(QWidget):
    """All of a DATA.yaml that a person types."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder = Path.cwd()
        self._options: dict[str, Any] = {}
        self._resize: tuple[int, int] | None = None
        self._dtype: str | None = None
        self.task = QComboBox()
        for name, (text, _) in TASKS.items():
            self.task.addItem(text, name)
        self.metrics = QComboBox()
        self.test = SplitFields("Test split: measures accuracy")
        self.train = SplitFields("Training split: calibrates and trains")
        self.scale = QLineEdit()
        self.scale.setPlaceholderText("255 for images in bytes")
        self.scale.setToolTip("Every raw value is divided by this first")
        self.mean = QLineEdit()
        self.mean.setToolTip("Taken away from each channel after the division")
        self.mean.setPlaceholderText("One number a channel: 0.485, 0.456, 0.406")
        self.std = QLineEdit()
        self.std.setToolTip("Each channel is divided by this last")
        self.std.setPlaceholderText("0.229, 0.224, 0.225")
        self.layout_ = QComboBox()
        self.layout_.addItems(LAYOUTS)
        self.layout_.setToolTip("How the axes are rearranged: N samples, H rows, W columns, C channels")
        self.flip = QCheckBox("Mirror left to right")
        self.crop = QSpinBox()
        self.crop.setRange(0, 64)
        self.crop.setSuffix(" px")
        self.crop.setSpecialValueText("off")
        self.crop.setToolTip("Pad by so many pixels on each side and cut at random; training only")
        self._lay_out()
        self.task.currentIndexChanged.connect(self._task_changed)
        for combo in (self.metrics, self.layout_):
            combo.currentIndexChanged.connect(self.changed)
        for field in (self.scale, self.mean, self.std):
            field.textChanged.connect(self.changed)
        self.flip.toggled.connect(self.changed)
        self.crop.valueChanged.connect(self.changed)
        self.test.changed.connect(self.changed)
        self.train.changed.connect(self.changed)
        self._task_changed()

    @property
    def complete(self) -> bool:
        """Whether the test split says where its samples are."""
        return self.test.content() is not None

    def description(self) -> DataDescription:
        """Return what the fields say.

        Raises:
            DataError: a field can't be read as what it should be.
        """
        preprocess = {
            "scale": _number(self.scale.text(), "Scale"),
            "mean": _numbers(self.mean.text(), "Mean"),
            "std": _numbers(self.std.text(), "Deviation"),
            "layout": None if self.layout_.currentText() == "none" else self.layout_.currentText(),
            "resize": self._resize,
            "dtype": self._dtype,
        }
        augment: list[Any] = ["flip"] if self.flip.isChecked() else []
        if self.crop.value():
            augment.append({"crop": self.crop.value()})
        content = {
            "task": self.task.currentData(),
            "metric": self.metrics.currentData(),
            "train": self.train.content(),
            "test": self.test.content(),
            "preprocess": {key: value for key, value in preprocess.items() if value is not None},
            "augment": augment,
            "options": self._options,
        }
        if content["test"] is None:
            raise DataError("the test split has no path", action="Choose the file or folder of the test data.")
        return data_description_from(
            {key: value for key, value in content.items() if value is not None}, "Data", self.folder
        )

    def show_description(self, description: DataDescription, folder: Path) -> None:
        """Fill the fields."""
        self.folder = folder
        self._options = data_description_content(description, folder).get("options", {})
        preprocess = description.preprocess
        self._resize, self._dtype = preprocess.resize, preprocess.dtype
        self.task.setCurrentIndex(self.task.findData(description.task))
        if self.metrics.findData(description.metric) < 0:
            self.metrics.addItem(numbers.metric_title(description.metric), description.metric)
        self.metrics.setCurrentIndex(self.metrics.findData(description.metric))
        self.test.show_split(description.test)
        self.train.show_split(description.train)
        self.scale.setText("" if preprocess.scale is None else f"{preprocess.scale:g}")
        self.mean.setText(_text(preprocess.mean))
        self.std.setText(_text(preprocess.std))
        self.layout_.setCurrentText(preprocess.layout or "none")
        self.flip.setChecked("flip" in description.augment)
        self.crop.setValue(next((entry.crop for entry in description.augment if isinstance(entry, Crop)), 0))

    def _task_changed(self) -> None:
        self.metrics.clear()
        for metric in TASKS[str(self.task.currentData())][1]:
            self.metrics.addItem(numbers.metric_title(metric), metric)
        self.changed.emit()

    def _lay_out(self) -> None:
        what = QFormLayout()
        what.setContentsMargins(12, 0, 12, 0)
        what.addRow(_title("Task"), self.task)
        what.addRow(_title("Metric"), self.metrics)
        prepare = QGroupBox("Preprocessing, as the model was trained")
        form = QFormLayout(prepare)
        form.addRow(_title("Divide by"), self.scale)
        form.addRow(_title("Mean"), self.mean)
        form.addRow(_title("Deviation"), self.std)
        form.addRow(_title("Axes"), self.layout_)
        augment = QGroupBox("Augmentation, for training only")
        row = QHBoxLayout(augment)
        row.addWidget(self.flip)
        row.addSpacing(16)
        row.addWidget(QLabel("Random crop"))
        row.addWidget(self.crop)
        row.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 8, 0)
        outer.setSpacing(8)
        outer.addLayout(what)
        for group in (self.test, prepare, self.train, augment):
            outer.addWidget(group)
        outer.addStretch()
        guard_wheel(self)


def _title(text: str) -> QLabel:
    """Return a row's label, of one width in all groups so that their fields line up."""
    label = QLabel(text)
    label.setMinimumWidth(label.fontMetrics().horizontalAdvance("Deviation") + 8)
    return label


def _number(text: str, name: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{name} is {text!r}", expected="a number such as 255") from error


def _numbers(text: str, name: str) -> list[float] | None:
    parts = [part for part in text.replace(",", " ").split() if part]
    try:
        return [float(part) for part in parts] or None
    except ValueError as error:
        raise DataError(f"{name} is {text!r}", expected="numbers separated by commas") from error


def _text(values: tuple[float, ...] | None) -> str:
    return "" if values is None else ", ".join(f"{value:g}" for value in values)
