"""Random networks over tokens with attention, normalisation and gates of many kinds, for Hypothesis to draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from workbench.graph.model import ModelGraph

WIDTH, HEADS, DEPTH, TOKENS = 12, 4, 3, 5
CONTRIB = "com.microsoft"


class Builder:
    """Collects nodes; `value` (batch, tokens, WIDTH) is where the network stands."""

    def __init__(self, seed: int, *, fixed: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.fixed = fixed
        table = self.weight(9, WIDTH)
        places = self.weight(TOKENS, WIDTH)
        self.value = self.op("Add", self.op("Gather", table, "x"), places)

    def weight(self, *shape: int) -> str:
        return self.constant((self.rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32))

    def constant(self, array: object) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(array), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.asarray(numbers, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, name=f"{kind}_{len(self.nodes)}", **attributes))
        return names[0]

    def linear(self, source: str, inner: int, out: int) -> str:
        return self.op("Add", self.op("MatMul", source, self.weight(inner, out)), self.weight(out))

    def shaped(self, source: str, *sizes: int) -> str:
        """Reshape (batch, tokens, …), by constants or by numbers computed from a shape."""
        if self.fixed:
            return self.op("Reshape", source, self.ints(0, 0, *sizes))
        shape = self.op("Shape", self.value)
        ahead = [
            self.op("Unsqueeze", self.op("Gather", shape, self.constant(np.int64(axis))), self.ints(0))
            for axis in (0, 1)
        ]
        return self.op("Reshape", source, self.op("Concat", *ahead, self.ints(*sizes), axis=0))

    def heads(self, source: str, count: int = HEADS) -> str:
        return self.op("Transpose", self.shaped(source, count, DEPTH), perm=[0, 2, 1, 3])

    def attend(self, q: str, k: str, v: str) -> str:
        scores = self.op("MatMul", q, self.op("Transpose", k, perm=[0, 1, 3, 2]))
        shares = self.op("Softmax", self.op("Div", scores, self.number(1.7)), axis=-1)
        return self.shaped(self.op("Transpose", self.op("MatMul", shares, v), perm=[0, 2, 1, 3]), WIDTH)

    def added(self, branch: str) -> None:
        self.value = self.op("Add", self.value, branch)

    def finish(self) -> ModelGraph:
        hidden = self.op("Tanh", self.linear(self.value, WIDTH, 10))
        self.nodes.append(helper.make_node("MatMul", [hidden, self.weight(10, 4)], ["y"], name="head"))
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch", TOKENS])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", TOKENS, 4])],
            self.weights,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
        return ModelGraph(ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=9)))


def _attention(b: Builder) -> None:
    b.added(b.linear(b.attend(*(b.heads(b.linear(b.value, WIDTH, WIDTH)) for _ in range(3))), WIDTH, WIDTH))


def _shared_keys(b: Builder) -> None:
    q = b.heads(b.linear(b.value, WIDTH, WIDTH))
    k, v = (b.heads(b.linear(b.value, WIDTH, WIDTH // 2), HEADS // 2) for _ in range(2))
    spread = []
    for part in (k, v):
        wide = b.op("Expand", b.op("Unsqueeze", part, b.ints(2)), b.ints(1, HEADS // 2, 2, TOKENS, DEPTH))
        spread.append(b.op("Reshape", wide, b.ints(-1, HEADS, TOKENS, DEPTH)))
    b.added(b.linear(b.attend(q, *spread), WIDTH, WIDTH))


def _fused_split(b: Builder) -> None:
    first = b.op("Split", b.linear(b.value, WIDTH, 3 * WIDTH), outputs=3, axis=2)
    b.added(b.linear(b.attend(*(b.heads(first[:-1] + str(at)) for at in range(3))), WIDTH, WIDTH))


def _fused_slice(b: Builder) -> None:
    fused = b.linear(b.value, WIDTH, 3 * WIDTH)
    cuts = [
        b.op("Slice", fused, b.ints(at * WIDTH), b.ints((at + 1) * WIDTH), b.ints(-1), b.ints(1)) for at in range(3)
    ]
    b.added(b.linear(b.attend(*(b.heads(cut) for cut in cuts)), WIDTH, WIDTH))


def _fused_reshape(b: Builder) -> None:
    wide = b.op("Reshape", b.linear(b.value, WIDTH, 3 * WIDTH), b.ints(0, 0, 3, HEADS, DEPTH))
    turned = b.op("Transpose", wide, perm=[2, 0, 3, 1, 4])
    parts = [b.op("Gather", turned, b.constant(np.int64(at)), axis=0) for at in range(3)]
    b.added(b.linear(b.attend(*parts), WIDTH, WIDTH))


def _one_node(b: Builder) -> None:
    q, k, v = (b.op("MatMul", b.value, b.weight(WIDTH, WIDTH)) for _ in range(3))
    mixed = b.op("MultiHeadAttention", q, k, v, b.weight(3 * WIDTH), num_heads=HEADS, domain=CONTRIB)
    b.added(b.linear(mixed, WIDTH, WIDTH))


def _einsum(b: Builder) -> None:
    q, k, v = (b.op("Einsum", b.value, b.weight(WIDTH, HEADS, DEPTH), equation="btw,whd->bhtd") for _ in range(3))
    scores = b.op("Softmax", b.op("Einsum", q, k, equation="bhtd,bhsd->bhts"), axis=-1)
    mixed = b.op("Einsum", scores, v, equation="bhts,bhsd->bthd")
    b.added(b.op("Einsum", mixed, b.weight(HEADS, DEPTH, WIDTH), equation="bthd,hdw->btw"))


def _layer_norm(b: Builder) -> None:
    b.value = b.op("LayerNormalization", b.value, b.weight(WIDTH), b.weight(WIDTH), axis=-1, epsilon=1e-3)


def _written_norm(b: Builder) -> None:
    centred = b.op("Sub", b.value, b.op("ReduceMean", b.value, axes=[-1]))
    spread = b.op("ReduceMean", b.op("Pow", centred, b.number(2)), axes=[-1])
    scaled = b.op("Div", centred, b.op("Sqrt", b.op("Add", spread, b.number(1e-3))))
    b.value = b.op("Add", b.op("Mul", scaled, b.weight(WIDTH)), b.weight(WIDTH))


def _rms_norm(b: Builder) -> None:
    power = b.op("ReduceMean", b.op("Mul", b.value, b.value), axes=[2])
    inverse = b.op("Reciprocal", b.op("Sqrt", b.op("Add", power, b.number(1e-3))))
    b.value = b.op("Mul", b.op("Mul", b.value, inverse), b.weight(WIDTH))


def _skip_norm(b: Builder) -> None:
    other = b.op("MatMul", b.value, b.weight(WIDTH, WIDTH))
    vectors = [b.weight(WIDTH) for _ in range(3)]
    first = b.op("SkipLayerNormalization", b.value, other, *vectors, outputs=4, domain=CONTRIB, epsilon=1e-3)
    b.nodes[-1].output[1:3] = ["", ""]
    b.value = b.op("Add", first, first[:-1] + "3")


def _mlp(activation: Callable[[Builder, str], str]) -> Callable[[Builder], None]:
    def step(b: Builder) -> None:
        hidden = activation(b, b.linear(b.value, WIDTH, 8))
        b.added(b.linear(hidden, 8, WIDTH))

    return step


def _gelu(b: Builder, x: str) -> str:
    bell = b.op("Add", b.op("Erf", b.op("Div", x, b.number(1.414))), b.number(1))
    return b.op("Mul", b.op("Mul", x, bell), b.number(0.5))


def _quick_gelu(b: Builder, x: str) -> str:
    return b.op("Mul", x, b.op("Sigmoid", b.op("Mul", x, b.number(1.702))))


def _hard_swish(b: Builder, x: str) -> str:
    return b.op("Mul", x, b.op("Div", b.op("Clip", b.op("Add", x, b.number(3)), b.number(0), b.number(6)), b.number(6)))


def _bias_gelu(b: Builder, x: str) -> str:
    return b.op("BiasGelu", x, b.weight(8), domain=CONTRIB)


def _gated(b: Builder) -> None:
    gate = b.linear(b.value, WIDTH, 8)
    inner = b.op("Mul", b.op("Mul", gate, b.op("Sigmoid", gate)), b.linear(b.value, WIDTH, 8))
    b.added(b.linear(inner, 8, WIDTH))


def _cell(kind: str, gates: int) -> Callable[[Builder], None]:
    def step(b: Builder) -> None:
        size = 5
        sequence = b.op("Transpose", b.value, perm=[1, 0, 2])
        weights = [b.weight(2, gates * size, WIDTH), b.weight(2, gates * size, size), b.weight(2, 2 * gates * size)]
        out = b.op(kind, sequence, *weights, hidden_size=size, direction="bidirectional")
        flat = b.op("Reshape", b.op("Transpose", out, perm=[2, 0, 1, 3]), b.ints(0, 0, -1))
        b.added(b.linear(flat, 2 * size, WIDTH))

    return step


def _time_convolution(b: Builder) -> None:
    wide = b.op("Transpose", b.linear(b.value, WIDTH, 2 * WIDTH), perm=[0, 2, 1])
    first = b.op("Split", wide, outputs=2, axis=1)
    gated = b.op("Mul", first, b.op("Sigmoid", first[:-1] + "1"))
    mixed = b.op("Conv", gated, b.weight(WIDTH, 1, 3), group=WIDTH, pads=[1, 1])
    b.added(b.linear(b.op("Transpose", mixed, perm=[0, 2, 1]), WIDTH, WIDTH))


def _pooled_gate(b: Builder) -> None:
    pooled = b.op("ReduceMean", b.value, axes=[1])
    highest = b.op("ReduceMax", b.value, axes=[-1])
    b.value = b.op("Mul", b.value, b.op("Sigmoid", b.op("Add", b.linear(pooled, WIDTH, WIDTH), highest)))


def _flat_product(b: Builder) -> None:
    flat = b.op("Reshape", b.value, b.ints(-1, WIDTH))
    mixed = b.op("Gemm", flat, b.weight(WIDTH, WIDTH), b.weight(WIDTH), transB=1)
    b.added(b.op("Reshape", mixed, b.ints(-1, TOKENS, WIDTH)))


STEPS: tuple[Callable[[Builder], None], ...] = (
    _attention,
    _shared_keys,
    _fused_split,
    _fused_slice,
    _fused_reshape,
    _one_node,
    _einsum,
    _layer_norm,
    _written_norm,
    _rms_norm,
    _skip_norm,
    _mlp(_gelu),
    _mlp(_quick_gelu),
    _mlp(_hard_swish),
    _mlp(_bias_gelu),
    _gated,
    _cell("LSTM", 4),
    _cell("GRU", 3),
    _cell("RNN", 1),
    _time_convolution,
    _pooled_gate,
    _flat_product,
)


@st.composite
def token_networks(draw: st.DrawFn) -> ModelGraph:
    """Draw a network of up to six steps."""
    builder = Builder(draw(st.integers(0, 2**16)), fixed=draw(st.booleans()))
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=6)):
        step(builder)
    return builder.finish()
