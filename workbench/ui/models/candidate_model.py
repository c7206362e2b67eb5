"""The candidates' table as Qt's views want it; edits leave as signals, so that the model itself changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QFont, QPixmap

from workbench.domain.measurements import Interval
from workbench.ui.models import numbers
from workbench.ui.models.candidate_filter import tags_text
from workbench.ui.models.candidate_table import CandidateRow, CandidateTable
from workbench.ui.models.number_column import exact_column, measured_column
from workbench.ui.models.pareto_scene import Kind, hover_text
from workbench.ui.models.ranked_proxy import SORT_ROLE, TEXT_ROLE
from workbench.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
COLUMNS = (
    "name",
    "metric",
    "ratio",
    "size",
    "change",
    "latency",
    "threads",
    "macs",
    "params",
    "memory",
    "bitops",
    "tags",
    "steps",
    "noise",
    "note",
)
EDITED = ("name", "note", "tags")
_WORDS = frozenset({"name", "steps", "noise", "note", "tags"})
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_TIPS = {
    "name": "Double-click to rename",
    "metric": "Measured on the exported file, with its 95 % interval",
    "change": "Difference to the original on the same samples, with its 95 % interval",
    "ratio": "Time relative to the original, both measured interleaved, with its 95 % interval",
    "latency": "Median of one inference, with its 95 % interval",
    "threads": "Threads and batch of the latency measurement",
    "size": "Size of the exported file",
    "macs": "Multiply-accumulates of one sample",
    "params": "Number of parameters",
    "steps": "Methods of the recipe, in order",
    "noise": "What disturbed the latency measurement",
    "note": "Double-click to write a note",
    "tags": "Double-click to write tags, separated by blanks",
    "memory": "Most memory that one inference took, beside what the runtime takes",
    "bitops": "MACs times weight bits times activation bits, of one sample",
}


class CandidateModel(QAbstractTableModel):
    """Rows of a CandidateTable.

    Signals:
        edited: (candidate id, "name", "note" or "tags", new text).
    """

    edited = Signal(str, str, str)

    def __init__(self, theme: Theme, symbol: Callable[[Kind, bool], QPixmap], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._symbol = symbol
        self._table = CandidateTable()
        self._kinds: tuple[Kind, ...] = ()
        self._cells: dict[str, tuple[str, ...]] = {}
        self._titles: dict[str, str] = dict.fromkeys(COLUMNS, "")
        self._struck = QFont()
        self._struck.setStrikeOut(True)

    @property
    def table(self) -> CandidateTable:
        """What is shown."""
        return self._table

    def set_table(self, table: CandidateTable, best: frozenset[str]) -> None:
        """Show another snapshot; `best` are the ids on the front. Selection survives where the rows stay the same."""
        same = [row.id for row in self._table.rows] == [row.id for row in table.rows]
        if not same:
            self.beginResetModel()
        self._table = table
        self._kinds = tuple(_kind(row, best) for row in table.rows)
        self._write()
        if not same:
            self.endResetModel()
        elif table.rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(table.rows) - 1, len(COLUMNS) - 1))
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(COLUMNS) - 1)

    def row(self, index: Index) -> CandidateRow:
        """Return the row of an index of this model."""
        return self._table.rows[index.row()]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows, the original's included."""
        return 0 if parent.isValid() else len(self._table.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return headings with their unit."""
        if orientation != Qt.Orientation.Horizontal or section >= len(COLUMNS):
            return None
        key = COLUMNS[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._titles[key]
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{numbers.metric_title(self._table.metric)}. {_TIPS[key]}" if key == "metric" else _TIPS[key]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _LEFT if key in _WORDS else _RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell in one of its roles."""
        if not index.isValid() or index.row() >= len(self._table.rows):
            return None
        row, key = self._table.rows[index.row()], COLUMNS[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._cells[key][index.row()]
            case Qt.ItemDataRole.EditRole:
                return {"name": row.name, "note": row.note, "tags": tags_text(row.tags)}.get(key)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _LEFT if key in _WORDS else _RIGHT
            case Qt.ItemDataRole.ToolTipRole:
                return self._tip(row, key)
            case Qt.ItemDataRole.ForegroundRole:
                return self._theme.color(self._color(row, key, self._kinds[index.row()]))
            case Qt.ItemDataRole.FontRole:
                return self._struck if row.stale else None
            case Qt.ItemDataRole.DecorationRole:
                return self._symbol(self._kinds[index.row()], row.star) if key == "name" else None
        if role == SORT_ROLE:
            return _sort_key(row, key)
        return f"{row.name} {row.steps} {row.note} {tags_text(row.tags)}" if role == TEXT_ROLE else None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return that names and notes of candidates are edited in place."""
        flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        if COLUMNS[index.column()] in EDITED and not self.row(index).is_baseline:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for an edit; the new text shows once the document has changed."""
        row, key, text = self.row(index), COLUMNS[index.column()], str(value).strip()
        if role != Qt.ItemDataRole.EditRole or row.is_baseline or (key == "name" and not text):
            return False
        if text != {"name": row.name, "note": row.note, "tags": tags_text(row.tags)}.get(key, text):
            self.edited.emit(row.id, key, text)
        return True

    def _write(self) -> None:
        """Write all cells at once: digits, units and padding are a matter of whole columns."""
        table, rows = self._table, self._table.rows
        factor, metric = numbers.metric_factor(table.metric), table.metric
        size, size_prefix = exact_column([row.size_bytes for row in rows])
        macs, macs_prefix = exact_column([row.macs for row in rows])
        params, params_prefix = exact_column([row.params for row in rows])
        memory, memory_prefix = exact_column([row.memory_bytes or 0 for row in rows])
        bits, bits_prefix = exact_column([row.bit_operations or 0 for row in rows])
        self._cells = {
            "name": tuple(row.name for row in rows),
            "metric": measured_column(
                [
                    (row.metric.value * factor, _times(row.metric.ci95, factor))
                    if row.metric and row.metric.metric == metric
                    else None
                    for row in rows
                ]
            ),
            "change": measured_column(
                [
                    (row.difference.value * factor, _times(row.difference.ci95, factor))
                    if row.difference and row.metric and row.metric.metric == metric
                    else None
                    for row in rows
                ],
                signed=True,
            ),
            "ratio": measured_column([(row.ratio.median, row.ratio.ci95) if row.ratio else None for row in rows]),
            "latency": measured_column(
                [(row.latency.median, row.latency.ci95) if row.latency else None for row in rows]
            ),
            "threads": tuple(
                f"{row.threads} {numbers.TIMES} {row.batch}" if row.threads else numbers.NOTHING for row in rows
            ),
            "size": size,
            "macs": macs,
            "params": params,
            "memory": tuple(
                text if row.memory_bytes else numbers.NOTHING for row, text in zip(rows, memory, strict=True)
            ),
            "bitops": tuple(
                text if row.bit_operations else numbers.NOTHING for row, text in zip(rows, bits, strict=True)
            ),
            "tags": tuple(tags_text(row.tags) for row in rows),
            "steps": tuple(row.steps for row in rows),
            "noise": tuple("not quiet" if row.noise else "" for row in rows),
            "note": tuple(" ".join(row.note.split()) for row in rows),
        }
        self._titles = {
            "name": "Candidate",
            "metric": _titled(numbers.metric_title(metric).removesuffix(" accuracy"), numbers.metric_unit(metric)),
            "change": _titled("Change", numbers.drop_unit(metric)),
            "ratio": "Latency ratio",
            "latency": "Latency, ms",
            "threads": f"Threads {numbers.TIMES} batch",
            "size": _titled("Size", f"{size_prefix}B"),
            "macs": _titled("MACs", macs_prefix),
            "params": _titled("Params", params_prefix),
            "memory": _titled("Memory", f"{memory_prefix}B"),
            "bitops": _titled("Bit operations", bits_prefix),
            "tags": "Tags",
            "steps": "Steps",
            "noise": "Noise",
            "note": "Note",
        }

    def _tip(self, row: CandidateRow, key: str) -> str | None:
        exact = {"size": size_tip(row), "macs": numbers.exact_text(row.macs)}
        exact["params"] = numbers.exact_text(row.params)
        if key == "ratio" and row.ratio and not row.is_baseline:
            return numbers.speedup_text(row.ratio)
        if key in ("noise", "steps", "note"):
            return {"noise": row.noise, "steps": row.steps, "note": row.note}[key] or None
        return exact[key] if key in exact else hover_text(row)

    def _color(self, row: CandidateRow, key: str, kind: Kind) -> str:
        if key == "noise":
            return "warning"
        return "muted" if row.stale or key in ("steps", "threads", "tags") or kind == "beaten" else "text"


def size_tip(row: CandidateRow) -> str:
    """Return the file's size, and what it would be with its weights' bits packed where their containers are wider."""
    text = f"{numbers.exact_text(row.size_bytes)} bytes"
    if row.packed_bytes is not None:
        text += f"; {numbers.exact_text(row.packed_bytes)} with every weight packed to its bits (counted)"
    return text


def _kind(row: CandidateRow, best: frozenset[str]) -> Kind:
    if row.is_baseline:
        return "original"
    return "stale" if row.stale else "front" if row.id in best else "beaten"


def _sort_key(row: CandidateRow, key: str) -> float | str | None:
    values: dict[str, float | str | None] = {
        "metric": row.metric.value if row.metric else None,
        "change": row.difference.value if row.difference else None,
        "ratio": row.ratio.median if row.ratio else None,
        "latency": row.latency.median if row.latency else None,
        "threads": row.threads or None,
        "size": row.size_bytes,
        "macs": row.macs,
        "params": row.params,
        "memory": row.memory_bytes,
        "bitops": row.bit_operations,
        "tags": tags_text(row.tags) or None,
        "steps": row.steps or None,
        "noise": row.noise or None,
        "note": row.note or None,
    }
    return values.get(key, row.name)


def _times(interval: Interval, factor: float) -> Interval:
    return interval[0] * factor, interval[1] * factor


def _titled(title: str, unit: str) -> str:
    return f"{title}, {unit}" if unit else title
