"""Channel decomposition of convolutions: fewer filters of the same size, then a 1×1 to the old channels."""

from __future__ import annotations

from workbench.api import Factor, Factors, RowMoments, linear_bias

from .calibrated import Calibrated
from .factorization import Split, Subject
from .projection import projected, strongest
from .ranks import kept_share


class ChannelSvd(Calibrated):
    """Replaces a convolution (out, in, k…) by one with r filters (r, in, k…) and a 1×1 (out, r).

    The r strongest directions of the layer's responses about their mean are kept on the calibration samples, and the
    mean exactly (Zhang et al., 2016, without their nonlinear case). Full rank: min(out, in·k…). Energy: of the
    responses.
    """

    id = "decompose.channel_svd"
    title = "Channel decomposition of convolutions"
    summary = (
        "Splits a convolution into one with fewer filters and a 1×1, keeping its responses on calibration samples."
    )
    source = "Zhang et al., 2016, Accelerating Very Deep Convolutional Networks"
    operators = ("Conv",)

    def wanted(self, subject: Subject) -> tuple[str, int, int]:
        """Return the layer's responses."""
        return subject.node.outputs[0], 1, subject.shape[0]

    def split_by(self, subject: Subject, moments: RowMoments) -> Split:
        """Return the two convolutions, and what keeps the mean."""
        shape = subject.shape
        matrix = subject.weight().reshape(shape[0], -1).T
        energies, directions = strongest(moments.about(moments.mean()), min(matrix.shape))
        rank = subject.rule.of(energies)
        kept = directions[:, :rank]
        bias = linear_bias(subject.graph, subject.node.name)
        linear = moments.mean() - (0.0 if bias is None else bias)
        first, second = projected(matrix, kept)
        axes = tuple(range(len(shape) - 2))
        factors = (
            Factor(first.weight.T.reshape(rank, *shape[1:]), axes=axes),
            Factor(second.weight.T.reshape(shape[0], rank, *[1] * len(axes))),
        )
        shift = linear - kept @ (kept.T @ linear)
        return Split(Factors(factors, shift), (rank,), (len(energies),), kept_share(energies, rank))
