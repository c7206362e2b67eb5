"""The menu of bit-width presets: in the layers panel for what is selected there, in the menu bar for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtWidgets import QMenu

from workbench.ui.models import numbers
from workbench.ui.models.bit_presets import PRESETS, BitPreset
from workbench.ui.session import Session
from workbench.ui.setting_acts import take_preset, why_no_preset


def fill_bits_menu(menu: QMenu, session: Session, selected: Sequence[str]) -> None:
    """Put the presets into a menu, those that can't be taken greyed with the reason.

    Args:
        menu: To fill anew.
        session: The project.
        selected: Layers that presets for all are limited to; all of the model's where there are none.
    """
    menu.clear()
    menu.setToolTipsVisible(True)
    menu.addSection(f"Of {numbers.plural(len(selected), 'selected layer')}" if selected else "Of all layers")
    for preset in PRESETS:
        if preset.reach == "all":
            _add(menu, session, preset, selected)
    menu.addSection("Of the model")
    if selected:
        _add(menu, session, PRESETS[0], ())
    for preset in PRESETS:
        if preset.reach == "ends":
            _add(menu, session, preset, ())


def _add(menu: QMenu, session: Session, preset: BitPreset, selected: Sequence[str]) -> None:
    title = "Weights 8 / activations 8" if preset.id == "w8a8" and selected else preset.title
    keys = f"\t{preset.keys[0]}" if preset.keys and not selected else ""
    action = menu.addAction(title + keys, partial(take_preset, session, preset, tuple(selected)))
    reason = why_no_preset(session, preset, selected)
    action.setEnabled(reason is None)
    action.setToolTip(reason or preset.tip)
