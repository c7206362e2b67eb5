"""The jobs as table rows, newest first; a row is replaced only when its record is another one."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from workbench.jobs.record import JobRecord
from workbench.ui.models import numbers
from workbench.ui.theme import Theme

COLUMNS = ("Job", "Progress", "Time")
PROGRESS_ROLE = Qt.ItemDataRole.UserRole + 1
_STATES = {
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
Index = QModelIndex | QPersistentModelIndex


def state_text(record: JobRecord) -> str:
    """Return a job's state as a person says it."""
    if record.cancelling and not record.finished:
        return "cancelling"
    if record.state == "running":
        return f"{record.fraction:.0%}  {record.text}".rstrip()
    return _STATES[record.state]


def time_text(record: JobRecord, now: datetime) -> str:
    """Return the time left of a running job, else how long it took."""
    if record.started is None:
        return ""
    elapsed = ((record.ended or now) - record.started).total_seconds()
    if record.state == "running" and record.seconds_left is not None:
        return f"{numbers.duration_text(record.seconds_left)} left"
    return numbers.duration_text(max(elapsed, 0.0))


class JobModel(QAbstractTableModel):
    """Rows of job records."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._records: tuple[JobRecord, ...] = ()

    def set_records(self, records: tuple[JobRecord, ...]) -> None:
        """Show these jobs, given oldest first."""
        rows = tuple(reversed(records))
        if [row.id for row in rows] != [row.id for row in self._records]:
            self.beginResetModel()
            self._records = rows
            self.endResetModel()
            return
        self._records = rows
        if rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(COLUMNS) - 1))

    def record(self, row: int) -> JobRecord | None:
        """Return the job of a row, or None for a row that is gone."""
        return self._records[row] if 0 <= row < len(self._records) else None

    def to_csv(self) -> str:
        """Return all rows, newest first, as CSV: job, state, seconds of work, error."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("job", "state", "seconds", "error"))
        now = datetime.now(UTC)
        for record in self._records:
            started = record.started
            seconds = "" if started is None else f"{((record.ended or now) - started).total_seconds():.3f}"
            writer.writerow((record.title, record.state, seconds, "" if record.error is None else str(record.error)))
        return out.getvalue()

    def row_of(self, job: str) -> int:
        """Return a job's row, or -1."""
        return next((row for row, record in enumerate(self._records) if record.id == job), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """See QAbstractItemModel."""
        return 0 if parent.isValid() else len(self._records)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """See QAbstractItemModel."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """See QAbstractItemModel."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """See QAbstractItemModel."""
        record = self.record(index.row())
        if record is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            texts = (record.title, state_text(record), time_text(record, datetime.now(UTC)))
            return texts[index.column()]
        if role == PROGRESS_ROLE:
            return record.fraction if record.state == "running" else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return str(record.error) if record.error is not None else f"{record.title}: {state_text(record)}"
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == 1:
            roles = {"failed": "error", "cancelled": "muted", "queued": "muted", "done": "ok"}
            return self._theme.color(roles.get(record.state, "text"))
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == 2:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None
