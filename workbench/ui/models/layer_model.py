"""The layer table as Qt's views want it; edits leave as signals, so that the model itself changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QFont

from workbench.domain.knobs import Knob
from workbench.ui.models import numbers
from workbench.ui.models.layer_table import FIXED_COLUMNS, LayerRow, LayerTable
from workbench.ui.models.ranked_proxy import SORT_ROLE, TEXT_ROLE
from workbench.ui.theme import Theme

ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 3
"""Role that gives the LayerRow."""

Index = QModelIndex | QPersistentModelIndex
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_HEADINGS = {
    "Layer": "Innermost module, or the node's name. Click to sort, Shift+click to add a column to the sort.",
    "Op": "Operator",
    "Shape": "Shape of the weight",
    "Params": "Number of parameters",
    "MACs": "Multiply-accumulates of one sample",
    "Group": "Channel group: layers with the same mark lose channels together",
}


class LayerModel(QAbstractTableModel):
    """Rows of a LayerTable.

    Signals:
        edited: (layer name, knob name, new setting or None for the default).
    """

    edited = Signal(str, str, object)

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table = LayerTable()
        self._together: frozenset[str] = frozenset()
        self._beside: frozenset[str] = frozenset()
        self._macs = (1.0, "")
        self._bold = QFont()
        self._bold.setWeight(QFont.Weight.DemiBold)

    @property
    def table(self) -> LayerTable:
        """What is shown."""
        return self._table

    def set_table(self, table: LayerTable) -> None:
        """Show another snapshot; selection and scroll position survive where rows and columns stay the same."""
        old = self._table
        same = old.columns == table.columns and [row.name for row in old.rows] == [row.name for row in table.rows]
        if not same:
            self.beginResetModel()
        before, self._table = self._macs, table
        self._macs = numbers.common_prefix(row.macs for row in table.rows)
        if not same:
            self.endResetModel()
        elif (before, replace(old, rows=())) != (self._macs, replace(table, rows=())):
            self._repaint()
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(table.columns) - 1)
        else:
            changed = [place for place, rows in enumerate(zip(old.rows, table.rows, strict=True)) if rows[0] != rows[1]]
            if changed:
                self._repaint(changed[0], changed[-1])

    def mark_together(self, layers: frozenset[str], beside: frozenset[str] = frozenset()) -> None:
        """Mark the layers that lose channels with the selection, and those that can only be left out with it."""
        if (layers, beside) != (self._together, self._beside):
            self._together, self._beside = layers, beside
            self._repaint()

    def _repaint(self, first: int = 0, last: int | None = None) -> None:
        if self._table.rows:
            row = len(self._table.rows) - 1 if last is None else last
            self.dataChanged.emit(self.index(first, 0), self.index(row, len(self._table.columns) - 1))

    def row(self, index: Index) -> LayerRow:
        """Return the row of an index of this model."""
        return self._table.rows[index.row()]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of layers."""
        return 0 if parent.isValid() else len(self._table.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self._table.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return headings; their tooltips say unit and meaning."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self._table.columns):
            return None
        title = self._table.columns[section]
        knob = self._table.knob_at(section)
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{title}, {self._macs[1]}" if title == "MACs" and self._macs[1] else title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if knob is not None or title in ("Params", "MACs") else _LEFT
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._heading_tip(section, title, knob)
        return None

    def _heading_tip(self, section: int, title: str, knob: Knob | None) -> str:
        if knob is not None:
            text = f"{knob.doc or knob.title} Unit: {knob.unit}."
            return f"{text} No enabled step of the recipe reads it." if knob.name in self._table.unread else text
        if section == self._table.sensitivity_column:
            if not self._table.sweep:
                return "Loss of the metric when one layer is changed alone; measure it to fill this column"
            top = numbers.fixed(self._table.top_drop * numbers.metric_factor(self._table.metric), 1)
            unit = numbers.drop_unit(self._table.metric)
            return f"Loss when one layer is changed alone: {self._table.sweep}. A full bar is {top} {unit}."
        return _HEADINGS.get(title, title)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a cell in one of its roles."""
        if not index.isValid() or index.row() >= len(self._table.rows):
            return None
        row = self._table.rows[index.row()]
        column = index.column()
        knob = self._table.knob_at(column)
        if role == ROW_ROLE:
            return row
        if role == TEXT_ROLE:
            return f"{row.label} {row.name} {row.op} {row.shape} {row.group}"
        if knob is not None:
            return self._knob_data(row, column, knob, role)
        if column == self._table.sensitivity_column:
            return self._sensitivity_data(row, role)
        return self._fixed_data(row, column, role)

    def _knob_data(self, row: LayerRow, column: int, knob: Knob, role: int) -> Any:
        cell = row.knobs[column - len(FIXED_COLUMNS)]
        if role == Qt.ItemDataRole.DisplayRole:
            return numbers.NOTHING if cell.value is None else numbers.setting_text(cell.value, knob.unit)
        if role in (Qt.ItemDataRole.EditRole, SORT_ROLE):
            return cell.value
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT
        if role == Qt.ItemDataRole.FontRole:
            return self._bold if cell.own else None
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._theme.color("faint" if cell.reason else "text" if cell.own else "muted")
        if role == Qt.ItemDataRole.BackgroundRole:
            moved = {"channels": self._together, "branch": self._beside}.get(knob.coupling, frozenset())
            return self._theme.color("selection") if row.name in moved else None
        if role == Qt.ItemDataRole.ToolTipRole:
            if cell.reason:
                return cell.reason
            if cell.follows:
                return f"{cell.note}."
            origin = "Set for this layer" if cell.own else "From the plan's default"
            return f"{origin}. {cell.note}." if cell.note else f"{origin}."
        return None

    def _sensitivity_data(self, row: LayerRow, role: int) -> Any:
        if role == SORT_ROLE:
            return row.worst_drop
        if role == Qt.ItemDataRole.ToolTipRole:
            lines = [
                f"{numbers.setting_text(drop.value)}: {numbers.drop_text(drop.drop, drop.ci95, self._table.metric)} "
                f"({numbers.exact_text(drop.samples)} samples{', so far' if drop.provisional else ''})"
                for drop in row.drops
            ]
            if not lines:
                return "Not measured yet"
            return "\n".join([self._table.sweep, *lines])
        return None

    def _fixed_data(self, row: LayerRow, column: int, role: int) -> Any:
        title = self._table.columns[column]
        texts = {
            "Layer": row.label,
            "Op": row.op,
            "Shape": row.shape,
            "Params": numbers.exact_text(row.params),
            "MACs": self._macs_text(row.macs),
            "Group": f"{row.group} {numbers.TIMES}{len(row.coupled) + 1}" if row.coupled else row.group,
        }
        if role == Qt.ItemDataRole.DisplayRole:
            return texts[title]
        if role == SORT_ROLE:
            return {"Params": row.params, "MACs": row.macs, "Group": _natural(row.group)}.get(title, texts[title])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if title in ("Params", "MACs") else _LEFT
        if role == Qt.ItemDataRole.ForegroundRole and title != "Layer":
            return self._theme.color("text" if title in ("Params", "MACs") else "muted")
        if role == Qt.ItemDataRole.BackgroundRole and title == "Group" and row.name in self._together:
            return self._theme.color("selection")
        if role == Qt.ItemDataRole.ToolTipRole:
            if title == "Group" and row.coupled:
                return "Loses channels together with " + ", ".join(row.coupled)
            if title == "Group" and row.blocked:
                return f"Its channels can't be removed: {row.blocked}"
            return row.name if title == "Layer" else f"{numbers.exact_text(row.macs)} MACs" if title == "MACs" else None
        return None

    def _macs_text(self, macs: int) -> str:
        factor, prefix = self._macs
        if not prefix:
            return numbers.exact_text(macs)
        shown = macs / factor
        return "<0.01" if 0 < shown < 0.005 else numbers.fixed(shown, 2)

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return that settings are editable where the layer takes them."""
        flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
        knob = self._table.knob_at(index.column())
        if knob is not None and self.row(index).knobs[index.column() - len(FIXED_COLUMNS)].reason is None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for an edit; the new value shows once the document has changed."""
        knob = self._table.knob_at(index.column())
        if knob is None or role != Qt.ItemDataRole.EditRole:
            return False
        self.edited.emit(self.row(index).name, knob.name, value)
        return True


def _natural(group: str) -> float | None:
    """Sort groups by their number, layers without a group last."""
    digits = "".join(char for char in group if char.isdigit())
    return float(digits) if digits else None
