"""Measures quantize.weight_only on shared transformers and on a made-up perceptron of a usual size, in one process.

    python tests/benchmarks/quantization_weight_only.py [--only NAME ...] [--seconds 3]

The perceptron (512 → 2048 → 512, random weights, inputs of rank 64 and noise, one row a run) is where packed weights
are for: its weights do not fit into the cache. SQNR is in dB, of the exported file in ONNX Runtime against the float
one, on samples that were not calibrated on. Latency is the ratio to the float file, batch 1, 1 thread, interleaved.

Latest figures (Xeon with AVX-512 VNNI, onnxruntime 1.31.1, a busy machine; block size 32 unless said):

    perceptron: 8399 kB, 0.318 ms
        8 bits                                         39.7 dB    2370 kB  ratio 0.28 (0.28-0.29)
        4 bits                                         18.0 dB    1322 kB  ratio 0.18 (0.17-0.18)
        4 bits block_size=128                          16.7 dB    1125 kB  ratio 0.12 (0.12-0.12)
        4 bits symmetric=False                         19.2 dB    1355 kB  ratio 0.18 (0.17-0.18)
        4 bits arithmetic=float                        18.1 dB    1322 kB  ratio 0.52 (0.52-0.53)
        4 bits rounding=gptq                           26.9 dB    1322 kB  ratio 0.18 (0.18-0.18)
        4 bits scaling=awq                             18.1 dB    1322 kB  ratio 0.18 (0.18-0.18)
        4 bits rounding=gptq scaling=awq               26.8 dB    1322 kB  ratio 0.18 (0.17-0.18)
        2 bits symmetric=False                          6.8 dB     814 kB  ratio 0.31 (0.31-0.31)
        2 bits symmetric=False rounding=gptq           14.6 dB     814 kB  ratio 0.31 (0.30-0.31)
        8 bits arithmetic=float                        42.5 dB    2370 kB  ratio 297.64 (183.43-324.03)
    bert_toy_optimized: 263 kB, 0.138 ms
        8 bits                                         39.2 dB     184 kB  ratio 1.55 (1.53-1.56)
        4 bits                                         18.1 dB     163 kB  ratio 1.59 (1.57-1.60)
        4 bits arithmetic=float                        18.1 dB     163 kB  ratio 1.29 (1.27-1.32)
        4 bits rounding=gptq                           15.5 dB     163 kB  ratio 1.60 (1.58-1.61)
        4 bits scaling=awq                             16.7 dB     163 kB  ratio 1.59 (1.57-1.62)
    gpt2_past: 192 kB, 0.306 ms
        8 bits                                         56.2 dB     152 kB  ratio 2.45 (2.08-3.46)
        4 bits                                         33.9 dB     145 kB  ratio 1.63 (1.54-2.27)
        4 bits rounding=gptq                           37.8 dB     145 kB  ratio 1.86 (1.71-2.00)
        4 bits rounding=gptq scaling=awq               38.3 dB     145 kB  ratio 2.13 (1.66-3.17)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from quantization_zoo import SIZES, TOKENS, ZOO, Calibration, made_up

from workbench.devices import ThisComputer
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine, open_session
from workbench.graph.layers import knobs_of, layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model, save_model
from workbench.methods.method import Tools
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins

# Its table holds 20 words.
TOKENS["tf_bert"] = 20
MODELS = ("gpt2_past", "bert_toy_optimized", "tf_bert_qa_excerpt", "perceptron")
SETTINGS: tuple[tuple[int, dict[str, object]], ...] = (
    (8, {}),
    (4, {}),
    (4, {"block_size": 128}),
    (4, {"symmetric": False}),
    (4, {"arithmetic": "float"}),
    (4, {"rounding": "gptq"}),
    (4, {"scaling": "awq"}),
    (4, {"rounding": "gptq", "scaling": "awq"}),
    (2, {"symmetric": False}),
    (2, {"symmetric": False, "rounding": "gptq"}),
    (8, {"arithmetic": "float"}),
)


def perceptron() -> ModelGraph:
    """Return the made-up model."""
    import onnx
    import onnx_ir as ir

    text = """<ir_version: 9, opset_import: ["" : 17]>
    perceptron (float[batch,512] x) => (float[batch,512] y) {
        h = Gemm <transB = 1> (x, w1, b1)
        r = Relu (h)
        y = Gemm <transB = 1> (r, w2, b2)
    }"""
    rng = np.random.default_rng(0)
    shapes = {"w1": (2048, 512), "b1": (2048,), "w2": (512, 2048), "b2": (512,)}
    model = onnx.parser.parse_model(text)
    for name, shape in shapes.items():
        array = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    for node in model.graph.node:
        node.name = f"make_{node.output[0]}"
    return ModelGraph(ir.from_proto(model))


def samples_of(name: str, graph: ModelGraph) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Return inputs to calibrate and to test with."""
    if name != "perceptron":
        made = [made_up(name, graph.inputs, seed) for seed in range(24)]
        return made[:16], made[16:]
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4096 + 256, 64)) @ rng.standard_normal((64, 512)) / 8
    x = (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)
    return [{"x": part} for part in np.split(x[:4096], 64)], [{"x": x[4096:]}]


def quantized(graph: ModelGraph, samples: list[dict[str, np.ndarray]], bits: int, settings: dict) -> ModelGraph:
    """Run the method on all layers that it takes."""
    (manifest,) = [found for found in find_plugins().manifests if found.id == "quantize"]
    (method,) = [found for found in load_methods(manifest) if found.id == "quantize.weight_only"]
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    plan = resolve(Plan(default={"weight_bits": bits}), knobs, FIRST_PARTY_KNOBS)
    tools = Tools(graph, Calibration(samples), OrtEngine(1), None, np.random.default_rng(0), 0)  # type: ignore[arg-type]
    return method(method.Parameters(**settings)).apply(graph, plan, tools).graph


def sqnr(exact: ModelGraph, other: ModelGraph, samples: list[dict[str, np.ndarray]]) -> float:
    """Return the SQNR in dB of the output that fares worst."""
    sessions = [open_session(graph, threads=1) for graph in (exact, other)]
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for inputs in samples:
        first, second = (session.run(inputs) for session in sessions)
        for name, array in first.items():
            wide = array.astype(np.float64)
            signal[name] = signal.get(name, 0.0) + float(np.square(wide).sum())
            noise[name] = noise.get(name, 0.0) + float(np.square(second[name] - wide).sum())
    return min(10 * np.log10(signal[name] / max(noise[name], 1e-30)) for name in signal if signal[name])


def main() -> None:
    """Print one line for each model and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(MODELS))
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            graph = perceptron() if name == "perceptron" else open_model(ZOO / f"{name}.onnx")
            paths = [Path(folder) / f"{name}.onnx"]
            save_model(graph, paths[0])
            calibration, test = samples_of(name, graph)
            rows: list[tuple[str, float]] = []
            for number, (bits, settings) in enumerate(SETTINGS):
                made = quantized(graph, calibration, bits, settings)
                paths.append(Path(folder) / f"{name}_{number}.onnx")
                save_model(made, paths[-1])
                shown = " ".join(f"{key}={value}" for key, value in settings.items())
                rows.append((f"{bits} bits {shown}", sqnr(graph, made, test)))
            known = {size for info in graph.inputs for size in info.shape or () if isinstance(size, str)}
            sizes = {key: size for key, size in SIZES.items() if key in known}
            report = ThisComputer().measure(
                paths, seconds=arguments.seconds * len(paths), operators=False, memory=False, dimensions=sizes
            )
            print(f"{name}: {report.models[0].size_bytes / 1000:.0f} kB, {report.models[0].latency_ms.median:.3f} ms")
            for (title, db), model in zip(rows, report.models[1:], strict=True):
                low, high = model.ratio_to_first.ci95
                print(
                    f"    {title:45s} {db:5.1f} dB  {model.size_bytes / 1000:6.0f} kB  "
                    f"ratio {model.ratio_to_first.median:.2f} ({low:.2f}-{high:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
