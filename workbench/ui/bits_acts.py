"""The bit-width presets as acts, so that menu bar, palette and shortcuts have them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workbench.ui.actions import Act
from workbench.ui.models.bit_presets import PRESETS
from workbench.ui.setting_acts import take_preset, why_no_preset

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow


def register_bits_acts(window: MainWindow) -> None:
    """Register every preset, for the whole model."""
    session = window.session
    for preset in PRESETS:
        window.actions_.add(
            Act(
                f"bits.{preset.id}",
                f"Bits: {preset.title[0].lower()}{preset.title[1:]}",
                partial(take_preset, session, preset),
                f"{preset.tip}. Undo brings the old bits back.",
                preset.keys,
                why_not=partial(why_no_preset, session, preset),
            )
        )
