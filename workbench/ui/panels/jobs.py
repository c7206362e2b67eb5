"""The jobs: what runs, how long it will take, a cancel that answers at once, and each job's log."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QKeySequence, QPainter, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QSplitter,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from workbench.jobs.record import JobRecord
from workbench.ui.models import numbers
from workbench.ui.models.job_model import PROGRESS_ROLE, JobModel, state_text
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path, copy_text, save_text, selected_as_text
from workbench.ui.session import Session
from workbench.ui.theme import Theme

_TICK_MS = 1000
_STOP = "Stop the selected job; what it has finished is kept (Del)"
_FINISHED = "This job has ended or is ending already; select one that runs or waits"


class JobsPanel(QWidget):
    """Table of jobs, newest first, above the selected job's log."""

    title = "Jobs"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._chosen: str | None = None
        self._following = False
        self.model = JobModel(session.theme, self)
        self.view = self._make_view()
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setPlaceholderText("The selected job's log")
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.count = QLabel()
        self.count.setProperty("role", "muted")
        self.cancel = QPushButton("Cancel")
        self.cancel.clicked.connect(self.cancel_selected)
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.view)
        split.addWidget(self.log)
        split.setStretchFactor(0, 2)
        split.setStretchFactor(1, 1)
        split.setChildrenCollapsible(False)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 4)
        bar.addWidget(self.count, 1)
        bar.addWidget(self.cancel)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(0)
        inner.addWidget(split, 1)
        inner.addLayout(bar)
        self._pages = Pages(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)
        self._tick = QTimer(self)
        self._tick.setInterval(_TICK_MS)
        self._tick.timeout.connect(self._ticked)
        session.jobs.jobChanged.connect(self._job_changed)
        session.theme.themeChanged.connect(self.refresh)
        self.view.selectionModel().currentRowChanged.connect(self._row_chosen)
        QShortcut(QKeySequence(Qt.Key.Key_Delete), self.view, self.cancel_selected).setContext(
            Qt.ShortcutContext.WidgetShortcut
        )
        QShortcut(QKeySequence.StandardKey.Copy, self.view, self._copy, context=Qt.ShortcutContext.WidgetShortcut)
        self.refresh()

    def refresh(self) -> None:
        """Show the jobs as they are now."""
        records = self._session.jobs.records
        if not records:
            self._pages.show_empty(
                "No jobs yet",
                "Everything that takes longer than a moment appears here with its progress, the time left and its log. "
                "The window never waits for it.",
            )
            return
        self._pages.show_content()
        shown = self.selected()
        active = [record for record in records if not record.finished]
        self._following = True
        self.model.set_records(records)
        self._follow(shown, active)
        self._following = False
        self.count.setText(numbers.plural(len(active), "job") + " waiting or running" if active else "Nothing runs")
        if active and not self._tick.isActive():
            self._tick.start()
        elif not active:
            self._tick.stop()
        self._show_selected()

    def _follow(self, shown: JobRecord | None, active: list[JobRecord]) -> None:
        """Stay with the job that the user picked; otherwise show the one that works, or worked last."""
        running = next((record for record in active if record.state == "running"), None)
        if self._chosen is not None and self.model.row_of(self._chosen) >= 0:
            self._select(self._chosen)
        elif running is not None:
            self._select(running.id)
        elif shown is not None:
            self._select(shown.id)
        else:
            self.view.selectRow(0)

    def show_job(self, job: str) -> None:
        """Select a job and stay with it."""
        self._chosen = job
        self._select(job)

    def _select(self, job: str) -> None:
        row = self.model.row_of(job)
        if row >= 0 and self.view.currentIndex().row() != row:
            self.view.selectRow(row)

    def selected(self) -> JobRecord | None:
        """Return the selected job, or None."""
        return self.model.record(self.view.currentIndex().row())

    def cancel_selected(self) -> None:
        """Stop the selected job."""
        record = self.selected()
        if record is not None and not record.finished:
            self._session.jobs.cancel(record.id)

    def _make_view(self) -> QTableView:
        view = QTableView()
        view.setModel(self.model)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setShowGrid(False)
        view.setWordWrap(False)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(24)
        header = view.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        header.resizeSection(1, 150)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        view.setItemDelegateForColumn(1, _ProgressDelegate(self._session.theme, view))
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(self._menu)
        return view

    def _menu(self, place: QPoint) -> None:
        record = self.model.record(self.view.indexAt(place).row())
        if record is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        cancel = menu.addAction("Cancel", lambda: self._session.jobs.cancel(record.id))
        cancel.setEnabled(not record.finished)
        menu.setToolTipsVisible(True)
        cancel.setToolTip("" if cancel.isEnabled() else _FINISHED)
        menu.addSeparator()
        menu.addAction("Copy log", lambda: copy_text(self._session, _log_text(record), "log"))
        if record.error is not None:
            menu.addAction("Copy error", lambda: copy_text(self._session, str(record.error), "error"))
        menu.addAction("Copy row", self._copy)
        menu.addAction("Copy table", lambda: copy_text(self._session, self.model.to_csv(), "jobs as CSV"))
        menu.addAction("Export CSV…", lambda: ask_path(self, "Export jobs", "jobs.csv", "CSV (*.csv)", self.export_csv))
        menu.popup(self.view.viewport().mapToGlobal(place))

    def export_csv(self, path: Path) -> None:
        """Write all jobs as CSV."""
        save_text(self._session, path, self.model.to_csv())

    def _copy(self) -> None:
        copy_text(self._session, selected_as_text(self.view), "jobs")

    def _job_changed(self, job: str) -> None:
        self.refresh()

    def _ticked(self) -> None:
        self.model.set_records(self._session.jobs.records)

    def _row_chosen(self, current: QModelIndex, previous: QModelIndex) -> None:
        record = self.model.record(current.row())
        if not self._following and record is not None:
            self._chosen = record.id
        self._show_selected()

    def _show_selected(self) -> None:
        record = self.selected()
        stoppable = record is not None and not record.finished and not record.cancelling
        self.cancel.setEnabled(stoppable)
        self.cancel.setToolTip(_STOP if stoppable else "Select a job" if record is None else _FINISHED)
        text = "" if record is None else _log_text(record)
        if text != self.log.toPlainText():
            bar = self.log.verticalScrollBar()
            follow = bar.value() >= bar.maximum() - 4
            self.log.setPlainText(text)
            if follow:
                bar.setValue(bar.maximum())


def _log_text(record: JobRecord) -> str:
    lines = list(record.log)
    if record.error is not None:
        lines.append(str(record.error))
    if not lines:
        lines.append(f"{record.title}: {state_text(record)}")
    return "\n".join(lines)


class _ProgressDelegate(QStyledItemDelegate):
    """Paints how far a running job is as a line under its text."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """See QStyledItemDelegate."""
        super().paint(painter, option, index)
        fraction = index.data(PROGRESS_ROLE)
        if fraction is not None:
            rect = getattr(option, "rect", QRect())
            line = QRect(rect.left() + 3, rect.bottom() - 3, rect.width() - 6, 3)
            painter.fillRect(line, self._theme.color("border"))
            line.setWidth(round(line.width() * min(max(float(fraction), 0.0), 1.0)))
            painter.fillRect(line, self._theme.color("accent"))
