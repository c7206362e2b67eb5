"""What criteria share that watch channels at work: one pass over samples, a running figure per channel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from workbench.api import ChannelAxis, ChannelGroup, ModelGraph, needed_data, observe_samples

from .parameters import SampledParameters
from .scores import per_unit, present
from .sites import Site, acting_sites, batch_size
from .structured import ChannelPruning
from .subject import Subject


class ChannelFigure(Protocol):
    """Follows a value batch by batch and ends in one figure per channel."""

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        ...

    def result(self) -> np.ndarray:
        """Return the figure, (channels,)."""
        ...


class ObservedPruning(ChannelPruning):
    """Ranks the units of a group by a figure of their activations, where the layers behind read them."""

    needs_data = True
    Parameters = SampledParameters

    @abstractmethod
    def figure(self, place: ChannelAxis) -> ChannelFigure:
        """Return a new observer of a value whose channels lie on `place.axis`."""

    def sites(self, graph: ModelGraph, group: ChannelGroup) -> tuple[Site, ...]:
        """Return where the figure is taken."""
        return acting_sites(graph, group)

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why a group can't be watched."""
        found = super().obstacle(graph, group)
        if found is None and not self.sites(graph, group):
            return f"nothing that layer {group.id} makes can be observed"
        return found

    def gather(self, subject: Subject, groups: Sequence[ChannelGroup]) -> Mapping[str, Any]:
        """Return the figures (channels,) by place.

        Raises:
            DataError: the recipe names no data.
        """
        places = dict.fromkeys(site.place for group in groups for site in self.sites(subject.graph, group))
        observers = {place: self.figure(place) for place in places}
        observe_samples(
            subject.graph,
            [(place.value, observer) for place, observer in observers.items()],
            needed_data(subject.tools, self.id),
            subject.tools,
            self.parameters.samples,
            batch_size=batch_size(subject.graph, [place.value for place in places]),
        )
        return {"figures": {place: observer.result() for place, observer in observers.items()}}

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the figures, averaged over a unit's channels, (units,)."""
        figures = subject.evidence["figures"]
        layers = [
            (per_unit(figures[site.place], site.positions, "mean"), present(site.positions))
            for site in self.sites(subject.graph, group)
        ]
        return self.reduced(layers, group)
