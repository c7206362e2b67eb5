"""Painted and edited cells of the layer table: knob settings in place, sensitivities as bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from workbench.domain.knobs import Knob, Setting
from workbench.ui import colors
from workbench.ui.models import numbers
from workbench.ui.models.layer_model import ROW_ROLE
from workbench.ui.models.layer_table import FIXED_COLUMNS, KnobCell, LayerRow, LayerTable
from workbench.ui.models.measured_choices import NONE_MEASURED, MeasuredChoice
from workbench.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
_LIST_MARGIN_PX = 24
TIME_ROLE = Qt.ItemDataRole.UserRole + 1
DEFAULT = object()
"""Data of the entry that takes a layer's own setting away."""


class KnobDelegate(QStyledItemDelegate):
    """Edits a setting with a list of choices or a spin box, and shows its size as a bar or a bit-width colour."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._knob: Knob | None = None

    def set_knob(self, knob: Knob) -> None:
        """Say which knob the column edits."""
        self._knob = knob

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the cell and, under its text, a thin line that shows the setting."""
        super().paint(painter, option, index)
        value = index.data(Qt.ItemDataRole.EditRole)
        knob = self._knob
        if knob is None or isinstance(value, (str, type(None))) or value == knob.untouched:
            return
        rect = QRectF(option.rect)
        if knob.unit == "bits":
            color = QColor(*colors.bits_color(float(value)))
            painter.fillRect(QRectF(rect.left() + 2, rect.top() + 4, 3, rect.height() - 8), color)
        elif knob.low is not None and knob.high is not None and knob.high > knob.low:
            share = (float(value) - knob.low) / (knob.high - knob.low)
            width = (rect.width() - 8) * share
            painter.fillRect(QRectF(rect.left() + 4, rect.bottom() - 3, width, 2), self._theme.color("accent"))

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """Return a combo box for choices, a spin box for a range, a line otherwise."""
        knob = self._knob
        if knob is not None and knob.choices:
            box = QComboBox(parent)
            box.addItem("Default", DEFAULT)
            cell = self._cell(index)
            for choice in knob.choices:
                box.addItem(numbers.setting_text(choice, knob.unit), choice)
            name_times(box)
            if cell is not None:
                grey_out(box, cell.refused, cell.measured)
            # The cell is as wide as two digits; what a choice takes is read in the list.
            box.view().setMinimumWidth(box.view().sizeHintForColumn(0) + _LIST_MARGIN_PX)
            box.activated.connect(lambda _: self._commit(box))
            return box
        if knob is not None and not isinstance(knob.untouched, str):
            return setting_spin_box(knob, parent)
        return QLineEdit(parent)

    def _cell(self, index: Index) -> KnobCell | None:
        row = index.data(ROW_ROLE)
        cells = row.knobs if isinstance(row, LayerRow) else ()
        place = index.column() - len(FIXED_COLUMNS)
        return cells[place] if 0 <= place < len(cells) else None

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Start from the setting in force."""
        value = index.data(Qt.ItemDataRole.EditRole)
        if isinstance(editor, QComboBox):
            editor.setCurrentIndex(max(editor.findData(value), 0))
            editor.showPopup()
        elif isinstance(editor, QDoubleSpinBox) and self._knob is not None:
            editor.setValue(float(value) * spin_factor(self._knob))
            editor.selectAll()
        elif isinstance(editor, QLineEdit):
            editor.setText(str(value))

    def setModelData(self, editor: QWidget, model: Any, index: Index) -> None:
        """Ask the model for the edit, unless nothing was changed."""
        value: Any = None
        if isinstance(editor, QComboBox):
            data = editor.currentData()
            value = None if data is DEFAULT else data
        elif isinstance(editor, QDoubleSpinBox) and self._knob is not None:
            value = spin_value(editor, self._knob)
        elif isinstance(editor, QLineEdit):
            value = editor.text()
        if value != index.data(Qt.ItemDataRole.EditRole) or value is None:
            model.setData(index, value, Qt.ItemDataRole.EditRole)

    def _commit(self, editor: QWidget) -> None:
        self.commitData.emit(editor)
        self.closeEditor.emit(editor)


class SensitivityDelegate(QStyledItemDelegate):
    """Draws one bar per measured value: height and colour are the loss, on a scale that all rows share."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table = LayerTable()

    def set_table(self, table: LayerTable) -> None:
        """Take over the scale."""
        self._table = table

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw background, bars and a baseline."""
        style = option.widget.style() if option.widget else QApplication.style()
        style.drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        row = index.data(ROW_ROLE)
        if not isinstance(row, LayerRow):
            return
        cell = QRectF(option.rect).adjusted(6, 3, -6, -3)
        painter.save()
        painter.setPen(self._theme.color("grid"))
        painter.drawLine(cell.bottomLeft(), cell.bottomRight())
        if row.drops:
            slot = min(cell.width() / len(row.drops), 22.0)
            for place, drop in enumerate(row.drops):
                share = drop_share(drop.drop, self._table.top_drop)
                height = max(share * cell.height(), 1.5)
                bar = QRectF(cell.left() + place * slot + 1, cell.bottom() - height, slot - 2, height)
                painter.fillRect(bar, QColor(*colors.heat(share)))
                # The mild end of the scale is as dark as the dark look: an edge shows the curve on either.
                painter.fillRect(QRectF(bar.left(), bar.top(), bar.width(), 1.0), self._theme.color("muted"))
        painter.restore()


class _TimeDelegate(QStyledItemDelegate):
    """Writes what a choice was measured to take behind it, in the open list alone."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        """Lengthen the text."""
        super().initStyleOption(option, index)
        if known := index.data(TIME_ROLE):
            option.text = f"{option.text}   {known}"


def name_times(combo: QComboBox) -> None:
    """Let an open list name the times that `grey_out` gives its entries."""
    combo.setItemDelegate(_TimeDelegate(combo))


def grey_out(
    combo: QComboBox, refused: Mapping[Setting, str], measured: Mapping[Setting, MeasuredChoice] = NONE_MEASURED
) -> None:
    """Let the entries of a list whose data is refused be seen, with the reason, but not be chosen; name known times."""
    for index in range(combo.count()):
        reason = refused.get(combo.itemData(index))
        known = measured.get(combo.itemData(index))
        # A combo box's own model is one of items, which its declared type does not say.
        combo.model().item(index).setEnabled(reason is None)  # type: ignore[attr-defined]
        tip = reason if reason is not None or known is None else known.sentence
        combo.setItemData(index, tip, Qt.ItemDataRole.ToolTipRole)
        combo.setItemData(index, None if known is None else known.text, TIME_ROLE)


def drop_share(drop: float, top: float) -> float:
    """Return how far up the heat scale a loss lies, 0-1; a gain counts as no loss."""
    return min(max(drop, 0.0) / top, 1.0) if top > 0 else 0.0


def spin_factor(knob: Knob) -> float:
    """Return what a setting is multiplied with in a spin box: shares are edited in per cent."""
    return 100.0 if knob.unit.startswith("share") else 1.0


def setting_spin_box(knob: Knob, parent: QWidget | None = None) -> QDoubleSpinBox:
    """Return a spin box for a numeric knob, in per cent for shares."""
    factor = spin_factor(knob)
    box = QDoubleSpinBox(parent)
    box.setDecimals(0 if isinstance(knob.untouched, int) else 1 if factor == 100.0 else 3)
    box.setRange(
        (knob.low if knob.low is not None else -1e9) * factor, (knob.high if knob.high is not None else 1e9) * factor
    )
    box.setSingleStep((knob.step or (1.0 if isinstance(knob.untouched, int) else 0.05)) * factor)
    box.setAlignment(Qt.AlignmentFlag.AlignRight)
    box.setKeyboardTracking(False)
    if factor == 100.0:
        box.setSuffix(" %")
    box.setToolTip(knob.doc)
    return box


def spin_value(box: QDoubleSpinBox, knob: Knob) -> int | float:
    """Return a spin box' value as the knob's own type."""
    value = round(box.value() / spin_factor(knob), 6)
    return int(value) if isinstance(knob.untouched, int) else value
