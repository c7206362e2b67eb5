"""Draws removals and compares removed with masked: used by all tests of channel removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from workbench.graph.channels import ChannelGroup, Unit, channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.passes.mask_channels import mask_channels
from workbench.graph.passes.remove_channels import remove_channels

# What these make of their input may be the same number for all inputs of a kind.
SATURATING = {"ArgMax", "Clip", "HardSigmoid", "LogSoftmax", "Sigmoid", "Softmax", "Tanh", "TopK"}
PASSING = {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


def random_removal(groups: Sequence[ChannelGroup], seed: int, most: float = 0.7) -> dict[str, list[int]]:
    """Return a random share (up to `most`) of every prunable group, leaving what has to stay.

    Of some groups, or of all that small share, nothing may go.
    """
    rng = np.random.default_rng(seed)
    removal: dict[str, list[int]] = {}
    for group in groups:
        if not group.prunable:
            continue
        free = [unit for unit in range(group.units) if unit not in group.locked]
        picked = set(rng.permutation(free)[: rng.integers(0, int(len(free) * most) + 1)].tolist())
        for needed in (*group.essential, frozenset(range(group.units))):
            if needed <= picked:
                picked.discard(min(needed))
        if picked:
            removal[group.id] = sorted(picked)
    return removal


def feeds(graph: ModelGraph, seed: int, open_size: int = 64) -> dict[str, np.ndarray]:
    """Return random inputs; open batch sizes are 1, other open sizes `open_size`."""
    rng = np.random.default_rng(seed)
    result: dict[str, np.ndarray] = {}
    batch = {info.shape[0] for info in graph.inputs if info.shape and isinstance(info.shape[0], str)}
    for info in graph.inputs:
        shape = [
            size if isinstance(size, int) and size > 0 else (1 if axis == 0 or size in batch else open_size)
            for axis, size in enumerate(info.shape or ())
        ]
        kind = info.dtype or "float32"
        if "int" in kind:
            result[info.name] = rng.integers(0, 2, shape).astype(kind)
        elif kind == "bool":
            result[info.name] = np.ones(shape, dtype=bool)
        else:
            result[info.name] = rng.standard_normal(shape).astype(kind)
    return result


def run(graph: ModelGraph, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the outputs in ONNX Runtime with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(graph.to_bytes(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def before_saturation(graph: ModelGraph) -> tuple[str, ...]:
    """Return what the activations that make graph outputs read: far from zero those hide every difference."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    found: list[str] = []
    for info in graph.outputs:
        node = makers.get(info.name)
        while node is not None and node.op in PASSING:
            node = makers.get(node.inputs[0])
        if node is not None and node.op in SATURATING and node.inputs[0] in makers:
            found.append(node.inputs[0])
    return tuple(name for name in dict.fromkeys(found) if name not in {info.name for info in graph.outputs})


def run_with_inner(graph: ModelGraph, inner: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the outputs, behind them the named inner values."""
    shown = graph.with_outputs([*(info.name for info in graph.outputs), *inner]) if inner else graph
    return run(shown, inputs)


def distance(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """Return the largest difference of two lists of arrays, each relative to the largest number of its second.

    A sigmoid far from zero gives numbers near 1e-7, of which it keeps no digit: that much is not counted, nor are two
    steps of a half-precision number, which are 1e-3 of it.
    """
    assert [array.shape for array in some] == [array.shape for array in others]
    farthest = 0.0
    for a, b in zip(some, others, strict=True):
        if a.size:
            largest = np.abs(b).max()
            noise = float(2 * np.spacing(largest)) if b.dtype == np.float16 else 2e-7
            a, b = a.astype(np.float64), b.astype(np.float64)
            assert np.isfinite(a).all()
            assert np.isfinite(b).all()
            farthest = max(farthest, max(np.abs(a - b).max() - noise, 0.0) / max(float(largest), 1e-12))
    return float(farthest)


def removed_against_masked(
    graph: ModelGraph, removal: Mapping[str, Sequence[int]], seed: int, unit: Unit = "head", open_size: int = 64
) -> float:
    """Return how far the graph without channels is from the one with those channels masked (see `distance`)."""
    inputs, inner = feeds(graph, seed, open_size), before_saturation(graph)
    removed = run_with_inner(remove_channels(graph, removal, unit), inner, inputs)
    masked = run_with_inner(mask_channels(graph, removal, unit), inner, inputs)
    return distance(removed, masked)


def prunable_groups(graph: ModelGraph) -> list[ChannelGroup]:
    """Return the groups that can lose channels."""
    return [group for group in channel_groups(graph) if group.prunable]
