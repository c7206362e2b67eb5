"""Devices in the window: added, checked, removed and brought back in the dialog, and chosen to measure on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu

from workbench.domain.errors import DeviceError
from workbench.domain.remote_device import DeviceCheck, RemoteDevice
from workbench.project.commands import SetRun
from workbench.project.device_book import DeviceBook
from workbench.ui.devices_dialog import DevicesDialog
from workbench.ui.main_window import MainWindow
from workbench.ui.models.candidate_table import resolve_candidates
from workbench.ui.palette_entries import palette_entries

PI = RemoteDevice(name="pi", host="pi.local", user="me", port=2222, host_key="first")
FOUND = DeviceCheck(
    name="pi",
    cpu="Cortex-A76",
    cores=4,
    system="Linux",
    machine="aarch64",
    python="3.11.2",
    versions={"numpy": "2.0.0", "onnxruntime": "1.30.0"},
    seconds=0.4,
    notes=("ONNX Runtime is 1.30.0 there and 1.31.1 here: kernels and fusion may differ.",),
)


def dialog_of(window: MainWindow) -> DevicesDialog:
    window.actions_.trigger("devices.manage")
    (dialog,) = [child for child in window.findChildren(DevicesDialog) if child.isVisible()]
    return dialog


def click(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def type_into(qtbot: Any, line: Any, text: str) -> None:
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)
    line.editingFinished.emit()


def test_device_is_stored_as_it_is_typed(desk: Callable[..., Any], qtbot: Any) -> None:
    dialog = dialog_of(desk().window)
    assert dialog.list.count() == 0
    assert not dialog.use.isEnabled()
    type_into(qtbot, dialog.form.host, "pi.local")
    assert list(DeviceBook()) == [RemoteDevice(name="pi", host="pi.local")]
    type_into(qtbot, dialog.form.user, "me")
    dialog.form.port.setValue(2222)
    dialog.form.port.editingFinished.emit()
    click(qtbot, dialog.form.first)
    assert list(DeviceBook()) == [PI]
    type_into(qtbot, dialog.form.name, "kitchen")
    assert [device.name for device in DeviceBook()] == ["kitchen"]
    assert [dialog.list.item(row).text() for row in range(dialog.list.count())] == ["kitchen"]


def test_field_that_is_not_right_is_told_and_not_stored(desk: Callable[..., Any], qtbot: Any) -> None:
    dialog = dialog_of(desk().window)
    type_into(qtbot, dialog.form.host, "-oProxyCommand=x")
    assert "a host name or address" in dialog.problem.text()
    assert dialog.problem.isVisible()
    assert list(DeviceBook()) == []


def test_two_devices_do_not_share_a_name(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    dialog = dialog_of(desk().window)
    click(qtbot, dialog.new)
    type_into(qtbot, dialog.form.name, "pi")
    type_into(qtbot, dialog.form.host, "other.local")
    assert "already" in dialog.problem.text()
    assert list(DeviceBook()) == [PI]


def test_check_says_in_words_what_it_found(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    made = desk()
    dialog = dialog_of(made.window)
    click(qtbot, dialog.check)
    assert made.runner.specs[made.runner.last("check_device")].device == PI
    assert dialog.check.text() == "Stop"
    made.runner.finish(made.runner.last("check_device"), FOUND.model_dump(mode="json"))
    qtbot.waitUntil(lambda: dialog.found.isVisible())
    assert "pi can measure: Cortex-A76, 4 cores, Linux aarch64" in dialog.found.text()
    assert "kernels and fusion may differ" in dialog.found.text()
    assert dialog.check.text() == "Check"


def test_check_that_fails_says_what_to_do(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    made = desk()
    dialog = dialog_of(made.window)
    click(qtbot, dialog.check)
    error = DeviceError("pi.local does not answer", action="Check that it is switched on.")
    made.runner.fail(made.runner.last("check_device"), error)
    qtbot.waitUntil(lambda: dialog.problem.isVisible())
    assert dialog.problem.text() == "Pi.local does not answer. Check that it is switched on."
    assert made.window.banner.notices == ()


def test_check_is_stopped_with_the_dialog(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    made = desk()
    dialog = dialog_of(made.window)
    click(qtbot, dialog.check)
    dialog.reject()
    assert made.runner.cancelled


def test_removed_device_comes_back(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    dialog = dialog_of(desk().window)
    click(qtbot, dialog.remove)
    assert list(DeviceBook()) == []
    assert "pi was taken off the list" in dialog.found.text()
    click(qtbot, dialog.back)
    assert list(DeviceBook()) == [PI]
    assert dialog.form.host.text() == "pi.local"


def test_project_measures_on_the_chosen_device(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    made = desk()
    window, session = made.window, made.session
    dialog = dialog_of(window)
    click(qtbot, dialog.use)
    assert session.state.latency.device == "pi"
    assert not dialog.use.isEnabled()
    dialog.reject()
    choice = window.panels["recipe"].device
    assert choice.currentText() == "pi"
    session.profile_baseline()
    assert made.runner.specs[made.runner.last("profile")].device == "pi"
    table = resolve_candidates(session.state)
    assert {row.stale for row in table.rows if row.latency and row.id != "baseline"} == {
        "Latency was measured on this computer"
    }
    session.document.undo()
    assert session.state.latency.device == "local"
    assert choice.currentText() == "This computer"


def test_menu_and_palette_offer_the_devices(desk: Callable[..., Any], qtbot: Any) -> None:
    DeviceBook().put(PI)
    window = desk().window
    (analyse,) = [menu for menu in window.menuBar().findChildren(QMenu) if menu.title() == "&Analyse"]
    (submenu,) = [action.menu() for action in analyse.actions() if action.text() == "Measure on"]
    submenu.aboutToShow.emit()
    titles = [action.text() for action in submenu.actions() if not action.isSeparator()]
    assert titles == ["This computer", "pi", "Devices…"]
    assert [action.isChecked() for action in submenu.actions()[:2]] == [True, False]
    submenu.actions()[1].trigger()
    assert window.session.state.latency.device == "pi"
    entries = {entry.title: entry for entry in palette_entries(window)}
    assert {"Devices…", "Measure on this computer"} <= set(entries)
    assert "Measure on pi" not in entries


def test_device_that_is_not_known_here_is_shown_as_such(desk: Callable[..., Any]) -> None:
    made = desk()
    latency = made.session.state.latency.model_copy(update={"device": "lab"})
    made.session.do(SetRun(latency=latency))
    assert made.window.panels["recipe"].device.currentText() == "lab (not known here)"


def test_list_that_cannot_be_read_is_told(desk: Callable[..., Any]) -> None:
    book = DeviceBook()
    book.file.parent.mkdir(parents=True, exist_ok=True)
    book.file.write_text("devices: [{name: pi, host: pi, password: x}]")
    dialog = dialog_of(desk().window)
    assert "there is no such key" in dialog.problem.text()


@pytest.mark.timeout(120)
def test_closed_port_is_told_by_a_real_worker(
    real_window: Callable[[], MainWindow], qtbot: Any, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    DeviceBook().put(RemoteDevice(name="shut", host="127.0.0.1", port=port, known_hosts=str(tmp_path / "known")))
    dialog = dialog_of(real_window())
    click(qtbot, dialog.check)
    qtbot.waitUntil(lambda: dialog.problem.isVisible(), timeout=60_000)
    assert f"127.0.0.1 runs no SSH server at port {port}" in dialog.problem.text()
