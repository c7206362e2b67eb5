"""The inspector's view of a layer's levels: its weights or inputs, under the plan or in a candidate's file."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QSpinBox, QVBoxLayout, QWidget

from workbench.domain.distribution import DistributionReport
from workbench.domain.errors import WorkbenchError
from workbench.domain.reports import LayerReport
from workbench.jobs.specs import DistributionJob
from workbench.ui.distributions import SAMPLES, Asked, distribution_job, in_words
from workbench.ui.models.reason import Reason
from workbench.ui.panels.inspector_plots import series_color
from workbench.ui.panels.levels_plot import AFTER, BEFORE, LevelsPlot
from workbench.ui.panels.wheel_guard import guard_wheel
from workbench.ui.session import Session

_SETTLE_MS = 120
_MOST_KEPT = 64


class LevelsView(QWidget):
    """A picture of numbers before and after their quantizer, and what it is of.

    Weights are read as soon as the view is looked at. Activations take a run of the model, which a button starts.

    Signals:
        menuAsked: (plot, place within it) of a context menu.
    """

    menuAsked = Signal(object, QPoint)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: LayerReport | None = None
        self._found: OrderedDict[str, DistributionReport | WorkbenchError] = OrderedDict()
        self._jobs: dict[str, str] = {}
        self._shown: object = None
        self._candidate: str | None = None
        self.subject = QComboBox()
        self.subject.addItem("Weights", "weights")
        self.subject.addItem("Inputs", "activations")
        self.subject.setAccessibleName("What is shown")
        self.source = QComboBox()
        self.source.setAccessibleName("Whose levels are shown")
        self.source.setToolTip("Levels that the plan's bits lead to, or those in the selected candidate's file")
        self.source.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.source.setMinimumContentsLength(5)
        self.source.addItem("Plan", None)
        self.channel = QSpinBox()
        self.channel.setAccessibleName("Output channel")
        self.channel.setMinimum(-1)
        self.channel.setSpecialValueText("All")
        self.channel.setPrefix("Ch ")
        self.channel.setKeyboardTracking(False)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.key = QLabel()
        self.key.setTextFormat(Qt.TextFormat.RichText)
        self.key.setWordWrap(True)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setProperty("role", "muted")
        self.observe = QPushButton(f"Observe {SAMPLES} samples")
        self.observe.setToolTip("Run the model on a few training samples and count what this layer reads")
        self.plot: LevelsPlot | None = None
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.subject)
        row.addWidget(self.source, 1)
        row.addWidget(self.channel)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addLayout(row)
        for each in (self.busy, self.key, self.message):
            self._column.addWidget(each)
        self._column.addWidget(self.observe, 0, Qt.AlignmentFlag.AlignLeft)
        guard_wheel(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self._read)
        self.subject.currentIndexChanged.connect(self.refresh)
        self.source.currentIndexChanged.connect(self.refresh)
        self.channel.valueChanged.connect(self.refresh)
        self.observe.clicked.connect(self._read)

    def show_layer(self, layer: LayerReport | None) -> None:
        """Show another layer, or the same one after the plan or the selection of candidates changed."""
        if (layer and layer.name) != (self._layer and self._layer.name):
            self.channel.blockSignals(True)
            self.channel.setValue(-1)
            self.channel.blockSignals(False)
        self._layer = layer
        self._offer_candidate()
        self.refresh()

    def refresh(self, *_: object) -> None:
        """Show what is known, and ask for what is not where that takes no samples."""
        asked = self._asked()
        if not self.isVisible() or asked is None:
            self._forget_jobs(None)
            return
        job = distribution_job(self._session, asked)
        self.observe.hide()
        self.busy.hide()
        if isinstance(job, Reason):
            self._forget_jobs(None)
            self._show_nothing(f"{job}.")
            return
        key = job.model_dump_json()
        self._forget_jobs(key)
        found = self._found.get(key)
        if isinstance(found, DistributionReport):
            self._show(found, asked)
        elif found is not None:
            self._show_nothing(str(found), "error")
        elif key in self._jobs or asked.of == "weights":
            self.busy.show()
            if self.plot is None or self.plot.isHidden():
                self._say("Counting…" if asked.of == "weights" else "Observing…")
            if key not in self._jobs:
                self._timer.start()
        else:
            self._show_nothing(
                f"How what this layer reads is spread over {SAMPLES} training samples appears here, with the levels "
                "that calibration finds for it."
            )
            self.observe.show()

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop counting what nobody looks at."""
        super().hideEvent(event)
        self._forget_jobs(None)

    def showEvent(self, event: QShowEvent) -> None:
        """Go on where it was."""
        super().showEvent(event)
        self.refresh()

    # --- within -------------------------------------------------------------------------------------------------

    def _asked(self) -> Asked | None:
        if self._layer is None:
            return None
        candidate = self._session.candidate() if self.source.currentData() is not None else None
        of = "activations" if self.subject.currentData() == "activations" else "weights"
        channel = self.channel.value() if self.channel.value() >= 0 and of == "weights" else None
        return Asked(self._layer, of, candidate, channel)  # type: ignore[arg-type]

    def _offer_candidate(self) -> None:
        """Let the levels of the selected candidate's file be chosen; selecting one chooses it."""
        candidate = self._session.candidate()
        id = None if candidate is None else candidate.id
        if id == self._candidate:
            return
        self._candidate = id
        self.source.blockSignals(True)
        while self.source.count() > 1:
            self.source.removeItem(1)
        if candidate is not None:
            self.source.addItem(candidate.name, candidate.id)
            self.source.setCurrentIndex(1)
        self.source.blockSignals(False)

    def _read(self) -> None:
        asked = self._asked()
        job = None if asked is None else distribution_job(self._session, asked)
        if not self.isVisible() or not isinstance(job, DistributionJob):
            return
        self._made()
        key = job.model_dump_json()
        if key in self._found or key in self._jobs:
            return
        if job.of == "weights" and self._jobs:
            # Who goes through the layers quickly must not fill the queue; `_arrived` comes back to this one.
            return
        what = "weights" if job.of == "weights" else "inputs"
        arrived = partial(self._arrived, key)
        self._jobs[key] = self._session.jobs.submit(
            job,
            f"Count {what} of {job.layer}",
            "interactive",
            on_result=lambda payload: arrived(DistributionReport.model_validate(payload)),
            on_failed=arrived,
            on_cancelled=lambda payload: self._cancelled(key),
        )
        self.refresh()

    def _arrived(self, key: str, found: DistributionReport | WorkbenchError) -> None:
        self._jobs.pop(key, None)
        self._found[key] = found
        while len(self._found) > _MOST_KEPT:
            self._found.popitem(last=False)
        self.refresh()

    def _cancelled(self, key: str) -> None:
        self._jobs.pop(key, None)
        self._show_nothing("Cancelled.")

    def _forget_jobs(self, wanted: str | None) -> None:
        """Stop observations that nobody waits for; counting weights takes a moment, and may be wanted again."""
        for key, job in [(key, job) for key, job in self._jobs.items() if key != wanted]:
            spec = self._session.jobs.spec(job)
            if isinstance(spec, DistributionJob) and spec.of == "activations":
                self._session.jobs.forget(self._jobs.pop(key))

    def _show(self, report: DistributionReport, asked: Asked) -> None:
        several = report.of == "weights" and report.channels > 1
        self.channel.blockSignals(True)
        self.channel.setMaximum(report.channels - 1 if several else max(self.channel.value(), -1))
        self.channel.blockSignals(False)
        self.channel.setEnabled(several)
        self.channel.setToolTip(
            "Show one output channel, with its own levels"
            if several
            else "All numbers of this layer share their levels"
        )
        told = in_words(report)
        if not report.quantizer and asked.candidate is None:
            told += f" Give it {'W' if report.of == 'weights' else 'A'} bits below 32 to see levels."
        self._say(told)
        shown = (report, self._session.theme.roles)
        if shown == self._shown and self.plot is not None:
            self.plot.show()
            self.key.show()
            return
        self._shown = shown
        plot = self._made()
        plot.set_report(report)
        plot.show()
        self.key.setText(self._key_text(report))
        self.key.show()

    def _made(self) -> LevelsPlot:
        """Return the plot; making it takes longer than drawing it, and happens while a worker counts."""
        if self.plot is None:
            self.plot = LevelsPlot(self._session.theme)
            self.plot.hide()
            self.plot.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            self.plot.customContextMenuRequested.connect(partial(self.menuAsked.emit, self.plot))
            self._column.insertWidget(3, self.plot)
        return self.plot

    def _key_text(self, report: DistributionReport) -> str:
        def sign(series: int, text: str) -> str:
            color = series_color(series, self._session.theme).name()
            return f'<span style="color:{color}">{text}</span>&nbsp;'

        before = f"{sign(BEFORE, '■')}float"
        if not report.quantizer:
            return before
        by = report.quantizer.replace(" ", "&nbsp;")
        key = f"{before} &nbsp; {sign(AFTER, '▬')}{by}"
        return f"{key} &nbsp; ┆&nbsp;clip&nbsp;range" if report.spread.clip is not None else key

    def _show_nothing(self, text: str, role: str = "muted") -> None:
        self._shown = None
        if self.plot is not None:
            self.plot.hide()
        self.key.hide()
        self._say(text, role)

    def _say(self, text: str, role: str = "muted") -> None:
        self.message.setText(text)
        if self.message.property("role") != role:
            self.message.setProperty("role", role)
            self.message.style().unpolish(self.message)
            self.message.style().polish(self.message)
