"""Canonical polyadic decomposition of convolutions: 1×1, depthwise, 1×1, like the blocks of small mobile networks."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import Factor, Factors, Tools

from .alternating import Triple, exact, fitted, relative_error, summed
from .factorization import Split, Subject
from .kernels import KernelFactorization, KernelParameters


class CpParameters(KernelParameters):
    """Parameters of the CP decomposition."""

    iterations: int = Field(default=50, ge=1, le=10_000, description="Rounds of alternating least squares.")


class CanonicalPolyadic(KernelFactorization):
    """Replaces a convolution (out, in, k…) by 1×1 (r, in), depthwise (r, 1, k…) and 1×1 (out, r).

    The weight, with the kernel's positions as one axis, becomes a sum of r products of a vector per axis, found by
    alternating least squares. Full rank: min(out·in, in·k…, out·k…), which always suffices. Energy: of the weights; the
    rank that holds it is found by halving.
    """

    id = "decompose.cp"
    title = "CP decomposition of convolutions"
    summary = "Splits a convolution into a 1×1, a depthwise one and a 1×1."
    source = "Lebedev et al., 2015, Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition"
    Parameters = CpParameters

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str | None:
        """Refuse kernels of one position, which are matrices."""
        return "its kernel has one position; decompose.channel_svd splits it" if max(shape[2:], default=1) < 2 else None

    def decompose(self, subject: Subject, tools: Tools) -> tuple[Split, np.ndarray]:
        """Return the three convolutions, and their product."""
        out, inner, *kernel = subject.shape
        tensor = subject.weight().reshape(out, inner, -1)
        positions = tensor.shape[2]
        full = min(out * inner, inner * positions, out * positions)
        rank = subject.rule.of_full(full)
        found = self._fit(tensor, rank, full, tools)
        if subject.rule.energy:
            found = self._smallest(tensor, found, full, subject, tools)
        outer, entry, middle = found
        rank = outer.shape[1]
        flat = [1] * len(kernel)
        factors = (
            Factor(entry.T.reshape(rank, inner, *flat)),
            Factor(middle.T.reshape(rank, 1, *kernel), axes=tuple(range(len(kernel))), groups=rank),
            Factor(outer.reshape(out, rank, *flat)),
        )
        split = Split(Factors(factors), (rank,), (full,), 1 - relative_error(tensor, found))
        return split, summed(found).reshape(subject.shape)

    def _fit(self, tensor: np.ndarray, rank: int, full: int, tools: Tools) -> Triple:
        if rank >= full:
            return exact(tensor)
        return fitted(tensor, rank, self.parameters.iterations, tools.seed, tools.cancel)

    def _smallest(self, tensor: np.ndarray, widest: Triple, full: int, subject: Subject, tools: Tools) -> Triple:
        """Return the fit of the smallest rank that holds the energy, or `widest` where none below it does."""
        allowed = 1 - subject.rule.energy
        low, high, best = 0, widest[0].shape[1], widest
        while high - low > 1:
            middle = (low + high) // 2
            trial = self._fit(tensor, subject.rule.rounded_up(middle, full), full, tools)
            if relative_error(tensor, trial) <= allowed:
                best, high = trial, middle
            else:
                low = middle
        return best
