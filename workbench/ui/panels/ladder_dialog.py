"""The truth ladder of one candidate: simulated, executed literally, executed as deployed, and where they part."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFont, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.ladder import LadderReport
from workbench.jobs.specs import LadderJob
from workbench.project.state import Candidate, Change
from workbench.ui.models.ladder_table import HEADINGS, TOOLTIPS, ladder_csv, ladder_rows, rung_cells
from workbench.ui.panels.export import ask_path, copy_text, save_text
from workbench.ui.session import Session
from workbench.ui.truth_ladder import climb, climbing

_MARGIN_PX = 32
_NUMBER = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class LadderDialog(QDialog):
    """Stays open beside the window; double-click on a row shows its node in the graph."""

    def __init__(self, session: Session, id: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._id = session, id
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(640, 420)
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
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(list(HEADINGS))
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setAlternatingRowColors(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        for column, tooltip in enumerate(TOOLTIPS):
            self.tree.headerItem().setToolTip(column, tooltip)
            if column > 1:
                self.tree.headerItem().setTextAlignment(column, _NUMBER)
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, heading in enumerate(HEADINGS[1:], 1):
            self.tree.setColumnWidth(column, self.tree.fontMetrics().horizontalAdvance(heading) + _MARGIN_PX)
        self.tree.itemDoubleClicked.connect(lambda item, _: self._show_node(item))
        self.tree.itemActivated.connect(lambda item, _: self._show_node(item))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.check = QPushButton("Check")
        self.check.setProperty("role", "primary")
        self.check.setToolTip("Execute the file in all three ways on the test data and compare")
        self.copy = QPushButton("Copy as CSV")
        self.export = QPushButton("Export as CSV…")
        for button in (self.check, self.copy, self.export):
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        self.check.clicked.connect(self.start)
        self.copy.clicked.connect(self._copy)
        self.export.clicked.connect(
            lambda: ask_path(self, "Export truth ladder", "ladder.csv", "CSV (*.csv)", self._export)
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        outer.addWidget(said)
        outer.addLayout(self.rungs)
        outer.addWidget(self.busy)
        outer.addWidget(self.verdict)
        outer.addWidget(self.tree, 1)
        outer.addStretch()
        outer.addWidget(buttons)
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self._job_changed)
        QShortcut(QKeySequence.StandardKey.Copy, self.tree, self._copy, context=Qt.ShortcutContext.WidgetShortcut)
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
        self.busy.setVisible(checking)
        self.check.setEnabled(not checking)
        self.check.setText("Check" if report is None else "Check again")
        self.tree.setVisible(report is not None)
        for button in (self.copy, self.export):
            button.setEnabled(report is not None)
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

    def _fill(self, report: LadderReport) -> None:
        strong = QFont(self.tree.font())
        strong.setWeight(QFont.Weight.DemiBold)
        height = QSize(0, self.tree.fontMetrics().height() + 8)
        for row in ladder_rows(report):
            item = QTreeWidgetItem(list(row.cells))
            item.setData(0, Qt.ItemDataRole.UserRole, row.node)
            item.setToolTip(0, row.node)
            item.setSizeHint(0, height)
            for column in range(2, len(row.cells)):
                item.setTextAlignment(column, _NUMBER)
            if row.parts:
                for column in range(len(row.cells)):
                    item.setFont(column, strong)
                    item.setForeground(column, self._session.theme.color("error"))
            self.tree.addTopLevelItem(item)

    def _candidate(self) -> Candidate | None:
        return next((entry for entry in self._session.state.candidates if entry.id == self._id), None)

    def _show_node(self, item: QTreeWidgetItem) -> None:
        self._session.selection.set_layers((item.data(0, Qt.ItemDataRole.UserRole),))

    def _document_changed(self, change: Change) -> None:
        if change & Change.CANDIDATES:
            self.refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), LadderJob) and self._session.jobs.record(job).finished:
            self.refresh()

    def _copy(self) -> None:
        if self.report is not None:
            copy_text(self._session, ladder_csv(self.report), "truth ladder")

    def _export(self, path: Path) -> None:
        if self.report is not None:
            save_text(self._session, path, ladder_csv(self.report))


def show_ladder(session: Session, id: str, parent: QWidget) -> LadderDialog:
    """Open the truth ladder of a candidate."""
    dialog = LadderDialog(session, id, parent)
    dialog.show()
    return dialog
