"""What the palette lists: all actions, sensitivities to measure, layers and candidates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence

from workbench.ui.device_acts import device_entries
from workbench.ui.palette import Entry

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow


def palette_entries(window: MainWindow) -> list[Entry]:
    """Return everything that can be done or gone to from here."""
    return [*_acts(window), *_sweeps(window), *device_entries(window.session), *_layers(window), *_candidates(window)]


def _acts(window: MainWindow) -> list[Entry]:
    actions = window.actions_
    native = QKeySequence.SequenceFormat.NativeText
    return [
        Entry(
            actions.title(act.id),
            partial(actions.trigger, act.id),
            keys=actions.action(act.id).shortcut().toString(native),
            reason=actions.why_not(act.id),
        )
        for act in actions
        if act.id != "view.palette"
    ]


def _sweeps(window: MainWindow) -> list[Entry]:
    session = window.session
    reason = session.missing("model", "data", "methods")
    return [
        Entry(
            f"Measure sensitivity: {knob.title}", partial(session.sweep, method.id, knob.name), method.title, "", reason
        )
        for knob in session.knobs
        for method in session.methods
        if knob.name in method.knobs
    ]


def _layers(window: MainWindow) -> list[Entry]:
    report, selection = window.session.state.inspect, window.session.selection
    layers = () if report is None else report.layers
    return [Entry(layer.name, partial(selection.set_layers, (layer.name,)), f"layer, {layer.op}") for layer in layers]


def _candidates(window: MainWindow) -> list[Entry]:
    selection = window.session.selection
    return [
        Entry(entry.name, partial(selection.set_candidate, entry.id), "candidate")
        for entry in window.session.state.candidates
        if not entry.deleted
    ]
