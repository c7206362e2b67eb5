"""Will it help here? What the recipe will take on this device, and which layers are fast in which arithmetic."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from workbench.domain.preflight import Preflight
from workbench.jobs.specs import PreflightJob
from workbench.project.commands import SetSettings, Together
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.layer_table import layer_labels
from workbench.ui.models.preflight_table import (
    HEADINGS,
    TOOLTIPS,
    empty_columns,
    in_words,
    outlook_csv,
    outlook_rows,
    shares_in_words,
    slower_layers,
)
from workbench.ui.panels.report_dialog import Columns, Export, ReportDialog
from workbench.ui.preflight import foretell, foretelling, up_to_date
from workbench.ui.session import Session
from workbench.ui.side_by_side import work_words

_MARGIN_PX = 28
_WIDEST_PX = 260
_REFRESH = Change.PREFLIGHT | Change.PLAN | Change.RECIPE | Change.MODEL | Change.DEVICE
_COLUMNS = Columns(HEADINGS, TOOLTIPS, stretched=1, first_number=2)
_EXPORT = Export("what was foretold", "Export what was foretold", "preflight.csv")


class PreflightDialog(ReportDialog):
    """Stays open beside the window; double-click on a row shows its layer in the graph."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, _COLUMNS, _EXPORT, parent)
        self.setWindowTitle("Will it help here?")
        self.resize(960, 580)
        said = QLabel(
            "Every layer is timed by itself in float and in integers; a stand-in with the structure of the recipe's "
            "result and made-up numbers is timed beside the original. Nothing is trained or calibrated."
        )
        self.summary, self.shares, self.stale, self.warnings = (QLabel() for _ in range(4))
        for label in (said, self.summary, self.shares, self.stale, self.warnings):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.summary.setFont(self.strong())
        self.check.setToolTip("Time the layers and a stand-in of the recipe's result on this device")
        self.spare = QPushButton("Leave slower layers in float")
        self.spare.setToolTip(
            "Set bits of 32 on the layers that are slower in integers by themselves; undo brings them back"
        )
        self.spare.clicked.connect(self.leave_slower_in_float)
        self.lay_out((said, self.busy, self.summary, self.shares, self.stale, self.warnings), (self.spare,))
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self._job_changed)
        session.theme.themeChanged.connect(self.refresh)
        self.refresh()

    @property
    def report(self) -> Preflight | None:
        """What was foretold last."""
        known = self._session.state.preflight
        return None if known is None else known.report

    def start(self) -> None:
        """Foretell the present recipe."""
        foretell(self._session)
        self.refresh()

    def leave_slower_in_float(self) -> None:
        """Set bits of 32 on the layers that are slower in integers by themselves, as one act."""
        layers = slower_layers(self.report)
        bits = tuple(SetSettings(layers, knob, 32) for knob in ("weight_bits", "activation_bits"))
        self._session.do(Together(bits, title=f"Leave {numbers.plural(len(layers), 'slower layer')} in float"))

    def refresh(self) -> None:
        """Show what is known."""
        report, busy = self.report, foretelling(self._session)
        self.show_busy(busy, report is not None)
        self.check.setEnabled(not busy and self._session.state.model is not None)
        self.check.setText("Foretell" if report is None else "Foretell again")
        for widget in (self.shares, self.warnings):
            widget.setVisible(report is not None)
        slower = slower_layers(report)
        stale = report is not None and not up_to_date(self._session)
        self.spare.setVisible(bool(slower))
        self.spare.setEnabled(not stale and not busy)
        self.stale.setVisible(stale)
        self.stale.setText("The recipe has changed since; foretell again." if stale else "")
        self._color(self.stale, "warning")
        self.tree.clear()
        if report is None:
            words = work_words(self._session, PreflightJob, "Foretelling: a few seconds.")
            self.summary.setText(words if busy else "Nothing foretold yet.")
            return
        self.summary.setText(in_words(report))
        self.shares.setText(shares_in_words(report))
        self.shares.setVisible(bool(self.shares.text()))
        self.warnings.setText("\n".join(report.warnings))
        self.warnings.setVisible(bool(report.warnings))
        self._color(self.warnings, "warning")
        self._fill(report)

    def csv(self) -> str | None:
        """Return the figures of all layers."""
        return None if self.report is None else outlook_csv(self.report)

    def _fill(self, report: Preflight) -> None:
        strong = self.strong()
        items = []
        inspect = self._session.state.inspect
        for row in outlook_rows(report, {} if inspect is None else layer_labels(inspect)):
            item = self.row(row.cells, row.layer)
            for column in range(len(row.cells)):
                item.setToolTip(column, row.reason or row.cells[column])
            item.setFont(row.chosen, strong)
            if row.slower:
                item.setForeground(len(row.cells) - 1, self._session.theme.color("error"))
                item.setForeground(row.chosen, self._session.theme.color("error"))
            items.append(item)
        self.tree.addTopLevelItems(items)
        empty = empty_columns(report)
        for column in range(len(HEADINGS)):
            self.tree.setColumnHidden(column, column in empty)
        metrics = self.tree.fontMetrics()
        widest = max((metrics.horizontalAdvance(item.text(0)) for item in items), default=0)
        self.tree.setColumnWidth(0, min(max(widest + _MARGIN_PX, self.tree.columnWidth(0)), _WIDEST_PX))

    def _color(self, label: QLabel, role: str) -> None:
        palette = label.palette()
        palette.setColor(label.foregroundRole(), self._session.theme.color(role))
        label.setPalette(palette)

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), PreflightJob):
            self.refresh()


def show_preflight(session: Session, parent: QWidget) -> PreflightDialog:
    """Open the dialog, and foretell where nothing current is known."""
    dialog = PreflightDialog(session, parent)
    dialog.show()
    if session.state.model is not None and not foretelling(session) and not up_to_date(session):
        dialog.start()
    return dialog
