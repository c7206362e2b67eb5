"""The job that times layers at every width, with those that lose channels with them: which widths pay."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from workbench.devices.stair_book import Curves, StairBook
from workbench.domain.errors import BadInputError
from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS
from workbench.domain.staircase import LayerStaircase, StaircaseReport, Stairs
from workbench.domain.study import Study
from workbench.graph.channels import layer_groups
from workbench.graph.kernel_graphs import INTEGER_OPERATORS, kernel_shapes
from workbench.graph.kernel_widths import Narrowing, Side, narrowing
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
    context.progress.update(0.0, "asking the device")
    book = StairBook(_folder() if spec.remember else None, spec.threads, device_named(spec.device))
    given = _given(spec.shared, book, spec.batch)
    report = StaircaseReport(device=book.description, threads=spec.threads, batch=spec.batch, layers=())
    own, together = _wanted(graph, nodes, spec)
    given = {
        name: given[name] for name in given.keys() & own.keys() if given[name].channels == (own[name].channels or 0)
    }
    needed = {name: {entry.key for entry in (shape, *together.get(name, ()))} for name, shape in own.items()}
    wanted = {entry.key: entry for name, shape in own.items() for entry in (shape, *together.get(name, ()))}
    found: dict[str, Curves] = {key: known for key, entry in wanted.items() if (known := book.known(entry))}
    measured = 0
    if not spec.known_only:
        left = {key for name, keys in needed.items() if name not in given for key in keys}
        told = {name for name, keys in needed.items() if keys <= found.keys()}
        for entry, curves in book.climb(
            [entry for key, entry in wanted.items() if key in left],
            seconds=spec.seconds,
            progress=context.progress,
            cancel=context.cancel,
        ):
            found[entry.key] = curves
            measured += 1
            for name, keys in needed.items():
                if name not in told and keys <= found.keys():
                    told.add(name)
                    layer = _layer(nodes[name], own[name], together.get(name, ()), found)
                    partial = report.model_copy(update={"layers": (layer,)})
                    context.partial("staircase", partial.model_dump(mode="json"))
    context.progress.update(1.0)
    layers = tuple(
        _layer(node, own.get(name), together.get(name, ()), found)
        if name not in given or needed[name] <= found.keys()
        else given[name]
        for name, node in nodes.items()
    )
    if spec.known_only:
        layers = tuple(
            layer for layer in layers if layer.curves and (layer.layer in given or needed[layer.layer] <= found.keys())
        )
    return report.model_copy(
        update={"layers": layers, "measured": measured, "seconds": time.perf_counter() - began}
    ).model_dump(mode="json")


def paying_counts(path: Path, study: Study, shared: Iterable[StaircaseReport] = ()) -> dict[str, frozenset[int]]:
    """Return by layer the channel counts that pay in a format that the study has in play, where they were measured.

    Only layers of which all that lose channels with them were measured are in it.

    Args:
        path: The model.
        study: Says which device, and how it is measured there.
        shared: What a project knows besides.

    Raises:
        DeviceError: there is no such device, or it can't be reached.
    """
    spec = StaircaseJob(
        model=str(path), device=study.device, threads=study.threads, batch=study.batch, dimensions=study.dimensions
    )
    graph = runnable_model(path)
    book = StairBook(_folder(), spec.threads, device_named(spec.device))
    _, together = _wanted(graph, _chosen(graph, spec), spec)
    # Without any knobs named, a study puts bits in play.
    integers = not study.knobs or {WEIGHT_BITS.name, ACTIVATION_BITS.name} <= study.knobs.keys()
    found: dict[str, frozenset[int]] = {}
    for name, entry in _given(shared, book, spec.batch).items():
        if name in together and entry.together:
            edges = [curve.edges for curve in entry.together if integers or curve.form == "float32"]
            found[name] = frozenset().union(*edges)
    for name, parts in together.items():
        known = [curves for entry in parts if (curves := book.known(entry))]
        if parts and len(known) == len(parts):
            sums = [Stairs.sum(same) for same in zip(*known, strict=True)]
            edges = [curve.edges for curve in sums if integers or curve.form == "float32"]
            found[name] = frozenset().union(*edges)
    return found


def _given(shared: Iterable[StaircaseReport], book: StairBook, batch: int) -> dict[str, LayerStaircase]:
    """Return by layer what was measured elsewhere and holds for this device, the latest last."""
    reports = [report for report in shared if report.holds_for(book.description, batch)]
    return {layer.layer: layer for report in reports for layer in report.layers if layer.curves}


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


def _wanted(
    graph: ModelGraph, nodes: Mapping[str, Node], spec: StaircaseJob
) -> tuple[dict[str, Narrowing], dict[str, tuple[Narrowing, ...]]]:
    """Return for each layer what it loses by itself, and what all layers lose that lose channels with it."""
    weights = {node.name: weight for node, weight in layer_nodes(graph)}
    shapes = kernel_shapes(graph, weights, spec.batch, spec.dimensions)
    own = {name: narrowing(shapes[name], "out") for name in nodes if name in shapes}
    together: dict[str, tuple[Narrowing, ...]] = {}
    groups = layer_groups(graph)
    for name, entry in own.items():
        mine = groups.get(name, ())
        if len(mine) != 1 or entry.channels is None or not mine[0].prunable:
            continue
        sides: dict[str, set[Side]] = {}
        for member in mine[0].members:
            sides.setdefault(member.layer, set()).add(member.axis)
        # A layer without a kernel of its own here, or of another width, leaves the sum unknown.
        if all(layer in shapes for layer in sides):
            found = tuple(narrowing(shapes[layer], *which) for layer, which in sides.items())
            if all(part.channels == entry.channels for part in found):
                together[name] = found
    return own, together


def _layer(
    node: Node, own: Narrowing | None, together: tuple[Narrowing, ...], found: Mapping[str, Curves]
) -> LayerStaircase:
    channels = None if own is None else own.channels
    if own is None:
        known = node.op in INTEGER_OPERATORS
        reason = "the size of what it reads is not known" if known else f"{node.op} can't be timed by itself"
    else:
        reason = "" if channels else "its output channels can't be changed alone"
    curves = () if own is None else found.get(own.key, ())
    parts = [found[entry.key] for entry in together if entry.key in found]
    whole = parts and len(parts) == len(together)
    return LayerStaircase(
        layer=node.name,
        op=node.op,
        channels=channels or 0,
        curves=curves,
        together=tuple(Stairs.sum(same) for same in zip(*parts, strict=True)) if whole else (),
        members=len(together),
        reason=reason,
    )
