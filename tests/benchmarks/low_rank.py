"""Measures low-rank decomposition: plain against activation-aware SVD at half the parameters, and convolutions.

    python tests/benchmarks/low_rank.py

Matrices: every matrix gets the rank at which its factors have half its parameters, and the error is the
root-mean-square difference of the outputs over the deviation of the original's, on samples that were not calibrated
on. The toy transformer takes English text as byte ids, the digit network clothes.

Convolutions: ResNet-20 on CIFAR-10, all its 3x3 convolutions at one rank_ratio a method, no training, top-1 on 2,000
test images, batch norm folded.

Figures of one run ("means left": biases are not corrected by the samples):

    bert_toy_optimized   decompose.svd    weights x0.489  output error 1.328  2.100
    bert_toy_optimized   decompose.asvd   weights x0.489  output error 0.657  0.427
                         plain / activation-aware        2.02  4.92
    mnist_burn           decompose.svd    weights x0.470  output error 0.656
    mnist_burn           decompose.asvd   weights x0.470  output error 0.388
                         plain / activation-aware        1.69
    resnet20             float                  top1 0.9125
    resnet20             decompose.channel_svd  top1 0.7370  macs x0.561  (19 layers)
    resnet20             decompose.spatial_svd  top1 0.3930  macs x0.553  (19 layers, means left)
    resnet20             decompose.spatial_svd  top1 0.7435  macs x0.553  (19 layers)
    resnet20             decompose.tucker2      top1 0.2015  macs x0.570  (19 layers, means left)
    resnet20             decompose.tucker2      top1 0.5835  macs x0.570  (19 layers)
    resnet20             decompose.cp           top1 0.8640  macs x0.575  (19 layers, means left)
    resnet20             decompose.cp           top1 0.8700  macs x0.575  (19 layers)
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from workbench.domain.knobs import RANK_RATIO  # noqa: E402
from workbench.domain.plan import Plan, resolve  # noqa: E402
from workbench.engines.contracts import Batch  # noqa: E402
from workbench.engines.inference_ort import OrtEngine  # noqa: E402
from workbench.engines.training_torch import TorchEngine  # noqa: E402
from workbench.graph.cost import graph_cost  # noqa: E402
from workbench.graph.layers import find_layers  # noqa: E402
from workbench.graph.model import ModelGraph  # noqa: E402
from workbench.graph.storage import open_model  # noqa: E402
from workbench.methods.method import Method, MethodResult, Tools  # noqa: E402
from workbench.plugin_host.loader import load_methods  # noqa: E402
from workbench.plugin_host.manifests import read_manifest  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
ENGINE = OrtEngine(threads=1)
Inputs = dict[str, np.ndarray]


def text(samples: int, seed: int) -> Inputs:
    """Return byte ids (N, 16) of random places in the text, for the toy transformer of 99 words."""
    letters = np.frombuffer((DATA / "text" / "tinyshakespeare.txt").read_bytes(), np.uint8)
    starts = np.random.default_rng(seed).integers(0, len(letters) - 16, samples)
    ids = np.stack([letters[start : start + 16] for start in starts]).astype(np.int64) % 99
    return {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "input_mask": np.ones_like(ids)}


def clothes(samples: int, seed: int) -> Inputs:
    """Return images (N, 1, 28, 28) preprocessed as the digit network wants them."""
    raw = gzip.decompress((DATA / "fashion_mnist" / "test-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    chosen = images[np.random.default_rng(seed).permutation(len(images))[:samples]]
    return {"input.1": ((chosen / 255 - 0.1307) / 0.3081).astype(np.float32)}


def cifar(split: str, samples: int) -> tuple[Inputs, np.ndarray]:
    """Return preprocessed images (N, 3, 32, 32) and labels (N,)."""
    arrays = np.load(DATA / "cifar10" / f"{split}.npz")
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = (arrays["x"][:samples] / np.float32(255) - mean) / std
    return {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32)}, arrays["y"][:samples]


class Calibration:
    """The same samples for every method."""

    task, metric = "outputs", "mse"

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        for start in range(0, min(samples, len(next(iter(self.inputs.values())))), batch_size):
            yield Batch({name: array[start : start + batch_size] for name, array in self.inputs.items()}, None)


def outputs(graph: ModelGraph, inputs: Inputs) -> list[np.ndarray]:
    """Return the outputs over all samples."""
    session = ENGINE.open(graph)
    batches = [session.run(batch.inputs) for batch in Calibration(inputs).calibration(10**9)]
    return [np.concatenate([batch[name] for batch in batches]) for name in session.output_names]


def applied(
    method: type[Method], graph: ModelGraph, plan: Plan, calibration: Inputs, **parameters: object
) -> MethodResult:
    """Run a method with its defaults, less those that are given."""
    settings = resolve(plan, {layer.name: layer.knobs for layer in find_layers(graph)}, [RANK_RATIO])
    tools = Tools(
        reference=graph,
        data=Calibration(calibration),  # type: ignore[arg-type]
        inference=ENGINE,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=0,
    )
    return method(method.Parameters(**parameters)).apply(graph, settings, tools)


def matrices(methods: dict[str, type[Method]]) -> None:
    """Compare the two SVDs at half the parameters of the matrices."""
    for name, samples in (("bert_toy_optimized", text), ("mnist_burn", clothes)):
        graph = open_model(DATA / "zoo" / f"{name}.onnx")
        shapes = {layer.name: layer.weight_shape for layer in find_layers(graph) if layer.op in ("Gemm", "MatMul")}
        half = {
            layer: {"rank_ratio": (prod(shape) // (2 * sum(shape))) / min(shape)}
            for layer, shape in shapes.items()
            if len(shape) == 2 and prod(shape) >= 2 * sum(shape)
        }
        test = samples(256, 2)
        expected = outputs(graph, test)
        errors: dict[str, list[float]] = {}
        for method in ("decompose.svd", "decompose.asvd"):
            result = applied(methods[method], graph, Plan(layers=half), samples(256, 1))
            found = outputs(result.graph, test)
            errors[method] = [
                float(np.sqrt(((a - b) ** 2).mean() / ((b - b.mean(axis=0)) ** 2).mean()))
                for a, b in zip(found, expected, strict=True)
            ]
            share = result.details["weight_params_after"] / result.details["weight_params_before"]
            shown = "  ".join(f"{error:.3f}" for error in errors[method])
            print(f"{name:20} {method:16} weights x{share:.3f}  output error {shown}")
        gains = [plain / aware for plain, aware in zip(*errors.values(), strict=True)]
        print(f"{'':20} plain / activation-aware        " + "  ".join(f"{gain:.2f}" for gain in gains))


def convolutions(methods: dict[str, type[Method]]) -> None:
    """Compare the convolution methods on ResNet-20."""
    graph = open_model(DATA / "models" / "resnet20_cifar10_folded.onnx")
    (train, _), (test, labels) = cifar("train", 256), cifar("test", 2000)
    macs = graph_cost(graph).macs

    def top1(model: ModelGraph) -> float:
        return float((outputs(model, test)[0].argmax(1) == labels).mean())

    print(f"{'resnet20':20} {'float':22} top1 {top1(graph):.4f}")
    weights_alone = {"mean_samples": 0}
    for method, ratio, parameters in (
        ("decompose.channel_svd", 0.5, {}),
        ("decompose.spatial_svd", 0.28, weights_alone),
        ("decompose.spatial_svd", 0.28, {}),
        ("decompose.tucker2", 0.65, weights_alone),
        ("decompose.tucker2", 0.65, {}),
        ("decompose.cp", 0.24, weights_alone),
        ("decompose.cp", 0.24, {}),
    ):
        result = applied(methods[method], graph, Plan(default={"rank_ratio": ratio}), train, **parameters)
        cost = graph_cost(result.graph).macs / macs
        count = len(result.details["layers"])
        left = ", means left" if parameters else ""
        print(f"{'resnet20':20} {method:22} top1 {top1(result.graph):.4f}  macs x{cost:.3f}  ({count} layers{left})")


def main() -> None:
    """Print all figures."""
    folder = ROOT / "plugins" / "decompose"
    methods = {method.id: method for method in load_methods(read_manifest(folder, "first-party"))}
    matrices(methods)
    convolutions(methods)


if __name__ == "__main__":
    main()
