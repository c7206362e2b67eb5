"""The machines to measure on: added, changed, checked and removed in one place; every edit is stored at once."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.errors import WorkbenchError
from workbench.domain.remote_device import DeviceCheck, RemoteDevice
from workbench.jobs.specs import CheckDeviceJob
from workbench.ui.panels.device_form import DeviceForm
from workbench.ui.session import Session

_LIST_WIDTH = 168
_ABOUT = (
    "Latency can be measured on any machine with an SSH server, Python, numpy and onnxruntime. A small program and "
    "the models are copied to its folder; a measurement goes on there if the connection drops."
)


class DevicesDialog(QDialog):
    """A list, the form of the chosen device, and what a check of it found."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._shown: RemoteDevice | None = None
        self._removed: RemoteDevice | None = None
        self._job: str | None = None
        self._open = True
        self.setWindowTitle("Devices")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(720, 480)
        self.list = QListWidget()
        self.list.setFixedWidth(_LIST_WIDTH)
        self.list.setAccessibleName("Devices")
        self.list.currentRowChanged.connect(self._row_chosen)
        self.new = QPushButton("New device")
        self.new.clicked.connect(self._begin_new)
        self.remove = QPushButton("Remove")
        self.remove.clicked.connect(self._remove)
        self.form = DeviceForm()
        self.form.edited.connect(self._store)
        self.check = QPushButton("Check")
        self.check.setToolTip("Connect, and find out whether it can measure")
        self.check.clicked.connect(self._check_or_stop)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.busy.setTextVisible(False)
        self.busy.setMaximumHeight(4)
        self.found = _label(None)
        self.problem = _label("error")
        self.back = QPushButton("Bring it back")
        self.back.setProperty("role", "link")
        self.back.clicked.connect(self._bring_back)
        self.use = QPushButton("Measure this project on it")
        self.use.clicked.connect(self._use)
        self._lay_out()
        session.documentChanged.connect(self._refresh_use)
        self._fill(session.state.latency.device)
        if (fault := session.devices.problem) is not None:
            self._say(problem=str(fault))

    def done(self, result: int) -> None:
        """Close; a check that is under way is stopped."""
        self._open = False
        if self._job is not None:
            self._session.jobs.cancel(self._job)
        super().done(result)

    def _lay_out(self) -> None:
        about = _label("muted")
        about.setText(_ABOUT)
        about.show()
        beside = QVBoxLayout()
        beside.setSpacing(8)
        beside.addWidget(self.list, 1)
        beside.addWidget(self.new)
        beside.addWidget(self.remove)
        checking = QHBoxLayout()
        checking.addWidget(self.check)
        checking.addWidget(self.busy, 1)
        checking.addStretch()
        column = QVBoxLayout()
        column.setSpacing(8)
        column.addWidget(self.form)
        column.addLayout(checking)
        for widget in (self.found, self.problem, self.back):
            column.addWidget(widget, 0, Qt.AlignmentFlag.AlignTop)
        column.addStretch(1)
        middle = QHBoxLayout()
        middle.setSpacing(16)
        middle.addLayout(beside)
        middle.addLayout(column, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.use, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        for button in (*buttons.buttons(), self.new, self.remove, self.check, self.back):
            if isinstance(button, QPushButton):
                button.setAutoDefault(False)  # Enter in a field stores it and closes nothing
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        outer.addWidget(about)
        outer.addLayout(middle, 1)
        outer.addWidget(buttons)

    # --- what is shown ------------------------------------------------------------------------------------------

    def _fill(self, name: str | None) -> None:
        """List the devices and show the one of that name, else the first, else a new one."""
        devices = self._session.devices.known
        with QSignalBlocker(self.list):
            self.list.clear()
            self.list.addItems([device.name for device in devices])
        names = [device.name for device in devices]
        row = names.index(name) if name in names else 0
        if devices:
            with QSignalBlocker(self.list):
                self.list.setCurrentRow(row)
        self._show(devices[row] if devices else None)

    def _show(self, device: RemoteDevice | None) -> None:
        self._shown = device
        self.form.show_device(device)
        self._say()
        self._refresh_use()

    def _say(self, *, found: str = "", problem: str = "") -> None:
        for label, text in ((self.found, found), (self.problem, problem)):
            label.setText(text)
            label.setVisible(bool(text))
        self.back.setVisible(self._removed is not None)
        self._working(False)

    def _working(self, busy: bool) -> None:
        self.busy.setVisible(busy)
        self.check.setText("Stop" if busy else "Check")

    def _refresh_use(self) -> None:
        current = self._session.state.latency.device
        name = None if self._shown is None else self._shown.name
        self.remove.setEnabled(name is not None)
        self.remove.setToolTip("" if name else "Choose a device first")
        self.use.setEnabled(name not in (None, current))
        self.use.setToolTip("Fill in a device first" if name is None else "It does already" if name == current else "")

    # --- edits --------------------------------------------------------------------------------------------------

    def _row_chosen(self, row: int) -> None:
        devices = self._session.devices.known
        if 0 <= row < len(devices):
            self._stop()
            self._removed = None
            self._show(devices[row])

    def _begin_new(self) -> None:
        self._stop()
        self._removed = None
        with QSignalBlocker(self.list):
            self.list.setCurrentRow(-1)
            self.list.clearSelection()
        self._show(None)
        self.form.name.setFocus()

    def _store(self) -> RemoteDevice | None:
        """Store the form if it makes sense; else say what does not, and return None."""
        if not self.form.is_begun:
            return None
        try:
            device = self.form.device(self._shown)
            if device != self._shown:
                before = None if self._shown is None else self._shown.name
                if device.name != before and any(device.name == known.name for known in self._session.devices.known):
                    self._say(problem=f"There is a device {device.name!r} already. Choose another name.")
                    return None
                self._session.devices.put(device, before)
                self._stop()
                self._fill(device.name)
        except WorkbenchError as error:
            self._say(problem=str(error))
            return None
        return device

    def _remove(self) -> None:
        if self._shown is None:
            return
        self._stop()
        try:
            self._removed = self._session.devices.remove(self._shown.name)
        except WorkbenchError as error:
            self._say(problem=str(error))
            return
        removed = self._removed
        self._fill(None)
        self._say(found=f"{removed.name} was taken off the list. What was stored there lies in {removed.folder}.")

    def _bring_back(self) -> None:
        removed, self._removed = self._removed, None
        if removed is not None:
            try:
                self._session.devices.put(removed)
            except WorkbenchError as error:
                self._say(problem=str(error))
                return
            self._fill(removed.name)

    def _use(self) -> None:
        from workbench.ui.panels.device_choice import measure_on

        device = self._store()
        if device is not None:
            measure_on(self._session, device.name)

    # --- the check ----------------------------------------------------------------------------------------------

    def _check_or_stop(self) -> None:
        if self._job is not None:
            self._stop()
            self._say()
            return
        device = self._store()
        if device is None:
            if not self.form.is_begun:
                self._say(problem="Name the host first.")
            return
        self._removed = None
        self._say()
        self._working(True)
        self._job = self._session.jobs.submit(
            CheckDeviceJob(device=device),
            f"Check {device.name}",
            "interactive",
            on_result=self._checked,
            on_failed=self._failed,
            on_cancelled=lambda payload: None,
        )

    def _checked(self, payload: dict[str, Any]) -> None:
        self._job = None
        if self._open:
            found = DeviceCheck.model_validate(payload)
            self._say(found="\n".join((f"{found.sentence}.", *found.notes)))

    def _failed(self, error: WorkbenchError) -> None:
        self._job = None
        if self._open:
            # Which device it is about is plain to see here.
            said = str(WorkbenchError.from_json({**error.to_json(), "where": None}))
            self._say(problem=said[:1].upper() + said[1:])

    def _stop(self) -> None:
        """Stop a check that is under way; what it finds is about another device than the one shown."""
        if self._job is not None:
            self._session.jobs.forget(self._job)
            self._job = None


def _label(role: str | None) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    if role is not None:
        label.setProperty("role", role)
    label.hide()
    return label
