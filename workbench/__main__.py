"""Chooses between the window, the command line and the worker process."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.domain.errors import CancelledError, WorkbenchError

_WINDOW_FILES = (".onnx", ".mcw", ".pt2")


def main() -> int:
    """Run what the arguments ask for; Ctrl-C before anyone listens for it ends the program like one that is heard."""
    try:
        return _run()
    except KeyboardInterrupt:
        return CancelledError.exit_status


def _run() -> int:
    """Nothing or a file opens the window, a verb runs the command line."""
    arguments = sys.argv[1:]
    if arguments == ["worker"]:
        from workbench.worker.process import main as worker

        return worker()
    if arguments[:1] == ["draw-front"] and len(arguments) == 3:
        from workbench.ui.panels.front_picture import draw_front

        return draw_front(Path(arguments[1]), Path(arguments[2]))
    if arguments[:1] == ["measure-memory"] and len(arguments) >= 4:
        from workbench.devices.memory import main as measure_memory

        return measure_memory(arguments[1:])
    if arguments[:1] == ["probe-plugin"] and len(arguments) == 3:
        from workbench.plugin_host.probe import main as probe

        return probe(Path(arguments[1]), float(arguments[2]))
    if not arguments or (len(arguments) == 1 and Path(arguments[0]).suffix.lower() in _WINDOW_FILES):
        from workbench.app import main as window

        return window(arguments)
    if arguments[0] == "demo" and _wants_window(arguments):
        from workbench.app import can_open_window, demo

        if can_open_window():
            return demo(arguments[1:])
        print("No display found: running the demo without a window.", file=sys.stderr)
    from workbench.cli import main as command_line

    return command_line(arguments)


def _wants_window(arguments: list[str]) -> bool:
    """Whether a demo is to be shown; what the command line does not understand it shall say itself."""
    from workbench.cli.arguments import parse

    try:
        return not {"-h", "--help"} & set(arguments) and not parse(arguments).headless
    except WorkbenchError:
        return False


if __name__ == "__main__":
    sys.exit(main())
