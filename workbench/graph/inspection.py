"""Describes a model for the window and the command line: summary, layers, channel groups, costs and the picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench.domain.errors import BadInputError
from workbench.domain.knobs import RANK_RATIO
from workbench.domain.operator_kinds import computes_in_integers
from workbench.domain.reports import GroupReport, InspectReport, LayerDetail, LayerReport, ModelSummary, TensorReport
from workbench.graph.branches import with_branches
from workbench.graph.channels import blocked_layers, group_reports
from workbench.graph.check import check
from workbench.graph.cost import GraphCost, graph_cost
from workbench.graph.layers import find_layers, layer_nodes
from workbench.graph.layout import layout
from workbench.graph.model import ModelGraph, Subgraph, ValueInfo
from workbench.graph.passes.factorize import why_not_factorizable
from workbench.graph.shapes import OpenDimension, open_dimensions, sample_shapes
from workbench.graph.storage import model_sha256, model_size_bytes, open_model
from workbench.graph.weights import weight_values

_BINS = 101


def inspect_model(
    path: str | os.PathLike[str], *, drawing: bool = False, dimensions: Mapping[str, int] | None = None
) -> InspectReport:
    """Open a model file and describe it.

    Args:
        path: The .onnx file.
        drawing: Also lay the graph out.
        dimensions: Values for open input sizes, by name or as "input:axis".

    Raises:
        ModelFileError: the file can't be used.
        BadInputError: `dimensions` names no dimension of the model.
        UnsupportedGraphError: the graph's shapes contradict each other.
    """
    graph = open_model(path)
    notes = list(check(graph))
    shapes = sample_shapes(graph, dimensions)
    cost = graph_cost(graph, dimensions, shapes=shapes)
    integers = sum(computes_in_integers(node.op) for node in graph.nodes)
    if integers:
        notes.append(
            f"The model is quantized already ({integers} nodes): keep it as it is, or let recipes begin with "
            "quantize.to_float."
        )
    notes.extend(_cost_notes(graph, cost, open_dimensions(graph, dimensions)))
    groups = group_reports(graph)
    layers = find_layers(graph, dimensions, shapes=shapes, cost=cost)
    return InspectReport(
        model=_summary(graph, path, cost),
        inputs=tuple(_tensor(info) for info in graph.inputs),
        outputs=tuple(_tensor(info) for info in graph.outputs),
        layers=_with_refusals(_with_groups(with_branches(layers, graph), groups, blocked_layers(graph)), graph),
        groups=groups,
        costs=cost.nodes,
        uncounted_ops=cost.uncounted_ops,
        drawing=layout(graph) if drawing else None,
        notes=tuple(notes),
    )


def summary(
    graph: ModelGraph, path: str | os.PathLike[str], *, dimensions: Mapping[str, int] | None = None
) -> ModelSummary:
    """Return a model at a glance; hash and size are those of the file at `path`.

    Raises:
        ModelFileError: the file can't be read.
    """
    return _summary(graph, path, graph_cost(graph, dimensions))


def _summary(graph: ModelGraph, path: str | os.PathLike[str], cost: GraphCost) -> ModelSummary:
    return ModelSummary(
        path=str(Path(path)),
        sha256=model_sha256(path),
        opset=graph.opset,
        params=cost.params,
        macs=cost.macs,
        size_bytes=model_size_bytes(path),
    )


def layer_detail(graph: ModelGraph, layer: str) -> LayerDetail:
    """Return statistics of one layer's weight as the layer sees it (dequantized).

    Raises:
        BadInputError: there is no layer of that name.
    """
    found = next(((node, weight) for node, weight in layer_nodes(graph) if node.name == layer), None)
    if found is None:
        raise BadInputError(
            f"the model has no layer {layer!r}", where=graph.source, action="Run `workbench inspect` for the names."
        )
    node, weight = found
    values = weight_values(graph, weight).astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    reach = (low, high) if high > low else (low - 0.5, high + 0.5)
    counts, edges = np.histogram(finite, bins=_BINS, range=reach)
    return LayerDetail(
        layer=layer,
        counts=tuple(int(count) for count in counts),
        edges=tuple(float(edge) for edge in edges),
        minimum=low,
        maximum=high,
        mean=float(finite.mean()) if finite.size else 0.0,
        std=float(finite.std()) if finite.size else 0.0,
        zeros_ratio=float(np.mean(values == 0)) if values.size else 0.0,
        channel_l1=_channel_l1(node.op, values, int(node.attribute("transB", 0)), int(node.attribute("group", 1))),
    )


def _channel_l1(op: str, values: np.ndarray, transposed: int, groups: int) -> tuple[float, ...]:
    """Return the L1 norm of every output channel's weights; () for layers whose weight has no channel axis."""
    if op in ("Conv", "ConvInteger", "QLinearConv") or (op == "Gemm" and transposed):
        norms = np.abs(values).reshape(values.shape[0], -1).sum(axis=1)
    elif op == "ConvTranspose":
        grouped = np.abs(values).reshape(groups, values.shape[0] // groups, values.shape[1], -1)
        norms = grouped.sum(axis=(1, 3)).reshape(-1)
    elif op in ("Gemm", "MatMul", "MatMulInteger") and values.ndim == 2:
        norms = np.abs(values).sum(axis=0)
    else:
        return ()
    return tuple(float(norm) for norm in norms)


def _with_groups(
    layers: tuple[LayerReport, ...], groups: tuple[GroupReport, ...], blocked: Mapping[str, str]
) -> tuple[LayerReport, ...]:
    group_of: dict[str, str] = {}
    for group in groups:
        for member in group.layers:
            if member.axis == "out":
                group_of.setdefault(member.layer, group.id)
    return tuple(
        layer.model_copy(update={"group": group_of.get(layer.name), "blocked": blocked.get(layer.name)})
        for layer in layers
    )


def _with_refusals(layers: tuple[LayerReport, ...], graph: ModelGraph) -> tuple[LayerReport, ...]:
    """Say of layers whose operator can be factorised why this one can't be."""
    found = []
    for layer in layers:
        reason = why_not_factorizable(graph, layer.name) if RANK_RATIO.name in layer.knobs else None
        refusals = {} if reason is None else {RANK_RATIO.name: reason}
        found.append(layer.model_copy(update={"refusals": refusals}) if refusals else layer)
    return tuple(found)


def _tensor(info: ValueInfo) -> TensorReport:
    shape = tuple("?" if size is None else size for size in info.shape or ())
    return TensorReport(name=info.name, dtype=info.dtype or "?", shape=shape)


def _cost_notes(graph: ModelGraph, cost: GraphCost, unset: tuple[OpenDimension, ...]) -> list[str]:
    notes = [
        f"Dimension {entry.key!r} (axis {entry.axis} of input {entry.input!r}) has no value: costs that depend on it "
        f"count as zero. Give it one, for example {entry.key}=224."
        for entry in unset
        if not entry.batch
    ]
    if cost.uncounted_ops:
        notes.append(
            f"Operators whose multiply-accumulates are not known count as zero: {', '.join(cost.uncounted_ops)}."
        )
    bodies = [
        node.name
        for node in graph.nodes
        if any(
            isinstance(body, Subgraph)
            for value in node.attributes.values()
            for body in (value if isinstance(value, tuple) else (value,))
        )
    ]
    if bodies:
        notes.append(f"Layers inside control flow are not listed: {', '.join(bodies[:3])}.")
    return notes
