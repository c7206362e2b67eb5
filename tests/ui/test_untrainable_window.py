"""A step that needs gradients, on a model with an operator that has none: told in the window before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.domain.recipe import Step
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.project.commands import SetSettings, SetSteps
from workbench.ui.main_window import MainWindow

WAIT_MS = 60_000


def test_the_operator_without_gradient_and_its_layer_are_named(
    real_window: Callable[[], MainWindow],
    graph_from: Callable[..., ModelGraph],
    labelled_data: Path,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    rng = np.random.default_rng(0)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[n,3,8,8] x) => (float[n,5] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            p = GlobalAveragePool (a)
            f = Flatten (p)
            s = Gemm <transB = 1> (f, w2)
            y = Sign (s)
        }""",
        {name: rng.normal(size=size).astype(np.float32) for name, size in (("w1", (8, 3, 3, 3)), ("w2", (5, 8)))},
    )
    save_model(graph, tmp_path / "signs.onnx")
    window = real_window()
    session = window.session
    session.list_methods()
    window.open_file(tmp_path / "signs.onnx")
    qtbot.waitUntil(lambda: session.state.inspect is not None and bool(session.methods), timeout=WAIT_MS)
    window.open_file(labelled_data)
    # Its latency comes last, and must not come in between.
    qtbot.waitUntil(lambda: session.state.baseline_latency is not None, timeout=WAIT_MS)
    layer = session.state.inspect.layers[0].name
    session.do(SetSettings((layer,), "prune_ratio", 0.5))
    session.do(SetSteps((Step(method="prune.taylor"),)))
    before = session.state
    window.banner.clear()
    window.actions_.trigger("compress.run")
    qtbot.waitUntil(lambda: bool(window.banner.notices), timeout=WAIT_MS)
    notice = window.banner.notices[-1]
    said = f"{notice.title} {notice.text}"
    assert "Sign" in said
    assert "no gradient" in said
    assert layer in said
    assert session.state == before
    assert window.banner.isVisible()
