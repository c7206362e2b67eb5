"""The line at the bottom: the original's figures, those of the selected candidate or the plan, and what is stored."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QStatusBar, QWidget

from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.plan_forecast import PlanForecast, forecast
from workbench.ui.panels.elided import ElidedLabel
from workbench.ui.session import Session

_SHOWN_MS = 6000


class StatusLine(QStatusBar):
    """Baseline | candidate or plan | document."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setSizeGripEnabled(False)
        self.baseline = QLabel()
        # A long name of a candidate must not make the window wider than the screen.
        self.chosen = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.stored = QLabel()
        for label in (self.baseline, self.chosen, self.stored):
            label.setContentsMargins(8, 0, 8, 0)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self.addWidget(self.baseline)
        self.addWidget(self.chosen, 1)
        self.addPermanentWidget(self.stored)
        session.documentChanged.connect(self.refresh)
        session.selection.candidateChanged.connect(self.refresh)
        session.said.connect(self.say)
        self.refresh()

    def say(self, text: str) -> None:
        """Show a line for a few seconds."""
        self.showMessage(text, _SHOWN_MS)

    def refresh(self) -> None:
        """Show the project as it is now."""
        state = self._session.state
        self.baseline.setText(baseline_text(state))
        candidate, known = self._session.candidate(), (self._session.knobs, self._session.methods)
        likely = None if candidate is not None else forecast(state, *known)
        self.chosen.set_full(candidate_text(candidate) if candidate is not None else plan_text(state, likely))
        if likely is not None:
            self.chosen.setToolTip(f"{self.chosen.full}\n{likely.tip}")
        document = self._session.document
        fault = document.unsaved
        if fault is not None:
            self.stored.setText("Not stored")
            self.stored.setToolTip(str(fault))
        elif document.saved_at is not None:
            self.stored.setText(f"{document.title}, stored {document.saved_at.astimezone():%H:%M}")
            self.stored.setToolTip(f"{document.path}\nEvery edit is stored at once.")
        else:
            self.stored.setText("Not stored")
            self.stored.setToolTip("The project has no file yet. Choose Save as in the menu Project.")
        role = "error" if fault is not None else "muted"
        if self.stored.property("role") != role:
            self.stored.setProperty("role", role)
            self.stored.style().polish(self.stored)


def baseline_text(state: ProjectState) -> str:
    """Return the original's figures: file, metric, latency, size."""
    if state.model is None:
        return ""
    name = state.model.path.replace("\\", "/").rsplit("/", 1)[-1]
    parts = [name]
    if state.baseline is not None:
        parts.append(numbers.metric_text(state.baseline))
    if state.baseline_latency is not None:
        latency = numbers.latency_text(state.baseline_latency.models[0].latency_ms)
        parts.append(latency + device_words(state.baseline_latency.device.name))
    if state.inspect is not None:
        parts.append(numbers.size_text(state.inspect.model.size_bytes))
    return "   ".join(parts)


def candidate_text(candidate: Candidate) -> str:
    """Return a candidate's measured figures."""
    report = candidate.report
    parts = [f"{candidate.name} (measured):"]
    if report.metric is not None:
        parts.append(numbers.metric_text(report.metric))
    if report.latency is not None:
        parts.append(numbers.latency_text(report.latency.latency_ms))
        parts.append(numbers.speedup_text(report.latency.ratio_to_first))
    parts.append(numbers.size_text(report.candidate.size_bytes))
    return "   ".join(parts)


def plan_text(state: ProjectState, likely: PlanForecast | None = None) -> str:
    """Return what the plan holds, and while it was not measured, what it is likely to come to."""
    if state.model is None:
        return ""
    if not state.plan.knobs():
        return "Plan: nothing set yet"
    words = ", ".join(sorted(knob.replace("_", " ") for knob in state.plan.knobs()))
    lines = f" in {numbers.plural(len(state.plan.layers), 'line')}" if state.plan.layers else " for all layers"
    recipe = state.recipe()
    same = [entry.name for entry in state.candidates if entry.recipe == recipe and not entry.deleted]
    if same:
        return f"Plan: {words}{lines}, measured as {same[-1]}"
    return f"Plan: {words}{lines}, {'not measured yet' if likely is None else f'foretold {likely.text}'}"
