"""Chooses the machine that latency is measured on, where the other settings of a measurement are chosen."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox

from workbench.project.commands import SetRun
from workbench.project.state import Change
from workbench.ui.devices_dialog import DevicesDialog
from workbench.ui.session import Session

_MANAGE = "Devices…"


class DeviceChoice(QComboBox):
    """This computer and the known devices; the last entry opens their dialog."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setToolTip("The machine that latency is measured on")
        self.setAccessibleName("Device")
        self.activated.connect(self._chosen)
        session.documentChanged.connect(self._document_changed)
        session.devices.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the devices, and the one that the project measures on."""
        current = self._session.state.latency.device
        self.clear()
        for name, title in self._session.devices.titles(current).items():
            self.addItem(title, name)
        self.insertSeparator(self.count())
        self.addItem(_MANAGE)
        self.setCurrentIndex(self.findData(current))

    def _chosen(self, place: int) -> None:
        name = self.itemData(place)
        if name is None:
            self.refresh()
            DevicesDialog(self._session, self.window()).open()
        else:
            measure_on(self._session, name)

    def _document_changed(self, change: Change) -> None:
        if change & (Change.DEVICE | Change.RECIPE):
            self.refresh()


def measure_on(session: Session, name: str) -> None:
    """Let the project measure latency on a device."""
    if session.state.latency.device != name:
        latency = session.state.latency.model_copy(update={"device": name})
        session.do(SetRun(latency=latency, title=f"Measure on {session.devices.titles(name)[name].lower()}"))
