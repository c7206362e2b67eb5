"""The menus of selected layers: set, reset, copy, select the group, measure sensitivities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from workbench.domain.knobs import Knob, Setting
from workbench.ui.models import numbers
from workbench.ui.models.layer_table import LayerTable
from workbench.ui.models.measured_choices import NONE_MEASURED, MeasuredChoice
from workbench.ui.models.method_choices import MOST_BESIDE, method_tip, recommended_first
from workbench.ui.models.setting_choices import refused_by_all
from workbench.ui.session import Session

_RATIOS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)

Apply = Callable[[Knob, Setting | None], None]


def layer_menu(
    session: Session,
    layers: tuple[str, ...],
    table: LayerTable,
    knob: Knob | None,
    *,
    apply: Apply,
    reset_all: Callable[[], None],
    copy: Callable[[], None],
    copy_csv: Callable[[], None],
    parent: QWidget,
) -> QMenu:
    """Return the context menu for the selected layers; the knob under the pointer comes first."""
    menu = QMenu(parent)
    menu.setToolTipsVisible(True)
    for entry in sorted(table.knobs, key=lambda other: other is not knob):
        cells = [table.cell(name, entry) for name in layers]
        able = [cell for cell in cells if cell is not None and cell.reason is None]
        refused = refused_by_all(cell.refused for cell in able)
        measured = able[0].measured if len(able) == 1 else NONE_MEASURED
        _add_settings(menu.addMenu(f"Set {entry.title}"), entry, apply, refused, measured)
    reset = menu.addMenu("Reset to default")
    for entry in table.knobs:
        reset.addAction(entry.title, partial(apply, entry, None))
    reset.addSeparator()
    reset.addAction("All settings", reset_all)
    menu.addSeparator()
    rows = {row.name: row for row in table.rows}
    together = tuple(dict.fromkeys(name for layer in layers if layer in rows for name in (layer, *rows[layer].coupled)))
    group = menu.addAction("Select channel group", lambda: session.selection.set_layers(together))
    group.setEnabled(len(together) > len(layers))
    if not group.isEnabled():
        group.setToolTip("These layers are coupled to no other layer")
    beside = tuple(dict.fromkeys(name for layer in layers if layer in rows for name in (layer, *rows[layer].beside)))
    branch = menu.addAction("Select branch", lambda: session.selection.set_layers(beside))
    branch.setEnabled(len(beside) > len(layers))
    if not branch.isEnabled():
        branch.setToolTip("No other layer is in a branch with these")
    menu.addMenu(sweep_menu(session, layers, menu))
    menu.addSeparator()
    menu.addAction("Copy", copy)
    menu.addAction("Copy as CSV", copy_csv)
    for action in menu.actions()[: len(table.knobs) + 1]:
        action.setEnabled(bool(layers))
    return menu


def sweep_menu(session: Session, layers: tuple[str, ...], parent: QWidget) -> QMenu:
    """Return a menu of the knobs and methods whose sensitivities can be measured, knobs of many methods one deeper."""
    of = f"of {numbers.plural(len(layers), 'layer')}" if layers else "of all layers"
    menu = QMenu(f"Measure sensitivity {of}", parent)
    menu.setToolTipsVisible(True)
    blocked = session.missing("model", "data", "methods")
    for knob in session.knobs:
        methods = recommended_first(method for method in session.methods if knob.name in method.knobs)
        values = ", ".join(numbers.setting_text(value, knob.unit) for value in knob.sweep or knob.choices)
        under = menu
        if len(methods) > MOST_BESIDE:
            under = menu.addMenu(f"{knob.title}: {values}")
            under.setToolTipsVisible(True)
            under.menuAction().setToolTip(blocked or knob.doc)
        for method in methods:
            text = method.title if under is not menu else f"{knob.title} by {method.title}: {values}"
            action = under.addAction(text, partial(session.sweep, method.id, knob.name, layers=layers))
            action.setEnabled(blocked is None)
            action.setToolTip(blocked or method_tip(method) or knob.doc)
    if menu.isEmpty():
        action = menu.addAction(blocked or "No installed method reads a setting")
        action.setEnabled(False)
    return menu


def replace_menu(button: QToolButton, menu: QMenu) -> None:
    """Give a button another menu and delete the one it had; a button does not own what it shows."""
    before = button.menu()
    button.setMenu(menu)
    if before is None:
        return
    if before.isVisible():  # somebody is choosing from it
        before.aboutToHide.connect(before.deleteLater)
    else:
        before.deleteLater()


def _add_settings(
    menu: QMenu,
    knob: Knob,
    apply: Apply,
    refused: Mapping[Setting, str],
    measured: Mapping[Setting, MeasuredChoice],
) -> None:
    menu.setToolTipsVisible(True)
    values: tuple[Setting, ...] = knob.choices
    if not values and knob.low is not None and knob.high is not None:
        values = tuple(value for value in _RATIOS if knob.low <= value <= knob.high)
    for value in values:
        known = measured.get(value)
        text = numbers.setting_text(value, knob.unit)
        # Behind a tab menus have a column of their own.
        action = menu.addAction(text if known is None else f"{text}\t{known.text}", partial(apply, knob, value))
        action.setEnabled(value not in refused)
        action.setToolTip(refused.get(value, "" if known is None else known.sentence))
    menu.setEnabled(bool(values))
