"""The truth ladder of one candidate: simulated, executed literally, executed as deployed, and where they part."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from workbench.domain.ladder import LadderReport
from workbench.jobs.specs import LadderJob
from workbench.project.state import Candidate, Change
from workbench.ui.models.ladder_table import HEADINGS, TOOLTIPS, ladder_csv, ladder_rows, rung_cells
from workbench.ui.panels.report_dialog import Columns, Export, ReportDialog
from workbench.ui.session import Session
from workbench.ui.truth_ladder import climb, climbing

_COLUMNS = Columns(HEADINGS, TOOLTIPS, stretched=0, first_number=2)
_EXPORT = Export("truth ladder", "Export truth ladder", "ladder.csv")


class LadderDialog(ReportDialog):
    """Stays open beside the window; double-click on a row shows its node in the graph."""

    def __init__(self, session: Session, id: str, parent: QWidget | None = None) -> None:
        super().__init__(session, _COLUMNS, _EXPORT, parent)
        self._id = id
        self.resize(760, 560)
        said = QLabel(
            "The same file, executed in three ways. Where their accuracy is the same, the figure that was reported is "
            "that of the deployed file; where a node falls out, a kernel or a fusion computes something else."
        )
        said.setWordWrap(True)
        self.rungs = QGridLayout()
        self.rungs.setHorizontalSpacing(24)
        self.rungs.setVerticalSpacing(6)
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextFormat(Qt.TextFormat.PlainText)
        self.check.setText("Check")
        self.check.setToolTip("Execute the file in all three ways on the test data and compare")
        self.lay_out((said, self.rungs, self.busy, self.verdict))
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self._job_changed)
        self.refresh()

    @property
    def report(self) -> LadderReport | None:
        """What was found, once it was checked."""
        candidate = self._candidate()
        return None if candidate is None else candidate.ladder

    def start(self) -> None:
        """Check the file."""
        climb(self._session, self._id)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known."""
        candidate, report = self._candidate(), self.report
        if candidate is None:
            self.reject()
            return
        self.setWindowTitle(f"Truth ladder: {candidate.name}")
        checking = climbing(self._session, self._id)
        self.show_busy(checking, report is not None)
        self.check.setEnabled(not checking)
        self.check.setText("Check" if report is None else "Check again")
        while (entry := self.rungs.takeAt(0)) is not None:
            if (label := entry.widget()) is not None:
                label.hide()
                label.deleteLater()
        self.tree.clear()
        if report is None:
            self.verdict.setText(
                "Checking: each execution goes through the test samples once."
                if checking
                else "Not checked yet. It takes about as long as evaluating the model a few times."
            )
            return
        for row, rung in enumerate(report.rungs):
            for column, text in enumerate(rung_cells(rung)):
                cell = QLabel(text)
                cell.setTextFormat(Qt.TextFormat.PlainText)
                cell.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
                self.rungs.addWidget(cell, row, column)
        self.rungs.setColumnStretch(1, 1)
        self.verdict.setText(" ".join((report.verdict, *report.notes)))
        self._fill(report)

    def csv(self) -> str | None:
        """Return the figures of all nodes."""
        return None if self.report is None else ladder_csv(self.report)

    def _fill(self, report: LadderReport) -> None:
        strong = self.strong()
        for row in ladder_rows(report):
            item = self.row(row.cells, row.node)
            item.setToolTip(0, row.node)
            if row.parts:
                for column in range(len(row.cells)):
                    item.setFont(column, strong)
                    item.setForeground(column, self._session.theme.color("error"))
            self.tree.addTopLevelItem(item)

    def _candidate(self) -> Candidate | None:
        return next((entry for entry in self._session.state.candidates if entry.id == self._id), None)

    def _document_changed(self, change: Change) -> None:
        if change & Change.CANDIDATES:
            self.refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), LadderJob) and self._session.jobs.record(job).finished:
            self.refresh()


def show_ladder(session: Session, id: str, parent: QWidget) -> LadderDialog:
    """Open the truth ladder of a candidate."""
    dialog = LadderDialog(session, id, parent)
    dialog.show()
    return dialog
