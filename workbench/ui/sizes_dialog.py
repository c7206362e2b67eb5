"""Asks for the sizes that a model's inputs leave open, with a sensible one in every field to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.data_reports import DataPreview
from workbench.domain.errors import WorkbenchError
from workbench.jobs.specs import PreviewDataJob
from workbench.ui.model_sizes import set_sizes
from workbench.ui.models.size_presets import SizeRow, size_rows, sizes_of_sample
from workbench.ui.panels.wheel_guard import guard_wheel
from workbench.ui.session import Session

_LARGEST = 2**20
_LARGEST_BATCH = 4096
_TALLEST = 420


class SizesDialog(QDialog):
    """A row for every open size: its name, where it is used, its value and where that comes from."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows = size_rows(session.state)
        self._untouched = {row.dimension.key for row in self._rows if not row.known and not row.dimension.batch}
        self._open = True
        self.setWindowTitle("Sizes of dimensions")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(520)
        model = session.state.model
        name = "The model" if model is None else Path(model.path).name
        said = QLabel(
            f"{name} takes inputs of several sizes. Costs, latency and runs are taken at the sizes set here; "
            "the file itself stays as it is."
        )
        said.setWordWrap(True)
        said.setTextFormat(Qt.TextFormat.PlainText)
        self.spins: dict[str, QSpinBox] = {}
        self.sources: dict[str, QLabel] = {}
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        keep = self.busy.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self.busy.setSizePolicy(keep)
        self.busy.hide()
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setProperty("role", "error")
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.hide()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.go = buttons.addButton("Set sizes", QDialogButtonBox.ButtonRole.AcceptRole)
        self.go.setProperty("role", "primary")
        self.go.setDefault(True)
        buttons.accepted.connect(self._start)
        buttons.rejected.connect(self.reject)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        for widget in (said, self._table(), self.busy, self.problem, buttons):
            outer.addWidget(widget)
        guard_wheel(self)
        if self.spins:
            first = next(iter(self._untouched), next(iter(self.spins)))
            self.spins[first].setFocus()
            self.spins[first].selectAll()
        self._ask_data()

    def done(self, result: int) -> None:
        """Close; answers that are still under way are ignored."""
        self._open = False
        super().done(result)

    def _table(self) -> QWidget:
        inner = QWidget()
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 0, 8, 0)
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(8)
        for column, text in enumerate(("Dimension", "Used in", "Size", "")):
            heading = QLabel(text)
            heading.setProperty("role", "muted")
            if text == "Size":
                heading.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                heading.setContentsMargins(0, 0, 20, 0)  # over the numbers, beside the arrows
            grid.addWidget(heading, 0, column)
        for line, row in enumerate(self._rows, start=1):
            self._add(grid, line, row)
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(len(self._rows) + 1, 1)
        area = QScrollArea()
        area.setWidget(inner)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumHeight(min(inner.sizeHint().height() + 2, _TALLEST))
        return area

    def _add(self, grid: QGridLayout, line: int, row: SizeRow) -> None:
        key = row.dimension.key
        title = QLabel(key)
        title.setTextFormat(Qt.TextFormat.PlainText)
        places = QLabel(row.places)
        places.setWordWrap(True)
        places.setTextFormat(Qt.TextFormat.PlainText)
        places.setProperty("role", "muted")
        places.setToolTip("\n".join(f"axis {place.axis} of {place.input}" for place in row.dimension.places))
        spin = QSpinBox()
        spin.setRange(1, _LARGEST_BATCH if row.dimension.batch else _LARGEST)
        spin.setValue(row.value)
        spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        spin.setAccessibleName(f"Size of {key}")
        source = QLabel("set before" if row.known else "for latency" if row.dimension.batch else "suggested")
        source.setProperty("role", "muted")
        source.setMinimumWidth(source.fontMetrics().horizontalAdvance("from the data") + 4)
        if row.dimension.batch:
            tip = "Samples in one inference while latency is measured; costs count one sample"
            for told in (title, spin, source):
                told.setToolTip(tip)
        spin.valueChanged.connect(lambda value, key=key: self._touched(key))
        cells: tuple[QWidget, ...] = (title, places, spin, source)
        for column, cell in enumerate(cells):
            grid.addWidget(cell, line, column)
        self.spins[key], self.sources[key] = spin, source

    def _touched(self, key: str) -> None:
        self._untouched.discard(key)
        self.sources[key].setText("")

    def _ask_data(self) -> None:
        """Let a worker look at a sample, which says what sizes the data has."""
        state = self._session.state
        if state.data is None or not self._untouched:
            return
        data = state.data.model_copy(update={"folder": state.data_folder})

        def arrived(payload: dict[str, Any]) -> None:
            preview = DataPreview.model_validate(payload)
            inspect = self._session.state.inspect
            if self._open and inspect is not None:
                self._suggest(sizes_of_sample(inspect.inputs, data, preview.input_shape))

        def nothing(error: WorkbenchError) -> None:
            """Keep the suggestions: faults of the data are told where data is chosen and measured."""

        spec = PreviewDataJob(model=None, data=data, samples=1)
        self._session.jobs.submit(spec, "Look at the data's shape", "interactive", on_result=arrived, on_failed=nothing)

    def _suggest(self, found: dict[str, int]) -> None:
        for key in self._untouched & found.keys():
            spin = self.spins[key]
            blocked = spin.blockSignals(True)
            spin.setValue(found[key])
            spin.blockSignals(blocked)
            self.sources[key].setText("from the data")

    def _start(self) -> None:
        batches = [row.dimension.key for row in self._rows if row.dimension.batch]
        sizes = {key: spin.value() for key, spin in self.spins.items() if key not in batches}
        batch = self.spins[batches[0]].value() if batches else self._session.state.latency.batch
        self._working(True)
        set_sizes(self._session, sizes, batch, self._set, self._failed)

    def _set(self) -> None:
        if self._open:
            self.accept()

    def _failed(self, error: WorkbenchError) -> None:
        if self._open:
            self.problem.setText(str(error))
            self.problem.show()
            self._working(False)

    def _working(self, busy: bool) -> None:
        self.busy.setVisible(busy)
        self.go.setEnabled(not busy)
        self.go.setToolTip("The model is being described with these sizes" if busy else "")
        for spin in self.spins.values():
            spin.setEnabled(not busy)
        if busy:
            self.problem.hide()
