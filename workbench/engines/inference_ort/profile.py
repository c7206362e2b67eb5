"""Time per operator of the deployed graph, joined to the layers of the graph that the user knows.

The runtime fuses and renames: a fused convolution is called after a node, after the value it now computes, or
either with a suffix. The join undoes the suffixes, then walks from a value back to the layer that computes it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from workbench.domain.cancel import CancelToken
from workbench.domain.measurements import OperatorTime
from workbench.engines.inference_ort.operator_times import operator_medians, repeat
from workbench.engines.inference_ort.options import session_options
from workbench.engines.inference_ort.session import open_session
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node

_SUFFIX = re.compile(r"(_token_\d+|_nchwc|_nhwc|_fused|/\w+Fusion|_QuantizeLinear|_DequantizeLinear|_Output)$")
# Begins the names of values that the runtime computes in float where the file says half precision.
WIDENED = "InsertedPrecisionFreeCast_"
# Operators that a runtime fuses into the layer before them, seen from their output.
_FUSED = frozenset({"Relu", "Clip", "LeakyRelu", "QuantizeLinear", "DequantizeLinear", "BatchNormalization", "Cast"})


def profile_operators(
    path: Path,
    inputs: Mapping[str, np.ndarray],
    graph: ModelGraph,
    *,
    threads: int = 1,
    seconds: float = 1.0,
    cancel: CancelToken | None = None,
) -> tuple[OperatorTime, ...]:
    """Measure every operator that the runtime executes for a model file.

    Args:
        path: The file.
        inputs: One batch that fits the model.
        graph: The graph in that file, for the join; node names are those of the original where passes kept them.
        threads: Threads within an operator.
        seconds: Time to spend (10 to 200 runs).
        cancel: Checked between runs.

    Returns:
        One entry per executed operator in order of execution; shares are of the sum of medians. Operators that
        belong to no layer (residual adds, pooling, layout changes) have layer None.

    Raises:
        ModelFileError: the runtime refuses the model.
        CancelledError: `cancel` was set.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-profile-") as folder:
        options = session_options(threads=threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = open_session(path, options=options)
        check = None if cancel is None else cancel.raise_if_cancelled
        try:
            repeat(partial(session.run_exactly, inputs), seconds, check)
        finally:
            written = session.end_profiling()
        events = json.loads(written.read_text())
    return joined(operator_medians(events), graph)


class LayerJoin:
    """Finds the layer that an operator of the deployed graph came from.

    Args:
        graph: The graph in the file.
    """

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._layers = frozenset(node.name for node, _ in layer_nodes(graph))
        self._nodes = {node.name: node for node in graph.nodes}

    def layer_of(self, operator: str, op: str) -> str | None:
        """Return the layer of the runtime's operator called `operator`, or None.

        Args:
            operator: Its name in the profile, e.g. "relu_3_nchwc" or "node_conv2d_1_token_4".
            op: Its type; changes of layout and type, and quantizers, never belong to a layer.
        """
        if op in ("ReorderInput", "ReorderOutput", "Transpose", "QuantizeLinear", "DequantizeLinear", "Cast"):
            return None
        name = operator.removeprefix(WIDENED)
        while True:
            if name in self._layers:
                return name
            if name in self._nodes:
                return None
            producer = self._graph.producer(name)
            if producer is not None:
                return self._upstream(producer)
            # One suffix at a time: a value may itself be called "x_Output".
            suffix = _SUFFIX.search(name)
            if suffix is None:
                return None
            name = name[: suffix.start()]

    def _upstream(self, node: Node) -> str | None:
        while node.name not in self._layers:
            if node.op not in _FUSED:
                return None
            producer = self._graph.producer(node.inputs[0])
            if producer is None:
                return None
            node = producer
        return node.name


def joined(medians: Mapping[tuple[str, str], float], graph: ModelGraph) -> tuple[OperatorTime, ...]:
    """Return the operators' times with the layers that they belong to.

    Args:
        medians: Milliseconds by (operator name, type), in order of execution.
        graph: The graph in the file.
    """
    total = sum(medians.values()) or 1.0
    join = LayerJoin(graph)
    return tuple(
        OperatorTime(node=name, layer=join.layer_of(name, op), op=op, median_ms=median, share=median / total)
        for (name, op), median in medians.items()
    )
