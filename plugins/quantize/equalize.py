"""Cross-layer equalization: gives the channels between two layers like ranges, so that they share a scale at less loss.

Nagel et al. (2019), "Data-Free Quantization Through Weight Equalization and Bias Correction". Notation: r1[c], r2[c]
the largest magnitudes of the weights that make and that read channel c; f[c] = sqrt(r1[c] · r2[c]) / r2[c] makes both
sqrt(r1[c] · r2[c]). A depthwise convolution is read and made of one channel each; chains converge over rounds.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from workbench.api import (
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    Stage,
    Tools,
    fold_batch_norm,
    fold_constants,
)

from .layers import refuse_quantized
from .scaling import Site, Sites, find_sites, magnitudes, scale, weights_of, with_weights

_SHOWN = 3


class EqualizeParameters(Parameters):
    """When the rounds of equalization end."""

    rounds: int = Field(
        default=20, ge=1, le=1000, title="Rounds", description="Most passes over all pairs of layers; chains need some."
    )
    tolerance: float = Field(
        default=0.001,
        gt=0.0,
        le=0.5,
        title="Tolerance",
        description="Ends the rounds when no factor differs from 1 by more than this share.",
    )


class CrossLayerEqualization(Method):
    """Scales channels between layers by their weights' ranges; needs no data, and changes no output."""

    id: ClassVar[str] = "quantize.equalize"
    title: ClassVar[str] = "Cross-layer equalization"
    summary: ClassVar[str] = (
        "Gives all channels between two layers like ranges, so that quantization costs less; exact, needs no data."
    )
    source: ClassVar[str] = "Nagel et al., 2019"
    stage: ClassVar[Stage] = Stage.QUANTIZE
    Parameters: ClassVar[type[Parameters]] = EqualizeParameters

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Say where nothing can be equalized.

        Raises:
            RecipeError: the model is quantized already.
        """
        refuse_quantized(graph)
        sites = _sites(fold_batch_norm(fold_constants(graph)))
        if sites.found:
            return ()
        return (f"No layers to equalize{_because(sites.skipped)}.",)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm and equalize, round by round.

        Raises:
            RecipeError: the model is quantized already.
            CancelledError: tools.cancel was set.
        """
        refuse_quantized(graph)
        folded = fold_batch_norm(fold_constants(graph))
        sites = _sites(folded)
        if not sites.found:
            return MethodResult(graph, (f"nothing equalized{_because(sites.skipped)}",))
        arrays = weights_of(folded, sites.found)
        before = _spread(arrays, sites.found)
        rounds = 0
        for rounds in range(1, self.parameters.rounds + 1):
            tools.cancel.raise_if_cancelled()
            tools.progress.update(rounds / self.parameters.rounds, f"round {rounds}")
            change = 0.0
            for site in sites.found:
                factor = _factor(arrays, site)
                scale(arrays, site, factor)
                change = max(change, float(np.abs(factor - 1.0).max(initial=0.0)))
            if change <= self.parameters.tolerance:
                break
        after = _spread(arrays, sites.found)
        notes = [
            f"{len(sites.found)} pairs of layers equalized in {rounds} rounds: channels' ranges within a layer's "
            f"input weights differ by a factor of {after:.1f} instead of {before:.1f} (median)"
        ]
        if sites.skipped:
            notes.append(f"{len(sites.skipped)} layers left{_because(sites.skipped)}")
        details = {
            "pairs": [[site.made_by, *site.readers] for site in sites.found],
            "skipped": dict(sites.skipped),
            "rounds": rounds,
            "range_ratio_before": before,
            "range_ratio_after": after,
        }
        return MethodResult(with_weights(folded, arrays), tuple(notes), details)


def _sites(graph: ModelGraph) -> Sites:
    sites = find_sites(graph)
    return Sites(tuple(site for site in sites.found if site.of_layer), sites.skipped)


def _factor(arrays: dict[str, np.ndarray], site: Site) -> np.ndarray:
    made = magnitudes(arrays, site.divided[:1], site.channels)
    read = magnitudes(arrays, site.multiplied, site.channels)
    both = (made > 0) & (read > 0)
    # A channel that is not made of weights, or that nobody reads, has no range to give or take.
    return np.where(both, np.sqrt(np.where(both, made / np.where(both, read, 1.0), 1.0)), 1.0)


def _spread(arrays: dict[str, np.ndarray], sites: tuple[Site, ...]) -> float:
    """Return the median over sites of the largest by the median range of the channels that are read."""
    ratios = []
    for site in sites:
        read = magnitudes(arrays, site.multiplied, site.channels)
        alive = read[read > 0]
        if alive.size:
            ratios.append(float(alive.max() / np.median(alive)))
    return float(np.median(ratios)) if ratios else 1.0


def _because(skipped: tuple[tuple[str, str], ...]) -> str:
    if not skipped:
        return ""
    shown = "; ".join(f"{name}: {why}" for name, why in skipped[:_SHOWN])
    return f" ({shown}{'; …' if len(skipped) > _SHOWN else ''})"
