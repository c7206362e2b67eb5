"""Torch models become ONNX files at the door: with a dynamic batch, their batch norm, and only when trusted."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from workbench.domain.errors import BadInputError, JobError, ModelFileError
from workbench.engines.training_torch import TorchEngine
from workbench.engines.training_torch.importing import import_model
from workbench.graph.storage import open_model

FACTORY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def make():
    print("a factory may print")
    return Net(), torch.randn(1, 3, 8, 8)


def forgets_inputs():
    return Net()


def returns_text():
    return "a model"


def raises():
    raise ValueError("the weights are gone")


class Refusing(nn.Module):
    def forward(self, x):
        raise ValueError("it only looks like a model")


def refusing():
    return Refusing(), torch.randn(2, 3)
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "factory.py"
    path.write_text(FACTORY)
    return path


def test_a_factory_becomes_a_graph_with_dynamic_batch_and_batch_norm(factory, tmp_path, capsys):
    out = tmp_path / "net.onnx"
    notes = import_model(f"{factory}:make", out, trusted=True)
    graph = open_model(out)
    assert [node.op for node in graph.nodes if node.op in ("Conv", "BatchNormalization", "Gemm")] == [
        "Conv",
        "BatchNormalization",
        "Gemm",
    ]
    assert graph.inputs[0].shape == ("batch", 3, 8, 8)
    assert {"conv.weight", "norm.weight", "norm.running_mean", "fc.weight"} <= set(graph.initializers)
    outputs = TorchEngine(threads=1).run(graph, {graph.inputs[0].name: np.zeros((7, 3, 8, 8), np.float32)})
    assert next(iter(outputs.values())).shape == (7, 5)
    assert any("Agrees with the torch model" in note for note in notes)
    assert capsys.readouterr().out == ""


def test_an_archive_becomes_a_graph(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3)).eval()
    example = (torch.randn(2, 6),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it exports
        program = torch.export.export(model, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, tmp_path / "net.pt2")
    import_model(tmp_path / "net.pt2", tmp_path / "net.onnx", trusted=True)
    graph = open_model(tmp_path / "net.onnx")
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    outputs = TorchEngine(threads=1).run(graph, {graph.inputs[0].name: x})
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(next(iter(outputs.values())), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["factory.py:make", "net.pt2"])
def test_what_may_run_code_asks_first(factory, tmp_path, name):
    (tmp_path / "net.pt2").write_bytes(b"anything")
    with pytest.raises(BadInputError, match="--trust"):
        import_model(tmp_path / name, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("factory.py:missing", BadInputError, "no function 'missing'"),
        ("factory.py:forgets_inputs", BadInputError, "a module without example inputs"),
        ("factory.py:returns_text", BadInputError, "Found str"),
        ("factory.py:raises", BadInputError, "the weights are gone"),
        ("factory.py:refusing", JobError, "torch can't export the model"),
        ("gone.pt2", BadInputError, "no such file"),
        ("damaged.pt2", ModelFileError, "can't be read as a torch.export archive"),
        ("model.txt", BadInputError, "file.py:function"),
    ],
)
def test_bad_sources_get_one_clear_line(factory, tmp_path, name, error, message):
    (tmp_path / "damaged.pt2").write_bytes(b"PK not really")
    with pytest.raises(error) as caught:
        import_model(tmp_path / name, tmp_path / "out.onnx", trusted=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()
