"""Compares roundings, levels and storage of weights on ResNet-20: what each keeps, and what its file takes.

    python tests/benchmarks/quantization_formats.py [--images 10000] [--seconds 6] [--schemes]

512 calibration images, 8-bit activations, exported files in ONNX Runtime, batch 1, 1 thread, interleaved rounds.
"Packed" is counted, the file is measured. Latest figures (Xeon with AVX-512 VNNI, onnxruntime 1.31.1, a busy machine,
on which seconds are several times those of a quiet one):

    all 10,000 test images
    quantize.gptq W4A8                          top1 0.9154   382 kB   69 s
    quantize.gptq W3A8                          top1 0.9072   382 kB   88 s

    the first 2,000 test images
    quantize.ptq W4A8                           top1 0.8935   382 kB
    quantize.ptq W4A8, bias correction          top1 0.9015   384 kB
    quantize.gptq W4A8                          top1 0.9090   382 kB
    quantize.gptq W4A8, in the stored order     top1 0.9085   382 kB
    quantize.ptq W3A8                           top1 0.5740   382 kB
    quantize.ptq W4A8, apot                     top1 0.8885   382 kB
    quantize.ptq W4A8, power_of_two             top1 0.8565   382 kB
    quantize.ptq W4A8, powers of two as scales  top1 0.8590   380 kB

    latency, ratio to float, of weights of 4 and 2 bits with 8-bit activations (same results to the last bit)
    int8 in the file (fast)                     4 bits 0.517   382 kB    2 bits 0.520   382 kB
    int4 / int2 in the file, cast (small)       4 bits 0.518   248 kB    2 bits 0.516   181 kB
    int4 read by DequantizeLinear               4 bits 2.811   245 kB    2 bits refused by the runtime

Symmetric weights against affine ones (--schemes), all 10,000 test images; ratio is the time against float. Zero points
take the runtime's kernel for symmetric weights away (ResNet-20: 1.1 to 1.27 times the time) and leave all in integers:

                                              symmetric              affine
    quantize.ptq W8A8, scale a channel        0.9173  ratio 0.471    0.9177  ratio 0.598
    quantize.ptq W8A8, one scale              0.9172  ratio 0.465    0.9168  ratio 0.577
    quantize.ptq W4A8, scale a channel        0.9089  ratio 0.471    0.9128  ratio 0.600
    quantize.ptq W4A8, one scale              0.8970  ratio 0.467    0.9004  ratio 0.513
    quantize.gptq W4A8, scale a channel       0.9165  ratio 0.470    0.9165  ratio 0.589

Single operators in onnxruntime 1.31, int8 weights and uint8 data, 1 thread, us without / with one zero point for all
channels / one each: Conv 64x64x3x3 at 8x8 17 / 15 / 15, 16x16x3x3 at 32x32 34 / 45 / 46, 128x64x1x1 at 16x16 24 / 32 /
32, depthwise 64x3x3 at 16x16 21 / 30 / 652, depthwise 32x5x5 at 32x32 67 / 107 / 4,648; Gemm and MatMul 256x256 22 / 22
/ 23 and 20 / 20 / 21. All run as QLinearConv, QGemm and QLinearMatMul. With uint8 weights the first Conv of 64 channels
takes 128 instead of 42, whatever the zero point.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from quantization_resnet20 import MODEL, Calibration, accuracy, images

from workbench.devices import ThisComputer
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.graph.packed_size import packed_size_bytes
from workbench.graph.storage import open_model, save_model
from workbench.methods.method import Tools
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

SETTINGS: tuple[tuple[str, int, dict[str, object]], ...] = (
    ("quantize.ptq", 4, {}),
    ("quantize.ptq", 4, {"bias_correction": True}),
    ("quantize.ptq", 4, {"storage": "small"}),
    ("quantize.ptq", 4, {"grid": "apot"}),
    ("quantize.ptq", 4, {"grid": "power_of_two"}),
    ("quantize.ptq", 4, {"power_of_two_scales": True}),
    ("quantize.gptq", 4, {}),
    ("quantize.gptq", 4, {"activation_order": False}),
    ("quantize.gptq", 4, {"bias_correction": True}),
    ("quantize.ptq", 3, {}),
    ("quantize.gptq", 3, {}),
    ("quantize.gptq", 3, {"storage": "small"}),
    ("quantize.ptq", 2, {"grid": "ternary", "storage": "small"}),
    ("quantize.gptq", 2, {"storage": "small"}),
)
SCHEMES: tuple[tuple[str, int, dict[str, object]], ...] = tuple(
    (method, bits, {"weight_scales": scales, "weight_scheme": scheme})
    for method, bits, scales in (
        ("quantize.ptq", 8, "channel"),
        ("quantize.ptq", 8, "tensor"),
        ("quantize.ptq", 4, "channel"),
        ("quantize.ptq", 4, "tensor"),
        ("quantize.gptq", 4, "channel"),
    )
    for scheme in ("symmetric", "affine")
)


def main() -> None:
    """Print one line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--schemes", action="store_true", help="symmetric weights against affine ones alone")
    arguments = parser.parse_args()
    train, _ = images("train")
    test, labels = (array[: arguments.images] for array in images("test"))
    x = train[np.random.default_rng(0).permutation(len(train))[:512]]
    graph = open_model(MODEL)
    (manifest,) = [found for found in find_plugins().manifests if found.id == "quantize"]
    methods = {method.id: method for method in load_methods(manifest)}
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    with tempfile.TemporaryDirectory() as folder:
        paths, rows = [MODEL], []
        for number, (name, bits, settings) in enumerate(SCHEMES if arguments.schemes else SETTINGS):
            plan = resolve(Plan(default={"weight_bits": bits, "activation_bits": 8}), knobs, FIRST_PARTY_KNOBS)
            tools = Tools(graph, Calibration(x), OrtEngine(1), None, np.random.default_rng(0), 0)  # type: ignore[arg-type]
            began = time.perf_counter()
            made = methods[name](methods[name].Parameters(**settings)).apply(graph, plan, tools).graph
            seconds = time.perf_counter() - began
            paths.append(Path(folder) / f"{number}.onnx")
            save_model(made, paths[-1])
            size = paths[-1].stat().st_size
            rows.append((f"{name} W{bits}A8 {settings}", accuracy(paths[-1], test, labels), size, seconds, made))
        report = ThisComputer().measure(paths, seconds=arguments.seconds * 3, operators=False, memory=False)
        for (title, top1, size, seconds, made), model in zip(rows, report.models[1:], strict=True):
            packed = packed_size_bytes(made, size)
            print(
                f"{title:55s} top1 {top1:.4f}  ratio {model.ratio_to_first.median:.3f}  {size / 1000:.0f} kB, packed "
                f"{packed / 1000:.0f} kB  {seconds:.1f} s"
            )


if __name__ == "__main__":
    main()
