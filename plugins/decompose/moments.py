"""Takes the moments of layers' values on calibration samples, and remembers them for the next rank of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

from workbench.api import (
    ChannelRows,
    ModelGraph,
    RowMoments,
    RowObserver,
    Tools,
    needed_data,
    not_finite,
    observe_samples,
    parts_within,
)

_MOMENT_BYTES = 1_000_000_000
_REMEMBERED_CHANNELS = 512

# A sweep splits the same layer at several ranks; graph, data and samples decide the moments alone.
_SEEN: WeakKeyDictionary[ModelGraph, WeakKeyDictionary[object, dict[tuple[str, int], RowMoments]]] = WeakKeyDictionary()


def observe(
    graph: ModelGraph, values: Mapping[str, tuple[int, int]], tools: Tools, samples: int
) -> dict[str, RowMoments]:
    """Return the moments (channels,) of the named values over the recipe's calibration samples.

    Values are observed in as many goes as it takes to hold their products in about 1 GB.

    Args:
        graph: The model.
        values: Axis of the channels and their number, by value name.
        tools: Data, engine, progress and cancel.
        samples: How many samples.

    Raises:
        DataError: the recipe names no data, or a value was infinite on it.
    """
    data = needed_data(tools, "calibration", "use decompose.svd, which looks at the weights alone")
    seen = _SEEN.setdefault(graph, WeakKeyDictionary()).setdefault(data, {})
    found = {value: seen[value, samples] for value in values if (value, samples) in seen}
    missing = [value for value in values if value not in found]
    parts = parts_within(missing, lambda value: 8 * values[value][1] ** 2, _MOMENT_BYTES)
    for number, part in enumerate(parts):
        moments = {value: RowMoments(values[value][1]) for value in part}
        observe_samples(
            graph,
            [(value, RowObserver(ChannelRows(values[value][0]), moments[value])) for value in part],
            data,
            tools,
            samples,
            progress=tools.progress.part(0.6 * number / len(parts), 0.6 * (number + 1) / len(parts), "calibration"),
        )
        found.update(moments)
    for value in values:
        if not found[value].finite:
            raise not_finite(f"value {value!r}")
    seen.update({(value, samples): found[value] for value in values if values[value][1] <= _REMEMBERED_CHANNELS})
    return found
