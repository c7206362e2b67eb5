"""Compares quantize.ptq with onnxruntime's own tool on ResNet-20, in one process.

    python tests/benchmarks/quantization_resnet20.py [--seconds 12] [--seed 0] [--memory]

512 calibration images, full test set (10,000 images), batch 1, 1 thread, interleaved rounds; quantize.equalize first
where it says so. Top-1 of the exported files (onnxruntime 1.31.1, AVX-512 VNNI), asked beside reached; seconds are the
processor's, because the machine had other work. Biases are corrected (bias_correction, the default) unless it says so:

    onnxruntime W8A8                0.9174                  2.0 s
    W8A8                            0.9173   asked 0.917    2.7 s   (nothing to correct: no mean error reaches 1 %)
    W4A8 minmax, uncorrected        0.8968   asked 0.896    0.8 s
    W4A8 minmax                     0.9100                  1.8 s
    W4A8 minmax, equalized          0.9093   asked 0.906    1.9 s
    W4A8 uncorrected                0.9025                  1.5 s
    W4A8                            0.9089                  2.6 s
    W4A8 equalized                  0.9110   asked 0.906    2.7 s
    W4A4 uncorrected                0.8584                  1.5 s
    W4A4                            0.8814                  2.6 s

On a processor without VNNI (2 cores of an AMD Zen 3 server, quiet), where sums of two products saturate:

    onnxruntime W8A8          0.9109  ratio 0.636     W8A8, activation_type int8   0.9171  ratio 1.252
    W8A8                      0.9106        0.606     W8A8, activations of 7 bits  0.9155        0.674
    W8A8, reduce_range        0.9172        0.606     W8A8, weights affine         0.9116        0.785
    W4A8                      0.9086        0.606     the same, reduce_range       0.9174        0.786

Corrected layer after layer, a pass over all samples for each and before residual sums (as it was), W8A8 came to 0.9166,
W4A8 minmax equalized to 0.9098 and W4A8 to 0.9065, in 6 s more. Were W8A8 corrected nevertheless, four draws of
samples came to 0.9168, 0.9178, 0.9163 and 0.9178; uncorrected to 0.9173, 0.9182, 0.9166 and 0.9162. Of ResNet-56's
decisions on 2,000 images 0.9785 agree with the original's at W4A8 minmax (0.9505 uncorrected), 0.9915 at W8A8 (0.9910).

Latency ratios, on a quiet machine with 256 images: float 1, onnxruntime W8A8 0.498, W8A8 and W4A8 0.464, W4A4 0.541;
the correction adds no node (0.469 beside 0.467 and 0.470 without, on a busy one). Side by side W4A8 takes 1.002
(0.999-1.005) of W8A8's time, asked at most 1.05. The step is asked to take less than 10 s; peak memory is 353 MB with
256 samples and 365 MB with 4,096 (--memory), asked to be flat within 10 %.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

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
SAMPLES = 512
MINMAX = {"calibrator": "minmax", "weight_range": "minmax"}
UNCORRECTED = {"bias_correction": False}


class Row(NamedTuple):
    """A way of quantizing, and the top-1 that was asked of it."""

    label: str
    weight_bits: int
    activation_bits: int
    settings: Mapping[str, Any] = MappingProxyType({})
    equalized: bool = False
    asked: float | None = None


ROWS = (
    Row("quantize.ptq W8A8", 8, 8, asked=0.917),
    *(Row(f"W8A8 {name}", 8, 8, {"calibrator": name}) for name in ("moving_average", "percentile", "mse", "entropy")),
    Row("W8A8 reduce_range", 8, 8, {"reduce_range": True}),
    Row("W8A8 signed", 8, 8, {"activation_type": "int8"}),
    Row("W8A8 affine weights", 8, 8, {"weight_scheme": "affine"}),
    Row("W8A8 affine, reduce_range", 8, 8, {"weight_scheme": "affine", "reduce_range": True}),
    Row("W8A7", 8, 7),
    Row("W4A8 minmax, uncorrected", 4, 8, MINMAX | UNCORRECTED, asked=0.896),
    Row("W4A8 minmax", 4, 8, MINMAX),
    Row("W4A8 minmax, equalized", 4, 8, MINMAX, equalized=True, asked=0.906),
    Row("W4A8 uncorrected", 4, 8, UNCORRECTED),
    Row("W4A8", 4, 8),
    Row("W4A8 equalized", 4, 8, equalized=True, asked=0.906),
    Row("W4A4 uncorrected", 4, 4, UNCORRECTED),
    Row("W4A4", 4, 4),
    Row("W4A4 equalized", 4, 4, equalized=True),
)


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
        self.batches = iter([{"input": part} for part in np.split(x, 8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def step(
    graph: ModelGraph, data: Calibration, id: str, bits: tuple[int, int], settings: Mapping[str, Any]
) -> ModelGraph:
    """Run one method of the plugin."""
    (manifest,) = [found for found in find_plugins().manifests if found.id == "quantize"]
    (method,) = [found for found in load_methods(manifest) if found.id == id]
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    plan = Plan(default={"weight_bits": bits[0], "activation_bits": bits[1]})
    tools = Tools(graph, data, OrtEngine(1), None, np.random.default_rng(0), 0)  # type: ignore[arg-type]
    applied = method(method.Parameters(**settings)).apply(graph, resolve(plan, knobs, FIRST_PARTY_KNOBS), tools)
    return applied.graph


def ours(graph: ModelGraph, x: np.ndarray, row: Row) -> ModelGraph:
    """Run quantize.ptq, after quantize.equalize where the row says so."""
    bits = row.weight_bits, row.activation_bits
    if row.equalized:
        graph = step(graph, Calibration(x), "quantize.equalize", bits, {})
    return step(graph, Calibration(x), "quantize.ptq", bits, row.settings)


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


def peak_memory_bytes(samples: int) -> int:
    """Return the most memory that a process of its own takes to quantize with so many samples."""
    command = [sys.executable, __file__, "--peak-of", str(samples)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


class MadeUp(Calibration):
    """As many images as are asked for, made while they are read."""

    def __init__(self) -> None:
        super().__init__(np.empty(0))

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        rng = np.random.default_rng(0)
        for start in range(0, samples, batch_size):
            size = min(batch_size, samples - start)
            yield Batch({"input": rng.normal(size=(size, 3, 32, 32)).astype(np.float32)}, None)


def print_peak(samples: int) -> None:
    """Quantize with made-up images and print the process's largest resident memory in bytes."""
    step(open_model(MODEL), MadeUp(), "quantize.ptq", (8, 8), {"calibration_samples": samples})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main() -> None:
    """Print both tools' accuracy, latency ratio, size and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true", help="only the peak memory for 256 and 4,096 samples")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print_peak(arguments.peak_of)
        return
    if arguments.memory:
        for samples in (256, 4096):
            print(f"{samples:5d} samples: peak {peak_memory_bytes(samples) / 1e6:.0f} MB", flush=True)
        return
    train, _ = images("train")
    x = train[np.random.default_rng(arguments.seed).permutation(len(train))[:SAMPLES]]
    test, labels = images("test")
    graph = open_model(MODEL)
    with tempfile.TemporaryDirectory() as folder:
        rows: list[tuple[Row, Path, float, float]] = [(Row("float", 32, 32), MODEL, 0.0, 0.0)]
        out = Path(folder) / "theirs.onnx"
        began, busy = time.perf_counter(), time.process_time()
        theirs(x, out)
        rows.append((Row("onnxruntime W8A8", 8, 8), out, time.perf_counter() - began, time.process_time() - busy))
        for number, row in enumerate(ROWS):
            out = Path(folder) / f"{number}.onnx"
            began, busy = time.perf_counter(), time.process_time()
            save_model(ours(graph, x, row), out)
            rows.append((row, out, time.perf_counter() - began, time.process_time() - busy))
        files = [path for _, path, _, _ in rows]
        report = ThisComputer().measure(files, seconds=arguments.seconds, operators=False, memory=False)
        print(report.device.cpu, report.device.runtime, "quiet" if report.noise.quiet else report.noise.reason)
        for (row, path, seconds, busy), model in zip(rows, report.models, strict=True):
            reached = accuracy(path, test, labels)
            asked = "" if row.asked is None else f"  asked {row.asked:.3f}: {'yes' if reached >= row.asked else 'NO'}"
            print(
                f"{row.label:25s} top1 {reached:.4f}  ratio {model.ratio_to_first.median:.3f}  "
                f"{model.size_bytes / 1000:5.0f} kB  {seconds:6.1f} s ({busy:.1f} s of processor){asked}",
                flush=True,
            )


if __name__ == "__main__":
    main()
