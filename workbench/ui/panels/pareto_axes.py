"""Chooses the measure of an axis: all are named, those without figures can't be chosen and say why."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QWidget

from workbench.ui.models.candidate_table import CandidateTable
from workbench.ui.models.measures import AXES, DROP, METRIC, Axis, Key

COSTS_FIRST: tuple[Axis, ...] = (*AXES, METRIC, DROP)
METRIC_FIRST: tuple[Axis, ...] = (METRIC, DROP, *AXES)
_SHOWN_CHARACTERS = 10
_WHY_NOT: dict[Key, str] = {
    "memory": "No candidate's memory was measured: name memory among a search's objectives or budgets",
    "bitops": "Counted for candidates that are made from now on",
    "packed": "No file has weights in containers wider than their bits",
}


class AxisChooser(QComboBox):
    """A measure for each entry."""

    def __init__(self, axes: tuple[Axis, ...], prefix: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axes, self._prefix = axes, prefix
        self.addItems([axis.title for axis in axes])
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        # Long names are rare; the list that opens has room for them.
        self.setMinimumContentsLength(_SHOWN_CHARACTERS + len(prefix) // 2)
        self.name(CandidateTable(), axes[0])

    @property
    def axis(self) -> Axis:
        """The chosen measure."""
        return self._axes[max(self.currentIndex(), 0)]

    def choose(self, axis: Axis) -> None:
        """Choose a measure as the user would."""
        index = self._axes.index(axis)
        self.setCurrentIndex(index)
        self.activated.emit(index)

    def name(self, table: CandidateTable, other: Axis) -> None:
        """Name the measures as a table does; `other` is the one on the other axis."""
        known = {axis.key for axis in table.measures()}
        model = self.model()
        assert isinstance(model, QStandardItemModel)
        for number, axis in enumerate(self._axes):
            text = f"{self._prefix}{axis.inner(table)}" if self._prefix else axis.name(table)
            if self.itemText(number) != text:
                self.setItemText(number, text)
            item = model.item(number)
            reason = "Is on the other axis" if axis == other else ""
            # Latency can be asked for before it is there: the panel then offers to measure it.
            if not reason and table.rows and axis.key not in known and axis.key in _WHY_NOT:
                reason = _WHY_NOT[axis.key]
            item.setEnabled(not reason)
            item.setData(reason or None, Qt.ItemDataRole.ToolTipRole)
        widest = max(self.fontMetrics().horizontalAdvance(self.itemText(row)) for row in range(self.count()))
        self.view().setMinimumWidth(widest + 32)
