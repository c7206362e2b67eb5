"""Makes values of what stands on the command line, with one clear line for what can't be one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from workbench.cli.console import Console
from workbench.cli.recording import name_and_value, whole_number
from workbench.data.yaml_text import read_scalar
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, RecipeError
from workbench.jobs.context import JobContext

# The runtime starts as many threads as it is asked for, a hundred thousand too.
MOST_THREADS = 256
MOST_BATCH = 65536


def context(console: Console, cancel: CancelToken) -> JobContext:
    """Return a job context that reports to the console."""
    return JobContext(progress=Progress(console.progress), cancel=cancel, log=console.log)


def absolute(path: str) -> str:
    """Return a path from the root."""
    return str(Path(path).expanduser().absolute())


def samples(text: str) -> int | Literal["all"]:
    """Return a number of samples; BadInputError for anything but a number or "all"."""
    if text == "all":
        return "all"
    number = whole_number(text)
    if number is None:
        raise BadInputError(f"--samples is {text!r}", expected="a positive number, or all")
    return number


def within(number: int, low: int, high: int, name: str) -> int:
    """Return the number; BadInputError where it is out of bounds."""
    if not low <= number <= high:
        raise BadInputError(f"{name} is {number}", expected=f"a number from {low} to {high}")
    return number


def parameter(text: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE."""
    name, given = name_and_value(text, "--set")
    return name, read_scalar(given, f"--set {name}")


def value(text: str) -> float | int | str:
    """Return one value of a knob.

    Raises:
        RecipeError: it is neither a number nor a word.
    """
    found = read_scalar(text.strip() or '""', "--values")
    if isinstance(found, bool) or not isinstance(found, (int, float, str)) or found == "":
        raise RecipeError(f"--values contains {text!r}", expected="numbers or words separated by commas")
    return found
