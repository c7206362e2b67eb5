"""What lies behind a layer reads values from ahead of it: those are kept, whichever way round a sum reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from workbench.graph.changed_part import values_ahead
from workbench.graph.model import ModelGraph


@pytest.mark.parametrize("read", ["(c, r)", "(r, c)"])
def test_both_summands_of_a_shortcut_are_ahead(graph_from: Callable[..., ModelGraph], read: str) -> None:
    graph = graph_from(
        f"""<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,4] x) => (float[batch,4] y) {{
            h = MatMul (x, w0)
            r = Relu (h)
            i = Neg (r)
            k = Neg (w1)
            c = MatMul (i, k)
            s = Add {read}
            y = Relu (s)
        }}""",
        {"w0": np.eye(4, dtype=np.float32), "w1": np.eye(4, dtype=np.float32)},
    )
    layer = next(node.name for node in graph.nodes if node.outputs == ("c",))
    # What the layer reads, and the shortcut; not its weight, which no sample changes.
    assert values_ahead(graph, {layer}) == ("r", "i")
    first = next(node.name for node in graph.nodes if node.outputs == ("h",))
    assert values_ahead(graph, {first}) == ()
