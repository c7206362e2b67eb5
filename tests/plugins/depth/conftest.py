"""The network of the tests of depth pruning."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.graph.model import ModelGraph


@pytest.fixture
def network(graph_from) -> ModelGraph:
    """Three blocks between a stem and a head; the second one adds next to nothing."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(0, 0.5, (6, 3, 3, 3)), "h": rng.normal(0, 0.5, (4, 6))}
    lines = ["x0 = Conv <pads = [1,1,1,1]> (x, w)"]
    for number, size in enumerate((0.6, 0.001, 0.4)):
        arrays[f"a{number}"] = rng.normal(0, size, (6, 6, 3, 3))
        arrays[f"b{number}"] = rng.normal(0, 0.6, (6, 6, 3, 3))
        lines += [
            f"p{number} = Conv <pads = [1,1,1,1]> (x{number}, a{number})",
            f"q{number} = Relu (p{number})",
            f"r{number} = Conv <pads = [1,1,1,1]> (q{number}, b{number})",
            f"x{number + 1} = Add (x{number}, r{number})",
        ]
    return graph_from(
        '<ir_version: 9, opset_import: ["" : 17]>\nnet (float[n,3,8,8] x) => (float[n,4] y) {'
        + "\n".join(lines)
        + "\ng = GlobalAveragePool (x3)\nf = Flatten (g)\ny = Gemm <transB = 1> (f, h)}",
        {name: array.astype(np.float32) for name, array in arrays.items()},
    )
