"""ONNX Runtime's errors said in the workbench's words: the node, its inputs and what to do, in one line."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.domain.errors import JobError, ModelFileError, WorkbenchError

_NODE = re.compile(r"node\.? ?Name:\s*'(?P<name>[^']*)'|node with name '(?P<other>[^']*)'|Node \((?P<third>[^)]*)\)")
_STATUS = re.compile(r"Status Message:\s*(?P<text>.+)", re.DOTALL)
_PREFIX = re.compile(r"^\[ONNXRuntimeError\]\s*:\s*\d+\s*:\s*(?P<code>[A-Z_]+)\s*:\s*(?P<text>.*)$", re.DOTALL)
_NO_KERNEL = re.compile(r"Could not find an implementation for (?P<op>\S+) node")
_NO_OP = re.compile(r"(?:No Op registered for|Fatal error:)\s*(?P<op>[\w.:]+)")
_OPSET = re.compile(r"opset (?P<found>\d+) is under development and support|Current official support for domain")
_SOURCE_LINE = re.compile(r"/\S+\.(?:cc|h):\d+\s*")


def refused(error: Exception, source: str | None) -> ModelFileError:
    """Return the error for a model that the runtime does not accept.

    Args:
        error: What onnxruntime raised while the session was made.
        source: File of the model, or None for a graph in memory.
    """
    code, text = _parts(error)
    if code == "NO_SUCHFILE":
        return ModelFileError("there is no such file", where=source, action="Check the path.")
    if code == "INVALID_PROTOBUF":
        return ModelFileError(
            "is not an ONNX model, or is cut short", where=source, action="Export or copy the file again."
        )
    node = _node(text)
    for pattern in (_NO_KERNEL, _NO_OP):
        found = pattern.search(text)
        if found is not None:
            at = f" (node {node!r})" if node else ""
            return ModelFileError(
                f"ONNX Runtime has no implementation of operator {found['op']}{at}",
                where=source,
                action="Export the model with standard operators, or with another opset.",
            )
    if _OPSET.search(text):
        return ModelFileError(
            f"ONNX Runtime does not support this model's opset: {_short(text)}",
            where=source,
            action="Export with a lower opset or update ONNX Runtime.",
        )
    at = f" at node {node!r}" if node else ""
    return ModelFileError(f"ONNX Runtime refuses the model{at}: {_short(text)}", where=source)


def failed(error: Exception, source: str | None) -> WorkbenchError:
    """Return the error for a run that failed, naming the node where the runtime says it."""
    _, text = _parts(error)
    node = _node(text)
    status = _STATUS.search(text)
    at = f" at node {node!r}" if node else ""
    return JobError(f"the model failed{at}: {_short(status['text'] if status else text)}", where=source)


def terminated(error: Exception) -> bool:
    """Whether `error` is the runtime's answer to the terminate flag."""
    return "terminate flag" in str(error)


def described(source: Path | str | None) -> str | None:
    """Return how messages name a model: its file name."""
    return None if source is None else Path(source).name


def _parts(error: Exception) -> tuple[str, str]:
    found = _PREFIX.match(str(error))
    return ("", str(error)) if found is None else (found["code"], found["text"])


def _node(text: str) -> str:
    found = _NODE.search(text)
    return "" if found is None else next(group for group in found.groups() if group is not None)


def _short(text: str) -> str:
    """Return the informative part of a runtime message: no C++ files and functions, at most 300 characters."""
    text = _SOURCE_LINE.sub("", text)
    text = re.sub(r"\s+", " ", re.sub(r"onnxruntime::[\w:<>~]+(\([^)]*\))?(::\w+)*( const)?", "", text))
    text = re.sub(r"Non-zero status code returned while running ", "", text).strip(" :.")
    return text if len(text) <= 300 else text[:299] + "…"
