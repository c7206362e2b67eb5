"""What a criterion may look at while it ranks channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.api import ModelGraph, Tools


@dataclass(frozen=True)
class Subject:
    """The model under the knife.

    Attributes:
        graph: Holds the weights that the members of groups name, as they came.
        normalised: The same function, in which convolutions have batch norm where it could be given back.
        tools: Of the run.
        evidence: What the criterion gathered in its pass over samples.
    """

    graph: ModelGraph
    normalised: ModelGraph
    tools: Tools
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def deviations(self) -> dict[str, np.ndarray]:
        """Return by layer whose normalisation was given back the measured deviation of its output, (channels,)."""
        known = {node.name for node in self.graph.nodes}
        return {layer: scale for layer, (node, scale) in _scales(self.normalised).items() if node not in known}

    def scales(self) -> dict[str, np.ndarray]:
        """Return by layer with batch norm behind it the absolute scale of its output's channels, (channels,).

        A batch norm that was given back has the measured deviation of the output as its scale, which is what the
        scale of a trained one says.
        """
        return {layer: scale for layer, (_, scale) in _scales(self.normalised).items()}


def _scales(graph: ModelGraph) -> dict[str, tuple[str, np.ndarray]]:
    """Return by layer the batch norm that alone reads its output, and the norm's absolute scale."""
    found: dict[str, tuple[str, np.ndarray]] = {}
    for node in graph.nodes:
        layer = graph.producer(node.inputs[0]) if node.op == "BatchNormalization" else None
        scale = None if layer is None else graph.constant(node.inputs[1])
        if layer is not None and scale is not None and len(graph.consumers(node.inputs[0])) == 1:
            found[layer.name] = (node.name, np.abs(scale.astype(np.float64)))
    return found
