"""The graph panel: canvas, overlay selector, search, zoom buttons, legend and overview around one picture."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QStackedLayout,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.reports import InspectReport
from workbench.project.state import Change
from workbench.ui.graph_view import overlays
from workbench.ui.graph_view.blocks_button import BlocksButton
from workbench.ui.graph_view.canvas import GraphCanvas
from workbench.ui.graph_view.folding import Focus, Folding, landmark
from workbench.ui.graph_view.legend import LegendView
from workbench.ui.graph_view.minimap import Minimap
from workbench.ui.graph_view.node_menu import node_menu
from workbench.ui.graph_view.picture import beside, coupled, resolve, tooltip
from workbench.ui.graph_view.search import SearchField
from workbench.ui.graph_view.structure import Structure, folded_structure, structure_of
from workbench.ui.icons import icon
from workbench.ui.session import Session

_RELEVANT = Change.MODEL | Change.PLAN | Change.SENSITIVITY | Change.BASELINE | Change.CANDIDATES
_EDGE = 8
_MOST_HITS = 2000


class GraphView(QWidget):
    """Shows the project's model.

    Signals:
        openRequested: The button of the empty state.
        tableRequested: "Show in table".
    """

    title = "Graph"

    openRequested = Signal()
    tableRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._overlay = "operator"
        self._report: InspectReport | None = None
        self._structure = Structure()
        self._open_structure: Structure | None = None
        self._closed: frozenset[str] = frozenset()
        self.folding = Folding(session.jobs, session.failed.emit, self)
        self._choices: tuple[overlays.OverlayChoice, ...] = ()
        self.canvas = GraphCanvas(session.theme, self)
        self._legend = LegendView(session.theme, self.canvas)
        self._minimap = Minimap(self.canvas, session.theme)
        self._build()
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self.refresh)
        session.selection.layersChanged.connect(self._selection_changed)
        session.theme.themeChanged.connect(self._theme_changed)
        self.folding.changed.connect(self._folded)
        self.canvas.selectionRequested.connect(self._select)
        self.canvas.foldRequested.connect(self._fold)
        self.canvas.openRequested.connect(self._open)
        self.canvas.menuRequested.connect(self._show_menu)
        self.canvas.tooltipRequested.connect(self._show_tooltip)
        self.canvas.viewChanged.connect(self._update_zoom)
        self.canvas.resized.connect(self._place)
        self.refresh()

    # --- building -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._chooser = QComboBox()
        self._chooser.setToolTip("What the colours show (keys 1 to 9)")
        self._chooser.setAccessibleName("Overlay")
        self._chooser.setMinimumWidth(136)
        self._chooser.activated.connect(self._overlay_chosen)
        self._search = SearchField()
        self._search.hitsChanged.connect(self._show_hits)
        self._search.hitChosen.connect(self._go_to)
        self._zoom = QLabel()
        self._zoom.setProperty("role", "muted")
        self._zoom.setMinimumWidth(40)
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 4)
        bar.setSpacing(4)
        bar.addWidget(self._search, 2)
        bar.addWidget(self._search.count)
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
        self._blocks = BlocksButton(self.canvas, self.folding, self.fold, self._session.theme)
        bar.addWidget(self._blocks)
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
        same = self._report is not None and state.inspect is self._report
        if not same:
            self._report, self._open_structure = state.inspect, None
            self.folding.set_drawing(None if state.inspect is None else state.inspect.drawing)
            self._take_structure()
        self._fill_chooser()
        self._paint()
        self._pages.setCurrentIndex(1 if self.folding.tree is not None and self.folding.tree.drawing.nodes else 0)
        self._selection_changed(self._session.selection.layers)
        if not same:
            self._search.set_graph(self._whole)

    def _whole(self) -> Structure:
        """Return the structure with no block closed, made once for a model."""
        if self._open_structure is None:
            self._open_structure = structure_of(self._report)
        return self._open_structure

    def _take_structure(self) -> None:
        self._closed = self.folding.closed
        report, drawing, tree = self._report, self.folding.drawing, self.folding.tree
        if report is None or drawing is None or tree is None:
            self._structure = Structure()
        elif not self._closed:
            self._structure = self._whole()
        else:
            self._structure = folded_structure(report, tree, drawing, self._closed)
        self._blocks.refresh()

    def _paint(self, mark: tuple[str, str] | None = None) -> None:
        settings, knobs = self._session.settings(), self._session.knobs
        picture = resolve(self._session.state, self._overlay, settings, knobs, self._structure)
        self._legend.set_legend(picture.legend if picture.structure.boxes else None)
        self._place()
        self.canvas.set_picture(picture, mark)
        self._minimap.refresh()
        self._place()

    def _folded(self, focus: Focus) -> None:
        """Show the drawing after blocks were opened or closed, with what the eye was on where it was."""
        before, tree = self._closed, self.folding.tree
        self._take_structure()
        mark = None
        if focus.id is not None and tree is not None:
            mark = landmark(tree, focus.id, before, self._closed)
        self._paint(mark)
        self._selection_changed(self._session.selection.layers)
        self._show_hits()
        if focus.approach and focus.id is not None:
            self.canvas.zoom_to(self._structure.shown((focus.id,)))

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
        self.canvas.zoom_to(self._structure.shown(self._session.selection.layers))

    def fold(self, *, outer: bool = False) -> None:
        """Open the selected block, or close the one around what is selected."""
        if self.canvas.current is not None:
            self._fold(self.canvas.current, outer)

    def why_no_fold(self) -> str | None:
        """Return why there is nothing to open or close, or None."""
        return self._blocks.why_no_fold()

    def _fill_chooser(self) -> None:
        choices = overlays.choices(self._session.state, self._session.knobs, self._overlay)
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
        self.canvas.covered_px = self._legend.width() + _EDGE if self._legend.isVisibleTo(self) else 0
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
        shown = self._structure.shown(layers)
        report = self._session.state.inspect
        group, branch = (self._structure.shown(found(report, layers)) for found in (coupled, beside))
        self.canvas.set_selected(shown, frozenset(group).difference(shown), frozenset(branch).difference(shown))
        if layers and not self.canvas.hasFocus():
            self.canvas.reveal(self._structure.shown(layers[-1:])[0])

    def _select(self, ids: tuple[str, ...]) -> None:
        """Select what boxes stand for: of a block its layers, or all its nodes where it has none."""
        before = self._session.selection.layers
        chosen: list[str] = []
        for id in ids:
            box = self._structure.box(id)
            if box is None or not box.members:
                chosen.append(id)
            elif len(ids) > 1 and id in self.canvas.selected:
                chosen += [name for name in before if self._structure.owner.get(name) == id]
            else:
                layers = {layer.name for layer in self._report.layers} if self._report is not None else set()
                chosen += [name for name in box.members if name in layers] or box.members
        self._session.selection.set_layers(chosen)

    def _fold(self, id: str, outer: bool) -> None:
        self.folding.fold(id, outer=outer)

    def _open(self, id: str) -> None:
        if id in self.folding.closed:
            self.folding.open(id)
        else:
            self.canvas.zoom_to((id,))

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

    def _show_hits(self) -> None:
        hits = self._search.hits
        self.canvas.set_hits(self._structure.shown(hits) if len(hits) <= _MOST_HITS else ())

    def _go_to(self, hit: str) -> None:
        self._session.selection.set_layers((hit,))
        if hit in self._structure.owner:
            self.folding.reveal(hit)
        else:
            self.canvas.zoom_to((hit,))

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
        """Return the context menu of a node or block, or of the ground."""
        return node_menu(self, self._session, id)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
