"""If, Loop and Scan: their bodies are programs of their own that also take the outer values they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.engines.training_torch.operators.registry import (
    Context,
    Function,
    axis_of,
    operator,
    torch_type,
)
from workbench.graph.model import Node, Subgraph, ValueInfo


def bodies(node: Node) -> tuple[Subgraph, ...]:
    """Return the subgraphs of a node in the order of its attributes."""
    return tuple(value for value in node.attributes.values() if isinstance(value, Subgraph))


def captured(node: Node) -> tuple[str, ...]:
    """Return the names of outer values that the node's bodies read, in order of first use."""
    names: dict[str, None] = {}
    for body in bodies(node):
        own = {info.name for info in body.inputs} | set(body.initializers)
        own.update(output for inner in body.nodes for output in inner.outputs)
        for inner in body.nodes:
            names.update((name, None) for name in (*inner.inputs, *captured(inner)) if name and name not in own)
        names.update((info.name, None) for info in body.outputs if info.name not in own)
    return tuple(names)


@operator("If", host=(0,), pure=False)
def _if(context: Context) -> Function:
    names = captured(context.node)
    then = context.body(context.attribute("then_branch"), names)
    otherwise = context.body(context.attribute("else_branch"), names)
    return lambda condition, *outer: (then if bool(condition) else otherwise).run(*outer)


@operator("Loop", host=(0, 1), pure=False)
def _loop(context: Context) -> Function:
    body: Subgraph = context.attribute("body")
    names = captured(context.node)
    program = context.body(body, names)
    carried_count = len(body.inputs) - 2

    def run(limit: Tensor | None, condition: Tensor | None, *rest: Tensor) -> tuple[Any, ...]:
        carried, outer = list(rest[:carried_count]), rest[carried_count:]
        collected: list[list[Tensor]] = [[] for _ in range(len(body.outputs) - 1 - carried_count)]
        going, step = condition is None or bool(condition), 0
        while going and (limit is None or step < int(limit)):
            results = program.run(torch.tensor(step), torch.tensor(going), *carried, *outer)
            going, carried = bool(results[0]), list(results[1 : 1 + carried_count])
            for values, result in zip(collected, results[1 + carried_count :], strict=True):
                values.append(result)
            step += 1
        empty = body.outputs[1 + carried_count :]
        return (*carried, *(_stack(values, info) for values, info in zip(collected, empty, strict=True)))

    return run


def _stack(values: Sequence[Tensor], info: ValueInfo) -> Tensor:
    """Stack what the steps gave; without a step, an empty tensor of the shape that the body states."""
    if values:
        return torch.stack(list(values))
    sizes = [size if isinstance(size, int) else 0 for size in info.shape or ()]
    return torch.empty(0, *sizes, dtype=torch_type(info.dtype))


@operator("Scan", since=9, pure=False)
def _scan(context: Context) -> Function:
    body: Subgraph = context.attribute("body")
    scanned = context.attribute("num_scan_inputs")
    states = len(body.inputs) - scanned
    produced = len(body.outputs) - states
    program = context.body(body, captured(context.node))
    in_axes = context.attribute("scan_input_axes") or (0,) * scanned
    out_axes = context.attribute("scan_output_axes") or (0,) * produced
    in_backwards = context.attribute("scan_input_directions") or (0,) * scanned
    out_backwards = context.attribute("scan_output_directions") or (0,) * produced

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        state, sequences, outer = list(values[:states]), values[states : states + scanned], values[states + scanned :]
        steps = sequences[0].shape[in_axes[0]]
        collected: list[list[Tensor]] = [[] for _ in range(produced)]
        for step in range(steps):
            slices = [
                sequence.select(axis, steps - 1 - step if backwards else step)
                for sequence, axis, backwards in zip(sequences, in_axes, in_backwards, strict=True)
            ]
            results = program.run(*state, *slices, *outer)
            state = list(results[:states])
            for found, result in zip(collected, results[states:], strict=True):
                found.append(result)
        joined = [_stacked(*each) for each in zip(collected, out_axes, out_backwards, strict=True)]
        return (*state, *joined)

    return run


def _stacked(values: Sequence[Tensor], axis: int, backwards: int) -> Tensor:
    ordered = list(values)[::-1] if backwards else list(values)
    return torch.stack(ordered, axis_of(axis, ordered[0].dim() + 1))
