"""A small network with seeded random weights, on which plugins are tried before they meet a real model."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from workbench.graph.model import ModelGraph

INPUT_SHAPE = (3, 8, 8)
CLASSES = 5

_TEXT = """<ir_version: 9, opset_import: ["" : 17]>
trial (float[batch,3,8,8] image) => (float[batch,5] scores) {
    c1 = Conv <pads = [1,1,1,1]> (image, conv1_weight, conv1_bias)
    r1 = Relu (c1)
    c2 = Conv <pads = [1,1,1,1]> (r1, conv2_weight, conv2_bias)
    a2 = Add (c2, r1)
    r2 = Relu (a2)
    c3 = Conv <pads = [1,1,1,1], strides = [2,2], group = 16> (r2, conv3_weight, conv3_bias)
    r3 = Relu (c3)
    c4 = Conv (r3, conv4_weight, conv4_bias)
    r4 = Relu (c4)
    p = GlobalAveragePool (r4)
    f = Flatten (p)
    scores = Gemm <transB = 1> (f, fc_weight, fc_bias)
}"""

_SHAPES = {
    "conv1": (16, 3, 3, 3),
    "conv2": (16, 16, 3, 3),
    "conv3": (16, 1, 3, 3),
    "conv4": (24, 16, 1, 1),
    "fc": (CLASSES, 24),
}


def trial_graph(seed: int = 0) -> ModelGraph:
    """Return the network: a residual block, a depthwise and a pointwise convolution, pooling, a linear layer.

    Input "image" (batch, 3, 8, 8), output "scores" (batch, 5); the layers are called conv1 … conv4 and fc.
    """
    rng = np.random.default_rng(seed)
    model = onnx.parser.parse_model(_TEXT)
    for layer, shape in _SHAPES.items():
        deviation = np.sqrt(2.0 / np.prod(shape[1:]))  # keeps the signal's size (He et al., 2015)
        weight = (rng.standard_normal(shape) * deviation).astype(np.float32)
        bias = (rng.standard_normal(shape[0]) * 0.1).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"{layer}_weight"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(bias, f"{layer}_bias"))
    for node in model.graph.node:
        layer = node.input[1].split("_")[0] if len(node.input) > 1 else ""
        node.name = layer if layer in _SHAPES else node.output[0]
    return ModelGraph(ir.from_proto(onnx.shape_inference.infer_shapes(model)), source="trial network")
