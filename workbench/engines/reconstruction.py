"""What is asked of a training engine that learns how to round a part of a network, and what it answers.

Notation: a weight w with scale s is stored as integers q = floor(w / s) + h, clipped to its levels; h, 0 or 1, is
learned (AdaRound, Nagel et al., 2020), so that the part's outputs come close to those of the exact network (BRECQ, Li
et al., 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from workbench.graph.model import ModelGraph
from workbench.graph.quantization import WeightQuantization


@dataclass(frozen=True)
class RoundingTask:
    """A part of a network whose rounding is to be learned.

    Attributes:
        graph: The part, activations rounded by `workbench:RoundToScale`. Its inputs are the samples of `inputs`, the
            `weights` as real numbers, and the `scales`.
        weights: Input name → the exact weight and how it is rounded at first.
        scales: Input name → scale of activations, learned too.
        inputs: Input name → what the part reads in the quantized network, (samples · rows, …) float32.
        exact: The same as the exact network has it; () where nothing is mixed.
        targets: Output name → what the exact network makes, (samples · rows, …).
        samples: How many.
        batch: Samples that the graph takes at once, where that is fixed.
    """

    graph: ModelGraph
    weights: Mapping[str, tuple[np.ndarray, WeightQuantization]]
    scales: Mapping[str, float]
    inputs: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    samples: int
    exact: Mapping[str, np.ndarray] = field(default_factory=dict)
    batch: int | None = None


@dataclass(frozen=True)
class RoundingSettings:
    """How roundings are learned.

    Attributes:
        iterations: Steps of Adam.
        batch_size: Samples a step; they go through a graph of fixed batch size one part after the other.
        learning_rate: Of h, before the sigmoid.
        scale_learning_rate: Of the logarithm of a scale; it falls to 0 along a cosine.
        warmup: Share of the steps before h is pushed to 0 or 1.
        push: How hard, as a multiple of the mean slope of the error by h.
        drop: Probability with which an element of a coarsely rounded activation stays exact (QDrop, Wei et al., 2022).
        seed: Of batches and drops.
        threads: Of torch; 0 takes as many as the engine has. The last bits of the result depend on their number.
    """

    iterations: int = 300
    batch_size: int = 32
    learning_rate: float = 2e-2
    scale_learning_rate: float = 1e-3
    warmup: float = 0.2
    push: float = 1.0
    drop: float = 0.5
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True)
class RoundingResult:
    """What was learned.

    Attributes:
        weights: New integers by input name.
        scales: New scales by input name.
        error_before, error_after: Squared error of the outputs as a share of their squares, over all samples, with
            nearest rounding and as returned.
    """

    weights: Mapping[str, WeightQuantization]
    scales: Mapping[str, float]
    error_before: float
    error_after: float
