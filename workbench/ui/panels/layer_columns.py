"""Which columns of the layer table are shown, where and how wide: there are more settings than a small screen holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QHeaderView, QMenu, QTableView

from workbench.domain.knobs import ACTIVATION_BITS, PRUNE_RATIO, WEIGHT_BITS
from workbench.ui.models.layer_delegates import KnobDelegate, SensitivityDelegate
from workbench.ui.models.layer_table import LayerTable
from workbench.ui.panels.column_widths import fit_columns
from workbench.ui.preferences import Preferences
from workbench.ui.theme import Theme

_ALWAYS = "Layer"
_BASIC = (PRUNE_RATIO.name, WEIGHT_BITS.name, ACTIVATION_BITS.name)
_NAME_PX = (104, 220)
_CURVE_PX = 84
_TABLE = "layers"


def shown_columns(table: LayerTable, chosen: Mapping[str, bool]) -> frozenset[str]:
    """Return the headings to show: what the user chose, else the usual ones and every setting that is in use.

    Args:
        table: The table.
        chosen: Heading → whether the user wants it.
    """
    wanted = set()
    for column, title in enumerate(table.columns):
        knob = table.knob_at(column)
        usual = knob is None or knob.name in _BASIC or knob.name not in table.unread
        if knob is not None and not usual:
            cells = (row.knobs[table.knobs.index(knob)] for row in table.rows)
            usual = any(cell.own or cell.value not in (None, knob.untouched) for cell in cells)
        if title == _ALWAYS or chosen.get(title, usual):
            wanted.add(title)
    return frozenset(wanted)


class LayerColumns(QObject):
    """Keeps the columns of one view.

    Args:
        view: The table.
        theme: Colours of the cells.
        preferences: Where the user's choice is remembered; None forgets it.
    """

    def __init__(self, view: QTableView, theme: Theme, preferences: Preferences | None) -> None:
        super().__init__(view)
        self._view = view
        self._theme = theme
        self._preferences = preferences
        self._table = LayerTable()
        self._arranged: tuple[str, ...] = ()
        self._chosen = {} if preferences is None else preferences.columns(_TABLE)
        self._sensitivity = SensitivityDelegate(theme, view)
        header = view.horizontalHeader()
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(self._show_menu)
        header.setToolTip("Click sorts, right click chooses columns")

    def set_table(self, table: LayerTable) -> None:
        """Follow a table whose rows are in the view's model already."""
        self._table = table
        self._sensitivity.set_table(table)
        if table.columns != self._arranged:
            self._arranged = table.columns
            self._arrange()
        shown = shown_columns(table, self._chosen)
        for column, title in enumerate(table.columns):
            if self._view.isColumnHidden(column) is (title in shown):
                self._view.setColumnHidden(column, title not in shown)

    def menu(self) -> QMenu:
        """Return the menu that chooses columns."""
        menu = QMenu(self._view)
        menu.setToolTipsVisible(True)
        shown = shown_columns(self._table, self._chosen)
        header = self._view.horizontalHeader()
        order = sorted(range(len(self._table.columns)), key=header.visualIndex)
        for title in (self._table.columns[column] for column in order):
            action = menu.addAction(title)
            action.setCheckable(True)
            action.setChecked(title in shown)
            action.setEnabled(title != _ALWAYS)
            action.setToolTip("Rows can't be told apart without it" if title == _ALWAYS else self._tip(title))
            action.toggled.connect(partial(self._choose, title))
        menu.addSeparator()
        reset = menu.addAction("Show what is in use")
        reset.setEnabled(bool(self._chosen))
        reset.setToolTip("" if self._chosen else "The columns are those in use already")
        reset.triggered.connect(self._forget)
        return menu

    def _tip(self, title: str) -> str:
        column = self._table.columns.index(title)
        tip = self._view.model().headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        return str(tip or "")

    def _choose(self, title: str, shown: bool) -> None:
        self._chosen[title] = shown
        self._changed()

    def _forget(self) -> None:
        self._chosen.clear()
        self._changed()

    def _changed(self) -> None:
        if self._preferences is not None:
            self._preferences.set_columns(_TABLE, self._chosen)
        self.set_table(self._table)

    def _show_menu(self, place: QPoint) -> None:
        menu = self.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self._view.horizontalHeader().mapToGlobal(place))

    def _arrange(self) -> None:
        """Give every column its editor, its place and a width that fits its content."""
        table, view = self._table, self._view
        default = QTableView.itemDelegate(view)
        for column in range(len(table.columns)):
            knob = table.knob_at(column)
            if knob is not None:
                delegate = KnobDelegate(self._theme, view)
                delegate.set_knob(knob)
                view.setItemDelegateForColumn(column, delegate)
            elif column == table.sensitivity_column:
                view.setItemDelegateForColumn(column, self._sensitivity)
            else:
                view.setItemDelegateForColumn(column, default)
        fit_columns(view)
        header = view.horizontalHeader()
        names = table.columns.index(_ALWAYS)
        view.setColumnWidth(names, min(max(view.columnWidth(names) + 4, _NAME_PX[0]), _NAME_PX[1]))
        view.setColumnWidth(table.sensitivity_column, _CURVE_PX)
        # What is decided, and by what, comes first; what a layer is can be seen in the graph too.
        order = [_ALWAYS, "Sensitivity", *(knob.title for knob in table.knobs), "MACs", "Params"]
        if header.visualIndex(table.sensitivity_column) != 1:
            for place, title in enumerate(order):
                header.moveSection(header.visualIndex(table.columns.index(title)), place)
        header.setStretchLastSection(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
