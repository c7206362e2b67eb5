"""Quantizes every shared third-party model to 8 bits with quantize.ptq and with onnxruntime's own tool, in one process.

    python tests/benchmarks/quantization_zoo.py [--only NAME …] [--samples 16] [--seconds 3] [--no-latency] [--tools …]

The same made-up but plausible inputs calibrate both (16, and 4 others test): images of blocks and noise in the range
that the model takes, tones, tokens. SQNR is that of the output that fares worst, in dB, of the exported file in ONNX
Runtime against the float one. `^` marks models that are quantized or in half precision and were turned back to float
first, `*` those that quantize_static only takes after our upgrade of their opset. Latency is the ratio to the float
file, ours / the other's, batch 1, 1 thread, interleaved rounds.

SQNR of the worst output, 16 calibration samples (onnxruntime 1.31.1, nncf 3.4.0; "unc." without bias_correction;
inf: nothing differs), and latency on a quiet machine, measured without the correction, which adds no node:

                                ours   unc.    ort   nncf   latency: ours / ort
    ultraface_rfb320            53.9   48.4    41.4   50.1   0.306 / 0.776
    ultraface_slim320_nopost    21.5   20.4    15.8   24.3   0.299 / 0.782
    yunet_n_dynamic             15.6   10.2     6.7    8.5   1.357 / 1.403
    fastestdet                  20.0   17.2    17.3   15.0   0.959 / 1.099
    yolox_nano                   6.7    6.8     6.8    2.6   0.937 / 0.947
    road_seg_adas0001           30.3   23.5    24.3   25.9   0.528 / 0.583
    deeplab_v3_mnv2             40.1   28.6    28.6   33.5   0.506 / 0.557
    litemono_tiny_decoder       47.7   47.7   fails   44.8   0.550
    super_resolution_op10       32.2   25.2    25.2   25.0   0.282 / 0.322
    style_candy_op7             27.1   27.0    25.4   31.5   0.977 / 0.961
    squeezenet_fp16^            21.9   21.9   fails  fails   0.433
    tbefn_lowlight              42.2   37.7    37.2   32.5   0.953 / 0.948
    gtcrn_stream                16.7   15.4   fails   14.2   1.125
    gtcrn_stream_simple         16.7   15.4   fails   14.2   1.179
    basic_pitch_nmp             15.1   11.2   fails    9.1   1.658
    oww_embedding               28.0   26.1    26.2   18.2   0.571 / 0.633
    magika_standard_v3_3        70.3   72.2    54.0   43.8   0.498 / 0.534
    byte_sb_bidi_lstm           52.6   52.6    44.9   52.8   1.007 / 1.003
    mnist_cntk_op8              29.0   29.0    30.0   26.4   2.426 / 2.706
    mnist_burn                  34.3   34.3    31.6   24.1   0.712 / 0.751
    winml_image_classifier      34.7   34.7    23.1   20.8   0.678 / 0.735
    bert_toy_optimized          31.8   29.1    24.9   16.8   1.711 / 2.634
    gpt2_past                   42.1   42.1    26.4   18.0   2.400 / 6.069
    tf_bert_qa_excerpt          20.4   20.4    21.6   21.0   0.970 / 2.176
    stock_lstm                  62.1   58.8    36.2   49.3   1.016 / 1.016
    ppocr_v1_det                 inf    inf     inf    inf   0.810 / 1.730
    reversi_ai                   inf    inf    48.1    inf   1.496 / 1.676
    edge_conv_qdq_external^     38.0   38.0    41.0   35.5   0.642 / 1.002
    edge_qdq_conv_perchannel^   38.7   38.7    36.5   34.7   0.664 / 1.213

Where both run, ours takes as long or less. Three of the rows above say otherwise by 0.4 to 1.7 %; timed against each
other alone (`--direct --seconds 20 --samples 4`), with interval: style_candy 0.931 (0.928-0.935), byte_sb 0.995
(0.995-0.997), and tbefn 1.013 (1.010-1.018) until channels were padded only where the runtime's direct kernel takes the
layer, since then 0.984 (0.977-0.992); also yunet 0.912, super_resolution 0.868, winml_image_classifier 0.901,
ultraface_rfb320 0.472.

Linear resizing stays in float unless asked (`linear_resize`), or models would be slower than quantize_static's, which
leaves deeplab's in float, too: on an AMD Zen 3 server, float / integers / quantize_static, deeplab 0.650 / 0.797 /
0.654, road_seg 1.300 / 1.372 / 1.359 (its depthwise convolutions have no fast integer kernel there).

The rows of stock_lstm, byte_sb and gtcrn were measured while recurrent layers stayed in float. Rounded too (4 samples,
uncorrected), weights alone / and activations: stock_lstm 62.2 / 60.7 dB and 370 kB of 1,351, byte_sb 53.9 / 42.0 dB and
362 kB of 1,359, gtcrn_stream_simple 15.4 / 11.0.

Nothing to quantize: silero_vad, whose layers are inside an If, tiny_gpt2_beamsearch, and the edge cases without layers.
Refused: mnist_quantized, whose operators compute on integers. Don't run in float: edge_ext_missing, edge_noopset,
edge_string_identity, finn_cybsec, sr_with_prepost_op18. Correcting biases layer after layer, a pass over the samples
for each (the previous way), came to 54.1 (ultraface_rfb320), 42.7 (deeplab), 32.2 (super_resolution), 14.2 (yunet),
29.3 (bert_toy), 16.8 (gtcrn) and 20.0 dB (fastestdet) in 1.6 to 8 times the seconds. Leaving the first and the last
layer in float is no rule to follow. On a busy machine ratios of time rise from 0.469 to 0.481 (ResNet-20; ResNet-56
0.455 and 0.459, within the noise), 0.70 to 0.73 (winml_image_classifier), 0.51 to 0.80 (deeplab), 0.48 to 1.09
(super_resolution) and 0.51 to 1.10 (squeezenet). Depthwise convolutions and small matrix products are slower in
integers than in float on this processor, whichever tool made the file: `workbench preflight` says which.

The ultraface files list their weights among their inputs, so that the
runtime folds and fuses nothing; ours does not. Of ultraface_rfb320 the float graph, opened and saved by the workbench,
takes 0.350 (0.348-0.353) of the original file's time, W8A8 0.358 (0.355-0.361), corrected 0.360 (0.358-0.364), side by
side on a busy machine: what is gained there is gained by saving, not by integers. Other models
were not measured so.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: E402

from workbench.devices import ThisComputer  # noqa: E402
from workbench.domain.errors import WorkbenchError  # noqa: E402
from workbench.domain.knobs import FIRST_PARTY_KNOBS  # noqa: E402
from workbench.domain.plan import Plan, resolve  # noqa: E402
from workbench.engines.contracts import Batch, Inputs  # noqa: E402
from workbench.engines.inference_ort import OrtEngine, open_session  # noqa: E402
from workbench.graph.layers import knobs_of, layer_nodes  # noqa: E402
from workbench.graph.model import ModelGraph, ValueInfo  # noqa: E402
from workbench.graph.passes.upgrade_opset import upgrade_opset  # noqa: E402
from workbench.graph.storage import open_model, save_model  # noqa: E402
from workbench.methods.method import Parameters, Tools  # noqa: E402
from workbench.plugin_host.loader import load_methods  # noqa: E402
from workbench.plugin_host.manifests import find_plugins  # noqa: E402

ZOO = ROOT.parent / "shared" / "data" / "zoo"
SIZES = {
    "height": 160,
    "width": 160,
    "length": 64,
    "max_seq_len_in_batch": 16,
    "seq_len": 4,
    "sequence_length": 8,
    "Sequence": 8,
}
# Sizes of nameless dimensions, by input.
PLACES = {("image", 2): 160, ("image", 3): 160, ("input", 1): 512}
# Range of the floats that a model takes, where it is not 0-1.
RANGES = {
    "ultraface": (-1.0, 1.0),
    "yunet": (0.0, 255.0),
    "yolox": (0.0, 255.0),
    "road_seg": (0.0, 255.0),
    "deeplab": (-1.0, 1.0),
    "style_candy": (0.0, 255.0),
    "ppocr": (-2.0, 2.0),
    "mnist_cntk": (0.0, 255.0),
    "squeezenet": (-120.0, 130.0),
    "silero": (-0.5, 0.5),
    "gtcrn": (-0.5, 0.5),
    "basic_pitch": (-0.5, 0.5),
    "oww": (0.0, 3.0),
    "litemono": (-1.0, 2.0),
    "edge_conv_qdq": (-120.0, 120.0),
    "edge_qdq_conv": (-120.0, 120.0),
}
GIVEN = {"sr": 16000, "max_length": [12], "min_length": [1], "num_beams": [2], "num_return_sequences": [1]}
TOKENS = {"gpt2_past": 20, "bert_toy": 99, "tf_bert": 20, "magika": 257, "byte_sb": 256}


def made_up(name: str, inputs: tuple[ValueInfo, ...], seed: int) -> dict[str, np.ndarray]:
    """Return one plausible sample."""
    rng = np.random.default_rng(seed)
    low, high = next((span for key, span in RANGES.items() if name.startswith(key)), (0.0, 1.0))
    tokens = next((count for key, count in TOKENS.items() if name.startswith(key)), 2)
    arrays: dict[str, np.ndarray] = {}
    for info in inputs:
        sizes = [
            size if isinstance(size, int) and size > 0 else SIZES.get(str(size), PLACES.get((info.name, axis), 1))
            for axis, size in enumerate(info.shape or ())
        ]
        dtype = info.dtype or "float32"
        if info.name in GIVEN:
            arrays[info.name] = np.array(GIVEN[info.name], dtype)
        elif name == "reversi_ai":
            arrays[info.name] = rng.integers(-1, 2, size=sizes).astype(dtype)
        elif "mask" in info.name:
            arrays[info.name] = np.ones(sizes, dtype)
        elif "int" in dtype or dtype == "bool":
            arrays[info.name] = rng.integers(0, tokens if "type" not in info.name else 2, size=sizes).astype(dtype)
        else:
            arrays[info.name] = (low + (high - low) * _texture(rng, sizes)).astype(dtype)
    return arrays


def _texture(rng: np.random.Generator, sizes: list[int]) -> np.ndarray:
    """Return numbers in 0-1: blocks and noise along large axes, as in pictures, noise alone otherwise."""
    noise = rng.random(sizes)
    large = [axis for axis, size in enumerate(sizes) if size >= 24]
    if len(large) < 2:
        return noise
    coarse = rng.random([-(-size // 16) if axis in large else size for axis, size in enumerate(sizes)])
    for axis in large:
        coarse = coarse.repeat(16, axis=axis).take(range(sizes[axis]), axis=axis)
    return 0.75 * coarse + 0.25 * noise


class Calibration:
    """Samples one by one, because not every model takes batches."""

    task, metric = "outputs", "sqnr"

    def __init__(self, samples: list[dict[str, np.ndarray]]) -> None:
        self.samples = samples

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield every sample."""
        for inputs in self.samples[:samples]:
            yield Batch(inputs, None)


class Reader(CalibrationDataReader):
    """The same samples as onnxruntime's tool takes them."""

    def __init__(self, samples: list[dict[str, np.ndarray]]) -> None:
        self.samples = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next sample."""
        return next(self.samples, None)


def ours(graph: ModelGraph, samples: list[dict[str, np.ndarray]], out: Path, *, corrected: bool) -> tuple[str, ...]:
    """Run quantize.ptq, after quantize.to_float where that does something; returns what they say."""
    (manifest,) = [found for found in find_plugins().manifests if found.id == "quantize"]
    methods = {method.id: method for method in load_methods(manifest)}
    knobs = {node.name: knobs_of(node.op) for node, _ in layer_nodes(graph)}
    plan = resolve(Plan(default={"weight_bits": 8, "activation_bits": 8}), knobs, FIRST_PARTY_KNOBS)
    tools = Tools(graph, Calibration(samples), OrtEngine(1), None, np.random.default_rng(0), 0)  # type: ignore[arg-type]
    back = methods["quantize.to_float"](Parameters())
    started = back.foreseen(graph)
    said = () if started is graph else back.apply(graph, plan, tools).notes
    step = methods["quantize.ptq"](methods["quantize.ptq"].Parameters(bias_correction=corrected))
    said = (*said, *step.check(started, plan))
    result = step.apply(started, plan, tools)
    save_model(result.graph, out)
    return (*said, *result.notes)


def twice(quantized: Callable[[Path], None], path: Path, graph: ModelGraph, out: Path) -> str:
    """Quantize a model, and if that fails the same with its opset raised by the workbench; returns "" or "*"."""
    try:
        quantized(path)
        open_session(out, threads=1)
    except Exception:  # whatever that tool raises: it gets a second chance, and is named if that fails too
        upgraded = out.with_suffix(".upgraded.onnx")
        save_model(upgrade_opset(graph, 13), upgraded)
        quantized(upgraded)
        return "*"
    return ""


def nncf(path: Path, graph: ModelGraph, samples: list[dict[str, np.ndarray]], out: Path) -> str:
    """Run NNCF's post-training quantization with its defaults; returns "" or "*"."""
    import nncf as tool
    import onnx

    def quantized(source: Path) -> None:
        made = tool.quantize(onnx.load(source), tool.Dataset(samples), subset_size=len(samples))
        onnx.save(made, out)

    return twice(quantized, path, graph, out)


def onnxruntime(path: Path, graph: ModelGraph, samples: list[dict[str, np.ndarray]], out: Path) -> str:
    """Run quantize_static: QDQ, per channel, uint8 activations, int8 weights; returns "" or "*"."""

    def quantized(source: Path) -> None:
        quantize_static(
            str(source),
            str(out),
            Reader(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )

    return twice(quantized, path, graph, out)


TOOLS = {"onnxruntime": onnxruntime, "nncf": nncf}


def worst_sqnr_db(path: Path, exact: list[dict[str, np.ndarray]], samples: list[Inputs]) -> float:
    """Return the least SQNR of any float output over all samples."""
    session = open_session(path, threads=1)
    power: dict[str, float] = {}
    noise: dict[str, float] = {}
    for inputs, expected in zip(samples, exact, strict=True):
        found = session.run(inputs)
        for name, array in expected.items():
            if array.dtype.kind == "f" and found[name].shape == array.shape:
                wide = array.astype(np.float64)
                power[name] = power.get(name, 0.0) + float(np.square(wide).sum())
                noise[name] = noise.get(name, 0.0) + float(np.square(found[name] - wide).sum())
    ratios = [power[name] / noise[name] for name in power if noise[name] > 0 and power[name] > 0]
    return 10 * float(np.log10(min(ratios))) if ratios else float("inf")


def against(
    tool: str,
    path: Path,
    graph: ModelGraph,
    samples: list[dict[str, np.ndarray]],
    tests: list[dict[str, np.ndarray]],
    exact: list[dict[str, np.ndarray]],
    out: Path,
) -> str:
    """Return the other tool's part of the line; its file stays only where it runs."""
    began = time.perf_counter()
    try:
        mark = TOOLS[tool](path, graph, samples, out)
        taken = time.perf_counter() - began
        return f"   {tool} {worst_sqnr_db(out, exact, tests):6.1f} dB {taken:5.1f} s{mark or ' '}"
    except Exception as error:  # the other tool's failures are part of the comparison
        out.unlink(missing_ok=True)
        why = str(error).splitlines()[0][:60] if str(error) else ""
        return f"   {tool} fails: {type(error).__name__} {why}"


def compare(
    path: Path, count: int, seconds: float, tools: Sequence[str], *, corrected: bool, latency: bool, direct: bool
) -> str:
    """Return a line of the table."""
    name = path.stem
    try:
        graph = open_model(path)
        session = open_session(path, threads=1)
        samples = [made_up(name, graph.inputs, seed) for seed in range(count)]
        tests = [made_up(name, graph.inputs, 1000 + seed) for seed in range(4)]
        exact = [session.run(inputs) for inputs in tests]
    except (WorkbenchError, TypeError, ValueError) as error:
        return f"does not run in float: {error}"
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(folder) / "ours.onnx"
        began = time.perf_counter()
        try:
            notes = ours(graph, samples, mine, corrected=corrected)
        except WorkbenchError as error:
            return f"refused: {error}"
        taken = time.perf_counter() - began
        if not any(" quantized" in note and note[0].isdigit() for note in notes):
            return f"nothing to quantize: {notes[0]}"
        mark = "^" if any("widened" in note or "taken out" in note for note in notes) else " "
        line = f"ours {worst_sqnr_db(mine, exact, tests):6.1f} dB {taken:5.1f} s{mark}"
        files = [path, mine]
        for tool in tools:
            other = Path(folder) / f"{tool}.onnx"
            line += against(tool, path, graph, samples, tests, exact, other)
            if other.exists():
                files.append(other)
        if latency:
            sizes = dict(SIZES)
            sizes.update({f"{key}:{axis}": size for (key, axis), size in PLACES.items()})
            known = {str(size) for info in graph.inputs for size in info.shape or () if isinstance(size, str)}
            known |= {f"{info.name}:{axis}" for info in graph.inputs for axis in range(len(info.shape or ()))}
            dimensions = {key: size for key, size in sizes.items() if key in known}
            try:
                timed = partial(
                    ThisComputer().measure, seconds=seconds, operators=False, memory=False, dimensions=dimensions
                )
                ratios = [model.ratio_to_first for model in timed(files).models[1:]]
                line += "   ratio " + " / ".join(f"{ratio.median:.3f}" for ratio in ratios)
                for other in files[2:] if direct else ():
                    ratio = timed([other, mine]).models[1].ratio_to_first
                    line += f"   ours of {other.stem}'s {ratio.median:.4f} ({ratio.ci95[0]:.4f}-{ratio.ci95[1]:.4f})"
            except WorkbenchError as error:
                line += f"   not timed: {error.message[:60]}"
    return line


def main() -> None:
    """Print a line per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--direct", action="store_true", help="also time ours against the others alone, with interval")
    parser.add_argument("--uncorrected", action="store_true", help="ours without bias_correction")
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=["onnxruntime"], help="nncf: if installed")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    ort.set_default_logger_severity(4)
    for entry in json.loads((ZOO / "manifest.json").read_text()):
        path = ZOO / entry["file"]
        if not arguments.only or path.stem in arguments.only:
            latency = not arguments.no_latency
            line = compare(
                path,
                arguments.samples,
                arguments.seconds,
                arguments.tools,
                corrected=not arguments.uncorrected,
                latency=latency,
                direct=arguments.direct,
            )
            print(f"{path.stem:26s} {line}", flush=True)


if __name__ == "__main__":
    main()
