"""Files that lie about what they hold are refused at the door, before anything reads, follows or allocates it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from workbench.domain.errors import ModelFileError
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.graph.storage import model_sha256, open_model, save_model

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def tensor(
    dims: Sequence[int], raw: bytes | None = None, location: str | None = None, data_type: int = 1
) -> TensorProto:
    made = TensorProto(name="k", data_type=data_type, dims=dims)
    if raw is not None:
        made.raw_data = raw
    if location is not None:
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value=location)
    return made


def saved(path: Path, weight: TensorProto | None = None, nodes=None, functions=(), outputs=("y",)) -> Path:
    nodes = nodes or [helper.make_node("Add", ["x", "k"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [4])],
        [helper.make_tensor_value_info(name, 1, [4]) for name in outputs],
        initializer=[] if weight is None else [weight],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, functions=list(functions), ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def ran(model: ModelGraph | Path) -> list[float]:
    """Return the outputs of a model for ones."""
    outputs = OrtEngine(threads=1).open(model).run({"x": np.ones(4, np.float32)})
    return list(next(iter(outputs.values())))


def function_with(weight: TensorProto) -> tuple[list[onnx.NodeProto], onnx.FunctionProto]:
    """Return nodes that add a function's constant, and the function."""
    body = [helper.make_node("Constant", [], ["o"], value=weight)]
    function = helper.make_function("own", "K", [], ["o"], body, OPSETS[:1])
    return [helper.make_node("K", [], ["c"], domain="own"), helper.make_node("Add", ["x", "c"], ["y"])], function


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (tensor([1 << 40, 1 << 20], b"\0" * 16), r"'k' does not fit its shape. Expected 4611686018427387904 bytes"),
        (tensor([1 << 40]), r"does not fit its shape.*Found 0 bytes"),
        (tensor([4], b"\0" * 12), r"Expected 16 bytes for shape \(4,\). Found 12 bytes"),
        (tensor([4], b"\0" * 16, data_type=99), "an element type that does not exist. Found type 99"),
        (tensor([4], location="data.bin", data_type=99), "an element type that does not exist. Found type 99"),
    ],
)
def test_data_that_does_not_fit_is_named(weight: TensorProto, said: str, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(b"\0" * 16)
    with pytest.raises(ModelFileError, match=said):
        open_model(saved(tmp_path / "model.onnx", weight))


def test_packed_and_listed_data_fit(tmp_path: Path) -> None:
    path = saved(tmp_path / "listed.onnx", helper.make_tensor("k", 1, [4], [1, 2, 3, 4]))
    assert open_model(path).constant("k").tolist() == [1, 2, 3, 4]
    packed = tensor([3], b"\x21\x03", data_type=TensorProto.INT4)
    nodes = [helper.make_node("Cast", ["k"], ["c"], to=1), helper.make_node("Add", ["x", "c"], ["y"])]
    assert open_model(saved(tmp_path / "packed.onnx", packed, nodes)).constant("k").tolist() == [1, 2, 3]


def test_circles_and_missing_outputs_are_named(tmp_path: Path) -> None:
    circle = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Add", ["x", "a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    with pytest.raises(ModelFileError, match="wait for each other in a circle"):
        open_model(saved(tmp_path / "circle.onnx", nodes=circle))
    with pytest.raises(ModelFileError, match="its graph has no outputs"):
        open_model(saved(tmp_path / "none.onnx", nodes=[helper.make_node("Relu", ["x"], ["y"])], outputs=()))


def test_functions_reach_no_file_outside_the_models_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 16)
    monkeypatch.chdir(tmp_path / "in")  # where "../secret.bin" would lead somewhere
    nodes, function = function_with(tensor([4], location="../secret.bin"))
    path = saved(tmp_path / "in" / "model.onnx", nodes=nodes, functions=[function])
    with pytest.raises(ModelFileError, match=r"'k' lies outside the model's folder.*'\.\./secret\.bin'"):
        open_model(path)


def test_data_of_functions_lies_beside_the_model_and_counts_in_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    data = tmp_path / "in" / "data.bin"
    data.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    nodes, function = function_with(tensor([4], location="data.bin"))
    path = saved(tmp_path / "in" / "model.onnx", nodes=nodes, functions=[function])
    assert ran(open_model(path)) == [1, 2, 3, 4]
    before = model_sha256(path)
    data.write_bytes(b"\0" * 16)
    assert model_sha256(path) != before


@pytest.mark.parametrize("output", ["y", "k"])
def test_constant_nodes_with_data_in_another_file_are_saved_whole(output: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "data.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    nodes = [
        helper.make_node("Constant", [], ["k"], value=tensor([4], location="data.bin")),
        helper.make_node("Add", ["x", "k"], ["y"]),
    ]
    path = saved(tmp_path / "in" / "model.onnx", nodes=nodes, outputs=(output,))
    graph = open_model(path)
    assert graph.constant("k").tolist() == [0, 1, 2, 3]
    assert ran(graph) == ran(path)
    save_model(graph, tmp_path / "out" / "copy.onnx")
    assert ran(tmp_path / "out" / "copy.onnx") == ran(path)
