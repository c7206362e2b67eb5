"""Times what comes before pruning, in the workbench and in Torch-Pruning: finding channel groups, and ranking them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir
import torch
from cifar_resnet import ResNet, loaded
from onnx import TensorProto, helper
from pruning_criteria import SHARED, criteria, halved, tools
from torch.nn import functional

from workbench.graph.channels import channel_groups
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model
from workbench.methods.normalisation import give_back_normalisation

try:
    import torch_pruning
except ImportError:
    print("skipped: torch_pruning (1.6), which this compares with, is not importable")
    raise SystemExit(0) from None

RESNET56 = SHARED / "models" / "resnet56_cifar10_folded.onnx"
IMAGES = 1024
BATCH = 128


def print_speed(*, slow: bool) -> None:
    """Print processor seconds of one thread; with `slow` of Taylor importance too."""
    print(f"{'processor seconds':52}{'asked':>8}{'workbench':>11}{'Torch-Pruning':>15}")
    example = torch.rand(1, 3, 32, 32)
    _line("groups of ResNet-56", "< 0.2", _ours(lambda: open_model(RESNET56)), _theirs(ResNet(9), example), 5)
    deep = _deep(238)
    count = len(deep.graph.node)
    graph = _ours(lambda: ModelGraph(onnx_ir.from_proto(deep)))
    _line(f"groups of a residual net of {count:,} nodes", "< 3", graph, _theirs(ResNet(238), example), 1)
    if slow:
        source = open_model(RESNET56)
        source, _ = give_back_normalisation(source, tools(source, 1))
        _line(f"Taylor, ResNet-56, {IMAGES:,} images", "< 20", *_taylor(source), 1)


def _line(what: str, asked: str, ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> None:
    times = [statistics.median(work() for _ in range(repeats)) for work in (ours, theirs)]
    print(f"{what:52}{asked:>8}{times[0]:11.3f}{times[1]:15.3f}", flush=True)


def _ours(opened: Callable[[], ModelGraph]) -> Callable[[], float]:
    def work() -> float:
        graph = opened()
        began = time.process_time()
        channel_groups(graph)
        return time.process_time() - began

    return work


def _theirs(net: ResNet, example: torch.Tensor) -> Callable[[], float]:
    def work() -> float:
        began = time.process_time()
        dependencies = torch_pruning.DependencyGraph().build_dependency(net, example)
        list(dependencies.get_all_groups())
        return time.process_time() - began

    return work


def _taylor(source: ModelGraph) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return both ways to rank the inner channels of every block, from reading the pictures to the cut graph."""

    def ours() -> float:
        method = criteria()["prune.taylor"]
        parameters = method.Parameters.model_validate({"samples": IMAGES, "statistics_samples": 0})
        equipment = tools(source, 1)
        began = time.process_time()
        method(parameters).apply(source, halved(source), equipment)
        return time.process_time() - began

    def theirs() -> float:
        net = loaded(source)
        data = tools(source, 1).data
        assert data is not None
        began = time.process_time()
        importance = torch_pruning.importance.GroupTaylorImportance()
        streams = net.convolutions()[::2]
        pruner = torch_pruning.pruner.MagnitudePruner(
            net, torch.rand(1, 3, 32, 32), importance, ignored_layers=[*streams, net.linear]
        )
        for batch in data.calibration(IMAGES, BATCH):
            (pictures,) = batch.inputs.values()
            labels = torch.from_numpy(np.asarray(batch.targets))
            functional.cross_entropy(net(torch.from_numpy(pictures)), labels, reduction="sum").backward()
        pruner.step()
        return time.process_time() - began

    return ours, theirs


def _deep(blocks_of_a_stage: int) -> onnx.ModelProto:
    """Return the graph of a ResNet as its exporter would write it, without waiting for the exporter."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {
        "starts": np.array([0, 0]),
        "ends": np.array([2**31, 2**31]),
        "axes": np.array([2, 3]),
        "steps": np.array([2, 2]),
        "spatial": np.array([2, 3]),
        "head": np.zeros((10, 64), np.float32),
        "head_bias": np.zeros(10, np.float32),
    }

    def add(op: str, name: str, inputs: list[str], **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name=f"node_{name}", **attributes))
        return name

    def normalised(name: str, value: str, narrow: int, wide: int, stride: int = 1) -> str:
        constants[f"{name}_w"] = np.ones((wide, narrow, 3, 3), np.float32)
        pads = {"pads": [1, 1, 1, 1], "strides": [stride, stride], "kernel_shape": [3, 3]}
        result = add("Conv", f"{name}_conv", [value, f"{name}_w"], **pads)
        statistic = [f"{name}_{part}" for part in ("scale", "shift", "mean", "variance")]
        constants.update(dict.fromkeys(statistic, np.ones(wide, np.float32)))
        return add("BatchNormalization", f"{name}_bn", [result, *statistic])

    stream, narrow = add("Relu", "stem_relu", [normalised("stem", "input", 3, 16)]), 16
    for number in range(3 * blocks_of_a_stage):
        name, wide = f"block{number}", 16 << number // blocks_of_a_stage
        inner = normalised(f"{name}_1", stream, narrow, wide, wide // narrow)
        inner = normalised(f"{name}_2", add("Relu", f"{name}_relu", [inner]), wide, wide)
        if wide > narrow:
            half = (wide - narrow) // 2
            constants[f"{name}_pads"] = np.array([0, half, 0, 0, 0, half, 0, 0])
            stream = add("Slice", f"{name}_slice", [stream, "starts", "ends", "axes", "steps"])
            stream = add("Pad", f"{name}_pad", [stream, f"{name}_pads"])
        stream, narrow = add("Relu", f"{name}_out", [add("Add", f"{name}_add", [inner, stream])]), wide
    pooled = add("ReduceMean", "pooled", [stream, "spatial"], keepdims=0)
    add("Gemm", "logits", [pooled, "head", "head_bias"], transB=1)
    ends = [("input", ["batch", 3, 32, 32]), ("logits", ["batch", 10])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends]
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "deep", infos[:1], infos[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
