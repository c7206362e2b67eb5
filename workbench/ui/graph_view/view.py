"""The graph panel: canvas, overlay selector, search, zoom buttons, legend and overview around one picture."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QStackedLayout,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.knobs import Knob, Setting
from workbench.domain.reports import InspectReport
from workbench.project.commands import SetSettings
from workbench.project.state import Change
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.canvas import GraphCanvas
from workbench.ui.graph_view.legend import LegendView
from workbench.ui.graph_view.minimap import Minimap
from workbench.ui.graph_view.picture import coupled, resolve, tooltip
from workbench.ui.graph_view.walk import find
from workbench.ui.icons import icon
from workbench.ui.models import numbers
from workbench.ui.session import Session

_RELEVANT = Change.MODEL | Change.PLAN | Change.SENSITIVITY | Change.BASELINE
_EDGE = 8


class GraphView(QWidget):
    """Shows the project's model.

    Signals:
        openRequested: The button of the empty state.
        tableRequested: "Show in table".
        sensitivityRequested: An overlay was chosen for which figures are missing.
    """

    title = "Graph"

    openRequested = Signal()
    tableRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._overlay = "operator"
        self._hits: tuple[str, ...] = ()
        self._hit = -1
        self._report: InspectReport | None = None
        self._choices: tuple[overlays.OverlayChoice, ...] = ()
        self.canvas = GraphCanvas(session.theme, self)
        self._legend = LegendView(session.theme, self.canvas)
        self._minimap = Minimap(self.canvas, session.theme)
        self._build()
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self.refresh)
        session.selection.layersChanged.connect(self._selection_changed)
        session.theme.themeChanged.connect(self._theme_changed)
        self.canvas.selectionRequested.connect(session.selection.set_layers)
        self.canvas.menuRequested.connect(self._show_menu)
        self.canvas.tooltipRequested.connect(self._show_tooltip)
        self.canvas.viewChanged.connect(self._update_zoom)
        self.refresh()

    # --- building -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._chooser = QComboBox()
        self._chooser.setToolTip("What the colours show (keys 1 to 9)")
        self._chooser.setAccessibleName("Overlay")
        self._chooser.setMinimumWidth(136)
        self._chooser.activated.connect(self._overlay_chosen)
        self._search = QLineEdit()
        self._search.setPlaceholderText("Find by name or operator")
        self._search.setToolTip("Find in the graph (F); Enter goes to the next hit, Shift+Enter to the one before")
        self._search.setAccessibleName("Find in graph")
        self._search.setClearButtonEnabled(True)
        self._search.setMinimumWidth(90)
        self._search.setMaximumWidth(260)
        self._search.textChanged.connect(self._search_changed)
        self._search.returnPressed.connect(self._search_entered)
        self._count = QLabel()
        self._count.setProperty("role", "muted")
        self._zoom = QLabel()
        self._zoom.setProperty("role", "muted")
        self._zoom.setMinimumWidth(40)
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 4)
        bar.setSpacing(4)
        bar.addWidget(self._search, 2)
        bar.addWidget(self._count)
        bar.addStretch(1)
        bar.addWidget(self._zoom)
        for name, tip, slot in (
            ("zoom-out", "Zoom out (−)", self._zoom_out),
            ("zoom-in", "Zoom in (+)", self._zoom_in),
            ("fit", "Show the whole graph (0)", self.canvas.fit),
        ):
            button = QToolButton()
            button.setIcon(icon(name, self._session.theme))
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.setAutoRaise(True)
            button.clicked.connect(slot)
            bar.addWidget(button)
        label = QLabel("Colour:")
        label.setProperty("role", "muted")
        bar.addSpacing(8)
        bar.addWidget(label)
        bar.addWidget(self._chooser)
        filled = QWidget()
        column = QVBoxLayout(filled)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(bar)
        column.addWidget(self.canvas, 1)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._empty_page())
        self._pages.addWidget(filled)

    def _empty_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.addStretch(1)
        text = QLabel("The layer graph of a model appears here, coloured by cost, sensitivity or settings.")
        text.setProperty("role", "muted")
        text.setWordWrap(True)
        text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        button = QPushButton("Open model…")
        button.setProperty("role", "primary")
        button.clicked.connect(self.openRequested)
        column.addWidget(text)
        column.addSpacing(8)
        column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        return page

    # --- refreshing ---------------------------------------------------------------------------------------------

    @property
    def overlay(self) -> str:
        """Id of the overlay shown."""
        return self._overlay

    def refresh(self) -> None:
        """Draw the document anew; what did not change is not made again."""
        state = self._session.state
        before = self.canvas.picture.structure
        same = self._report is not None and state.inspect is self._report
        self._fill_chooser()
        picture = resolve(state, self._overlay, self._session.settings(), self._session.knobs, before if same else None)
        self._report = state.inspect
        self.canvas.set_picture(picture)
        self._legend.set_legend(picture.legend if picture.structure.boxes else None)
        self._minimap.refresh()
        self._place()
        self._pages.setCurrentIndex(1 if picture.structure.boxes else 0)
        self._selection_changed(self._session.selection.layers)
        if not same:
            self._search_changed(self._search.text())

    def set_overlay(self, id: str) -> None:
        """Colour by another overlay; one that can't be shown yet is refused silently."""
        offered = {choice.id for choice in self._choices if choice.reason is None}
        if id in offered and id != self._overlay:
            self._overlay = id
            self.refresh()

    def set_overlay_number(self, number: int) -> None:
        """Colour by the overlay at this place, from 1, of the selector."""
        if 1 <= number <= len(self._choices):
            self.set_overlay(self._choices[number - 1].id)

    def focus_search(self) -> None:
        """Put the cursor into the search field."""
        self._search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._search.selectAll()

    def zoom_to_selection(self) -> None:
        """Bring the selected layers into view."""
        self.canvas.zoom_to(self._session.selection.layers)

    def _fill_chooser(self) -> None:
        choices = overlays.choices(self._session.state, self._session.knobs)
        if self._overlay not in {choice.id for choice in choices if choice.reason is None}:
            self._overlay = "operator"
        if choices != self._choices:
            self._choices = choices
            with QSignalBlocker(self._chooser):
                self._chooser.clear()
                for index, choice in enumerate(choices):
                    self._chooser.addItem(choice.title, choice.id)
                    if choice.reason is not None:
                        self._chooser.setItemData(index, choice.reason, Qt.ItemDataRole.ToolTipRole)
                        # A combo box's own model is one of items, which its declared type does not say.
                        self._chooser.model().item(index).setEnabled(False)  # type: ignore[attr-defined]
        with QSignalBlocker(self._chooser):
            self._chooser.setCurrentIndex(self._chooser.findData(self._overlay))

    def _place(self) -> None:
        """Put legend and overview into their corners."""
        self._legend.move(_EDGE, self.canvas.height() - self._legend.height() - _EDGE)
        self._minimap.move(
            self.canvas.width() - self._minimap.width() - _EDGE, self.canvas.height() - self._minimap.height() - _EDGE
        )

    # --- events -------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep legend and overview in their corners."""
        super().resizeEvent(event)
        self._pages.activate()
        self._place()

    def showEvent(self, event: QShowEvent) -> None:
        """Bring a picture into view that came while the panel was hidden."""
        super().showEvent(event)
        self._place()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Digits choose overlays, F finds, Escape clears search, then selection."""
        text = event.text()
        if event.key() == Qt.Key.Key_Escape:
            if self._search.text():
                self._search.clear()
            else:
                self._session.selection.set_layers(())
            self.canvas.setFocus()
        elif event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier) and text in list(
            "123456789"
        ):
            self.set_overlay_number(int(text))
        else:
            super().keyPressEvent(event)

    def _document_changed(self, change: Change) -> None:
        if change & _RELEVANT:
            self.refresh()

    def _selection_changed(self, layers: tuple[str, ...]) -> None:
        self.canvas.set_selected(layers, coupled(self._session.state.inspect, layers))
        if layers and not self.canvas.hasFocus():
            self.canvas.reveal(layers[-1])

    def _theme_changed(self) -> None:
        self.canvas.refresh_theme()
        self._minimap.refresh()
        self._place()

    def _update_zoom(self) -> None:
        self._zoom.setText(f"{self.canvas.zoom * 100:.0f} %")

    def _zoom_in(self) -> None:
        self.canvas.zoom_by(1.25)

    def _zoom_out(self) -> None:
        self.canvas.zoom_by(1 / 1.25)

    def _overlay_chosen(self, index: int) -> None:
        self.set_overlay(self._chooser.itemData(index))
        self.canvas.setFocus()

    def _search_changed(self, text: str) -> None:
        self._hits = find(self.canvas.picture.structure, text)
        self._hit = -1
        self.canvas.set_hits(self._hits if len(self._hits) <= 2000 else ())
        self._count.setText("" if not text.strip() else numbers.plural(len(self._hits), "hit"))

    def _search_entered(self) -> None:
        if not self._hits:
            return
        back = bool(QGuiApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier)
        self._hit = (self._hit + (-1 if back else 1)) % len(self._hits)
        self._count.setText(f"{self._hit + 1} of {len(self._hits)}")
        self._session.selection.set_layers((self._hits[self._hit],))
        self.canvas.zoom_to((self._hits[self._hit],))

    def _show_tooltip(self, id: str, position: QPoint) -> None:
        report = self._session.state.inspect
        box = self.canvas.picture.structure.box(id)
        if report is not None and box is not None:
            first, *rest = tooltip(report, box, self.canvas.picture.fills.get(id))
            text = "".join(f"<br>{_escaped(line)}" for line in rest)
            QToolTip.showText(position, f"<b>{_escaped(first)}</b>{text}", self.canvas)

    # --- context menu -------------------------------------------------------------------------------------------

    def _show_menu(self, id: str | None, position: QPoint) -> None:
        self._menu = self.menu_for(id)
        self._menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._menu.popup(position)

    def menu_for(self, id: str | None) -> QMenu:
        """Return the context menu of a node, or of the ground."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        if id is None:
            menu.addAction("Show the whole graph", self.canvas.fit)
            menu.addAction("Find…", self.focus_search)
            return menu
        report = self._session.state.inspect
        known = {layer.name: layer for layer in report.layers} if report is not None else {}
        layers = tuple(name for name in self._session.selection.layers or (id,) if name in known)
        for knob in self._session.knobs:
            if any(knob.name in known[name].knobs for name in layers):
                self._add_knob_menu(menu, knob, tuple(name for name in layers if knob.name in known[name].knobs))
        if not menu.isEmpty():
            menu.addSeparator()
        group = coupled(report, layers)
        select = menu.addAction("Select coupled layers")
        select.setEnabled(bool(group))
        select.setToolTip(
            f"Also select the {numbers.plural(len(group), 'layer')} that lose channels together with this one"
            if group
            else "No other layer shares its output channels"
        )
        select.triggered.connect(lambda: self._session.selection.set_layers((*sorted(group), *layers)))
        show = menu.addAction("Show in table")
        show.setEnabled(bool(layers))
        if not layers:
            show.setToolTip("Only layers with weights are in the table")
        show.triggered.connect(self.tableRequested)
        menu.addAction("Zoom to", lambda: self.canvas.zoom_to(self._session.selection.layers or (id,)))
        menu.addAction("Copy name", lambda: QGuiApplication.clipboard().setText(id))
        return menu

    def _add_knob_menu(self, menu: QMenu, knob: Knob, layers: tuple[str, ...]) -> None:
        settings = self._session.settings()
        current = {settings[name].get(knob.name) for name in layers} if settings is not None else set()
        submenu = menu.addMenu(f"{knob.title} of {layers[0] if len(layers) == 1 else f'{len(layers)} layers'}")
        submenu.setToolTip(knob.doc)
        for value in _offered(knob):
            action = submenu.addAction(numbers.setting_text(value, knob.unit))
            action.setCheckable(True)
            action.setChecked(current == {value})
            action.triggered.connect(
                lambda checked=False, value=value: self._session.do(SetSettings(layers, knob.name, value))
            )
        submenu.addSeparator()
        submenu.addAction("As the default", lambda: self._session.do(SetSettings(layers, knob.name, None)))


def _offered(knob: Knob) -> tuple[Setting, ...]:
    """Return the values of a knob's menu: its choices, or tenths of its range."""
    if knob.choices:
        return tuple(reversed(knob.choices)) if knob.unit == "bits" else knob.choices
    if knob.low is None or knob.high is None or isinstance(knob.untouched, str):
        return knob.sweep
    span = knob.high - knob.low
    if span <= 1.0:
        return tuple(round(knob.low + 0.125 * index, 3) for index in range(int(span / 0.125) + 1))
    return knob.sweep


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
