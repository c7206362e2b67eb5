"""Tucker-2 decomposition of convolutions: fewer channels in, a small core with the kernel, and the old channels out."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from workbench.api import Factor, Factors, Tools

from .factorization import Split, Subject
from .kernels import KernelFactorization, KernelParameters


class Tucker2Parameters(KernelParameters):
    """Parameters of the Tucker-2 decomposition."""

    iterations: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="Rounds in which the two bases are fitted to each other; 0 takes each for itself.",
    )


class Tucker2(KernelFactorization):
    """Replaces a convolution (out, in, k…) by 1×1 (r_in, in), core (r_out, r_in, k…) and 1×1 (out, r_out).

    Each basis starts as the strongest directions of the weight unfolded along its channels (HOSVD); then each is taken
    anew from the weight projected on the other (HOOI; De Lathauwer et al., 2000) until the core's energy stands.
    rank_ratio holds along both channels. Full ranks: min(out, in·k…) and min(in, out·k…). Energy: of the weights along
    each of the two.
    """

    id = "decompose.tucker2"
    title = "Tucker-2 decomposition of convolutions"
    summary = "Splits a convolution into a 1×1, a smaller convolution and a 1×1."
    source = (
        "Kim et al., 2016, Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications"
    )
    Parameters = Tucker2Parameters

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str | None:
        """Refuse kernels of one position, which are matrices."""
        return "its kernel has one position; decompose.channel_svd splits it" if max(shape[2:], default=1) < 2 else None

    def decompose(self, subject: Subject, tools: Tools) -> tuple[Split, np.ndarray]:
        """Return the three convolutions, and their product."""
        out, inner, *kernel = subject.shape
        tensor = subject.weight().reshape(out, inner, -1)
        outer_energies, outer = _basis(tensor)
        inner_energies, entry = _basis(tensor.transpose(1, 0, 2))
        full = (len(inner_energies), len(outer_energies))
        ranks = (subject.rule.of(inner_energies), subject.rule.of(outer_energies))
        entry, outer = entry[:, : ranks[0]], outer[:, : ranks[1]]
        core_energy = -1.0
        for _ in range(self.parameters.iterations):
            tools.cancel.raise_if_cancelled()
            outer = _basis(np.einsum("oik,ir->ork", tensor, entry))[1][:, : ranks[1]]
            entry = _basis(np.einsum("oik,or->irk", tensor, outer))[1][:, : ranks[0]]
            energy = float((np.einsum("oik,or,is->rsk", tensor, outer, entry, optimize=True) ** 2).sum())
            if energy <= core_energy * (1 + 1e-9):
                break
            core_energy = energy
        core = np.einsum("oik,or,is->rsk", tensor, outer, entry, optimize=True)
        flat = [1] * len(kernel)
        factors = (
            Factor(entry.T.reshape(entry.shape[1], inner, *flat)),
            Factor(core.reshape(*core.shape[:2], *kernel), axes=tuple(range(len(kernel)))),
            Factor(outer.reshape(out, outer.shape[1], *flat)),
        )
        total = float((tensor**2).sum())
        ranks = (entry.shape[1], outer.shape[1])
        near = np.einsum("rsk,or,is->oik", core, outer, entry, optimize=True).reshape(subject.shape)
        return Split(Factors(factors), ranks, full, float((core**2).sum()) / total if total else 1.0), near


def _basis(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (full,) and directions (n, full) of a tensor (n, …) unfolded along its first axis."""
    left, values, _ = np.linalg.svd(tensor.reshape(len(tensor), -1), full_matrices=False)
    return values**2, left
