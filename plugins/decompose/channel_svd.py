"""Channel decomposition of convolutions: fewer filters of the same size, then a 1×1 to the old channels."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import Factor, Factors, ModelGraph, Tools, linear_bias

from .factorization import Factorization, FactorizationParameters, Split, Subject
from .moments import observe
from .projection import projected, strongest
from .ranks import kept_share


class ChannelSvdParameters(FactorizationParameters):
    """Parameters of the channel decomposition."""

    calibration_samples: int = Field(
        default=256,
        ge=0,
        le=100_000,
        description="Training samples that the layers' responses are taken from; 0 looks at the weights alone.",
    )


class ChannelSvd(Factorization):
    """Replaces a convolution (out, in, k…) by one with r filters (r, in, k…) and a 1×1 (out, r).

    On calibration samples the r strongest directions of the layer's responses about their mean are kept, and the mean
    exactly (Zhang et al., 2016, without their nonlinear case); without samples the SVD of the weight arranged as
    (out, in·k…) is truncated. Full rank: min(out, in·k…). Energy: of the responses, or of the weights.
    """

    id = "decompose.channel_svd"
    title = "Channel decomposition of convolutions"
    summary = (
        "Splits a convolution into one with fewer filters and a 1×1, keeping its responses on calibration samples."
    )
    source = "Zhang et al., 2016, Accelerating Very Deep Convolutional Networks"
    operators = ("Conv",)
    needs_data = True
    Parameters = ChannelSvdParameters

    def measure(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> None:
        """Take the moments of every layer's responses."""
        self._graph = graph
        wanted = {subject.node.outputs[0]: (1, len(subject.weight)) for subject in subjects}
        samples = self.parameters.calibration_samples
        self._moments = observe(graph, wanted, tools, samples) if samples else {}

    def split(self, subject: Subject, tools: Tools) -> Split:
        """Return the two convolutions, and what keeps the mean."""
        shape = subject.weight.shape
        matrix = subject.weight.reshape(shape[0], -1).T
        moments = self._moments.get(subject.node.outputs[0])
        shift = None
        if moments is None:
            _, values, right = np.linalg.svd(matrix, full_matrices=False)
            energies, directions = values**2, right.T
        else:
            mean = moments.mean()
            energies, directions = strongest(moments.about(mean), min(matrix.shape))
        rank = subject.rule.of(energies)
        kept = directions[:, :rank]
        if moments is not None:
            bias = linear_bias(self._graph, subject.node.name)
            linear = mean - (0.0 if bias is None else bias)
            shift = linear - kept @ (kept.T @ linear)
        first, second = projected(matrix, kept)
        axes = tuple(range(len(shape) - 2))
        factors = (
            Factor(first.weight.T.reshape(rank, *shape[1:]), axes=axes),
            Factor(second.weight.T.reshape(shape[0], rank, *[1] * len(axes))),
        )
        return Split(Factors(factors, shift), (rank,), (len(energies),), kept_share(energies, rank))
