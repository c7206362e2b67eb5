"""What layers read on calibration samples, added up by the weight that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from workbench.api import (
    MeanSquares,
    ModelGraph,
    Progress,
    RowMoments,
    RowObserver,
    Tools,
    needed_data,
    not_finite,
    observe_samples,
)

from .patches import Patches
from .subjects import Subject

WITHOUT = "use prune.magnitude, which looks at the weights alone"
M = TypeVar("M", RowMoments, MeanSquares)


def observe(
    graph: ModelGraph,
    subjects: Sequence[Subject],
    kind: Callable[[int, int], M],
    tools: Tools,
    samples: int,
    progress: Progress,
) -> Mapping[str, M]:
    """Return what the subjects' layers read on the recipe's calibration samples, by weight.

    Args:
        graph: The model.
        subjects: Whose inputs to observe.
        kind: RowMoments or MeanSquares, of (groups, columns).
        tools: Data, engine and cancel.
        samples: How many samples.
        progress: Of this go.

    Raises:
        DataError: the recipe names no data, or a value was not finite on it.
        CancelledError: tools.cancel was set.
    """
    data = needed_data(tools, "calibration", WITHOUT)
    found = {subject.weight: kind(subject.layout.groups, subject.layout.columns) for subject in subjects}
    readers = [
        (node.inputs[0], RowObserver(Patches(node, subject.layout), found[subject.weight]))
        for subject in subjects
        for node in subject.nodes
    ]
    observe_samples(graph, readers, data, tools, samples, progress=progress)
    for subject in subjects:
        if not found[subject.weight].finite:
            raise not_finite("what the layer reads", f"layer {subject.name!r}")
    return found
