"""Edits on a copy never reach the graph that it was copied from, whose types and weights it shares."""

from __future__ import annotations

import numpy as np

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import free_name, set_initializer


def test_weight_of_another_type_leaves_the_original_alone(small_cnn: ModelGraph) -> None:
    before, bytes_before = small_cnn.value("w1"), small_cnn.to_bytes()
    model = small_cnn.edit()
    set_initializer(model.graph.initializers["w1"], np.zeros((4, 2), np.float16))
    changed = small_cnn.edited(model).value("w1")
    assert (changed.dtype, changed.shape) == ("float16", (4, 2))
    assert small_cnn.value("w1") == before
    assert small_cnn.to_bytes() == bytes_before


def test_free_names_are_free(small_cnn: ModelGraph) -> None:
    model = small_cnn.edit()
    assert free_name(model, "new") == "new"
    assert [free_name(model, name) for name in ("x", "w1", "c1")] == ["x_2", "w1_2", "c1_2"]
