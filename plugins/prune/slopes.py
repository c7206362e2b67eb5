"""What criteria share that ask the loss: slopes of all channels, streamed sample by sample in one pass.

Notation: the slope of a unit is the derivative of one sample's loss by a factor on all of its channels, wherever they
are read; removing the unit takes that factor from 1 to 0. Slopes of layers that share the unit add up.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.api import ChannelAxis, ChannelGroup, ModelGraph, Requirement, needed_data

from .parameters import SampledParameters
from .reach import gradient_obstacle
from .scores import per_unit, present
from .sites import batch_size, reading_sites
from .structured import ChannelPruning
from .subject import Subject


class SlopePruning(ChannelPruning):
    """Ranks the units of a group by a figure of their slopes.

    With reduction "sum" the slopes of all places at which a unit is read are added before the figure is taken, since
    they are parts of one derivative; otherwise the figure of every place is taken and those are reduced.
    """

    needs_data = True
    Parameters = SampledParameters
    labels: ClassVar[Literal["data", "model"]] = "data"

    @abstractmethod
    def figure(self, slopes: np.ndarray) -> np.ndarray:
        """Return what a batch's slopes (n, units) add to the figure, (units,); the mean over samples is taken."""

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return that gradients are needed, and labels unless the model's own are taken."""
        needed = super().requirements(graph) | {Requirement.GRADIENTS}
        return needed | {Requirement.LABELS} if self.labels == "data" else needed

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why a group has no slopes, naming the node that stops the gradient."""
        found = super().obstacle(graph, group)
        if found is not None:
            return found
        sites = reading_sites(graph, group)
        if not sites:
            return f"nothing that layer {group.id} makes can be observed"
        reasons = [gradient_obstacle(graph, site.place.value) for site in sites]
        return reasons[0] if all(reasons) else None

    def gather(self, subject: Subject, groups: Sequence[ChannelGroup]) -> Mapping[str, Any]:
        """Return by group the figures of its places, [(units,)], or of their sum.

        Raises:
            DataError: the recipe names no data, or the labels are missing or don't fit.
        """
        tools, samples = subject.tools, self.parameters.samples
        data = needed_data(tools, self.id)
        sums = _Figures(self, subject.graph, groups)
        tools.training.observe_slopes(
            subject.graph,
            sums.places,
            sums,
            data.calibration(samples, batch_size(subject.graph, [place.value for place in sums.places])),
            task=data.task,
            labels=self.labels,
            seed=tools.seed,
            progress=tools.progress,
            total=samples,
            cancel=tools.cancel,
        )
        return {"figures": sums.result()}

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the figures, (units,)."""
        return self.reduced(subject.evidence["figures"][group.id], group)


class _Figures:
    """Adds up the figures of all groups, batch by batch; implements SlopeObserver."""

    def __init__(self, criterion: SlopePruning, graph: ModelGraph, groups: Sequence[ChannelGroup]) -> None:
        self._criterion = criterion
        self._together = criterion.parameters.reduction == "sum"
        self._sites = {group.id: reading_sites(graph, group) for group in groups}
        self.places = tuple(dict.fromkeys(site.place for sites in self._sites.values() for site in sites))
        self._sums: dict[str, list[np.ndarray | float]] = {}
        self._samples = 0

    def update(self, slopes: Mapping[ChannelAxis, np.ndarray]) -> None:
        """Take the slopes of one batch."""
        for name, sites in self._sites.items():
            parts = [per_unit(slopes[site.place], site.positions) for site in sites]
            if self._together:
                parts = [np.asarray(sum(parts[1:], parts[0]))]
            before = self._sums.get(name, [0.0] * len(parts))
            self._sums[name] = [total + self._criterion.figure(part) for total, part in zip(before, parts, strict=True)]
        self._samples += max(len(array) for array in slopes.values())

    def result(self) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """Return by group the mean figures of its places with the units that each holds."""
        found = {}
        for name, sites in self._sites.items():
            held = [present(site.positions) for site in sites]
            if self._together:
                held = [np.logical_or.reduce(held)]
            totals = self._sums[name]
            found[name] = [(np.asarray(total) / self._samples, mask) for total, mask in zip(totals, held, strict=True)]
        return found
