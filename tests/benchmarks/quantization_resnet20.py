"""Compares quantize.ptq with onnxruntime's own tool on ResNet-20, in one process.

    python tests/benchmarks/quantization_resnet20.py [--seconds 12] [--seed 0]

256 calibration images, full test set (10,000 images), batch 1, 1 thread, interleaved rounds. Latest figures (Xeon
with AVX-512 VNNI, onnxruntime 1.31.1, quiet; seconds are those of quantizing):

    float                top1 0.9173  ratio 1.000                1154 kB
    onnxruntime W8A8     top1 0.9180  ratio 0.498 (0.497-0.499)   366 kB  0.5 s
    quantize.ptq W8A8    top1 0.9179  ratio 0.464 (0.463-0.465)   382 kB  1.0 s
    quantize.ptq W4A8    top1 0.9022  ratio 0.464 (0.463-0.465)   382 kB  0.9 s
    quantize.ptq W4A4    top1 0.8562  ratio 0.541 (0.539-0.542)   399 kB  0.9 s
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402

from workbench.devices import ThisComputer  # noqa: E402
from workbench.domain.knobs import FIRST_PARTY_KNOBS  # noqa: E402
from workbench.domain.plan import Plan, resolve  # noqa: E402
from workbench.engines.contracts import Batch  # noqa: E402
from workbench.engines.inference_ort import OrtEngine, open_session  # noqa: E402
from workbench.graph.layers import knobs_of, layer_nodes  # noqa: E402
from workbench.graph.model import ModelGraph  # noqa: E402
from workbench.graph.storage import open_model, save_model  # noqa: E402
from workbench.methods.method import Tools  # noqa: E402
from workbench.plugin_host.loader import load_methods  # noqa: E402
from workbench.plugin_host.manifests import find_plugins  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
MODEL = DATA / "models" / "resnet20_cifar10_folded.onnx"
SAMPLES = 256


def images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return preprocessed images (N, 3, 32, 32) float32 and labels (N,)."""
    arrays = np.load(DATA / "cifar10" / f"{split}.npz")
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = (arrays["x"] / np.float32(255) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32), arrays["y"]


class Calibration:
    """The same images for both tools."""

    task, metric = "classification", "top1"

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        for start in range(0, samples, batch_size):
            yield Batch({"input": self.x[start : min(start + batch_size, samples)]}, None)


class Reader(CalibrationDataReader):
    """The same images as onnxruntime's tool takes them."""

    def __init__(self, x: np.ndarray) -> None:
        self.batches = iter([{"input": part} for part in np.split(x, 4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def ours(graph: ModelGraph, x: np.ndarray, weight_bits: int, activation_bits: int) -> ModelGraph:
    """Run quantize.ptq with its defaults."""
    (manifest,) = [found for found in find_plugins().manifests if found.id == "quantize"]
    (method,) = [found for found in load_methods(manifest) if found.id == "quantize.ptq"]
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    plan = Plan(default={"weight_bits": weight_bits, "activation_bits": activation_bits})
    tools = Tools(graph, Calibration(x), OrtEngine(1), None, np.random.default_rng(0), 0)  # type: ignore[arg-type]
    return method(method.Parameters()).apply(graph, resolve(plan, knobs, FIRST_PARTY_KNOBS), tools).graph


def theirs(x: np.ndarray, out: Path) -> None:
    """Run quantize_static: QDQ, per channel, uint8 activations, int8 weights."""
    quantize_static(
        str(MODEL),
        str(out),
        Reader(x),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def accuracy(path: Path, x: np.ndarray, y: np.ndarray) -> float:
    """Return top-1 of a file."""
    session = open_session(path, threads=2)
    right = sum(
        int((session.run({"input": x[start : start + 500]})["logits"].argmax(1) == y[start : start + 500]).sum())
        for start in range(0, len(x), 500)
    )
    return right / len(x)


def main() -> None:
    """Print both tools' accuracy, latency ratio, size and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, _ = images("train")
    x = train[np.random.default_rng(arguments.seed).permutation(len(train))[:SAMPLES]]
    test, labels = images("test")
    graph = open_model(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        rows: list[tuple[str, Path, float]] = [("float", MODEL, 0.0)]
        out = Path(folder) / "theirs.onnx"
        began = time.perf_counter()
        theirs(x, out)
        rows.append(("onnxruntime W8A8", out, time.perf_counter() - began))
        for weight_bits, activation_bits in ((8, 8), (4, 8), (4, 4)):
            out = Path(folder) / f"w{weight_bits}a{activation_bits}.onnx"
            began = time.perf_counter()
            save_model(ours(graph, x, weight_bits, activation_bits), out)
            rows.append((f"quantize.ptq W{weight_bits}A{activation_bits}", out, time.perf_counter() - began))
        report = ThisComputer().measure([path for _, path, _ in rows], seconds=arguments.seconds, operators=False)
        print(report.device.cpu, report.device.runtime, "quiet" if report.noise.quiet else report.noise.reason)
        for (name, path, seconds), model in zip(rows, report.models, strict=True):
            low, high = model.ratio_to_first.ci95
            print(
                f"{name:20s} top1 {accuracy(path, test, labels):.4f}  ratio {model.ratio_to_first.median:.3f} "
                f"({low:.3f}-{high:.3f})  {model.latency_ms.median:.3f} ms  {model.size_bytes / 1000:.0f} kB  "
                f"{seconds:.1f} s"
            )


if __name__ == "__main__":
    main()
