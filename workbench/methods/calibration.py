"""Shows values of calibration samples to what observes them, and says in one way what is wrong with samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from workbench.domain.cancel import Progress
from workbench.domain.errors import DataError
from workbench.engines.contracts import Observer
from workbench.graph.model import ModelGraph
from workbench.methods.method import MethodData, Tools

T = TypeVar("T")


def needed_data(tools: Tools, method: str, instead: str = "") -> MethodData:
    """Return the recipe's data.

    Args:
        tools: Of the run.
        method: Its id, or what needs the data.
        instead: What could be done without.

    Raises:
        DataError: the recipe names none.
    """
    if tools.data is None:
        action = "Add `data:` to the recipe" + (f", or {instead}." if instead else ".")
        raise DataError(f"{method} needs samples, and the recipe names no data", action=action)
    return tools.data


def observe_samples(
    graph: ModelGraph,
    observers: Iterable[tuple[str, Observer]],
    data: MethodData,
    tools: Tools,
    samples: int,
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> None:
    """Show observers their values in one pass over calibration samples.

    Args:
        graph: The model.
        observers: Each with the name of the value that it observes.
        data: Of the recipe.
        tools: Engine, cancel and, where none is given, progress.
        samples: How many at the most.
        batch_size: Samples whose values are held at a time.
        progress: Of this pass.

    Raises:
        DataError: the data has no train split.
        CancelledError: tools.cancel was set.
    """
    by_value: dict[str, list[Observer]] = {}
    for value, observer in observers:
        by_value.setdefault(value, []).append(observer)
    tools.inference.observe(
        graph,
        by_value,
        data.calibration(samples, batch_size),
        progress=tools.progress if progress is None else progress,
        total=samples,
        cancel=tools.cancel,
    )


def not_finite(what: str, where: str | None = None) -> DataError:
    """Return the error for moments that are not finite."""
    return DataError(
        f"{what} is not finite on the calibration samples",
        where=where,
        expected="finite activations",
        action="Check the preprocessing of the data.",
    )


def parts_within(items: Iterable[T], size: Callable[[T], int], room: int) -> list[list[T]]:
    """Return the items in as few lists, in their order, as it takes to keep the sizes of each within the room.

    Args:
        items: What needs memory.
        size: Bytes of one.
        room: Bytes; an item that is larger is alone.
    """
    found: list[list[T]] = []
    left = 0
    for item in items:
        needed = size(item)
        if not found or needed > left:
            found.append([])
            left = room
        found[-1].append(item)
        left -= needed
    return found
