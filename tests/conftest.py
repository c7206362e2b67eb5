"""Fixtures for every room: where the shared models and data lie, small graphs as text, and a quiet, offscreen Qt."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from workbench.graph.model import ModelGraph

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def own_user_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test, and no process that one starts, reads or writes the settings, data and caches of whoever runs it."""
    home = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        yield home


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the shared real models and data."""
    if not (_SHARED / "data").is_dir():
        pytest.skip("the shared models and data are not beside this checkout")
    return _SHARED


@pytest.fixture(scope="session")
def graph_from() -> Callable[..., ModelGraph]:
    """Return a function (ONNX text, weights by name) -> graph."""

    # Tests of the window must not pay for these imports.
    import onnx
    import onnx_ir as ir

    from workbench.graph.model import ModelGraph

    def build(text: str, weights: Mapping[str, np.ndarray] | None = None) -> ModelGraph:
        model = onnx.parser.parse_model(text)
        for name, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        for index, node in enumerate(model.graph.node):
            node.name = node.name or f"{node.op_type}_{index}"
        model = onnx.shape_inference.infer_shapes(model)
        return ModelGraph(ir.from_proto(model))

    return build


@pytest.fixture(scope="session")
def small_cnn(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """Conv-Relu-Conv, residual Add, Relu, pooling and a linear layer, with dynamic batch."""
    rng = np.random.default_rng(0)
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
            a = Add (c2, r1)
            r2 = Relu (a)
            p = GlobalAveragePool (r2)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3, b3)
        }""",
        {
            "w1": rng.normal(size=(8, 3, 3, 3)).astype(np.float32) * 0.3,
            "b1": rng.normal(size=8).astype(np.float32) * 0.1,
            "w2": rng.normal(size=(8, 8, 3, 3)).astype(np.float32) * 0.2,
            "b2": rng.normal(size=8).astype(np.float32) * 0.1,
            "w3": rng.normal(size=(5, 8)).astype(np.float32),
            "b3": rng.normal(size=5).astype(np.float32),
        },
    )
