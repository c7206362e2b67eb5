"""Runs one verb: the job in this process, Ctrl-C as a cancel, errors as one line and an exit status."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from workbench.cli.arguments import parser
from workbench.cli.console import Console
from workbench.cli.verbs import VERBS
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import WorkbenchError


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed, 2 bad input, 130 cancelled)."""
    try:
        options = parser().parse_args(list(arguments))
    except WorkbenchError as error:
        print(f"workbench: {error}", file=sys.stderr)
        return error.exit_status
    console = Console(as_json=options.json, quiet=options.quiet)
    cancel = CancelToken()

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if cancel.cancelled:
            raise KeyboardInterrupt
        console.error("cancelling; press Ctrl-C again to stop at once")
        cancel.cancel()

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        return VERBS[options.verb](options, console, cancel)
    except WorkbenchError as error:
        if options.debug:
            traceback.print_exc()
        console.error(f"workbench: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        console.error("workbench: stopped")
        return 130
    except BrokenPipeError:
        return 0
    finally:
        signal.signal(signal.SIGINT, previous)
