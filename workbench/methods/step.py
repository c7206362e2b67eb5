"""Applies one method so that what a plugin does wrong is named after it, for the pipeline and the sweep alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

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
    if not isinstance(result.graph, ModelGraph):
        found = type(result.graph).__name__
        raise PluginError(f"method {method.id!r} returned no graph", where=where, expected="ModelGraph", found=found)
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
    with naming(entry, step):
        notes, details = tuple(str(note) for note in result.notes), _plain(result.details)
    return replace(result, notes=notes, details=details)


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures as JSON has them: numpy's become Python's, NaN and infinity become null.

    A report that can't be written would otherwise cost the whole run, at its very end.

    Raises:
        TypeError: something in them is neither number, text, list nor mapping.
    """
    text = json.dumps(dict(details), default=_without_numpy)
    plain: dict[str, Any] = json.loads(text, parse_constant=lambda constant: None)
    return plain


def _without_numpy(value: object) -> object:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"details hold a {type(value).__name__}, which JSON has no form for")


def fold_given_back(graph: ModelGraph, original: ModelGraph) -> ModelGraph:
    """Fold batch norm that a method gave back to an original without any; other graphs stay as they are."""
    if has_batch_norm(original) or not has_batch_norm(graph):
        return graph
    return fold_batch_norm(graph)


def has_batch_norm(graph: ModelGraph) -> bool:
    """Whether the graph has BatchNormalization nodes."""
    return any(node.op == "BatchNormalization" for node in graph.nodes)
