"""Ranks channels before, between and within trainings, by the same criteria that prune in one shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.api import ChannelGroup, ModelGraph, Tools

from .bn_scale import BatchNormScale
from .geometric_median import GeometricMedian
from .l1 import L1Norm
from .l2 import L2Norm
from .schedule_parameters import ScheduleParameters
from .structured import ChannelPruning
from .subject import Subject
from .taylor import Taylor

CRITERIA: Mapping[str, type[ChannelPruning]] = {
    "l1": L1Norm,
    "l2": L2Norm,
    "geometric_median": GeometricMedian,
    "bn_scale": BatchNormScale,
    "taylor": Taylor,
}
Scores = dict[str, np.ndarray]


def criterion_of(parameters: ScheduleParameters) -> ChannelPruning:
    """Return the criterion that the parameters name, told the same."""
    kind = CRITERIA[parameters.criterion]
    told = parameters.ranking().model_dump()
    if "samples" in kind.Parameters.model_fields:
        told["samples"] = parameters.criterion_samples
    return kind(kind.Parameters.model_validate(told))


@dataclass(frozen=True)
class TrainedSubject(Subject):
    """A model in training, whose given-back normalisation is part of the graph by now.

    Attributes:
        given_back: Layers whose normalisation was given back.
    """

    given_back: frozenset[str] = frozenset()

    def deviations(self) -> dict[str, np.ndarray]:
        """Return by layer whose normalisation was given back the absolute scale of its output, (channels,)."""
        return {layer: scale for layer, scale in self.scales().items() if layer in self.given_back}


class Ranking:
    """Scores the units of groups.

    Args:
        parameters: Of the schedule.
        given_back: Layers whose normalisation was given back before the schedule began.
    """

    def __init__(self, parameters: ScheduleParameters, given_back: frozenset[str]) -> None:
        self.by_slopes = parameters.criterion == "taylor"
        self._criterion = criterion_of(parameters)
        self._given_back = given_back

    def scores(self, graph: ModelGraph, groups: Sequence[ChannelGroup], tools: Tools) -> Scores:
        """Return by group the importance of every unit (u,), from the graph's weights or from samples.

        Raises:
            RecipeError: the criterion can't rank a group.
            DataError: labels are missing.
            CancelledError: cancelled.
        """
        acting = graph if self.by_slopes else self._acting(graph, tools)
        bare = TrainedSubject(acting, graph, tools, given_back=self._given_back)
        evidence = self._criterion.gather(bare, groups)
        subject = TrainedSubject(acting, graph, tools, evidence, self._given_back)
        return {
            group.id: np.nan_to_num(self._criterion.importance(subject, group).astype(np.float64)) for group in groups
        }

    def needed(self, graph: ModelGraph, groups: Sequence[ChannelGroup]) -> frozenset[str]:
        """Return the initializers that scores from weights depend on."""
        names = {member.weight for group in groups for member in group.members if member.weight}
        for node in graph.nodes:
            if node.op == "BatchNormalization":
                names.add(node.inputs[1])
                layer = graph.producer(node.inputs[0])
                if layer is not None and layer.name in self._given_back:
                    names.add(layer.inputs[1])
        return frozenset(name for name in names if graph.is_constant(name))

    def _acting(self, graph: ModelGraph, tools: Tools) -> ModelGraph:
        """Return the graph with filters as they act, where normalisation was given back to them.

        Given-back normalisation came with filters of one length each, which say nothing; what a filter does is its
        direction times the scale of its normalisation.
        """
        arrays: dict[str, np.ndarray] = {}
        scales = TrainedSubject(graph, graph, tools, given_back=self._given_back).deviations()
        for layer, scale in scales.items():
            name = graph.node(layer).inputs[1]
            weight = graph.constant(name)
            if weight is None:
                continue
            lengths = np.linalg.norm(weight.reshape(len(weight), -1).astype(np.float64), axis=1)
            factor = scale / np.maximum(lengths, 1e-12)
            arrays[name] = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
        return graph.with_initializers(arrays) if arrays else graph
