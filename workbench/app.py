"""The one place where the window's parts are wired together: document, worker, look, session and main window."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.domain.errors import WorkbenchError
from workbench.domain.installation import own_command
from workbench.project.places import cache_folder, data_folder

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from workbench.ui.main_window import MainWindow
    from workbench.ui.preferences import Preferences

_WORKER = own_command("worker")
_log = logging.getLogger("workbench")


def can_open_window() -> bool:
    """Return whether a window can be shown here; says why on standard error where Qt itself is the reason."""
    reason = _why_no_window()
    if reason:
        print(reason, file=sys.stderr)
    return reason is None


def main(arguments: Sequence[str]) -> int:
    """Open the window, on the file named by the first argument if there is one."""
    if (reason := _why_no_window()) is not None:
        print(f"{reason or 'No display found.'} `workbench --help` lists what works without a window.", file=sys.stderr)
        return 2
    file = Path(arguments[0]).expanduser().absolute() if arguments else None

    def begin(window: MainWindow) -> None:
        if file is not None:
            window.open_file(file)

    return _show(begin)


def demo(arguments: Sequence[str]) -> int:
    """Open the window on the demo, which runs while one watches."""
    parser = argparse.ArgumentParser(prog="workbench demo", description="Open the window on the embedded demo.")
    parser.add_argument("--out", metavar="DIR", help="folder to copy the demo to (default: the user's data folder)")
    options, _ = parser.parse_known_args(list(arguments))
    out = None if options.out is None else Path(options.out).expanduser().absolute()
    return _show(lambda window: window.start_demo(out))


def make_window(
    application: QApplication, preferences: Preferences | None = None, *, worker: Sequence[str] = _WORKER
) -> MainWindow:
    """Return the window, not shown yet, on a new project.

    Args:
        application: To dress.
        preferences: Where the window's looks are remembered; by default the user's own.
        worker: Command that starts a worker process.
    """
    from workbench.jobs.supervisor import Supervisor
    from workbench.project.document import Document
    from workbench.project.recent import RecentFiles
    from workbench.ui.bridge import JobsBridge
    from workbench.ui.icons import icon
    from workbench.ui.main_window import MainWindow
    from workbench.ui.preferences import Preferences
    from workbench.ui.session import Session
    from workbench.ui.theme import Theme

    preferences = preferences or Preferences()
    theme = Theme(preferences.mode)
    theme.apply(application)
    logs = log_folder()
    bridge = JobsBridge(lambda listener: Supervisor(worker, listener, log_folder=logs))
    fault: WorkbenchError | None = None
    try:
        document = Document.untitled()
    except WorkbenchError as error:  # the user's data folder can't be written: they may still look, and save elsewhere
        document, fault = Document(), error
    session = Session(document, bridge, theme, cache_folder() / "window")
    window = MainWindow(session, preferences, RecentFiles(), logs)
    if fault is not None:
        window.banner.show_error(fault)
    theme.setParent(window)
    session.setParent(window)
    application.setWindowIcon(icon("app", theme, "accent"))
    return window


def log_folder() -> Path:
    """Return where the window and its workers write their logs."""
    return data_folder() / "logs"


def _show(begin: Callable[[MainWindow], None]) -> int:
    """Show the window, start its worker once it is painted, and go on with `begin`."""
    from PySide6.QtCore import QTimer
    from PySide6.QtWidgets import QApplication

    from workbench.jobs.specs import ListMethodsJob

    # A press of Ctrl-C in the terminal ends the program; every edit is stored already.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    application = QApplication(sys.argv[:1])
    application.setApplicationName("workbench")
    application.setApplicationDisplayName("Model compression workbench")
    application.setDesktopFileName("model-compression-workbench")
    window = make_window(application)
    watch_faults(window)
    window.show()

    def after_first_paint() -> None:
        window.session.list_methods()
        begin(window)
        window.build_workspace()
        keep_for_good()
        # The worker of long jobs imports what it needs now, so that the first one begins at once.
        window.session.jobs.submit(ListMethodsJob(), "Start the worker of long jobs", "batch")

    QTimer.singleShot(0, after_first_paint)
    return application.exec()


def keep_for_good() -> None:
    """Count what was made so far, modules and panels, as never garbage.

    Looking through all of it for garbage takes 40 ms, for which the window would stand still every now and then.
    """
    gc.freeze()


def watch_faults(window: MainWindow) -> None:
    """Bring exceptions that no code expected to the banner and the log; Qt would print them where nobody looks."""
    folder = log_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _log.addHandler(logging.FileHandler(folder / "window.log", encoding="utf-8", delay=True))
    except OSError as error:
        print(f"workbench: no log can be written: {error}", file=sys.stderr)

    def found(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        text = "".join(traceback.format_exception(kind, error, trace))
        _log.error("unexpected %s\n%s", kind.__name__, text)
        window.faultFound.emit(error, text)

    sys.excepthook = found
    threading.excepthook = lambda args: found(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)


def _why_no_window() -> str | None:
    """Return None if a window can be shown, "" if there is no display, or a sentence if Qt can't be used."""
    if sys.platform.startswith("linux"):
        if os.environ.get("QT_QPA_PLATFORM", "").split(":")[0] in ("offscreen", "minimal"):
            return ""
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return ""
    try:
        from PySide6 import QtWidgets  # noqa: F401
    except ImportError as error:
        return f"Qt can't be loaded: {error}. packaging/start.sh installs what is missing."
    return _why_no_x11()


def _why_no_x11() -> str | None:
    """Return why Qt's X11 plugin would fail, in which case Qt ends the process without a word to its caller."""
    display = os.environ.get("DISPLAY", "")
    if not display or os.environ.get("WAYLAND_DISPLAY") or not sys.platform.startswith("linux"):
        return None
    if not _x11_answers(display):
        return f"The display {display} can't be reached."
    spec = importlib.util.find_spec("PySide6")
    places = (spec.submodule_search_locations if spec is not None else None) or ()
    for place in places:
        plugin = Path(place) / "Qt" / "plugins" / "platforms" / "libqxcb.so"
        if plugin.is_file():
            try:
                ctypes.CDLL(str(plugin))
            except OSError as error:
                return f"Qt's X11 plugin can't be loaded: {error}. packaging/start.sh installs what is missing."
    return None


def _x11_answers(display: str) -> bool:
    """Whether an X server listens at a display such as ":0" or "localhost:10.0"."""
    host, _, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not number.isdigit():
        return False
    path = f"/tmp/.X11-unix/X{number}"
    local = host in ("", "unix")
    places = [path, f"\0{path}"] if local else [(host, 6000 + int(number))]
    for place in places:
        with (
            socket.socket(socket.AF_UNIX if local else socket.AF_INET) as link,
            contextlib.suppress(OSError),
        ):
            link.settimeout(2.0)
            link.connect(place)
            return True
    return False
