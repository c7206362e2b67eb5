"""How many samples a second the original and candidates get through when several streams ask at once."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFormLayout, QLabel, QSpinBox, QTreeWidgetItem, QWidget

from workbench.jobs.specs import ThroughputJob
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.throughput_table import HEADINGS, TOOLTIPS, in_words, throughput_csv, throughput_rows
from workbench.ui.panels.model_choice import ModelChoice
from workbench.ui.panels.report_dialog import Columns, Export, ReportDialog
from workbench.ui.session import Session
from workbench.ui.side_by_side import work_words
from workbench.ui.throughput import count_samples, counting

_COLUMNS = Columns(HEADINGS, TOOLTIPS, stretched=0, first_number=1)
_EXPORT = Export("throughput", "Export throughput", "throughput.csv")
_MOST_BATCH, _MOST_STREAMS = 4096, 64
_REFRESH = Change.THROUGHPUT | Change.MODEL | Change.CANDIDATES | Change.DEVICE


class ThroughputDialog(ReportDialog):
    """Stays open beside the window; double-click on a row selects its candidate."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, _COLUMNS, _EXPORT, parent)
        self.setWindowTitle("Throughput")
        self.resize(720, 480)
        self.said = QLabel()
        self.summary = QLabel()
        self.noise = QLabel()
        for label in (self.said, self.summary, self.noise):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.summary.setFont(self.strong())
        self.models = ModelChoice(session)
        self.batch, self.streams = QSpinBox(), QSpinBox()
        for field, most, value, tip in (
            (self.batch, _MOST_BATCH, session.state.latency.batch, "Samples in one inference"),
            (self.streams, _MOST_STREAMS, 2, "Sessions that run at the same time, each asked by a thread of its own"),
        ):
            field.setRange(1, most)
            field.setValue(value)
            field.setToolTip(tip)
            field.setMinimumWidth(96)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        form.addRow("&Models", self.models)
        form.addRow("&Batch", self.batch)
        form.addRow("&Streams", self.streams)
        self.check.setToolTip("Measure the models that are chosen, all in turn")
        self.lay_out((self.said, form, self.busy, self.summary, self.noise))
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self._job_changed)
        session.theme.themeChanged.connect(self.refresh)
        self.refresh()

    def start(self) -> None:
        """Measure what is chosen."""
        count_samples(self._session, self.models.candidates, batch=self.batch.value(), streams=self.streams.value())
        self.refresh()

    def refresh(self) -> None:
        """Show what is known."""
        state, busy = self._session.state, counting(self._session)
        setting, report = state.latency, state.throughput
        threads = numbers.plural(setting.threads, "thread") if setting.threads else "as many threads as there are cores"
        self.said.setText(
            f"Samples a second of all streams together{device_words(setting.device)}. Each stream has a session of its "
            f"own with {threads}, as the project measures latency."
        )
        self.show_busy(busy, report is not None)
        self.check.setEnabled(not busy and state.model is not None)
        self.check.setText("Measure" if report is None else "Measure again")
        self.noise.setVisible(report is not None and not report.noise.quiet)
        self.tree.clear()
        if report is None:
            words = work_words(self._session, ThroughputJob, "Measuring: some seconds.")
            self.summary.setText(words if busy else "Nothing measured yet.")
            return
        self.summary.setText(in_words(report))
        self.noise.setText(f"The machine was not quiet: {report.noise.reason.rstrip('.')}.")
        palette = self.noise.palette()
        palette.setColor(self.noise.foregroundRole(), self._session.theme.color("warning"))
        self.noise.setPalette(palette)
        self.tree.addTopLevelItems(
            [self.row(row.cells, *([row.candidate] if row.candidate else [])) for row in throughput_rows(state)]
        )
        self.fit_columns()

    def csv(self) -> str | None:
        """Return the figures of all models."""
        return None if self._session.state.throughput is None else throughput_csv(self._session.state)

    def _show(self, item: QTreeWidgetItem) -> None:
        subjects = item.data(0, Qt.ItemDataRole.UserRole)
        self._session.selection.set_candidate(subjects[0] if subjects else None)

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), ThroughputJob):
            self.refresh()


def show_throughput(session: Session, parent: QWidget) -> ThroughputDialog:
    """Open the dialog."""
    dialog = ThroughputDialog(session, parent)
    dialog.show()
    return dialog
