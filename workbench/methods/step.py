"""Applies one method so that what a plugin does wrong is named after it, for the pipeline and the sweep alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from workbench.domain.errors import ModelFileError, PluginError, WorkbenchError
from workbench.domain.plan import LayerSettings
from workbench.graph.check import check
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.methods.method import Method, MethodResult, Tools
from workbench.methods.registry import Registered


@contextmanager
def naming(entry: Registered, step: str) -> Iterator[None]:
    """Turn what a method raises unexpectedly into a PluginError that names it; our own errors pass.

    Raises:
        PluginError: with the original exception as its cause.
    """
    try:
        yield
    except WorkbenchError:
        raise
    except Exception as error:  # the border to foreign code: anything may come
        raise PluginError(
            f"method {entry.method.id!r} raised {type(error).__name__}: {error}",
            where=f"plugin {entry.plugin!r}, {step}",
            action="Report it to the plugin's author; the log has the traceback.",
        ) from error


def apply_method(
    method: Method, entry: Registered, step: str, graph: ModelGraph, settings: LayerSettings, tools: Tools
) -> MethodResult:
    """Apply a method and make sure that what comes back is a valid graph with the same inputs and outputs.

    Args:
        method: With its parameters.
        entry: Where it came from.
        step: Its place in messages, e.g. "step 2".
        graph: What it is applied to.
        settings: The plan, resolved.
        tools: What it may use.

    Raises:
        PluginError: the method raised something unexpected, or its result is not valid.
    """
    with naming(entry, step):
        result = method.apply(graph, settings, tools)
    where = f"plugin {entry.plugin!r}, {step}"
    if not isinstance(result, MethodResult):
        found = type(result).__name__
        raise PluginError(f"method {method.id!r} returned no result", where=where, expected="MethodResult", found=found)
    try:
        check(result.graph)
    except ModelFileError as error:
        raise PluginError(f"method {method.id!r} returned an invalid graph: {error.message}", where=where) from error
    for side in ("inputs", "outputs"):
        before, after = ([info.name for info in getattr(each, side)] for each in (graph, result.graph))
        if before != after:
            raise PluginError(
                f"method {method.id!r} changed the model's {side}",
                where=where,
                expected=", ".join(before),
                found=", ".join(after),
            )
    return replace(result, notes=tuple(result.notes))


def fold_given_back(graph: ModelGraph, original: ModelGraph) -> ModelGraph:
    """Fold batch norm that a method gave back to an original without any; other graphs stay as they are."""
    if has_batch_norm(original) or not has_batch_norm(graph):
        return graph
    return fold_batch_norm(graph)


def has_batch_norm(graph: ModelGraph) -> bool:
    """Whether the graph has BatchNormalization nodes."""
    return any(node.op == "BatchNormalization" for node in graph.nodes)
