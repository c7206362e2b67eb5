"""What can be done about devices: manage them, and choose the one that the project measures on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QMenu

from workbench.ui.actions import Act
from workbench.ui.devices_dialog import DevicesDialog
from workbench.ui.palette import Entry
from workbench.ui.panels.device_choice import measure_on

if TYPE_CHECKING:
    from workbench.ui.actions import Actions
    from workbench.ui.main_window import MainWindow
    from workbench.ui.session import Session


def register_device_acts(window: MainWindow) -> None:
    """Register the act that opens the dialog."""
    window.actions_.add(
        Act(
            "devices.manage",
            "Devices…",
            lambda: DevicesDialog(window.session, window).open(),
            "Machines to measure on, reached over SSH: add, check, remove",
        )
    )


def fill_device_menu(menu: QMenu, session: Session, actions: Actions) -> None:
    """Offer this computer, the known devices, and their dialog."""
    current = session.state.latency.device
    group = QActionGroup(menu)
    for name, title in session.devices.titles(current).items():
        action = menu.addAction(title.replace("&", "&&"), partial(measure_on, session, name))
        action.setCheckable(True)
        action.setChecked(name == current)
        group.addAction(action)
    menu.addSeparator()
    menu.addAction(actions.action("devices.manage"))


def device_entries(session: Session) -> list[Entry]:
    """Return what the palette offers: to measure on each device that the project does not measure on now."""
    current = session.state.latency.device
    return [
        Entry(f"Measure on {title[0].lower() + title[1:] if name == 'local' else title}",
              partial(measure_on, session, name), "device")
        for name, title in session.devices.titles(current).items()
        if name != current
    ]  # fmt: skip
