"""Runs one verb: the job in this process, Ctrl-C as a cancel, errors as one line and an exit status."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from workbench.cli.arguments import parse
from workbench.cli.console import Console
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, JobError, WorkbenchError


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed, 2 bad input, 130 cancelled)."""
    try:
        options = parse(arguments)
    except WorkbenchError as error:
        print(f"workbench: {error}", file=sys.stderr)
        return error.exit_status
    console = Console(as_json=options.json, quiet=options.quiet)
    cancel = CancelToken()

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        if cancel.cancelled:
            os.write(2, b"workbench: stopped\n")
            os._exit(CancelledError.exit_status)  # a second Ctrl-C is for work that does not answer
        console.log("cancelling; press Ctrl-C again to stop at once")
        cancel.cancel()

    previous = signal.signal(signal.SIGINT, interrupted)
    try:
        # Arguments are refused and help is shown before the rooms behind the verbs, a second's work, are imported.
        from workbench.cli.verbs import VERBS

        return VERBS[options.verb](options, console, cancel)
    except BrokenPipeError:
        return 0
    except WorkbenchError as error:
        return _failed(error, console, options.debug)
    except Exception as error:  # the last border: a fault of the program is one line too, unless its author asks
        said = " ".join(str(error).split())
        fault = JobError(
            f"{type(error).__name__}: {said}" if said else type(error).__name__,
            action="This is a fault of the program or of a plugin; --debug shows where.",
        )
        return _failed(fault, console, options.debug)
    finally:
        signal.signal(signal.SIGINT, previous)


def _failed(error: WorkbenchError, console: Console, debug: bool) -> int:
    if debug:
        console.error(traceback.format_exc().rstrip())
    console.error(f"workbench: {error}")
    return error.exit_status
