"""Fast and small storage of quantize.ptq: one function in two files, whose sizes are what the report says."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import ModelFileError
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.engines.training_torch import TorchEngine
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.storage import model_size_bytes, open_model, save_model


@pytest.fixture
def wide_cnn(graph_from):
    rng = np.random.default_rng(0)
    shapes = {"w1": (16, 3, 3, 3), "w2": (32, 16, 3, 3), "w3": (64, 32, 3, 3), "w4": (10, 64)}
    weights = {name: (rng.standard_normal(shape) / 8).astype(np.float32) for name, shape in shapes.items()}
    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,16,16] x) => (float[batch,10] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            b = Relu (a)
            c = Conv <pads = [1,1,1,1], strides = [2,2]> (b, w2)
            d = Relu (c)
            e = Conv <pads = [1,1,1,1], strides = [2,2]> (d, w3)
            f = Relu (e)
            g = GlobalAveragePool (f)
            h = Flatten (g)
            y = Gemm <transB = 1> (h, w4)
        }""",
        weights,
    )


@pytest.mark.parametrize(("bits", "shares"), [(4, (0.45, 0.62)), (2, (0.25, 0.45))])
def test_small_is_fast_in_fewer_bytes(quantize, wide_cnn, tmp_path, bits, shares):
    plan = {"weight_bits": bits, "activation_bits": 8}
    files, results = {}, {}
    x = np.random.default_rng(5).standard_normal((4, 3, 16, 16)).astype(np.float32)
    for storage in ("fast", "small"):
        graph = quantize(wide_cnn, plan, storage=storage, bias_correction=False).graph
        save_model(graph, tmp_path / f"{storage}.onnx")
        graph = open_model(tmp_path / f"{storage}.onnx")
        results[storage] = open_session(graph, threads=1).run({"x": x})["y"]
        torch = TorchEngine(threads=1).run(graph, {"x": x})["y"]
        assert np.abs(torch - results[storage]).max() < 0.05 * np.abs(torch).max()
        size = model_size_bytes(tmp_path / f"{storage}.onnx")
        files[storage] = size, packed_size_bytes(graph, size)
    assert np.array_equal(results["fast"], results["small"])
    low, high = shares
    assert low < files["small"][0] / files["fast"][0] < high
    assert files["fast"][1] < files["fast"][0]


def test_eight_bits_stay_as_they_are(quantize, wide_cnn):
    plan = {"weight_bits": 8, "activation_bits": 8}
    result = quantize(wide_cnn, plan, storage="small")
    assert result.graph.opset == quantize(wide_cnn, plan).graph.opset
    assert any("stay in 8 bits" in note for note in result.notes)


class OldRuntime(OrtEngine):
    """Refuses what needs an opset above 21, as onnxruntime did before it knew int2."""

    def open(self, model, **settings):
        if model.opset > 21:
            raise ModelFileError("opset 25 is under development")
        return super().open(model, **settings)


def test_a_runtime_without_int2_gets_int4_and_a_note(quantize, wide_cnn):
    import dataclasses

    tools = dataclasses.replace(quantize.tools(wide_cnn), inference=OldRuntime(threads=1))
    plan = {"weight_bits": 2, "activation_bits": 8}
    result = quantize(wide_cnn, plan, tools=tools, storage="small")
    assert result.graph.opset == 21
    assert any("not stored in 2 bits" in note and "opset 25" in note for note in result.notes)


def test_bfloat16_weights(quantize, wide_cnn):
    result = quantize(wide_cnn, {"weight_bits": 16}, half_type="bfloat16")
    assert result.graph.value("w3_half").dtype == "bfloat16"
