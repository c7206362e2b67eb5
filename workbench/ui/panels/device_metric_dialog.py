"""Takes the metric of a file with its outputs computed on the device, beside the same samples computed here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.errors import WorkbenchError
from workbench.domain.measurements import MetricMeasurement
from workbench.domain.remote_device import LOCAL
from workbench.jobs.specs import EvaluateJob
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.session import Session

_SAMPLES, _MOST_SAMPLES = 500, 1_000_000
_REFRESH = Change.MODEL | Change.DATA | Change.CANDIDATES | Change.DEVICE
Found = MetricMeasurement | WorkbenchError


class DeviceMetricDialog(QDialog):
    """Stays open beside the window, and follows its selection: the selected candidate, or else the original."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked: tuple[str, str] = ("", "")
        self._found: dict[str, Found] = {}
        self._jobs: dict[str, str] = {}
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Metric on the device")
        self.setMinimumWidth(480)
        self.said, self.model, self.here, self.there = QLabel(), QLabel(), QLabel(), QLabel()
        for label in (self.said, self.model, self.here, self.there):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.samples = QSpinBox()
        self.samples.setRange(1, _MOST_SAMPLES)
        self.samples.setValue(_SAMPLES)
        self.samples.setToolTip("Of the test data, evenly spread; more than there are takes all")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        form.addRow("Model", self.model)
        form.addRow("&Samples", self.samples)
        form.addRow("On the device", self.there)
        form.addRow("Here", self.here)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.measure = QPushButton("Measure")
        self.measure.setProperty("role", "primary")
        buttons.addButton(self.measure, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        self.measure.clicked.connect(self.start)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        outer.addWidget(self.said)
        outer.addLayout(form)
        outer.addStretch()
        outer.addWidget(buttons)
        session.documentChanged.connect(self._document_changed)
        session.selection.candidateChanged.connect(self.refresh)
        session.jobs.jobChanged.connect(self.refresh)
        self.refresh()

    def start(self) -> None:
        """Run the file there and here on the same samples."""
        state, subject = self._session.state, self._subject()
        if state.data is None or subject is None:
            return
        self._asked, self._found = self._key(), {}
        for device in dict.fromkeys((state.latency.device, LOCAL)):
            spec = EvaluateJob(model=str(subject[1]), data=state.data, samples=self.samples.value(), device=device)
            self._jobs[device] = self._session.jobs.submit(
                spec,
                f"Metric of {subject[0]} on {device}" if device != LOCAL else f"Metric of {subject[0]}",
                "batch",
                on_result=partial(self._arrived, device),
                on_failed=partial(self._failed, device),
            )
        self.refresh()

    def refresh(self) -> None:
        """Show what is selected and known."""
        session, device = self._session, self._session.state.latency.device
        remote, reason = device != LOCAL, session.missing("model", "data")
        if remote:
            told = f"Runs the file on {device} and judges its outputs here: does it predict the same there?"
        else:
            told = "The project measures on this computer. Choose another device under Analyse ▸ Measure on."
        self.said.setText(reason or told)
        subject = self._subject()
        self.model.setText("" if subject is None else subject[0])
        busy = any(record.id in self._jobs.values() for record in session.jobs.active)
        self.measure.setEnabled(reason is None and remote and not busy)
        self.measure.setToolTip(reason or ("" if remote else told))
        known = self._found if self._asked == self._key() else {}
        for label, name in ((self.there, device), (self.here, LOCAL)):
            label.setText(_text(known.get(name), busy=busy))

    def _subject(self) -> tuple[str, Path] | None:
        candidate, model = self._session.candidate(), self._session.state.model
        if candidate is not None:
            return candidate.name, self._session.artifact_path(candidate.id)
        return None if model is None else ("The original", Path(model.path))

    def _key(self) -> tuple[str, str]:
        subject = self._subject()
        return self._session.state.latency.device, "" if subject is None else str(subject[1])

    def _arrived(self, device: str, payload: dict[str, Any]) -> None:
        self._found[device] = MetricMeasurement.model_validate(payload)
        self.refresh()

    def _failed(self, device: str, error: WorkbenchError) -> None:
        self._found[device] = error
        self.refresh()

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()


def _text(found: Found | None, *, busy: bool) -> str:
    if found is None:
        return "being measured" if busy else numbers.NOTHING
    if isinstance(found, WorkbenchError):
        return str(found)
    return f"{numbers.metric_text(found)}, {numbers.plural(found.samples, 'sample')}"


def show_device_metric(session: Session, parent: QWidget) -> DeviceMetricDialog:
    """Open the dialog."""
    dialog = DeviceMetricDialog(session, parent)
    dialog.show()
    return dialog
