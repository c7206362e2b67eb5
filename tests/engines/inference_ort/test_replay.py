"""Changed graphs run from the original's inner values give what the whole graph gives, wherever the change is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from workbench.engines.contracts import Inputs
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.inference_ort.activation_store import ActivationStore
from workbench.engines.inference_ort.replay import Replay
from workbench.graph.changed_part import changed_part
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model


def _reader(graph: ModelGraph, samples: int) -> tuple[Callable[[int, int], Inputs], np.ndarray]:
    info = graph.inputs[0]
    shape = [size if isinstance(size, int) else 8 for size in (info.shape or ())][1:]
    array = np.random.default_rng(5).normal(size=(samples, *shape)).astype(np.float32)
    return lambda start, stop: {info.name: array[start:stop]}, array


def _rounded(graph: ModelGraph, weight: str) -> ModelGraph:
    values = np.asarray(graph.constant(weight))
    step = np.abs(values).max() / 3
    return graph.with_initializers({weight: (np.rint(values / step) * step).astype(np.float32)})


def _replayed(replay: Replay, changed: ModelGraph) -> np.ndarray:
    part = replay.part(changed)
    parts = [next(iter(replay.run(part, chunk).values())) for chunk in range(replay.chunks)]
    return np.concatenate(parts)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
def test_every_layer_s_change_gives_what_the_whole_graph_gives(small_cnn: ModelGraph, kept: bool) -> None:
    read, samples = _reader(small_cnn, 23)
    store = ActivationStore() if kept else ActivationStore(0, 0)
    replay = Replay(small_cnn, read, 23, chunk=10, store=store)
    assert (replay.chunks, replay.samples(2)) == (3, slice(20, 23))
    name = small_cnn.inputs[0].name
    for node, weight in layer_nodes(small_cnn):
        changed = _rounded(small_cnn, weight.name)
        part = replay.part(changed)
        replay.keep(part.fed, range(replay.chunks))
        expected = next(iter(OrtEngine(threads=1).open(changed).run({name: samples}).values()))
        np.testing.assert_allclose(_replayed(replay, changed), expected, rtol=1e-4, atol=1e-5, err_msg=node.name)
    assert (store.memory_used > 0) == kept


def test_only_what_lies_behind_the_change_runs(small_cnn: ModelGraph) -> None:
    layers = layer_nodes(small_cnn)
    sizes = []
    for _, weight in layers:
        part = changed_part(small_cnn, _rounded(small_cnn, weight.name))
        like = {name: np.zeros((0, 1, 1, 1) if "Gemm" not in name else (0, 1), np.float32) for name in part.fed}
        sizes.append(len(part.cut(like).nodes) if part.runs else 0)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < len(small_cnn.nodes) / 2


def test_an_unchanged_graph_needs_no_run(small_cnn: ModelGraph) -> None:
    read, samples = _reader(small_cnn, 4)
    same = small_cnn.edited(small_cnn.edit())
    part = changed_part(small_cnn, same)
    assert not part.runs
    found = _replayed(Replay(small_cnn, read, 4), same)
    expected = next(iter(OrtEngine(threads=1).open(small_cnn).run({small_cnn.inputs[0].name: samples}).values()))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_model_of_fixed_batch_is_filled_up(small_cnn: ModelGraph) -> None:
    import onnx_ir as ir

    model = small_cnn.edit()
    shape = model.graph.inputs[0].shape
    assert shape is not None
    model.graph.inputs[0].shape = ir.Shape([4, *list(shape)[1:]])
    fixed = small_cnn.edited(model)
    read, samples = _reader(fixed, 6)
    changed = _rounded(fixed, layer_nodes(fixed)[1][1].name)
    replay = Replay(fixed, read, 6)
    assert replay.chunks == 2
    expected = next(iter(OrtEngine(threads=1).open(changed).run({fixed.inputs[0].name: samples}).values()))
    np.testing.assert_allclose(_replayed(replay, changed), expected, rtol=1e-4, atol=1e-5)


def test_what_is_beyond_the_memory_limit_is_spilled(tmp_path: Path) -> None:
    store = ActivationStore(memory_bytes=100, disk_bytes=100)
    first, second, third = (np.full(20, value, np.float32) for value in (1, 2, 3))
    assert store.put("a", first)
    assert store.put("b", second)
    assert not store.put("c", third)
    assert (store.memory_used, store.disk_used) == (80, 80)
    for key, array in (("a", first), ("b", second)):
        np.testing.assert_array_equal(store.get(key), array)
    assert store.get("c") is None
    store.clear()
    assert store.get("b") is None
    assert store.put("c", third)


def test_resnet20_from_every_layer(shared: Path) -> None:
    graph = open_model(shared / "data" / "models" / "resnet20_cifar10_folded.onnx")
    array = np.random.default_rng(0).normal(size=(12, 3, 32, 32)).astype(np.float32)
    name = graph.inputs[0].name
    replay = Replay(graph, lambda start, stop: {name: array[start:stop]}, 12, chunk=6)
    for _, weight in layer_nodes(graph):
        changed = _rounded(graph, weight.name)
        expected = next(iter(OrtEngine(threads=1).open(changed).run({name: array}).values()))
        np.testing.assert_allclose(_replayed(replay, changed), expected, rtol=1e-3, atol=1e-3)
