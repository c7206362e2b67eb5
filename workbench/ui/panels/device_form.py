"""One form for how a machine is reached: nothing of it is secret, a key is named by its file."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QSpinBox, QWidget

from workbench.domain.remote_device import RemoteDevice
from workbench.project.device_book import device_from
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.wheel_guard import guard_wheel

_DEFAULTS = {name: field.default for name, field in RemoteDevice.model_fields.items()}


class DeviceForm(QWidget):
    """The fields of a device.

    Signals:
        edited: A field was left with another content, or the box was ticked.
    """

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.name = _line("pi", "How recipes and the command line call it")
        self.host = _line("pi.local, 192.168.1.20, or an alias of your SSH settings", "Where its SSH server is")
        self.port = QSpinBox()
        self.port.setRange(0, 65535)
        self.port.setSpecialValueText("as SSH has it")
        self.port.setToolTip("Of its SSH server: 22, unless your SSH settings say otherwise")
        self.port.setKeyboardTracking(False)
        self.user = _line("as your SSH settings say", "The account to log in as")
        self.key = _line("the keys that ssh tries", "The file of the private key; for its passphrase use an SSH agent")
        choose = QPushButton("Choose…")
        choose.clicked.connect(self._ask_key)
        self.python = _line(str(_DEFAULTS["python"]), "Python there, 3.9 or newer, with numpy and onnxruntime")
        self.folder = _line(str(_DEFAULTS["folder"]), "There: a small program and the models are kept in it")
        self.first = QCheckBox("Remember its host key the first time")
        self.first.setToolTip(
            "Without it a machine whose key is not in your file of known hosts is refused. A key that changed is "
            "refused either way."
        )
        key_row = QHBoxLayout()
        key_row.addWidget(self.key, 1)
        key_row.addWidget(choose)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, field in (
            ("Name", self.name),
            ("Host", self.host),
            ("Port", self.port),
            ("User", self.user),
            ("Key file", key_row),
            ("Python", self.python),
            ("Folder", self.folder),
            ("", self.first),
        ):
            form.addRow(title, field)
        for line in self._lines.values():
            line.editingFinished.connect(self.edited)
        self.port.editingFinished.connect(self.edited)
        self.first.clicked.connect(self.edited)
        guard_wheel(self)

    @property
    def _lines(self) -> dict[str, QLineEdit]:
        return {name: getattr(self, name) for name in ("name", "host", "user", "key", "python", "folder")}

    @property
    def is_begun(self) -> bool:
        """Whether there is enough to make sense of."""
        return bool(self.host.text().strip())

    def show_device(self, device: RemoteDevice | None) -> None:
        """Fill the fields, or empty them for a new device."""
        for name, line in self._lines.items():
            value = "" if device is None else str(getattr(device, name))
            line.setText("" if value == _DEFAULTS[name] else value)
            line.setCursorPosition(0)
        self.port.setValue(0 if device is None else device.port or 0)
        self.first.setChecked(device is not None and device.host_key == "first")

    def device(self, before: RemoteDevice | None) -> RemoteDevice:
        """Return the device in the fields; what has no field stays as it was before.

        Raises:
            DeviceError: a field that is not right.
        """
        fields: dict[str, object] = {name: line.text().strip() for name, line in self._lines.items()}
        fields["name"] = fields["name"] or _name_of(str(fields["host"]))
        fields["port"] = self.port.value() or None
        fields["host_key"] = "first" if self.first.isChecked() else "known"
        fields["known_hosts"] = "" if before is None else before.known_hosts
        return device_from(fields, "Device")

    def _ask_key(self) -> None:
        begin = self.key.text().strip() or str(Path.home() / ".ssh")

        def chosen(path: Path) -> None:
            self.key.setText(str(path))
            self.edited.emit()

        ask_path(self, "Private key", begin, "All files (*)", chosen, opening=True)


def _name_of(host: str) -> str:
    """Return a name for a device that was given none: the first word of its host's, or its whole address."""
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", host).strip("-.")
    return plain if plain[:1].isdigit() else plain.split(".")[0]


def _line(placeholder: str, tip: str) -> QLineEdit:
    line = QLineEdit()
    line.setPlaceholderText(placeholder)
    line.setToolTip(tip)
    return line
