"""The layer table: where settings are given layer by layer or in bulk, beside each layer's cost and sensitivity."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QPoint, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.knobs import Knob, Setting
from workbench.project.commands import ReplacePlan
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.layer_model import LayerModel
from workbench.ui.models.layer_table import resolve_layers, setting_command, sweep_title, to_csv
from workbench.ui.models.ranked_proxy import Ascending, RankedProxy
from workbench.ui.panels.bits_menu import fill_bits_menu
from workbench.ui.panels.bulk_edit import BulkEditBar
from workbench.ui.panels.elided import ElidedLabel
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path, copy_text, save_text, selected_as_text
from workbench.ui.panels.heat_legend import HeatLegend
from workbench.ui.panels.layer_columns import LayerColumns
from workbench.ui.panels.layer_menu import layer_menu, replace_menu, sweep_menu
from workbench.ui.preferences import Preferences
from workbench.ui.session import Session
from workbench.ui.setting_acts import foretold_setting, give_setting

_REFRESH = Change.MODEL | Change.PLAN | Change.SENSITIVITY | Change.RECIPE | Change.PREFLIGHT | Change.DEVICE
_PROBLEMS_SHOWN = 3


class LayersPanel(QWidget):
    """Filter, table, bulk edit and a footer with totals.

    Signals:
        openRequested: The button of the empty state.
    """

    title = "Layers"
    openRequested = Signal()

    def __init__(self, session: Session, preferences: Preferences | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._following = False
        self._sweep = 0
        self.model = LayerModel(session.theme, self)
        self.proxy = RankedProxy(self)
        self.proxy.setSourceModel(self.model)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Filter by name, operator, shape or group")
        self.filter.setClearButtonEnabled(True)
        self.sweeps = QComboBox()
        self.sweeps.setToolTip("Which measured sensitivities the table shows")
        self.measure = QToolButton()
        self.measure.setText("Measure…")
        self.measure.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.bits = QToolButton()
        self.bits.setText("Bits…")
        self.bits.setToolTip("Give all or the selected layers bit-widths at once")
        self.bits.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        bits_menu = QMenu(self.bits)
        bits_menu.aboutToShow.connect(lambda: fill_bits_menu(bits_menu, session, self.selected()))
        self.bits.setMenu(bits_menu)
        self.more = QToolButton()
        self.more.setText("\N{MIDLINE HORIZONTAL ELLIPSIS}")
        self.more.setToolTip("Copy or export the table, choose its columns")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setMenu(self._export_menu())
        self.view = self._make_view()
        self.columns = LayerColumns(self.view, session.theme, preferences)
        self.problems = QLabel()
        self.problems.setProperty("role", "warning")
        self.problems.setWordWrap(True)
        self.problems.setContentsMargins(8, 4, 8, 4)
        self.bulk = BulkEditBar()
        self.footer = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.footer.setProperty("role", "muted")
        self.legend = HeatLegend(session.theme)
        self._pages = Pages(self._make_content())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)

        self.filter.textChanged.connect(self._filter_changed)
        self.sweeps.activated.connect(self._sweep_chosen)
        self.model.edited.connect(self._cell_edited)
        self.bulk.requested.connect(self._bulk_requested)
        self.bulk.foretell = self._foretold
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self.refresh)
        session.selection.layersChanged.connect(self._follow_selection)
        session.theme.themeChanged.connect(self.refresh)
        QShortcut(QKeySequence.StandardKey.Copy, self.view, self._copy, context=Qt.ShortcutContext.WidgetShortcut)
        self.refresh()

    def refresh(self) -> None:
        """Resolve the document again and show what changed."""
        session = self._session
        state = session.state
        self._sweep = min(self._sweep, max(len(state.sensitivities) - 1, 0))
        table = resolve_layers(state, session.knobs, session.methods, self._sweep)
        if state.inspect is None:
            self._pages.show_empty(
                "No model yet",
                "The layers of the model appear here, each with its cost, its sensitivity and its settings. "
                "Open an .onnx file, or drop one on the window.",
                "Open model…",
                self.openRequested.emit,
            )
        else:
            self._pages.show_content()
        self.model.set_table(table)
        self.proxy.rank()
        self.columns.set_table(table)
        self._fill_sweeps()
        self.legend.set_scale(table.top_drop, table.metric)
        self.legend.setVisible(bool(table.sweep))
        more = len(table.problems) - _PROBLEMS_SHOWN
        shown = [*table.problems[:_PROBLEMS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        self.problems.setText("\n".join(shown))
        self.problems.setToolTip("\n".join(table.problems))
        self.problems.setVisible(bool(table.problems))
        self.bulk.set_knobs(table.knobs)
        self._follow_selection()

    def selected(self) -> tuple[str, ...]:
        """Return the names of the selected layers of this model, in table order."""
        wanted = set(self._session.selection.layers)
        return tuple(row.name for row in self.model.table.rows if row.name in wanted)

    def apply_setting(self, layers: tuple[str, ...], knob: Knob, value: Setting | None) -> None:
        """Give layers, and those coupled to them, a setting; None takes it away. One step of the undo history."""
        give_setting(self._session, self.model.table, layers, knob, value)

    def reset_settings(self, layers: tuple[str, ...]) -> None:
        """Take every setting of their own from layers and those coupled to them, in one step of the undo history."""
        report, plan = self._session.state.inspect, self._session.state.plan
        if report is None:
            return
        for knob in self.model.table.knobs:
            command = setting_command(report, layers, knob, None)
            if command is not None:
                plan = plan.with_settings(command.layers, knob.name, None)
        self._session.do(ReplacePlan(plan, title=f"Reset {numbers.plural(len(layers), 'layer')}"))

    # --- construction -------------------------------------------------------------------------------------------

    def _make_view(self) -> QTableView:
        view = QTableView()
        view.setModel(self.proxy)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        view.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.AnyKeyPressed
        )
        view.setShowGrid(False)
        view.setAlternatingRowColors(True)
        view.setWordWrap(False)
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(self._show_menu)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 8)
        header = view.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsMovable(True)
        header.setSectionsClickable(True)
        header.setMinimumSectionSize(32)
        header.sectionClicked.connect(self._header_clicked)
        view.selectionModel().selectionChanged.connect(self._selection_changed)
        return view

    def _make_content(self) -> QWidget:
        content = QWidget()
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 8, 8, 4)
        bar.setSpacing(8)
        for widget, stretch in ((self.filter, 1), (self.sweeps, 0), (self.bits, 0), (self.measure, 0), (self.more, 0)):
            bar.addWidget(widget, stretch)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 0, 8, 8)
        foot.setSpacing(12)
        foot.addWidget(self.footer, 1)
        foot.addWidget(self.legend)
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.problems)
        layout.addWidget(self.bulk)
        layout.addLayout(foot)
        return content

    def _export_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("Copy", self._copy)
        menu.addAction("Copy as CSV", self._copy_csv)
        menu.addSeparator()
        menu.addAction("Export CSV…", self._export)
        menu.addSeparator()
        menu.addAction("Columns…", self._choose_columns)
        return menu

    def _choose_columns(self) -> None:
        menu = self.columns.menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    # --- what the user does -------------------------------------------------------------------------------------

    def _filter_changed(self, text: str) -> None:
        self.proxy.set_filter(text)
        self._update_footer()

    def _header_clicked(self, column: int) -> None:
        shift = bool(QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.proxy.sort_by(column, extend=shift)
        header = self.view.horizontalHeader()
        header.setSortIndicatorShown(bool(self.proxy.keys))
        if self.proxy.keys:
            header.setSortIndicator(*self.proxy.keys[0])
        else:
            header.setSortIndicator(-1, Ascending)

    def _cell_edited(self, layer: str, knob_name: str, value: Setting | None) -> None:
        """Edit one cell; within a selection of several, all of them."""
        knob = self._session.knob(knob_name)
        chosen = self.selected()
        if knob is not None:
            self.apply_setting(chosen if layer in chosen else (layer,), knob, value)

    def _bulk_requested(self, knob_name: str, value: Setting | None) -> None:
        knob = self._session.knob(knob_name)
        if knob is not None:
            self.apply_setting(self.selected(), knob, value)

    def _foretold(self, knob_name: str, value: Setting) -> str:
        knob, chosen = self._session.knob(knob_name), self.selected()
        return "" if knob is None else foretold_setting(self._session, self.model.table, chosen, knob, value)

    def _sweep_chosen(self, index: int) -> None:
        self._sweep = index
        self.refresh()

    def _show_menu(self, place: QPoint) -> None:
        index = self.proxy.mapToSource(self.view.indexAt(place))
        knob = self.model.table.knob_at(index.column()) if index.isValid() else None
        menu = layer_menu(
            self._session,
            self.selected(),
            self.model.table,
            knob,
            apply=partial(self.apply_setting, self.selected()),
            reset_all=partial(self.reset_settings, self.selected()),
            copy=self._copy,
            copy_csv=self._copy_csv,
            parent=self,
        )
        menu.popup(self.view.viewport().mapToGlobal(place))

    def _copy(self) -> None:
        count = len(self.selected()) or len(self.model.table.rows)
        copy_text(self._session, selected_as_text(self.view), numbers.plural(count, "layer"))

    def _copy_csv(self) -> None:
        chosen = self.selected()
        copy_text(self._session, to_csv(self.model.table, self._visible(chosen)), "layers as CSV")

    def _export(self) -> None:
        ask_path(self, "Export layers", "layers.csv", "CSV (*.csv)", self.export_csv)

    def export_csv(self, path: Path) -> None:
        """Write the rows that the filter shows as CSV."""
        save_text(self._session, path, to_csv(self.model.table, self._visible(())))

    def _visible(self, chosen: tuple[str, ...]) -> list[str]:
        rows = (self.proxy.mapToSource(self.proxy.index(row, 0)).row() for row in range(self.proxy.rowCount()))
        names = [self.model.table.rows[row].name for row in rows]
        return [name for name in names if name in chosen] if chosen else names

    # --- selection and document ---------------------------------------------------------------------------------

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _selection_changed(self) -> None:
        if self._following:
            return
        rows = self.view.selectionModel().selectedRows()
        names = [self.model.row(self.proxy.mapToSource(index)).name for index in rows]
        current = self.proxy.mapToSource(self.view.currentIndex())
        last = self.model.row(current).name if current.isValid() else None
        if last in names:
            names = [*(name for name in names if name != last), last]
        self._following = True
        try:
            self._session.selection.set_layers(names)
        finally:
            self._following = False
        self._selection_shown()

    def _follow_selection(self) -> None:
        if self._following:
            return
        chosen = self._session.selection.layers
        wanted = set(chosen)
        marks = QItemSelection()
        shown = None
        for row, entry in enumerate(self.model.table.rows):
            if entry.name in wanted:
                index = self.proxy.mapFromSource(self.model.index(row, 0))
                if index.isValid():
                    marks.select(index, index)
                    shown = index if entry.name == chosen[-1] else shown
        self._following = True
        try:
            flags = QItemSelectionModel.SelectionFlag
            self.view.selectionModel().select(marks, flags.ClearAndSelect | flags.Rows)
            if shown is not None:
                self.view.scrollTo(shown)
        finally:
            self._following = False
        self._selection_shown()

    def _selection_shown(self) -> None:
        chosen = self.selected()
        rows = {row.name: row for row in self.model.table.rows}
        together = {other for name in chosen for other in rows[name].coupled}
        beside = {other for name in chosen for other in rows[name].beside}
        marks = (frozenset(others | set(chosen)) if others else frozenset() for others in (together, beside))
        self.model.mark_together(*marks)
        self.bulk.set_selected(len(chosen))
        replace_menu(self.measure, sweep_menu(self._session, chosen, self))
        self._update_footer()

    def _update_footer(self) -> None:
        table = self.model.table
        chosen = set(self.selected())
        rows = [row for row in table.rows if row.name in chosen] or list(table.rows)
        shown = self.proxy.rowCount()
        text = numbers.plural(len(table.rows), "layer")
        if shown != len(table.rows):
            text += f", {shown} shown"
        if chosen:
            text += f", {len(chosen)} selected"
        params, macs = sum(row.params for row in rows), sum(row.macs for row in rows)
        text += f"  ·  {numbers.count_text(params)} params, {numbers.count_text(macs)} MACs"
        self.footer.set_full(text)

    def _fill_sweeps(self) -> None:
        titles = [sweep_title(entry, self._session.knobs) for entry in self._session.state.sensitivities]
        if titles != [self.sweeps.itemText(i) for i in range(self.sweeps.count())]:
            self.sweeps.clear()
            self.sweeps.addItems(titles)
        self.sweeps.setCurrentIndex(self._sweep if titles else -1)
        self.sweeps.setVisible(len(titles) > 1)
