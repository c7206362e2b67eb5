"""What the window remembers of its user between sessions: look, size, layouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QByteArray, QSettings

from workbench.ui.theme import Mode

ORGANISATION = "model-compression-workbench"
APPLICATION = "workbench"

LayoutName = Literal["Analyse", "Compare"]


class Preferences:
    """Typed access to the settings file.

    Args:
        file: An .ini file to use in place of the user's own.
    """

    def __init__(self, file: Path | None = None) -> None:
        if file is None:
            self._settings = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, ORGANISATION, APPLICATION)
        else:
            self._settings = QSettings(str(file), QSettings.Format.IniFormat)

    @property
    def mode(self) -> Mode:
        """The look that was chosen."""
        value = self._settings.value("look/mode", "system")
        return value if value in ("system", "light", "dark") else "system"

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._settings.setValue("look/mode", mode)

    @property
    def geometry(self) -> QByteArray | None:
        """Where the window was."""
        return self._bytes("window/geometry")

    @geometry.setter
    def geometry(self, value: QByteArray) -> None:
        self._settings.setValue("window/geometry", value)

    @property
    def layout(self) -> LayoutName:
        """The layout in use."""
        return "Compare" if self._settings.value("window/layout") == "Compare" else "Analyse"

    @layout.setter
    def layout(self, name: LayoutName) -> None:
        self._settings.setValue("window/layout", name)

    def docks(self, name: LayoutName) -> QByteArray | None:
        """Return how the panels stood in a layout; None if they were never moved."""
        return self._bytes(f"layouts/{name}")

    def set_docks(self, name: LayoutName, state: QByteArray | None) -> None:
        """Remember how the panels stand in a layout; None forgets it."""
        if state is None:
            self._settings.remove(f"layouts/{name}")
        else:
            self._settings.setValue(f"layouts/{name}", state)

    def columns(self, table: str) -> dict[str, bool]:
        """Return which columns of a table the user shows or hides, by heading; others are left to the table."""
        chosen = {}
        for key, shown in (("shown", True), ("hidden", False)):
            value = self._settings.value(f"columns/{table}/{key}", "")
            chosen.update(dict.fromkeys((title for title in str(value).split("\t") if title), shown))
        return chosen

    def set_columns(self, table: str, chosen: Mapping[str, bool]) -> None:
        """Remember which columns of a table the user shows or hides."""
        for key, shown in (("shown", True), ("hidden", False)):
            titles = [title for title, wanted in chosen.items() if wanted is shown]
            self._settings.setValue(f"columns/{table}/{key}", "\t".join(titles))

    def save(self) -> None:
        """Write to disk now."""
        self._settings.sync()

    def _bytes(self, key: str) -> QByteArray | None:
        value = self._settings.value(key)
        return value if isinstance(value, QByteArray) else None
