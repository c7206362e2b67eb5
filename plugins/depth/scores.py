"""How much a network needs each of its branches, by three criteria.

Notation: o is what comes along the shortcut (or goes into a run), s what the branch adds, y = o + s (what comes out of
a run).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from workbench.api import Branch, ChannelAxis, DataError, MethodData, ModelGraph, Tools, remove_branches

Scores = dict[str, float]
Criterion = Callable[[ModelGraph, Sequence[Branch], Tools, int], Scores]
_BATCH = 32


def similarity(graph: ModelGraph, branches: Sequence[Branch], tools: Tools, samples: int) -> Scores:
    """Return mean |y - o|² / mean |y|² on calibration samples: near 0 where a branch hardly changes what it gets.

    Men et al., 2024 (ShortGPT), use the angle between both; the distance also sees a change of size.

    Raises:
        DataError: there are no samples.
        CancelledError: cancelled.
    """
    data = _data(tools)
    values = dict.fromkeys(name for branch in branches for name in (branch.replacement, branch.output))
    session = tools.inference.open(graph.with_outputs(values), cancel=tools.cancel)
    distance, size = dict.fromkeys((branch.id for branch in branches), 0.0), {branch.id: 0.0 for branch in branches}
    seen = 0
    for batch in data.calibration(samples, _BATCH):
        tools.cancel.raise_if_cancelled()
        found = session.run(batch.inputs)
        for branch in branches:
            before, after = (found[name].astype(np.float64) for name in (branch.replacement, branch.output))
            distance[branch.id] += float(np.square(after - before).sum())
            size[branch.id] += float(np.square(after).sum())
        seen += len(batch)
        tools.progress.update(min(seen / samples, 1.0), f"{seen} of {samples} samples")
    if not seen:
        raise DataError("there are no calibration samples", action="Name a train split in the data description.")
    return {name: distance[name] / size[name] if size[name] else 0.0 for name in distance}


def metric(graph: ModelGraph, branches: Sequence[Branch], tools: Tools, samples: int) -> Scores:
    """Return by how much the score on held-out training samples drops without each branch alone.

    Raises:
        DataError: the recipe names no data, or data without labels.
        CancelledError: cancelled.
    """
    data = _data(tools)
    whole = data.validate(graph)
    scores: Scores = {}
    for number, branch in enumerate(branches):
        tools.cancel.raise_if_cancelled()
        tools.progress.update(number / len(branches), f"without {branch.id}")
        scores[branch.id] = whole - data.validate(remove_branches(graph, (branch.id,)))
    return scores


def taylor(graph: ModelGraph, branches: Sequence[Branch], tools: Tools, samples: int) -> Scores:
    """Return the mean square of each sample's first-order change of the loss when s becomes 0 (Molchanov et al., 2019).

    Raises:
        DataError: labels are missing.
        UnsupportedGraphError: an operator has no gradient.
        CancelledError: cancelled.
    """
    data = _data(tools)
    axes = {ChannelAxis(branch.end, 1): branch.id for branch in branches}
    sums = _SquaredSums(axes)
    tools.training.observe_slopes(
        graph,
        tuple(axes),
        sums,
        data.calibration(samples, _BATCH),
        task=data.task,
        seed=tools.seed,
        progress=tools.progress,
        total=samples,
        cancel=tools.cancel,
    )
    return {name: sums.total[name] / max(sums.seen, 1) for name in axes.values()}


CRITERIA: Mapping[str, Criterion] = {"similarity": similarity, "metric": metric, "taylor": taylor}


class _SquaredSums:
    def __init__(self, axes: Mapping[ChannelAxis, str]) -> None:
        self._axes = axes
        self.total = dict.fromkeys(axes.values(), 0.0)
        self.seen = 0

    def update(self, slopes: Mapping[ChannelAxis, np.ndarray]) -> None:
        for axis, name in self._axes.items():
            self.total[name] += float(np.square(slopes[axis].astype(np.float64).sum(axis=1)).sum())
        self.seen += len(next(iter(slopes.values())))


def _data(tools: Tools) -> MethodData:
    if tools.data is None:
        raise DataError(
            "ranking branches needs samples, and the recipe names no data",
            where="prune.depth",
            action="Add `data:` to the recipe, or name the layers to leave out in the plan (keep: no).",
        )
    return tools.data
