"""SmoothQuant: moves what is hard to quantize from activations, where channels share a scale, into weights.

Xiao et al. (2023). Notation: a[c] the largest magnitude of channel c of what layers read, on calibration samples; w[c]
that of the weights that read it; dividing the channel where it is made by f[c] = a[c]^alpha / w[c]^(1 - alpha) and
multiplying those weights by it changes no output, because the scale and shift of a normalisation, or the weights and
bias of a layer, take the division. Where they can't, because others read the value too (a residual branch behind a
normalisation), a multiplication before the layers does.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from workbench.api import (
    InputScale,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Parameters,
    Stage,
    Tools,
    fold_batch_norm,
    fold_constants,
    needed_data,
    not_finite,
    observe_samples,
    scale_inputs,
)

from .layers import refuse_quantized
from .prepared import samples_per_batch
from .scaling import Site, find_sites, loose_sites, magnitudes, scale, weights_of, with_weights

_LINEAR = frozenset({"Gemm", "MatMul"})


class SmoothParameters(Parameters):
    """How much moves, where, and what it is measured on."""

    alpha: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        title="Strength",
        description="Share of the difficulty that moves from activations to weights: 0 evens out the weights, 1 the "
        "activations; 0.5 to 0.75 suits most transformers.",
    )
    scope: Literal["linear", "all"] = Field(
        default="linear",
        title="Layers",
        description="linear smooths what Gemm and MatMul layers read, all what convolutions read too.",
    )
    insert: bool = Field(
        default=True,
        title="Insert multiplications",
        description="Scale what Gemm and MatMul layers read by a multiplication of its own where nothing before them "
        "can take it, as behind the normalisations of BERT; costs an elementwise operator each.",
    )
    calibration_samples: int = Field(
        default=512,
        ge=1,
        title="Calibration samples",
        description="Training samples that the largest activations are taken from.",
    )


class ChannelMagnitude:
    """Largest magnitude of every channel of a value; implements Observer.

    Args:
        axis: Of the channels, or of the blocks of columns that hold one each.
        channels: How many there are.
    """

    def __init__(self, axis: int, channels: int) -> None:
        self._axis = axis
        self.largest = np.zeros(channels)

    def update(self, array: np.ndarray) -> None:
        """Take the value of one batch."""
        if array.size:
            rows = np.moveaxis(np.abs(array), self._axis, -1)
            rows = rows.reshape(-1, rows.shape[-1]).max(axis=0)
            np.maximum(self.largest, rows.reshape(len(self.largest), -1).max(axis=1), out=self.largest)


class SmoothQuant(Method):
    """Evens out the channels of activations by scaling them where they are made and back where they are read."""

    id: ClassVar[str] = "quantize.smooth"
    title: ClassVar[str] = "SmoothQuant"
    summary: ClassVar[str] = (
        "Moves outliers of activations into the weights of transformers, so that 8-bit activations cost less; exact."
    )
    source: ClassVar[str] = "Xiao et al., 2023"
    stage: ClassVar[Stage] = Stage.QUANTIZE
    needs_data: ClassVar[bool] = True
    Parameters: ClassVar[type[Parameters]] = SmoothParameters

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Say where nothing can be smoothed.

        Raises:
            RecipeError: the model is quantized already.
        """
        refuse_quantized(graph)
        folded = fold_batch_norm(fold_constants(graph))
        sites = self._sites(folded)
        if sites or self._loose(folded, sites):
            return ()
        return ("No layers to smooth: nothing that can be scaled feeds them.",)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Fold batch norm, look at the activations, and scale.

        Raises:
            RecipeError: the model is quantized already.
            DataError: there is no data, or it leads to NaN.
            CancelledError: tools.cancel was set.
        """
        refuse_quantized(graph)
        data = needed_data(tools, self.id)
        folded = fold_batch_norm(fold_constants(graph))
        sites = self._sites(folded)
        loose = self._loose(folded, sites)
        if not sites and not loose:
            return MethodResult(graph, ("nothing smoothed",))
        everywhere = (*sites, *loose)
        observed = {site.value: _observers(folded, site) for site in everywhere}
        pairs = [pair for found in observed.values() for pair in found]
        observe_samples(
            folded,
            pairs,
            data,
            tools,
            self.parameters.calibration_samples,
            batch_size=samples_per_batch(folded, (value for value, _ in pairs)),
        )
        arrays = weights_of(folded, everywhere)
        before, after, inserted = [], [], []
        for site in everywhere:
            largest = np.max([observer.largest for _, observer in observed[site.value]], axis=0)
            if not np.isfinite(largest).all():
                raise not_finite(f"what {site.readers[0]!r} reads", site.made_by)
            factor = self._factor(largest, magnitudes(arrays, site.multiplied, site.channels))
            scale(arrays, site, factor)
            before.append(_unevenness(largest))
            after.append(_unevenness(largest / factor))
            if not site.divided:
                inserted.append(InputScale(site.value, site.readers, 1.0 / factor))
        figures = float(np.median(before)), float(np.median(after))
        readers = sum(len(site.readers) for site in everywhere)
        notes = [
            f"{len(everywhere)} values smoothed before {readers} layers: their largest channel is {figures[1]:.1f} "
            f"times the median one instead of {figures[0]:.1f} (median over values)"
        ]
        if inserted:
            notes.append(f"{len(inserted)} of them by a multiplication of its own")
        details = {
            "values": [[site.made_by, *site.readers] for site in everywhere],
            "inserted": [entry.value for entry in inserted],
            "unevenness_before": figures[0],
            "unevenness_after": figures[1],
        }
        return MethodResult(scale_inputs(with_weights(folded, arrays), inserted), tuple(notes), details)

    def _sites(self, graph: ModelGraph) -> tuple[Site, ...]:
        linear = self.parameters.scope == "linear"
        return tuple(
            site
            for site in find_sites(graph).found
            if not linear or all(graph.node(name).op in _LINEAR for name in site.readers)
        )

    def _loose(self, graph: ModelGraph, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        """Return what Gemm and MatMul layers read that only a multiplication of its own can scale."""
        if not self.parameters.insert:
            return ()
        covered = {name for site in sites for name in site.readers}
        found = loose_sites(graph, _LINEAR)
        return tuple(site for site in found if not covered & set(site.readers))

    def _factor(self, largest: np.ndarray, read: np.ndarray) -> np.ndarray:
        both = (largest > 0) & (read > 0)
        alpha = self.parameters.alpha
        factor = np.where(both, largest, 1.0) ** alpha / np.where(both, read, 1.0) ** (1 - alpha)
        # Channels that are always zero, or that nobody reads, have nothing to move.
        return np.where(both, factor, 1.0)


def _observers(graph: ModelGraph, site: Site) -> list[tuple[str, ChannelMagnitude]]:
    """Return an observer of what each reader of a site reads, by the value's name."""
    found: dict[str, ChannelMagnitude] = {}
    for name in site.readers:
        node = graph.node(name)
        axis = -1 if node.op in _LINEAR else 1
        found.setdefault(node.inputs[0], ChannelMagnitude(axis, site.channels))
    return list(found.items())


def _unevenness(largest: np.ndarray) -> float:
    alive = largest[largest > 0]
    return float(alive.max() / np.median(alive)) if alive.size else 1.0
