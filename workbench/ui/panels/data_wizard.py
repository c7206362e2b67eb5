"""Choosing data: fields on the left, what the model makes of them on the right, before anything is measured with it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from workbench.data.description_file import read_data_description, write_data_description
from workbench.domain.data_reports import DataPreview
from workbench.domain.errors import WorkbenchError
from workbench.ui.models import numbers
from workbench.ui.panels.array_lookup import ArrayLookup
from workbench.ui.panels.data_form import DataForm
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.sample_grid import SampleGrid
from workbench.ui.session import Session

_SETTLE_MS = 700
_NEAR_CHANCE = 0.1
"""Share of the way from chance to perfect below which an accuracy counts as chance."""


class DataWizard(QDialog):
    """Describes a data set, previews it, and checks the preprocessing by evaluating the original."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked = 0
        self.setWindowTitle("Choose data")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(980, 720)
        self.form = DataForm()
        self.form.show_offers(session.data_offers)
        self.lookup = ArrayLookup(session, self.form)
        self.grid = SampleGrid(session.theme)
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.busy.hide()
        self.load = QPushButton("Open DATA.yaml…")
        self.save = QPushButton("Save as DATA.yaml…")
        self.buttons = QDialogButtonBox()
        self.use = self.buttons.addButton("Use this data", QDialogButtonBox.ButtonRole.AcceptRole)
        self.use.setProperty("role", "primary")
        self.buttons.addButton(QDialogButtonBox.StandardButton.Cancel)
        # Enter in a field must not open a file dialog.
        for button in (self.load, self.save):
            button.setAutoDefault(False)
        self.use.setDefault(True)
        self._lay_out()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.preview)
        self.form.changed.connect(self._form_changed)
        self.lookup.finished.connect(self._form_changed)
        session.methodsChanged.connect(self._offer)
        self.load.clicked.connect(self._ask_load)
        self.save.clicked.connect(self._ask_save)
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)
        state = session.state
        if state.data is not None:
            self.form.show_description(state.data, Path(state.data_folder))
        else:
            self._wait()
        self.form.test.path.setFocus()

    def load_file(self, path: Path) -> None:
        """Fill the form from a DATA.yaml; a fault is shown in the wizard."""
        try:
            description = read_data_description(path)
        except WorkbenchError as error:
            self._show_error(error)
            return
        self.form.show_description(description, Path(description.folder))
        self.preview()

    def preview(self) -> None:
        """Ask a worker for samples and for the original's metric on some of them."""
        self._timer.stop()
        if self.lookup.busy:
            return  # the fields are not filled in yet; a preview follows when they are
        if not self.form.complete:
            self._wait()
            return
        try:
            description = self.form.description()
        except WorkbenchError as error:
            self._show_error(error)
            return
        self._asked += 1
        asked = self._asked
        self.busy.show()
        self._say("Looking at the data…", "muted")

        def arrived(preview: DataPreview) -> None:
            if asked == self._asked:
                self._show_preview(preview)

        def failed(error: WorkbenchError) -> None:
            if asked == self._asked:
                self._show_error(error)

        self._session.preview_data(description, arrived, failed)

    def done(self, result: int) -> None:
        """Close; answers that are still under way are ignored."""
        self._asked += 1
        self._timer.stop()
        self.lookup.stop()
        super().done(result)

    def _lay_out(self) -> None:
        area = QScrollArea()
        area.setWidget(self.form)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(400)
        right = QVBoxLayout()
        right.setSpacing(8)
        for widget in (self.summary, self.busy, self.verdict):
            right.addWidget(widget)
        right.addWidget(self.grid, 1)
        middle = QHBoxLayout()
        middle.setSpacing(16)
        middle.addWidget(area, 0)
        middle.addLayout(right, 1)
        below = QHBoxLayout()
        below.addWidget(self.load)
        below.addWidget(self.save)
        below.addStretch()
        below.addWidget(self.buttons)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(16)
        outer.addLayout(middle, 1)
        outer.addLayout(below)

    def _offer(self) -> None:
        self.form.show_offers(self._session.data_offers)

    def _form_changed(self) -> None:
        # An answer that is still under way describes what the fields said before.
        self._asked += 1
        self._set_usable(None, "The preview is on its way")
        self._timer.start()

    def _wait(self) -> None:
        """Say what is needed before anything can be shown."""
        self._asked += 1
        self.busy.hide()
        self.grid.clear()
        self.summary.setText("Name the test data on the left. Its samples appear here.")
        self._say("", "muted")
        self._set_usable(None, "Name the test data first")

    def _show_preview(self, preview: DataPreview) -> None:
        self.busy.hide()
        self.grid.show_samples(preview.samples)
        parts = []
        if preview.test_samples is not None:
            parts.append(numbers.plural(preview.test_samples, "test sample"))
        if preview.train_samples is not None:
            parts.append(numbers.plural(preview.train_samples, "training sample"))
        if preview.classes is not None:
            parts.append(numbers.plural(preview.classes, "class", "classes"))
        parts.append(f"input {numbers.shape_text(preview.input_shape)}")
        self.summary.setText(", ".join(parts) + "".join(f"\n{note}" for note in preview.notes))
        metric = preview.metric
        if metric is None and self._session.state.model is None:
            self._say("Open a model to check the preprocessing with it.", "muted")
        elif metric is None:
            self._say(
                "The original could not be evaluated on these samples, so the preprocessing is unchecked.", "warning"
            )
        else:
            text = f"The original reaches {numbers.metric_text(metric)} on {metric.samples} of these samples."
            if self._near_chance(preview):
                self._say(
                    f"{text} That is near chance: check division, mean, deviation, axes and the order of the classes.",
                    "warning",
                )
            else:
                self._say(f"{text} If that is what you know of it, the preprocessing is right.", "muted")
        self._set_usable(preview, "")

    def _near_chance(self, preview: DataPreview) -> bool:
        metric = preview.metric
        if metric is None or metric.metric != "top1" or not preview.classes:
            return False
        chance = 1.0 / preview.classes
        return metric.value < chance + _NEAR_CHANCE * (1.0 - chance)

    def _show_error(self, error: WorkbenchError) -> None:
        self.busy.hide()
        self.grid.clear()
        self.summary.setText("")
        self._say(str(error), "error")
        self._set_usable(None, str(error))

    def _say(self, text: str, role: str) -> None:
        self.verdict.setText(text)
        self.verdict.setVisible(bool(text))
        self.verdict.setProperty("role", role)
        self.verdict.style().unpolish(self.verdict)
        self.verdict.style().polish(self.verdict)

    def _set_usable(self, preview: DataPreview | None, why: str) -> None:
        self.use.setEnabled(preview is not None)
        self.use.setToolTip(why)

    def _ask_load(self) -> None:
        ask_path(
            self, "Open data description", str(self.form.folder), "YAML (*.yaml *.yml)", self.load_file, opening=True
        )

    def _ask_save(self) -> None:
        ask_path(self, "Save data description", "data.yaml", "YAML (*.yaml)", self._save_to)

    def _save_to(self, path: Path) -> None:
        try:
            write_data_description(self.form.description(), path)
        except WorkbenchError as error:
            self._show_error(error)

    def _accept(self) -> None:
        try:
            description = self.form.description()
        except WorkbenchError as error:
            self._show_error(error)
            return
        self._session.open_data(description, Path(description.folder))
        self.accept()
