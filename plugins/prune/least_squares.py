"""What criteria share that look at what the layers behind a channel lose with it, and make up for it once it is cut."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from workbench.api import ChannelGroup, ModelGraph

from .moments import group_readers, observe_moments
from .parameters import SampledParameters
from .scores import present
from .structured import ChannelPruning
from .subject import Subject


class LeastSquaresParameters(SampledParameters):
    """Parameters of criteria that count on reconstruction."""

    reconstruct: bool = Field(
        default=True,
        description="Change the weights that read what is left by least squares, so that they make up for what goes; "
        "this criterion chooses channels in the expectation that they do.",
    )


class LeastSquaresPruning(ChannelPruning):
    """Ranks the units of a group by what the layers that read them lose."""

    needs_data = True
    Parameters = LeastSquaresParameters

    @abstractmethod
    def losses(self, weight: np.ndarray, covariance: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
        """Return what a reader loses with every unit, as a share of its output's variance, (units,).

        Args:
            weight: Of the reader, (o, p).
            covariance: Of what it reads, (p, p).
            columns: For every unit its columns of the weight.
        """

    def obstacle(self, graph: ModelGraph, group: ChannelGroup) -> str | None:
        """Return why a group's readers can't be reconstructed."""
        found = super().obstacle(graph, group)
        if found is None and not group_readers(graph, group):
            layers = dict.fromkeys(member.layer for member in group.members if member.axis == "in")
            return f"{', '.join(layers) or group.id} is no plain convolution or matrix product, which this needs"
        return found

    def gather(self, subject: Subject, groups: Sequence[ChannelGroup]) -> Mapping[str, Any]:
        """Return the moments by reader.

        Raises:
            DataError: the recipe names no data.
        """
        return {"moments": observe_moments(subject.graph, groups, subject.tools, self.parameters.samples, self.id)}

    def importance(self, subject: Subject, group: ChannelGroup) -> np.ndarray:
        """Return the losses, (units,)."""
        layers = []
        for reader, positions in group_readers(subject.graph, group):
            subject.tools.cancel.raise_if_cancelled()
            covariance = subject.evidence["moments"][reader.node.name].covariance()
            losses = self.losses(reader.matrix(subject.graph), covariance, reader.columns(positions))
            layers.append((losses, present(positions)))
        return self.reduced(layers, group)
