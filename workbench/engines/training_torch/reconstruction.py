"""Learns how to round the weights of a part of a network, so that its outputs come close to the exact network's.

Notation: weight w, scale s, zero point z, integers q = clip(floor(w / s) + h + z); h = clip(1.2 · sigmoid(v) - 0.1, 0,
1) is the rectified sigmoid of a learned v (AdaRound, Nagel et al., 2020), pushed to 0 or 1 by 1 - |2h - 1|^β with β
falling from 20 to 2. Scales of activations are learned as s = s₀ · exp(t). All weights of the part lie in one vector,
because a step on a small part is bound by the number of operations, not by their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import JobError
from workbench.engines.reconstruction import RoundingResult, RoundingSettings, RoundingTask
from workbench.engines.training_torch.devices import training_device
from workbench.engines.training_torch.from_graph import GraphModule, prefers_channels_last
from workbench.engines.training_torch.masks import MaskPool
from workbench.engines.training_torch.samples import SampleStore
from workbench.graph.quantization import WeightQuantization

_STRETCH, _OFFSET = 1.2, 0.1
_SHARPEST, _FLATTEST = 20.0, 2.0
_CHECKED_EVERY = 100
_EVALUATED_AT_ONCE = 64


class Reconstruction:
    """The learning of one part.

    Raises:
        UnsupportedGraphError: the part has an operator without gradient.
    """

    def __init__(self, task: RoundingTask, settings: RoundingSettings) -> None:
        self._task, self._settings = task, settings
        self._device = training_device()
        last = prefers_channels_last(task.graph) or any(array.ndim == 4 for array, _ in task.weights.values())
        self._module = GraphModule(task.graph, trainable=False, device=self._device, channels_last=last)
        self._outputs = tuple(task.targets)
        self._program = self._module.program(self._outputs)

        def stored(arrays: Mapping[str, np.ndarray]) -> dict[str, SampleStore]:
            return {name: SampleStore(array, task.samples, self._device, last) for name, array in arrays.items()}

        self._inputs, self._exact, self._targets = stored(task.inputs), stored(task.exact), stored(task.targets)
        powers = [
            float(np.mean(np.square(array, dtype=np.float32), dtype=np.float64)) for array in task.targets.values()
        ]
        self._factors = [1.0 / (max(power, 1e-30) * len(powers)) for power in powers]
        self._weights = _SoftWeights(task.weights, self._device)
        self._starts = torch.tensor([task.scales[name] for name in task.scales], device=self._device)
        self._steps = torch.zeros(len(task.scales), device=self._device, requires_grad=True)

    def run(self, progress: Progress, cancel: CancelToken) -> RoundingResult:
        """Learn, and return whichever rounding is better on all samples: the learned one or the nearest."""
        settings = self._settings
        nearest = self._weights.nearest()
        before = self._error(nearest, cancel)
        self._check(before, 0)
        generator = torch.Generator().manual_seed(settings.seed)
        pool = MaskPool(settings.drop, generator, self._device) if settings.drop > 0 else None
        # A torch optimizer steps over all of this in one fused call.
        groups = [{"params": [self._weights.learned], "lr": settings.learning_rate}]
        if len(self._steps):
            groups.append({"params": [self._steps], "lr": settings.scale_learning_rate})
        optimizer = torch.optim.Adam(groups, fused=True)
        at_once = self._task.batch or min(settings.batch_size, self._task.samples)
        batch = max(settings.batch_size // at_once, 1) * at_once
        for step in range(settings.iterations):
            cancel.raise_if_cancelled()
            chosen = torch.randint(self._task.samples, (batch,), generator=generator)
            if len(self._steps):
                optimizer.param_groups[1]["lr"] = (
                    settings.scale_learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / settings.iterations))
                )
            error = self._step(torch.split(chosen, at_once), pool, step / settings.iterations)
            optimizer.step()
            if step % _CHECKED_EVERY == 0:
                self._check(error, step)
            progress.update((step + 1) / settings.iterations, f"step {step + 1} of {settings.iterations}")
        self._module.mode.mixed = None
        learned = self._weights.hardened()
        after = self._error(learned, cancel)
        self._check(after, settings.iterations)
        if after > before:
            return RoundingResult(
                {name: rounded for name, (_, rounded) in self._task.weights.items()},
                dict(self._task.scales),
                before,
                before,
            )
        scales = self._scales().tolist()
        return RoundingResult(
            self._weights.quantized(learned), dict(zip(self._task.scales, scales, strict=True)), before, after
        )

    def _step(self, parts: Sequence[Tensor], pool: MaskPool | None, done: float) -> float:
        """Set the gradients of one batch, which comes in parts, and return its error."""
        self._module.mode.mixed = None if pool is None else pool.mixed
        weights = [weight.requires_grad_() for weight in self._weights.soft()]
        leaves = [*weights, *([self._steps] if len(self._steps) else [])]
        error = 0.0
        slopes = [torch.zeros_like(leaf) for leaf in leaves]
        for chosen in parts:
            part_error, found = self._slopes(chosen, pool, weights, leaves)
            error += float(part_error) / len(parts)
            for total, slope in zip(slopes, found, strict=True):
                if slope is not None:
                    total.add_(slope, alpha=1.0 / len(parts))
        self._weights.take_slopes(slopes[: len(weights)], done, self._settings)
        if len(self._steps):
            self._steps.grad = slopes[-1]
        return error

    def _slopes(
        self, chosen: Tensor, pool: MaskPool | None, weights: list[Tensor], leaves: list[Tensor]
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Return the error on the chosen samples, and its slopes by the leaves."""
        inputs = {name: store.rows(chosen) for name, store in self._inputs.items()}
        if pool is not None:
            inputs.update((name, pool.mixed(inputs[name], store.rows(chosen))) for name, store in self._exact.items())
        results = self._forward(inputs, weights, self._scales())
        asked, slopes, error = [], [], torch.zeros((), device=self._device)
        for name, result, factor in zip(self._outputs, results, self._factors, strict=True):
            if result.requires_grad:
                difference = result.detach() - self._targets[name].rows(chosen)
                asked.append(result)
                error = error + difference.square().mean() * factor
                slopes.append(difference.mul_(2.0 * factor / difference.numel()))
        return error, torch.autograd.grad(asked, leaves, slopes, allow_unused=True)

    def _scales(self) -> Tensor:
        return self._starts * self._steps.exp()

    def _forward(self, inputs: Mapping[str, Tensor], weights: list[Tensor], scales: Tensor) -> tuple[Tensor, ...]:
        fed = {**inputs, **dict(zip(self._task.weights, weights, strict=True))}
        fed.update(zip(self._task.scales, scales.unbind() if len(self._starts) else (), strict=True))
        return self._program.run(*[fed[name] for name in self._module.input_names])

    @torch.no_grad()
    def _error(self, flat: Tensor, cancel: CancelToken) -> float:
        """Return the error over all samples with the given integers."""
        weights, scales, total = self._weights.views(flat), self._scales(), 0.0
        samples, fixed = self._task.samples, self._task.batch
        parts = list(torch.split(torch.arange(samples), fixed or _EVALUATED_AT_ONCE))
        if fixed and len(parts[-1]) < fixed:
            # The first ones again, where the graph takes no fewer.
            parts[-1] = torch.arange(samples - len(parts[-1]), samples - len(parts[-1]) + fixed) % samples
        for chosen in parts:
            cancel.raise_if_cancelled()
            results = self._forward({name: store.rows(chosen) for name, store in self._inputs.items()}, weights, scales)
            for name, result, factor in zip(self._outputs, results, self._factors, strict=True):
                total += float((result - self._targets[name].rows(chosen)).square().mean()) * factor * len(chosen)
        return total / sum(len(chosen) for chosen in parts)

    def _check(self, error: float, step: int) -> None:
        if not math.isfinite(error):
            raise JobError(
                f"the error of {self._outputs[0]!r} is {error} after {step} steps of reconstruction",
                expected="a finite error",
                action="Lower the learning rates, or check the preprocessing of the data.",
            )


class _SoftWeights:
    """All weights of a part in one vector, between two neighbouring integers each."""

    def __init__(self, weights: Mapping[str, tuple[np.ndarray, WeightQuantization]], device: torch.device) -> None:
        self._parts = weights
        self._shapes = [array.shape for array, _ in weights.values()]
        self._sizes = [array.size for array, _ in weights.values()]
        scales, levels, integers, zeros = [], [], [], []
        ends = []
        for array, rounded in weights.values():
            scale = np.broadcast_to(rounded.spread().astype(np.float32), array.shape)
            scales.append(scale.reshape(-1))
            levels.append((array.astype(np.float64) / scale).reshape(-1))
            integers.append(rounded.integers.reshape(-1))
            zeros.append(np.broadcast_to(rounded.zeros(), array.shape).reshape(-1))
            ends.append(np.tile(np.array([rounded.levels], np.float32).T, array.size))

        def tensor(arrays: list[np.ndarray]) -> Tensor:
            # A part whose weights keep 8 bits has scales to learn only.
            return torch.from_numpy(np.concatenate([np.zeros(0), *arrays]).astype(np.float32)).to(device)

        level = np.concatenate([np.zeros(0), *levels])
        self._scale, self._nearest = tensor(scales), tensor(integers)
        # Most weights have none, and a step is bound by the number of operations.
        self._zero = tensor(zeros) if any(each.any() for each in zeros) else None
        self._lowest, self._highest = (tensor([pair[side] for pair in ends]) for side in (0, 1))
        self._floor = tensor([np.floor(level)])
        if self._zero is not None:
            self._floor += self._zero
        fraction = tensor([level - np.floor(level)])
        # What is exactly zero (pruned, padded) stays zero.
        self._free = tensor([level != 0])
        self.learned = torch.logit((fraction + _OFFSET) / _STRETCH).requires_grad_()
        self._seen = torch.zeros_like(fraction)
        self._steps_seen = 0
        self._pressure: Tensor | None = None

    def views(self, integers: Tensor) -> list[Tensor]:
        """Return the weights that a vector of integers stands for."""
        levels = integers if self._zero is None else integers - self._zero
        parts = (levels * self._scale).split_with_sizes(self._sizes) if self._sizes else ()
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def nearest(self) -> Tensor:
        """Return the integers of the start."""
        return self._nearest

    @torch.no_grad()
    def soft(self) -> list[Tensor]:
        """Return the weights between integers."""
        self._sigmoid = torch.sigmoid(self.learned)
        raw = self._sigmoid * _STRETCH - _OFFSET
        self._between = (raw > 0) & (raw < 1)
        self._h = raw.clamp_(0, 1).mul_(self._free)
        level = self._floor + self._h
        self._inside = (level >= self._lowest) & (level <= self._highest)
        return self.views(level.clamp_(self._lowest, self._highest))

    @torch.no_grad()
    def take_slopes(self, slopes: Sequence[Tensor], done: float, settings: RoundingSettings) -> None:
        """Set the gradient of v from those of the weights; `done` is the share of the steps."""
        if not slopes:
            return
        flat = torch.cat([slope.reshape(-1) for slope in slopes])
        of_h = flat.mul_(self._scale).mul_(self._inside)
        if done < settings.warmup or self._pressure is None:
            self._seen += of_h.abs()
            self._steps_seen += 1
        if done >= settings.warmup:
            if self._pressure is None:
                means = [
                    part.mean().expand(len(part))
                    for part in (self._seen / self._steps_seen).split_with_sizes(self._sizes)
                ]
                self._pressure = torch.cat(means) * settings.push
            beta = _FLATTEST + (_SHARPEST - _FLATTEST) * (1.0 - (done - settings.warmup) / (1.0 - settings.warmup))
            away = self._h * 2 - 1
            of_h = of_h - self._pressure * beta * 2 * away.sign() * away.abs().pow(beta - 1)
        slope = self._sigmoid * (1 - self._sigmoid) * _STRETCH
        self.learned.grad = of_h * slope * (self._between & (self._free > 0))

    @torch.no_grad()
    def hardened(self) -> Tensor:
        """Return the integers that were learned."""
        h = (torch.sigmoid(self.learned) >= 0.5).float() * self._free
        return (self._floor + h).clamp(self._lowest, self._highest)

    def quantized(self, integers: Tensor) -> dict[str, WeightQuantization]:
        """Return integers by weight name."""
        parts = integers.cpu().numpy().astype(np.int8)
        offsets = np.cumsum([0, *self._sizes])
        return {
            name: replace(rounded, integers=parts[offsets[index] : offsets[index + 1]].reshape(array.shape).copy())
            for index, (name, (array, rounded)) in enumerate(self._parts.items())
        }
