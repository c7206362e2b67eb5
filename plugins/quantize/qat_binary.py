"""Says what weights of 1 bit need beyond others: slopes that sharpen, no dead weights, finer ends and finer biases.

Notation: v, a weight less its channel's mean in units of the channel's mean magnitude; p, the share of the steps that
are done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from workbench.api import (
    ACTIVATION_BITS,
    WEIGHT_BITS,
    LayerSettings,
    Origin,
    TrainingForm,
    TrainingHook,
    highest_odd,
    last_jump,
)

from .layers import weight_name
from .prepared import Prepared

BinaryEstimator = Literal["xnor", "irnet", "recu"]
Ends = Literal["8bit", "float", "plan"]
_DULL, _SHARP = 0.1, 10.0
_FIRST_QUANTILE, _LAST_QUANTILE = 0.85, 0.99
_FINER = 64  # the most with which two products with unsigned 8-bit activations still fit 16 bits
_ENDS = {"8bit": 8, "float": 32}


class BinaryHook:
    """Takes part in a training of a form with binary weights, around another hook; implements TrainingHook.

    irnet: the sharpness of the sign's slope rises from 0.1 to 10 along 0.1 · 100^p (Qin et al., 2020). recu: weights
    beyond the quantiles ±ln(1 / (2 - 2τ)) of their channel, taken for Laplace's distribution, hardly ever change their
    sign again; they are put back onto them after every step, with τ from 0.85 to 0.99 (Xu et al., 2021). xnor: nothing
    changes with time (Rastegari et al., 2016). With several bases recu's way is counted from the outermost
    jump, and irnet sharpens the slope at each.

    Args:
        form: What is trained.
        estimator: Of the signs.
        inner: Takes part as well.
    """

    def __init__(self, form: TrainingForm, estimator: BinaryEstimator, inner: TrainingHook) -> None:
        self._form, self._estimator, self._inner = form, estimator, inner
        # Torch tensors, which are used through their own functions only.
        self._sharpness: Any = None
        self._weights: list[tuple[Any, tuple[int, ...], float]] = []
        self._steps = 1

    def begin(self, weights: Mapping[str, Any], epochs: int, steps_per_epoch: int) -> None:
        """Find the binary weights, and make the first step's slope."""
        self._inner.begin(weights, epochs, steps_per_epoch)
        form, self._steps = self._form, max(epochs * steps_per_epoch, 1)
        self._weights = [
            (weights[name], _beside(form, name), last_jump(form.given[name].branches))
            for name in form.binary
            if name in weights
        ]
        if self._estimator == "irnet" and form.sharpness in weights:
            self._sharpness = weights[form.sharpness].detach()
            self._sharpness.fill_(_DULL)

    def after_backward(self, step: int) -> None:
        """Leave the gradients to the other hook."""
        self._inner.after_backward(step)

    def after_step(self, step: int) -> None:
        """Sharpen the slope, or put dead weights back."""
        self._inner.after_step(step)
        done = (step + 1) / self._steps
        if self._sharpness is not None:
            self._sharpness.fill_(_DULL * (_SHARP / _DULL) ** done)
        if self._estimator != "recu":
            return
        share = _FIRST_QUANTILE * (_LAST_QUANTILE / _FIRST_QUANTILE) ** done
        reach = -math.log(2 - 2 * share)
        for weight, others, jump in self._weights:
            mean = weight.mean(others, keepdim=True)
            limit = (weight - mean).abs().mean(others, keepdim=True) * (reach + jump)
            weight.copy_(weight.clamp(mean - limit, mean + limit))

    def after_epoch(self, epoch: int) -> None:
        """Leave the end of an epoch to the other hook."""
        self._inner.after_epoch(epoch)

    def state(self) -> dict[str, Any]:
        """Return the other hook's state: the rest follows from the step."""
        return self._inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on; the sharpness was stored among the weights."""
        self._inner.restore(state)


def with_fine_biases(prepared: Prepared) -> Prepared:
    """Return the same values with the signs of layers that read few bits stored as ±64 instead of ±1, 3 as 48, 7 as 56.

    Biases are integers in units of both scales: with 1 bit on either side a unit is as much as one product, and half of
    it is what rounding the bias costs. Left alone is what is to be stored in 2 bits.
    """
    if prepared.narrow:
        return prepared
    weights = dict(prepared.weights)
    for layer, bits in prepared.layers.items():
        name = weight_name(prepared.graph, layer, prepared.layers)
        given = weights.get(name)
        if given is None or given.bits != 1 or bits.activation_bits >= 8:
            continue
        highest = highest_odd(given.branches)
        if np.abs(given.integers).max() <= highest:
            # A power of two, which leaves the products as they were.
            finer = 2 ** int(math.log2(_FINER // highest))
            scales = (given.scales / finer).astype(np.float32)
            weights[name] = replace(given, integers=(given.integers * finer).astype(np.int8), scales=scales)
    return replace(prepared, weights=weights)


def _beside(form: TrainingForm, name: str) -> tuple[int, ...]:
    given = form.given[name]
    rank = given.integers.ndim
    return tuple(place for place in range(rank) if given.axis is None or place != given.axis % rank)


def with_ends(plan: LayerSettings, ends: Ends) -> tuple[LayerSettings, tuple[str, ...]]:
    """Return the plan in which the first and the last layer have more than 1 bit, and whom that concerned.

    A layer that the plan names keeps what it says. One whose weight stays in float reads floats too: ONNX Runtime would
    round the weight by itself, with one scale for all, where it finds integers before and behind.

    Args:
        plan: Bits of every layer, in the graph's order.
        ends: What the two get: 8 bits, or float; or what the plan says.
    """
    names, changed = list(plan), {}
    if ends == "plan" or not names:
        return plan, ()
    for knob in (WEIGHT_BITS, ACTIVATION_BITS):
        few = [
            name
            for name in dict.fromkeys((names[0], names[-1]))
            if (plan.number(name, knob) == 1 or (ends == "float" and name in changed))
            and plan.origin(name, knob) is not Origin.LINE
        ]
        plan = plan.with_values(knob, dict.fromkeys(few, _ENDS[ends]))
        changed.update(dict.fromkeys(few))
    return plan, tuple(changed)
