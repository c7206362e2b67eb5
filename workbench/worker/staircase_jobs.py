"""The job that times layers at every width, and tells the search which widths pay."""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from workbench.devices.stair_book import Curves, StairBook
from workbench.domain.errors import BadInputError
from workbench.domain.staircase import LayerStaircase, StaircaseReport
from workbench.graph.kernel_graphs import INTEGER_OPERATORS, KernelShape, kernel_shapes
from workbench.graph.kernel_widths import output_channels
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node
from workbench.jobs.context import JobContext
from workbench.jobs.specs import StaircaseJob
from workbench.project.places import cache_folder
from workbench.worker.device_jobs import device_named
from workbench.worker.measuring_jobs import runnable_model
from workbench.worker.model_jobs import onnx_file


def climb(spec: StaircaseJob, context: JobContext) -> dict[str, Any]:
    """Time layers at every width → StaircaseReport; each layer also comes as a partial result "staircase"."""
    began = time.perf_counter()
    graph = runnable_model(onnx_file(spec.model, context, spec.model_sha256))
    nodes = _chosen(graph, spec)
    shapes = _shapes(graph, nodes, spec.batch, spec.dimensions)
    context.progress.update(0.0, "asking the device")
    book = StairBook(_folder() if spec.remember else None, spec.threads, device_named(spec.device))
    found: dict[str, Curves] = {shape.key: known for shape in shapes.values() if (known := book.known(shape))}
    report = StaircaseReport(device=book.description, threads=spec.threads, batch=spec.batch, layers=())

    def told(key: str) -> None:
        """Hand over the layers of a shape."""
        for name, shape in shapes.items():
            if shape.key == key:
                layer = _layer(nodes[name], shape, found)
                partial = report.model_copy(update={"layers": (layer,)})
                context.partial("staircase", partial.model_dump(mode="json"))

    measured = 0
    if not spec.known_only:
        for shape, curves in book.climb(shapes, seconds=spec.seconds, progress=context.progress, cancel=context.cancel):
            found[shape.key] = curves
            measured += 1
            told(shape.key)
    context.progress.update(1.0)
    layers = tuple(_layer(node, shapes.get(name), found) for name, node in nodes.items())
    if spec.known_only:
        layers = tuple(layer for layer in layers if layer.curves)
    return report.model_copy(
        update={"layers": layers, "measured": measured, "seconds": time.perf_counter() - began}
    ).model_dump(mode="json")


def known_edges(
    graph: ModelGraph, *, device: str, threads: int, batch: int, dimensions: Mapping[str, int], integers: bool
) -> dict[str, tuple[int, ...]]:
    """Return the channel counts that pay, by layer, of those layers whose staircase was measured before.

    Args:
        graph: The model.
        device: Name of where it is to run.
        threads: Of the runtime there.
        batch: Samples in one inference.
        dimensions: Sizes of dynamic dimensions besides the batch.
        integers: Whether the layers will be quantized.

    Raises:
        DeviceError: there is no such device, or it can't be reached.
    """
    nodes = {node.name: node for node, _ in layer_nodes(graph)}
    book = StairBook(_folder(), threads, device_named(device))
    edges = {}
    for name, shape in _shapes(graph, nodes, batch, dimensions).items():
        for curve in book.known(shape) or ():
            if curve.form == ("uint8" if integers else "float32"):
                edges[name] = curve.edges
    return edges


def _folder() -> Path:
    return cache_folder() / "kernels"


def _chosen(graph: ModelGraph, spec: StaircaseJob) -> dict[str, Node]:
    nodes = {node.name: node for node, _ in layer_nodes(graph)}
    if not spec.layers:
        return nodes
    for glob in spec.layers:
        if not any(name == glob or fnmatchcase(name, glob) for name in nodes):
            raise BadInputError(
                f"{glob!r} matches no layer",
                where="layers",
                expected=f"a layer name or glob, such as {next(iter(nodes), '(this model has no layers)')!r}",
                action="Run `workbench inspect` for the names.",
            )
    return {name: node for name, node in nodes.items() if any(name == g or fnmatchcase(name, g) for g in spec.layers)}


def _shapes(
    graph: ModelGraph, nodes: Mapping[str, Node], batch: int, dimensions: Mapping[str, int]
) -> dict[str, KernelShape]:
    layers = {node.name: weight for node, weight in layer_nodes(graph) if node.name in nodes}
    return kernel_shapes(graph, layers, batch, dimensions)


def _layer(node: Node, shape: KernelShape | None, found: Mapping[str, Curves]) -> LayerStaircase:
    channels = None if shape is None else output_channels(shape)
    if shape is None:
        known = node.op in INTEGER_OPERATORS
        reason = "the size of what it reads is not known" if known else f"{node.op} can't be timed by itself"
    else:
        reason = "" if channels else "its output channels can't be changed alone"
    curves = found.get(shape.key, ()) if shape is not None else ()
    return LayerStaircase(layer=node.name, op=node.op, channels=channels or 0, curves=curves, reason=reason)
