"""Draws removals and compares removed with masked: used by all tests of channel removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from workbench.graph.channels import ChannelGroup, Unit, channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.passes.mask_channels import mask_channels
from workbench.graph.passes.remove_channels import remove_channels


def random_removal(groups: Sequence[ChannelGroup], seed: int, most: float = 0.7) -> dict[str, list[int]]:
    """Return a random share (up to `most`) of every prunable group, leaving what has to stay."""
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


def removed_against_masked(
    graph: ModelGraph, removal: Mapping[str, Sequence[int]], seed: int, unit: Unit = "head", open_size: int = 64
) -> float:
    """Return the largest difference of the two, relative to the largest output.

    A sigmoid far from zero gives numbers near 1e-7, of which it keeps no digit: that much is not counted.
    """
    inputs = feeds(graph, seed, open_size)
    removed = run(remove_channels(graph, removal, unit), inputs)
    masked = run(mask_channels(graph, removal, unit), inputs)
    assert [array.shape for array in removed] == [array.shape for array in masked]
    arrays = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(removed, masked, strict=True) if a.size]
    assert all(np.isfinite(a).all() and np.isfinite(b).all() for a, b in arrays)
    scale = max(np.abs(b).max() for _, b in arrays)
    difference = max(np.abs(a - b).max() for a, b in arrays)
    return float(max(difference - 2e-7, 0.0) / max(scale, 1e-12))


def prunable_groups(graph: ModelGraph) -> list[ChannelGroup]:
    """Return the groups that can lose channels."""
    return [group for group in channel_groups(graph) if group.prunable]
