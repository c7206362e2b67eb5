"""The data wizard's fields: a DATA.yaml as a form, and the form's content as a DATA.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from workbench.data.description_file import data_description_content, data_description_from
from workbench.domain.data_description import Crop, DataDescription
from workbench.domain.errors import DataError
from workbench.ui.models import numbers
from workbench.ui.models.data_offers import TASKS, DataOffers, origin
from workbench.ui.panels.split_fields import SplitFields, row_title
from workbench.ui.panels.wheel_guard import guard_wheel

LAYOUTS = ("none", "NHWC->NCHW", "NCHW->NHWC", "HW->NCHW")


class DataForm(QWidget):
    """All of a DATA.yaml that a person types."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder = Path.cwd()
        self._options: dict[str, Any] = {}
        self._resize: tuple[int, int] | None = None
        self._dtype: str | None = None
        self._offers = DataOffers()
        self._guessed_layout = "none"
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
        self.layout_note = QLabel()
        self.layout_note.setProperty("role", "muted")
        self.layout_note.setWordWrap(True)
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
        self.metrics.currentIndexChanged.connect(self._show_metric_tip)
        for field in (self.scale, self.mean, self.std):
            field.textChanged.connect(self.changed)
        self.flip.toggled.connect(self.changed)
        self.crop.valueChanged.connect(self.changed)
        self.test.changed.connect(self.changed)
        self.train.changed.connect(self.changed)
        self._task_changed()

    @property
    def task_name(self) -> str:
        """Name of the chosen task."""
        return str(self.task.currentData())

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
        self._choose_metric(description.metric)
        self.test.show_split(description.test)
        self.train.show_split(description.train)
        self.scale.setText("" if preprocess.scale is None else f"{preprocess.scale:g}")
        self.mean.setText(_text(preprocess.mean))
        self.std.setText(_text(preprocess.std))
        self.layout_.setCurrentText(preprocess.layout or "none")
        # What a file says is no guess: it stays, even where it says that axes are not rearranged.
        self._guessed_layout = ""
        self._prepare.setRowVisible(self.layout_note, False)
        self.flip.setChecked("flip" in description.augment)
        self.crop.setValue(next((entry.crop for entry in description.augment if isinstance(entry, Crop)), 0))

    def show_offers(self, offers: DataOffers) -> None:
        """Offer what plugins brought beside the program's own; what is chosen stays chosen."""
        self._offers = offers
        blocked = self.blockSignals(True)  # nothing that the form says is another
        chosen = str(self.metrics.currentData())
        self._fill_metrics()
        self._choose_metric(chosen)
        for split in (self.test, self.train):
            split.show_offers(offers)
        self.blockSignals(blocked)

    def guess_layout(self, layout: str | None, because: str) -> None:
        """Arrange the axes as they seem to be, unless the user or a file said how; `because` is what speaks for it."""
        if self.layout_.currentText() != self._guessed_layout:
            return
        self._guessed_layout = layout or "none"
        self.layout_.setCurrentText(self._guessed_layout)
        self.layout_note.setText("" if layout is None else f"Guessed from {because}")
        self._prepare.setRowVisible(self.layout_note, layout is not None)

    def _task_changed(self) -> None:
        self._fill_metrics()
        self.changed.emit()

    def _fill_metrics(self) -> None:
        task = str(self.task.currentData())
        self.metrics.clear()
        for metric in TASKS[task][1]:
            self.metrics.addItem(numbers.metric_title(metric), metric)
        for offered in self._offers.plugin_metrics(task):
            self.metrics.addItem(offered.title, offered.name)
            self.metrics.setItemData(self.metrics.count() - 1, origin(offered.plugin), Qt.ItemDataRole.ToolTipRole)

    def _choose_metric(self, metric: str) -> None:
        if self.metrics.findData(metric) < 0:
            self.metrics.addItem(numbers.metric_title(metric), metric)
        self.metrics.setCurrentIndex(self.metrics.findData(metric))

    def _show_metric_tip(self) -> None:
        self.metrics.setToolTip(self.metrics.currentData(Qt.ItemDataRole.ToolTipRole) or "")

    def _lay_out(self) -> None:
        what = QFormLayout()
        what.setContentsMargins(12, 0, 12, 0)
        what.addRow(row_title("Task"), self.task)
        what.addRow(row_title("Metric"), self.metrics)
        prepare = QGroupBox("Preprocessing, as the model was trained")
        form = QFormLayout(prepare)
        form.addRow(row_title("Divide by"), self.scale)
        form.addRow(row_title("Mean"), self.mean)
        form.addRow(row_title("Deviation"), self.std)
        form.addRow(row_title("Axes"), self.layout_)
        form.addRow(self.layout_note)
        form.setRowVisible(self.layout_note, False)
        self._prepare = form
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
