"""Counts how a layer's numbers are spread and what its quantizer makes of them, for the inspector's picture.

Notation: numbers x before, y after rounding, scale s of their channel, levels l = s · k for integers k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.distribution import DistributionReport, Spread
from workbench.domain.errors import BadInputError
from workbench.domain.ladder import IDENTICAL_DB
from workbench.engines.contracts import Batch, InferenceEngine
from workbench.graph.model import ModelGraph
from workbench.graph.quantized_layer import (
    ActivationQuantizer,
    QuantizedWeight,
    activation_quantizer,
    data_input,
    layer_node,
    quantized_weight,
)

_MOST_BINS = 96
_PLAIN_BINS = 64
_MOST_KEPT = 2_000_000
_MOST_LEVELS = 256


def weight_distribution(
    before: ModelGraph, after: ModelGraph | None, layer: str, *, channel: int | None = None, quantizer: str = ""
) -> DistributionReport:
    """Return how a layer's weights are spread in a float graph, and in a deployed one.

    Args:
        before: In float, batch norm folded as far as the deployed graph's is.
        after: The deployed graph; None where nothing is quantized.
        layer: Its name in both.
        channel: Output channel to show alone, where channels have scales of their own.
        quantizer: Who made `after`, in words.

    Raises:
        BadInputError: one of the graphs has no such layer, or there is no such channel.
    """
    own = quantized_weight(before, layer)
    if after is None and own.scales is not None:
        after, quantizer = before, "the model itself"
    plain = own.values.astype(np.float64)
    made = None if after is None else quantized_weight(after, layer)
    if made is None or made.bits >= 16:
        spread = _plain(plain, None if made is None else made.values)
        bits = 32.0 if made is None else made.bits
        return DistributionReport(layer=layer, of="weights", bits=bits, quantizer=quantizer, spread=spread)
    rounded = made.values.astype(np.float64)
    notes: tuple[str, ...] = ()
    if made.packed and rounded.ndim == 2 and not _out_first(before, layer):
        rounded = rounded.T
    if rounded.shape != plain.shape:
        whole = _without_padding(rounded, plain.shape)
        if whole is None:
            notes = (f"The file's weight is {_sizes(rounded.shape)}, the original's {_sizes(plain.shape)}",)
            plain = rounded
        else:
            rounded = whole
    if made.scales is None:
        return DistributionReport(
            layer=layer,
            of="weights",
            quantizer=quantizer,
            bits=made.bits,
            scope="block",
            spread=_plain(plain, rounded),
            notes=notes,
        )
    scales = _fitted_scales(made, rounded.shape)
    several = made.axis is not None and made.scales.size > 1
    spread = _levelled(
        plain, rounded, scales, made.axis if several else None, channel if several else None, bool(notes), made.zeros
    )
    kept = np.unique(scales) if scales.size else np.ones(1)
    return DistributionReport(
        layer=layer,
        of="weights",
        quantizer=quantizer,
        bits=made.bits,
        scope="channel" if several else "tensor",
        scales=int(scales.size),
        least_scale=float(kept.min()),
        most_scale=float(kept.max()),
        channels=int(scales.size) if several else 0,
        channel=channel if several else None,
        spread=spread,
        notes=notes,
    )


def activation_distribution(
    before: ModelGraph,
    after: ModelGraph | None,
    layer: str,
    batches: Callable[[], Iterable[Batch]],
    samples: int,
    engine: InferenceEngine,
    *,
    quantizer: str = "",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> DistributionReport:
    """Return how what a layer reads is spread in a float graph on a few samples, and in a deployed one.

    Args:
        before: In float.
        after: The deployed graph; None where nothing is quantized.
        layer: Its name in both.
        batches: Yields the samples, the same ones at each call.
        samples: How many they are.
        engine: Runs the graphs.
        quantizer: Who made `after`, in words.
        progress: Of all.
        cancel: Polled between batches.

    Raises:
        BadInputError: one of the graphs has no such layer, or the layer reads no numbers.
        DataError: there are no samples.
        CancelledError: `cancel` was set.
    """
    progress = progress or Progress()
    found = None if after is None else activation_quantizer(after, layer)
    name = data_input(before, layer)
    if found is not None and (before.producer(found.real) or found.real in {info.name for info in before.inputs}):
        name = found.real
    if name is None:
        raise BadInputError(f"{layer!r} reads indices, which have no bits", action="Look at its weights instead.")
    kept = _Kept(samples)
    engine.observe(before, {name: [kept]}, batches(), progress=progress.part(0.0, 0.5), total=samples, cancel=cancel)
    x = kept.values()
    if after is None or found is None:
        return DistributionReport(layer=layer, of="activations", samples=samples, spread=_plain(x, None))
    levels = _Levels(found.lowest, found.highest, samples)
    observed = {found.integers: [levels]}
    engine.observe(after, observed, batches(), progress=progress.part(0.5, 1.0), total=samples, cancel=cancel)
    notes = () if kept.whole else (f"{x.size:,} of {kept.seen:,} numbers, evenly picked",)
    return DistributionReport(
        layer=layer,
        of="activations",
        quantizer=quantizer,
        bits=found.bits,
        scales=1,
        least_scale=found.scale,
        most_scale=found.scale,
        samples=samples,
        spread=_observed(x, levels, found, float(x.size / max(kept.seen, 1))),
        notes=notes,
    )


class _Kept:
    """Observer that keeps numbers, evenly picked where there are too many."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._parts: list[np.ndarray] = []
        self._stride = 0
        self.seen = 0

    def update(self, array: np.ndarray) -> None:
        """Take one batch."""
        if not self._stride:
            per_sample = max(array.size // max(len(array), 1), 1) if array.ndim else 1
            # An odd stride does not fall into step with the sizes of maps.
            self._stride = max(per_sample * self._samples // _MOST_KEPT, 0) * 2 + 1
        self.seen += array.size
        self._parts.append(np.asarray(array, np.float32).reshape(-1)[:: self._stride])

    @property
    def whole(self) -> bool:
        """Whether none was left out."""
        return self._stride <= 1

    def values(self) -> np.ndarray:
        """Return the finite ones, float64."""
        if not self._parts:
            return np.zeros(0)
        array = np.concatenate(self._parts).astype(np.float64)
        return array[np.isfinite(array)]


class _Levels(_Kept):
    """Observer of integers that counts all of them."""

    def __init__(self, lowest: int, highest: int, samples: int) -> None:
        super().__init__(samples)
        self.lowest = lowest
        self.counts = np.zeros(highest - lowest + 1, np.int64)

    def update(self, array: np.ndarray) -> None:
        """Take one batch."""
        super().update(array)
        codes = np.asarray(array, np.int64).reshape(-1) - self.lowest
        inside = codes[(codes >= 0) & (codes < len(self.counts))]
        self.counts += np.bincount(inside, minlength=len(self.counts))


def _observed(x: np.ndarray, levels: _Levels, found: ActivationQuantizer, share: float) -> Spread:
    codes = np.arange(found.lowest, found.highest + 1) - found.zero_point
    y = (levels.values() - found.zero_point) * found.scale
    counts = np.rint(levels.counts * share).astype(np.int64) if share < 1 else levels.counts
    return _in_bins(x, found.scale, codes, counts, y if y.size == x.size else None, scale_out=found.scale)


def _levelled(
    x: np.ndarray,
    y: np.ndarray,
    scales: np.ndarray,
    axis: int | None,
    channel: int | None,
    foreign: bool,
    zeros: np.ndarray | None,
) -> Spread:
    """Return the spread of weights with a scale a channel, or of one of the channels."""
    spread = scales.reshape([-1 if place == axis else 1 for place in range(x.ndim)]) if axis is not None else scales
    codes = np.rint(y / spread).astype(np.int64)
    known = np.unique(codes)
    if channel is not None and axis is not None:
        if not 0 <= channel < scales.size:
            raise BadInputError(f"there is no channel {channel}", expected=f"0 to {scales.size - 1}")
        if zeros is not None:
            # Levels are alike in all channels when they are counted from where each channel's begin.
            own = zeros[: scales.size].reshape(np.shape(spread))
            known = np.unique(codes + own) - int(zeros[channel])
        x, y, codes = (np.take(each, channel, axis=axis) for each in (x, y, codes))
        step, in_steps = float(scales[channel]), False
        ratio = x / step
    else:
        in_steps = axis is not None
        step = 1.0 if in_steps else float(scales)
        ratio = x / spread
    counts = np.array([np.count_nonzero(codes == code) for code in known])
    found = _in_bins(ratio, 1.0, known, counts, None, scale_out=step)
    sqnr = None if foreign else _sqnr_db(x, y)
    return found.model_copy(update={"in_steps": in_steps, "sqnr_db": sqnr})


def _in_bins(
    x: np.ndarray, scale: float, codes: np.ndarray, counts: np.ndarray, y: np.ndarray | None, *, scale_out: float
) -> Spread:
    """Return numbers in bins that begin and end alike around every level.

    Args:
        x: Numbers.
        scale: Of one step, in the unit of x.
        codes: Integers of the levels, ascending.
        counts: Numbers at each level.
        y: The rounded numbers where they pair with x.
        scale_out: Of one step, in the unit of the result.
    """
    steps = x[np.isfinite(x)] / scale
    low = min(float(steps.min(initial=0.0)), float(codes[0]) - 0.5)
    high = max(float(steps.max(initial=0.0)), float(codes[-1]) + 0.5)
    width = 0.25
    while (high - low) / width > _MOST_BINS:
        width *= 2
    first, last = np.floor(low / width + 0.5), np.floor(high / width + 0.5)
    edges = (np.arange(first, last + 2) - 0.5) * width
    bins, _ = np.histogram(steps, bins=edges)
    beyond = np.count_nonzero((steps < codes[0] - 0.5) | (steps > codes[-1] + 0.5))
    shown = len(codes) <= _MOST_LEVELS
    return Spread(
        low=float(edges[0]) * scale_out,
        width=float(width) * scale_out,
        counts=tuple(int(count) for count in bins),
        minimum=float(steps.min(initial=0.0)) * scale_out,
        maximum=float(steps.max(initial=0.0)) * scale_out,
        step=scale_out,
        levels=tuple(float(code) * scale_out for code in codes) if shown else (),
        level_counts=tuple(int(count) for count in counts) if shown else (),
        clip=(float(codes[0]) * scale_out, float(codes[-1]) * scale_out),
        clipped=int(beyond),
        total=int(steps.size),
        sqnr_db=None if y is None else _sqnr_db(x, y),
    )


def _plain(x: np.ndarray, y: np.ndarray | None) -> Spread:
    """Return numbers, and what they became, in plain bins."""
    finite = x[np.isfinite(x)].reshape(-1)
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    low, high = (least, most) if y is None else (min(least, float(y.min())), max(most, float(y.max())))
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts, edges = np.histogram(finite, bins=_PLAIN_BINS, range=(low, high))
    after = () if y is None else tuple(int(n) for n in np.histogram(y, bins=_PLAIN_BINS, range=(low, high))[0])
    return Spread(
        low=low,
        width=float(edges[1] - edges[0]),
        counts=tuple(int(count) for count in counts),
        minimum=least,
        maximum=most,
        step=float(edges[1] - edges[0]),
        after=after,
        total=int(finite.size),
        sqnr_db=None if y is None or y.shape != x.shape else _sqnr_db(x, y),
    )


def _sqnr_db(x: np.ndarray, y: np.ndarray) -> float:
    noise = float(np.square(y - x).sum())
    signal = max(float(np.square(x).sum()), np.finfo(np.float64).tiny)
    return IDENTICAL_DB if noise == 0 else float(np.clip(10 * np.log10(signal / noise), -IDENTICAL_DB, IDENTICAL_DB))


def _out_first(graph: ModelGraph, layer: str) -> bool:
    """Whether a matrix product stores its weight as (out, in)."""
    node, _ = layer_node(graph, layer)
    return node.op == "Gemm" and bool(node.attribute("transB", 0))


def _without_padding(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the leading part of a weight that was padded with zeros for speed; None where it differs otherwise."""
    if array.ndim != len(shape) or any(have < want for have, want in zip(array.shape, shape, strict=True)):
        return None
    part = array[tuple(slice(size) for size in shape)]
    return part if np.count_nonzero(part) == np.count_nonzero(array) else None


def _fitted_scales(made: QuantizedWeight, shape: tuple[int, ...]) -> np.ndarray:
    assert made.scales is not None
    return made.scales if made.axis is None else made.scales[: shape[made.axis]]


def _sizes(shape: tuple[int, ...]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))
