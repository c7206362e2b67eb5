"""The machines that can be measured on, as menu, recipe panel and dialog share them."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from workbench.domain.errors import WorkbenchError
from workbench.domain.remote_device import LOCAL, RemoteDevice
from workbench.project.device_book import DeviceBook

THIS_COMPUTER = "This computer"


class Devices(QObject):
    """Reads and changes the user's list, and says when it changed.

    Args:
        book: Where they are kept.

    Signals:
        changed: A device was added, changed or removed.
    """

    changed = Signal()

    def __init__(self, book: DeviceBook, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._book = book

    @property
    def known(self) -> tuple[RemoteDevice, ...]:
        """The devices in the order of their names; none where the list can't be read, see `problem`."""
        try:
            return tuple(self._book)
        except WorkbenchError:
            return ()

    @property
    def problem(self) -> WorkbenchError | None:
        """Why the list can't be read."""
        try:
            tuple(self._book)
        except WorkbenchError as error:
            return error
        return None

    def put(self, device: RemoteDevice, instead_of: str | None = None) -> None:
        """Add a device, or change the one of that name; `instead_of` is the name that it had.

        Raises:
            DeviceError: the list can't be read.
            StorageError: it can't be written.
        """
        self._book.put(device)
        if instead_of is not None and instead_of != device.name:
            self._book.remove(instead_of)
        self.changed.emit()

    def remove(self, name: str) -> RemoteDevice:
        """Take a device off the list, and return it; for errors see `put`."""
        removed = self._book.remove(name)
        self.changed.emit()
        return removed

    def titles(self, current: str) -> dict[str, str]:
        """Return how to call every device that can be chosen, by name, and the current one even if it is not known."""
        titles = {LOCAL: THIS_COMPUTER, **{device.name: device.name for device in self.known}}
        titles.setdefault(current, f"{current} (not known here)")
        return titles
