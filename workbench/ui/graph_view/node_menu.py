"""The context menu of the graph: settings of the layers, blocks to open and close, and ways to look elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu

from workbench.domain.knobs import Knob, Setting
from workbench.project.commands import SetSettings
from workbench.ui.graph_view.picture import beside, coupled
from workbench.ui.models import numbers
from workbench.ui.models.setting_choices import Refusals, refused_by_all
from workbench.ui.session import Session

if TYPE_CHECKING:
    from workbench.ui.graph_view.folding import Folding
    from workbench.ui.graph_view.view import GraphView

_DEPTHS = 2


def node_menu(view: GraphView, session: Session, id: str | None) -> QMenu:
    """Return the context menu of a node or block, or of the ground."""
    menu = QMenu(view)
    menu.setToolTipsVisible(True)
    if id is None:
        menu.addAction("Show the whole graph", view.canvas.fit)
        menu.addAction("Find…", view.focus_search)
        menu.addSeparator()
        add_depths(menu, view.folding)
        return menu
    report = session.state.inspect
    known = {layer.name: layer for layer in report.layers} if report is not None else {}
    layers = tuple(name for name in session.selection.layers or (id,) if name in known)
    for knob in session.knobs:
        able = tuple(name for name in layers if knob.name in known[name].knobs)
        if able:
            _add_knob(menu, session, knob, able)
    if not menu.isEmpty():
        menu.addSeparator()
    _add_blocks(menu, view.folding, id)
    menu.addSeparator()
    group = coupled(report, layers)
    select = menu.addAction("Select coupled layers")
    select.setEnabled(bool(group))
    select.setToolTip(
        f"Also select the {numbers.plural(len(group), 'layer')} that lose channels together with this one"
        if group
        else "No other layer shares its output channels"
    )
    select.triggered.connect(lambda: session.selection.set_layers((*sorted(group), *layers)))
    branch = beside(report, layers)
    select = menu.addAction("Select branch")
    select.setEnabled(bool(branch))
    select.setToolTip(
        f"Also select the {numbers.plural(len(branch), 'layer')} that can only be left out together with this one"
        if branch
        else "No other layer is in a branch with it"
    )
    select.triggered.connect(lambda: session.selection.set_layers((*sorted(branch), *layers)))
    show = menu.addAction("Show in table")
    show.setEnabled(bool(layers))
    if not layers:
        show.setToolTip("Only layers with weights are in the table")
    show.triggered.connect(view.tableRequested)
    menu.addAction("Zoom to", view.zoom_to_selection)
    box = view.canvas.picture.structure.box(id)
    menu.addAction("Copy name", lambda: QGuiApplication.clipboard().setText(id if box is None else box.name))
    return menu


def _add_blocks(menu: QMenu, folding: Folding, id: str) -> None:
    tree = folding.tree
    if tree is None:
        return
    if id in folding.closed:
        menu.addAction("Expand block\tSpace", partial(folding.open, id))
    around = tree.around(id)
    if around and id not in folding.closed:
        inner, *outer = around
        menu.addAction(f"Collapse block {tree.by_id[inner].title}\tSpace", partial(folding.close, inner))
    else:
        outer = list(around)
    for index, block in enumerate(outer):
        key = "\tShift+Space" if not index and id in folding.closed else ""
        menu.addAction(f"Collapse block {tree.by_id[block].title}{key}", partial(folding.close, block))
    if not around and id not in folding.closed:
        none = menu.addAction("Collapse block\tSpace")
        none.setEnabled(False)
        none.setToolTip("It lies in no block")
    add_depths(menu, folding)


def add_depths(menu: QMenu, folding: Folding) -> None:
    """Add what is done to all blocks at once."""
    for depth in range(1, max(min(folding.depth, _DEPTHS), 1) + 1):
        action = menu.addAction(f"Collapse all to depth {depth}", partial(folding.close_to, depth))
        reason = folding.why_no_depth(depth)
        action.setEnabled(reason is None)
        action.setToolTip(reason or "")
    everything = menu.addAction("Expand all", folding.open_all)
    everything.setEnabled(bool(folding.closed))
    if not folding.closed:
        everything.setToolTip("No block is collapsed")


def _add_knob(menu: QMenu, session: Session, knob: Knob, layers: tuple[str, ...]) -> None:
    settings = session.settings()
    current = {settings[name].get(knob.name) for name in layers} if settings is not None else set()
    submenu = menu.addMenu(f"{knob.title} of {layers[0] if len(layers) == 1 else f'{len(layers)} layers'}")
    submenu.setToolTip(knob.doc)
    submenu.setToolTipsVisible(True)
    report = session.state.inspect
    refusals = Refusals(session.methods, session.state.steps)
    chosen = [layer for layer in (() if report is None else report.layers) if layer.name in layers]
    refused = refused_by_all(refusals.of(layer, knob) for layer in chosen)
    for value in _offered(knob):
        action = submenu.addAction(numbers.setting_text(value, knob.unit))
        action.setCheckable(True)
        action.setChecked(current == {value})
        action.setEnabled(value not in refused)
        action.setToolTip(refused.get(value, ""))
        action.triggered.connect(partial(_set, session, layers, knob.name, value))
    submenu.addSeparator()
    submenu.addAction("As the default", partial(_set, session, layers, knob.name, None))


def _set(session: Session, layers: Iterable[str], knob: str, value: Setting | None, checked: bool = False) -> None:
    session.do(SetSettings(tuple(layers), knob, value))


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
