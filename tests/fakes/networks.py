"""Random convolutional networks with every kind of channel coupling, for Hypothesis to draw and shrink."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from workbench.graph.model import ModelGraph


class Builder:
    """Collects nodes; `value` (n, channels, size, size) is where the network stands."""

    def __init__(self, seed: int, channels: int = 8, size: int = 6) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.value, self.channels, self.size = "x", 3, size
        self.conv(channels)

    def weight(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant((self.rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def constant(self, array: object) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.asarray(numbers, dtype=np.int64))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names[0]

    def conv(self, out: int, *, source: str | None = None, channels: int | None = None, group: int = 1) -> str:
        width = channels or self.channels
        weight = self.weight(out, width // group, 3, 3)
        bias = self.weight(out)
        value = self.op("Conv", source or self.value, weight, bias, pads=[1, 1, 1, 1], group=group)
        if source is None:
            self.value, self.channels = value, out
        return value

    def finish(self, head: str) -> ModelGraph:
        if head == "flatten":
            flat = self.op("Flatten", self.value)
            width = self.channels * self.size * self.size
        else:
            pooled = self.op("GlobalAveragePool", self.value)
            flat = self.op("Reshape", pooled, self.ints(0, -1) if head == "reshape" else self.ints(-1, self.channels))
            width = self.channels
        hidden = self.op("Gemm", flat, self.weight(12, width), self.weight(12), transB=1)
        hidden = self.op("Tanh", hidden)
        hidden = self.op("MatMul", hidden, self.weight(12, 10))
        hidden = self.op("Relu", self.op("Add", hidden, self.weight(10)))
        self.nodes.append(helper.make_node("MatMul", [hidden, self.weight(10, 4)], ["y"], name="head"))
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, self.size, self.size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return ModelGraph(ir.from_proto(model))


def _activation(kind: str, **attributes: object) -> Callable[[Builder], None]:
    def step(b: Builder) -> None:
        b.value = b.op(kind, b.value, **attributes)

    return step


def _batch_norm(b: Builder) -> None:
    shift = [b.weight(b.channels) for _ in range(3)]
    variance = b.constant(b.rng.uniform(0.5, 2, b.channels).astype(np.float32))
    b.value = b.op("BatchNormalization", b.value, *shift, variance)


def _instance_norm(b: Builder) -> None:
    b.value = b.op("InstanceNormalization", b.value, b.weight(b.channels), b.weight(b.channels))


def _prelu(b: Builder) -> None:
    b.value = b.op("PRelu", b.value, b.weight(b.channels, 1, 1))


def _clip(b: Builder) -> None:
    low, high = b.constant(np.float32(0.1)), b.constant(np.float32(3))
    b.value = b.op("Clip", b.value, low, high)


def _plain(b: Builder) -> None:
    b.conv(8 if b.channels > 16 else b.channels + 4)


def _residual(b: Builder) -> None:
    skip = b.value
    inner = b.op("Relu", b.conv(6, source=skip))
    b.value = b.op("Add", b.conv(b.channels, source=inner, channels=6), skip)


def _padded_shortcut(b: Builder) -> None:
    wide = b.conv(b.channels + 4, source=b.value)
    padded = b.op("Pad", b.value, b.ints(0, 2, 0, 0, 0, 2, 0, 0))
    b.value, b.channels = b.op("Add", wide, padded), b.channels + 4


def _concat(b: Builder) -> None:
    branch = b.op("Sigmoid", b.conv(4, source=b.value))
    b.value, b.channels = b.op("Concat", b.value, branch, axis=1), b.channels + 4


def _depthwise(b: Builder) -> None:
    b.conv(b.channels, group=b.channels)


def _multiplier(b: Builder) -> None:
    if b.channels <= 12:
        b.conv(b.channels * 2, group=b.channels)


def _grouped(b: Builder) -> None:
    if b.channels % 2 == 0:
        b.conv(8, group=2)


def _gated_split(b: Builder) -> None:
    if b.channels % 2 == 0:
        half = b.channels // 2
        first = b.op("Split", b.value, outputs=2, axis=1)
        second = first[:-1] + "1"
        b.value, b.channels = b.op("Mul", first, b.op("Sigmoid", second)), half
        if half < 4:
            b.conv(8)


def _split_and_swap(b: Builder) -> None:
    first = b.op("Split", b.value, b.ints(3, b.channels - 3), outputs=2, axis=1)
    b.value = b.op("Concat", first[:-1] + "1", b.op("Relu", first), axis=1)


def _slice(b: Builder) -> None:
    if b.channels > 5:
        part = b.op("Slice", b.value, b.ints(1), b.ints(b.channels - 1), b.ints(1))
        b.value, b.channels = part, b.channels - 2


def _gather(b: Builder) -> None:
    order = b.rng.permutation(b.channels)
    b.value = b.op("Gather", b.value, b.constant(order.astype(np.int64)), axis=1)


def _transposed_conv(b: Builder) -> None:
    weight = b.weight(b.channels, 6, 3, 3)
    b.value = b.op("ConvTranspose", b.value, weight, b.weight(6), pads=[1, 1, 1, 1])
    b.channels = 6


def _grouped_transposed(b: Builder) -> None:
    if b.channels % 2 == 0:
        b.value = b.op("ConvTranspose", b.value, b.weight(b.channels, 4, 3, 3), pads=[1, 1, 1, 1], group=2)
        b.channels = 8


def _channels_last(b: Builder) -> None:
    last = b.op("Transpose", b.value, perm=[0, 2, 3, 1])
    mixed = b.op("MatMul", last, b.weight(b.channels, 8))
    mixed = b.op("Elu", b.op("Add", mixed, b.weight(8)))
    b.value, b.channels = b.op("Transpose", mixed, perm=[0, 3, 1, 2]), 8


def _shuffle(b: Builder) -> None:
    if b.channels % 2 == 0:
        half, size = b.channels // 2, b.size
        split = b.op("Reshape", b.value, b.ints(-1, 2, half, size, size))
        turned = b.op("Transpose", split, perm=[0, 2, 1, 3, 4])
        b.value = b.op("Reshape", turned, b.ints(-1, b.channels, size, size))


def _squeeze_and_excite(b: Builder) -> None:
    pooled = b.op("ReduceMean", b.value, axes=[2, 3], keepdims=1)
    small = b.op("Relu", b.op("Conv", pooled, b.weight(4, b.channels, 1, 1), b.weight(4)))
    gate = b.op("HardSigmoid", b.op("Conv", small, b.weight(b.channels, 4, 1, 1)))
    b.value = b.op("Mul", b.value, gate)


def _max_pool(b: Builder) -> None:
    b.value = b.op("MaxPool", b.value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def _dense(b: Builder) -> None:
    parts = [b.value]
    for at in range(3):
        seen = b.op("Concat", *parts, axis=1)
        parts.append(b.op("Relu", b.conv(4, source=seen, channels=b.channels + 4 * at)))
    b.value = b.op("Concat", *parts, axis=1)
    b.channels += 12
    b.conv(8)


def _pixel_shuffle(b: Builder) -> None:
    b.conv(16)
    wide = b.op("DepthToSpace", b.value, blocksize=2, mode="CRD" if b.rng.integers(2) else "DCR")
    mixed = b.conv(4, source=wide, channels=4)
    b.value, b.channels = b.op("SpaceToDepth", mixed, blocksize=2), 16


def _written_pixel_shuffle(b: Builder) -> None:
    b.conv(12)
    apart = b.op("Reshape", b.value, b.ints(-1, 3, 2, 2, b.size, b.size))
    turned = b.op("Transpose", apart, perm=[0, 1, 4, 2, 5, 3])
    wide = b.op("Reshape", turned, b.ints(-1, 3, 2 * b.size, 2 * b.size))
    b.value, b.channels = b.op("MaxPool", wide, kernel_shape=[2, 2], strides=[2, 2]), 3
    b.conv(8)


def _group_norm(b: Builder) -> None:
    if b.channels % 2 == 0:
        apart = b.op("Reshape", b.value, b.ints(0, 2, -1))
        ones, zeros = b.constant(np.ones(2, dtype=np.float32)), b.constant(np.zeros(2, dtype=np.float32))
        normed = b.op("InstanceNormalization", apart, ones, zeros, epsilon=1e-3)
        back = b.op("Reshape", normed, b.op("Shape", b.value))
        b.value = b.op("Add", b.op("Mul", back, b.weight(b.channels, 1, 1)), b.weight(b.channels, 1, 1))


def _layer_norm(b: Builder) -> None:
    last = b.op("Transpose", b.value, perm=[0, 2, 3, 1])
    normed = b.op("LayerNormalization", last, b.weight(b.channels), b.weight(b.channels), epsilon=1e-3)
    b.value = b.op("Transpose", normed, perm=[0, 3, 1, 2])


def _selective(b: Builder) -> None:
    parts = [b.conv(6, source=b.value) for _ in range(2)]
    pooled = b.op("GlobalAveragePool", b.op("Add", *parts))
    choice = b.op("Conv", pooled, b.weight(12, 6, 1, 1), b.weight(12))
    shares = b.op("Softmax", b.op("Reshape", choice, b.ints(-1, 2, 6, 1, 1)), axis=1)
    first, second = (b.op("Gather", shares, b.constant(np.int64(at)), axis=1) for at in range(2))
    b.value, b.channels = b.op("Add", b.op("Mul", parts[0], first), b.op("Mul", parts[1], second)), 6


def _spatial_gate(b: Builder) -> None:
    mean, highest = b.op("ReduceMean", b.value, axes=[1]), b.op("ReduceMax", b.value, axes=[1])
    lowest, power = b.op("ReduceMin", b.value, axes=[1]), b.op("ReduceL2", b.value, axes=[1])
    maps = b.op("Concat", mean, highest, lowest, power, axis=1)
    b.value = b.op("Mul", b.value, b.op("Sigmoid", b.op("Conv", maps, b.weight(1, 4, 3, 3), pads=[1, 1, 1, 1])))


def _channel_softmax(b: Builder) -> None:
    b.value = b.op("Mul", b.value, b.op("Softmax", b.value, axis=1))


def _repeated(b: Builder) -> None:
    pooled = b.op("GlobalMaxPool", b.value)
    wide = b.op("Expand", pooled, b.ints(1, b.channels, b.size, b.size))
    chosen = b.op("Where", b.op("Greater", b.value, wide), wide, b.value)
    b.value, b.channels = (
        b.op("Concat", chosen, b.op("Tile", pooled, b.ints(1, 1, b.size, b.size)), axis=1),
        2 * b.channels,
    )
    b.conv(8)


STEPS: tuple[Callable[[Builder], None], ...] = (
    _plain,
    _residual,
    _padded_shortcut,
    _concat,
    _depthwise,
    _multiplier,
    _grouped,
    _gated_split,
    _split_and_swap,
    _slice,
    _gather,
    _transposed_conv,
    _grouped_transposed,
    _channels_last,
    _shuffle,
    _squeeze_and_excite,
    _max_pool,
    _dense,
    _pixel_shuffle,
    _written_pixel_shuffle,
    _group_norm,
    _layer_norm,
    _selective,
    _spatial_gate,
    _channel_softmax,
    _repeated,
    _batch_norm,
    _instance_norm,
    _prelu,
    _clip,
    _activation("Relu"),
    _activation("LeakyRelu", alpha=0.2),
    _activation("Exp"),
)


@st.composite
def networks(draw: st.DrawFn) -> ModelGraph:
    """Draw a network of up to seven steps."""
    builder = Builder(draw(st.integers(0, 2**16)))
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=7)):
        step(builder)
        if step.__name__ == "step":
            builder.value = builder.op("Tanh", builder.value)
    return builder.finish(draw(st.sampled_from(("flatten", "reshape", "fixed"))))
