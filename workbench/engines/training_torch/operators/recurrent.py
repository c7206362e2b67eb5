"""LSTM, GRU and RNN: torch's fused loops where they compute the same, a step by step loop otherwise.

Notation: x (time, batch, in); W (directions, gates · H, in), R (directions, gates · H, H),
B (directions, 2 · gates · H); gate order i o f c (LSTM), z r h (GRU); torch's order is i f c o and r z h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from workbench.engines.training_torch.operators.indexing import reverse_each
from workbench.engines.training_torch.operators.registry import Context, Function, integers, operator

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_TORCH_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
_DEFAULT = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Cell:
    """Attributes of a recurrent node."""

    kind: str
    hidden: int
    directions: tuple[bool, ...]
    activations: tuple[tuple[Activation, ...], ...]
    clip: float | None
    coupled: bool
    reset_last: bool
    batch_first: bool
    fused: bool

    @staticmethod
    def of(context: Context) -> _Cell:
        kind = context.node.op
        word = context.attribute("direction", "forward")
        directions = {"forward": (False,), "reverse": (True,)}.get(word, (False, True))
        width = len(_DEFAULT[kind])
        names = tuple(context.attribute("activations") or _DEFAULT[kind] * len(directions))
        standard = tuple(name.lower() for name in names) == tuple(n.lower() for n in _DEFAULT[kind]) * len(directions)
        clip, coupled = context.attribute("clip"), bool(context.attribute("input_forget", 0))
        reset_last = bool(context.attribute("linear_before_reset", 0))
        scales = list(context.attribute("activation_alpha") or ()), list(context.attribute("activation_beta") or ())
        made = [_activation(name, scales, context) for name in names]
        return _Cell(
            kind,
            context.attribute("hidden_size"),
            directions,
            tuple(tuple(made[k * width : (k + 1) * width]) for k in range(len(directions))),
            clip,
            coupled,
            reset_last,
            bool(context.attribute("layout", 0)),
            standard and clip is None and not coupled and (kind != "GRU" or reset_last),
        )


def _activation(name: str, scales: tuple[list[float], list[float]], context: Context) -> Activation:
    """Return an activation; it takes its alpha and beta from the front of the lists, as the standard says."""
    plain: dict[str, Activation] = {
        "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu,
        "softplus": F.softplus, "softsign": F.softsign,
    }  # fmt: skip
    key = name.lower()
    if key in plain:
        return plain[key]
    alphas, betas = scales
    defaults = {"leakyrelu": (0.01, None), "thresholdedrelu": (1.0, None), "elu": (1.0, None)}
    defaults |= {"hardsigmoid": (0.2, 0.5), "scaledtanh": (1.0, 1.0), "affine": (1.0, 0.0)}  # type: ignore[dict-item]
    if key not in defaults:
        raise context.refuse(f"activation {name} is unknown")
    alpha = alphas.pop(0) if alphas else defaults[key][0]
    beta = 0.0 if defaults[key][1] is None else betas.pop(0) if betas else float(defaults[key][1] or 0.0)
    scaled: dict[str, Activation] = {
        "leakyrelu": lambda x: F.leaky_relu(x, alpha),
        "thresholdedrelu": lambda x: torch.where(x > alpha, x, torch.zeros_like(x)),
        "elu": lambda x: F.elu(x, alpha),
        "hardsigmoid": lambda x: torch.clamp(alpha * x + beta, 0, 1),
        "scaledtanh": lambda x: alpha * torch.tanh(beta * x),
        "affine": lambda x: alpha * x + beta,
    }
    return scaled[key]


@operator("LSTM", "GRU", "RNN", host=(4,))
def _recurrent(context: Context) -> Function:
    cell = _Cell.of(context)

    def run(
        x: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor | None = None,
        lengths: Tensor | None = None,
        hidden: Tensor | None = None,
        state: Tensor | None = None,
        peephole: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if cell.batch_first:
            x = x.transpose(0, 1)
            hidden = None if hidden is None else hidden.transpose(0, 1)
            state = None if state is None else state.transpose(0, 1)
        shape = (len(cell.directions), x.shape[1], cell.hidden)
        hidden = x.new_zeros(shape) if hidden is None else hidden
        state = x.new_zeros(shape) if state is None else state
        limits = None if lengths is None else integers(lengths)
        if limits is not None and all(limit == x.shape[0] for limit in limits):
            limits = None
        outputs, hiddens, states = [], [], []
        for k, backwards in enumerate(cell.directions):
            parts = weight[k], recurrent[k], None if bias is None else bias[k]
            order = _Reverse(limits) if backwards else None
            steps = x if order is None else order(x)
            if cell.fused and peephole is None and limits is None:
                out, last, inner = _fused(cell.kind, steps, parts, hidden[k], state[k])
            else:
                peep = None if peephole is None else peephole[k]
                out, last, inner = _loop(cell, k, steps, parts, hidden[k], state[k], peep, limits)
            outputs.append(out if order is None else order(out))
            hiddens.append(last)
            states.append(inner)
        sequence = torch.stack(outputs, 1)
        last, inner = torch.stack(hiddens), torch.stack(states)
        if cell.batch_first:
            sequence, last, inner = sequence.permute(2, 0, 1, 3), last.transpose(0, 1), inner.transpose(0, 1)
        return (sequence, last, inner) if cell.kind == "LSTM" else (sequence, last)

    return run


@dataclass(frozen=True)
class _Reverse:
    """Reverses the steps of every sequence, each by its own length."""

    lengths: Sequence[int] | None

    def __call__(self, x: Tensor) -> Tensor:
        return x.flip(0) if self.lengths is None else reverse_each(x, self.lengths)


Parts = tuple[Tensor, Tensor, Tensor | None]


def _fused(kind: str, x: Tensor, parts: Parts, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight, recurrent, bias = parts
    gates, order = _GATES[kind], _TORCH_ORDER[kind]

    def reorder(tensor: Tensor) -> Tensor:
        chunks = tensor.chunk(gates)
        return tensor if gates == 1 else torch.cat([chunks[k] for k in order])

    flat = [reorder(weight), reorder(recurrent)]
    if bias is not None:
        flat += [reorder(half) for half in bias.chunk(2)]
    settings = (bias is not None, 1, 0.0, torch.is_grad_enabled(), False, False)
    if kind == "LSTM":
        out, last, inner = torch.lstm(x, (hidden.unsqueeze(0), state.unsqueeze(0)), flat, *settings)
        return out, last[0], inner[0]
    run = torch.gru if kind == "GRU" else torch.rnn_tanh
    out, last = run(x, hidden.unsqueeze(0), flat, *settings)
    return out, last[0], state


def _loop(
    cell: _Cell,
    direction: int,
    x: Tensor,
    parts: Parts,
    hidden: Tensor,
    state: Tensor,
    peephole: Tensor | None,
    limits: Sequence[int] | None,
) -> tuple[Tensor, Tensor, Tensor]:
    weight, recurrent, bias = parts
    gates = _GATES[cell.kind]
    zeros = x.new_zeros(2 * gates * cell.hidden) if bias is None else bias
    input_bias, hidden_bias = zeros.chunk(2)
    projected = F.linear(x, weight, input_bias)
    acts = cell.activations[direction]
    ends = None if limits is None else torch.tensor(list(limits), device=x.device).unsqueeze(1)
    outputs = []

    def clipped(value: Tensor) -> Tensor:
        return value if cell.clip is None else value.clamp(-cell.clip, cell.clip)

    for step in range(x.shape[0]):
        if cell.kind == "GRU":
            new_hidden, new_state = _gru(cell, acts, projected[step], hidden, recurrent, hidden_bias, clipped), state
        elif cell.kind == "RNN":
            new_hidden, new_state = acts[0](clipped(projected[step] + F.linear(hidden, recurrent, hidden_bias))), state
        else:
            mixed = projected[step] + F.linear(hidden, recurrent, hidden_bias)
            new_hidden, new_state = _lstm(cell, acts, mixed, state, peephole, clipped)
        if ends is not None:
            running = ends > step
            outputs.append(torch.where(running, new_hidden, torch.zeros_like(new_hidden)))
            new_hidden = torch.where(running, new_hidden, hidden)
            new_state = torch.where(running, new_state, state)
        else:
            outputs.append(new_hidden)
        hidden, state = new_hidden, new_state
    return torch.stack(outputs), hidden, state


def _lstm(
    cell: _Cell,
    acts: Sequence[Activation],
    mixed: Tensor,
    state: Tensor,
    peephole: Tensor | None,
    clipped: Activation,
) -> tuple[Tensor, Tensor]:
    i, o, f, c = mixed.chunk(4, -1)
    from_i, from_o, from_f = (0.0, 0.0, 0.0) if peephole is None else peephole.chunk(3)
    into = acts[0](clipped(i + from_i * state))
    forget = 1 - into if cell.coupled else acts[0](clipped(f + from_f * state))
    new_state = forget * state + into * acts[1](clipped(c))
    return acts[0](clipped(o + from_o * new_state)) * acts[2](new_state), new_state


def _gru(
    cell: _Cell,
    acts: Sequence[Activation],
    projected: Tensor,
    hidden: Tensor,
    recurrent: Tensor,
    hidden_bias: Tensor,
    clipped: Activation,
) -> Tensor:
    width = cell.hidden
    gates = projected[:, : 2 * width] + F.linear(hidden, recurrent[: 2 * width], hidden_bias[: 2 * width])
    update, reset = acts[0](clipped(gates)).chunk(2, -1)
    own_weight, own_bias = recurrent[2 * width :], hidden_bias[2 * width :]
    if cell.reset_last:
        own = reset * F.linear(hidden, own_weight, own_bias)
    else:
        own = F.linear(reset * hidden, own_weight, own_bias)
    return (1 - update) * acts[1](clipped(projected[:, 2 * width :] + own)) + update * hidden
