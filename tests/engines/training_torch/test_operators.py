"""Every operator computes what the ONNX standard's own examples and ONNX Runtime say, old versions included."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from workbench.domain.errors import JobError, UnsupportedGraphError
from workbench.engines.training_torch import TorchEngine
from workbench.graph.model import ModelGraph

ENGINE = TorchEngine(threads=1)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 9, 11)).astype(np.float32)
NOTHING = np.array([], np.float32)

# Examples of the standard that are answered otherwise, and why.
OTHERWISE = {
    "test_training_dropout": "dropout is off in inference",
    "test_training_dropout_default": "dropout is off in inference",
    "test_training_dropout_default_mask": "dropout is off in inference",
    "test_training_dropout_mask": "dropout is off in inference",
    "test_reduce_max_empty_set": "torch has no maximum of nothing",
    "test_reduce_max_empty_set_bool": "torch has no maximum of nothing",
    "test_reduce_min_empty_set": "torch has no minimum of nothing",
    "test_resize_downsample_scales_linear_align_corners": "the runtime differs from the standard, and it is deployed",
    "test_resize_downsample_scales_cubic_align_corners": "the runtime differs from the standard, and it is deployed",
}


def _array(value: object) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _examples() -> list[object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's overflows in the standard's own generators
        from onnx.backend.test.case.node import collect_testcases

        return list(collect_testcases(None))


def test_the_examples_of_the_standard():
    right, wrong = 0, []
    for case in _examples():
        model = case.model
        if any(not info.type.HasField("tensor_type") for info in [*model.graph.input, *model.graph.output]):
            continue
        try:
            graph = ModelGraph(ir.from_proto(model))
            if model.functions or ENGINE.unsupported(graph):
                continue
        except (TypeError, ValueError, UnsupportedGraphError):
            continue  # a type or structure that graphs here don't have
        names = {info.name for info in graph.inputs}
        for given, expected in case.data_sets:
            inputs = {info.name: _array(value) for info, value in zip(model.graph.input, given, strict=False)}
            try:
                results = ENGINE.run(graph, {name: array for name, array in inputs.items() if name in names})
                for info, value in zip(model.graph.output, expected, strict=True):
                    _assert_close(results[info.name], _array(value))
                right += 1
            except (AssertionError, JobError) as error:
                wrong.append((case.name, str(error).strip().splitlines()[0]))
    unexpected = [entry for entry in wrong if entry[0] not in OTHERWISE]
    assert not unexpected
    assert {name for name, _ in wrong} == set(OTHERWISE)
    assert right > 1300


def _assert_close(result: np.ndarray, wanted: np.ndarray) -> None:
    assert result.shape == wanted.shape, f"{result.shape} instead of {wanted.shape}"
    half = wanted.dtype.name in ("float16", "bfloat16")
    tolerance = {"rtol": 5e-3, "atol": 5e-3} if half else {"rtol": 1e-3, "atol": 1e-5}
    np.testing.assert_allclose(result.astype(np.float64), wanted.astype(np.float64), **tolerance)


def compare(
    op: str, inputs: list[np.ndarray | None], *, opset: int, fixed: tuple[int, ...] = (), outputs: int = 1, **attributes
) -> None:
    """Run one node in both runtimes; inputs whose position is in `fixed` are initializers."""
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    given = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    frozen = {names[index] for index in fixed}
    graph = helper.make_graph(
        [helper.make_node(op, names, [f"o{index}" for index in range(outputs)], **attributes)],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in given.items()
            if name not in frozen
        ],
        [helper.make_empty_tensor_value_info(f"o{index}") for index in range(outputs)],
        [numpy_helper.from_array(given[name], name) for name in sorted(frozen)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    fed = {name: value for name, value in given.items() if name not in frozen}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    expected = ort.InferenceSession(model.SerializeToString(), options).run(None, fed)
    results = ENGINE.run(ModelGraph(ir.from_proto(model)), fed)
    for index, wanted in enumerate(expected):
        result = results[f"o{index}"]
        assert result.shape == wanted.shape
        np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "opset", "attributes"),
    [
        ("Slice", 9, {"starts": [1, -3], "ends": [3, 100], "axes": [1, 3]}),
        ("Clip", 7, {"min": -0.5, "max": 0.7}),
        ("Clip", 10, {"max": 0.0}),
        ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 1.5}),
        ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "reflect"}),
        ("Pad", 10, {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": "edge"}),
        ("Unsqueeze", 11, {"axes": [0, -1]}),
        ("Upsample", 7, {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "nearest"}),
        ("Upsample", 7, {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"}),
        ("Dropout", 7, {"ratio": 0.5}),
        ("Softmax", 11, {"axis": 1}),
        ("Softmax", 11, {}),
        ("Softmax", 13, {"axis": 1}),
        ("LogSoftmax", 11, {"axis": 2}),
        ("Hardmax", 11, {"axis": 3}),
        ("ReduceMean", 11, {"axes": [2, 3], "keepdims": 0}),
        ("ReduceSum", 11, {"axes": [-1]}),
        ("ReduceL2", 13, {}),
        ("LRN", 13, {"size": 3, "alpha": 0.1}),
        ("LpNormalization", 11, {"p": 1, "axis": 1}),
        ("MeanVarianceNormalization", 13, {}),
        ("ArgMax", 12, {"axis": 1, "select_last_index": 1}),
        ("Flatten", 11, {"axis": -2}),
        ("SpaceToDepth", 13, {"blocksize": 1}),
    ],
)
def test_attributes_of_older_versions(op, opset, attributes):
    compare(op, [X], opset=opset, **attributes)


@pytest.mark.parametrize("kernel", [(2, 3), (3, 3)])
@pytest.mark.parametrize(
    "window",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "ceil_mode": 1},
        {"strides": [2, 1], "pads": [1, 0, 0, 1]},
        {"strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID"},
    ],
)
def test_pooling_windows(kernel, window):
    compare("MaxPool", [X], opset=12, kernel_shape=kernel, **window)
    compare("AveragePool", [X], opset=12, kernel_shape=kernel, **window)
    compare("AveragePool", [X], opset=12, kernel_shape=kernel, count_include_pad=1, **window)


def test_pooling_extras():
    compare("MaxPool", [X], opset=12, outputs=2, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    compare("MaxPool", [X], opset=12, kernel_shape=[3, 3], dilations=[2, 2])
    compare("MaxPool", [(X * 40).astype(np.int8)], opset=12, kernel_shape=[3, 3])
    compare("AveragePool", [X], opset=19, kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2])
    compare("LpPool", [X], opset=18, kernel_shape=[3, 3], p=3)
    compare("GlobalLpPool", [X], opset=18, p=2)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1], "strides": [2, 2]},
        {"pads": [0, 1, 2, 0]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 3]},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
        {"group": 2, "auto_pad": "VALID"},
    ],
)
def test_convolution(attributes):
    weight = RNG.standard_normal((6, 4 // attributes.get("group", 1), 3, 3)).astype(np.float32)
    compare("Conv", [X, weight, RNG.standard_normal(6).astype(np.float32)], opset=11, **attributes)
    signal, kernel = X[:, :, :, 0], weight[:, :, :, 0]
    own = {key: value if isinstance(value, (int, str)) else value[:1] for key, value in attributes.items()}
    own.update({"pads": [attributes["pads"][0], attributes["pads"][2]]} if "pads" in attributes else {})
    compare("Conv", [signal, kernel], opset=11, **own)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"pads": [1, 0, 0, 1], "output_padding": [1, 0]},
        {"output_shape": [20, 24]},
        {"output_shape": [18, 23]},
        {"output_shape": [19, 22], "auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "VALID"},
        {"pads": [1, 1, 1, 1], "dilations": [2, 2]},
        {"group": 2},
    ],
)
def test_transposed_convolution(attributes):
    weight = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
    bias = RNG.standard_normal(3 * attributes.get("group", 1)).astype(np.float32)
    compare("ConvTranspose", [X, weight, bias], opset=11, strides=[2, 2], **attributes)


@pytest.mark.parametrize("scales", [(1, 1, 2, 3), (1, 1, 0.6, 0.7), (1, 1, 0.5, 1.7)])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
)
def test_resizing(scales, coordinates):
    factors = np.array(scales, np.float32)
    common = {"opset": 19, "fixed": (2,), "coordinate_transformation_mode": coordinates}
    for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        compare("Resize", [X, None, factors], mode="nearest", nearest_mode=nearest, **common)
    compare("Resize", [X, None, factors], mode="linear", **common)
    for outside in (0, 1):
        compare("Resize", [X, None, factors], mode="cubic", exclude_outside=outside, cubic_coeff_a=-0.5, **common)


def test_resizing_to_sizes():
    sizes = np.array([2, 4, 18, 7], np.int64)
    compare("Resize", [X, NOTHING, NOTHING, sizes], opset=11, fixed=(1, 2, 3), mode="linear")
    compare("Resize", [X, NOTHING, np.array([1, 1, 2, 2], np.float32)], opset=11, fixed=(1, 2), mode="nearest")
    compare("Resize", [X, np.array([1, 1, 2, 2], np.float32)], opset=10, fixed=(1,), mode="nearest")
    compare("Resize", [X, np.array([1, 1, 2, 2], np.float32)], opset=10, fixed=(1,), mode="linear")


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [None, (5, 3, 4)])
def test_recurrent_cells(op, direction, lengths):
    gates, hidden = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 6
    directions = 2 if direction == "bidirectional" else 1

    def weights(*shape):
        return (RNG.standard_normal(shape) * 0.4).astype(np.float32)

    inputs = [
        weights(5, 3, 4),
        weights(directions, gates * hidden, 4),
        weights(directions, gates * hidden, hidden),
        weights(directions, 2 * gates * hidden),
        None if lengths is None else np.array(lengths, np.int32),
        weights(directions, 3, hidden),
    ]
    fixed = (1, 2, 3)
    outputs = 3 if op == "LSTM" else 2
    compare(op, inputs, opset=14, fixed=fixed, outputs=outputs, hidden_size=hidden, direction=direction)
    if op == "GRU":
        compare(
            op, inputs, opset=14, fixed=fixed, outputs=2, hidden_size=hidden, direction=direction, linear_before_reset=1
        )
    if op == "LSTM" and lengths is None:
        peephole = weights(directions, 3 * hidden)
        state = weights(directions, 3, hidden)
        compare(
            op, [*inputs, state, peephole], opset=14, fixed=fixed, outputs=3, hidden_size=hidden, direction=direction
        )


def test_recurrent_activations_and_clip():
    def weights(*shape):
        return (RNG.standard_normal(shape) * 0.4).astype(np.float32)

    inputs = [weights(5, 3, 4), weights(1, 24, 4), weights(1, 24, 6)]
    compare("LSTM", inputs, opset=14, fixed=(1, 2), outputs=3, hidden_size=6, clip=0.2, input_forget=0)
    activations = ["HardSigmoid", "ScaledTanh", "Tanh"]
    compare(
        "LSTM",
        inputs,
        opset=14,
        fixed=(1, 2),
        outputs=3,
        hidden_size=6,
        activations=activations,
        activation_alpha=[0.3, 0.9],
        activation_beta=[0.4, 0.8],
    )


def test_an_operator_that_fails_is_named():
    graph = ModelGraph(
        ir.from_onnx_text(
            """<ir_version: 9, opset_import: ["" : 17]>
            broken (float[n, m] x, float[k, l] y) => (float[a, b] z) { z = MatMul (x, y) }"""
        )
    )
    with pytest.raises(JobError, match="operator MatMul failed"):
        ENGINE.run(graph, {"x": np.ones((2, 3), np.float32), "y": np.ones((4, 5), np.float32)})
