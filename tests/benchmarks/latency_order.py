"""Prints how often two models that differ by 5 % are ordered rightly beside a busy neighbour process.

usage: python tests/benchmarks/latency_order.py [--repeats 100] [--seconds 1] [--neighbours 1] [--slow]

The models are stacks of 20 and 21 equal convolutions (3×3, 32 channels, 16×16; 0.7 ms) or, with --slow, of 10 and 11
wider ones (64 channels, 32×32; 5 ms), measured by ThisComputer as every latency is: one thread, batch 1. The
neighbour runs the smaller model without pause. Their true ratio is that of a longer run without the neighbour.
"Ratio of medians" is what dividing the two reported medians would have given.

Latest figures (2 cores; beside the neighbour some four other programs at work, every repeat flagged as not quiet):

    models         true     repeats  order right  by ratio of medians  interval covers truth  90 % of the ratios within
    20 and 21, 1 s  1.0480      100          100                   80                     83  1.043 to 1.063
    10 and 11, 2 s  1.0939       40           40                   33                     40  1.087 to 1.103

The same on another processor (2 cores of an AMD Zen 3 server), besides the neighbour tests at work for the second pair:

    20 and 21, 1 s  1.0494      100          100                  100                     89  1.045 to 1.055
    10 and 11, 2 s  1.1001       40           40                   39                     23  1.094 to 1.101

Beside others, the larger model of the first pair takes 0.4 % more than its share (the middle of the repeats is 1.0518):
caches that others use cost it more. That is not noise, and the intervals don't hold it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from workbench.devices import ThisComputer
from workbench.domain.measurements import LatencyReport
from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.engines.inference_ort.session import open_session

QUICK, SLOW = (20, 32, 16), (10, 64, 32)


def stack(count: int, channels: int, size: int, path: Path) -> Path:
    """Write a model of `count` convolutions one after the other."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(0.05 * rng.normal(size=(channels, channels, 3, 3)).astype(np.float32), f"w{place}")
        for place in range(count)
    ]
    nodes = [
        helper.make_node("Conv", [f"x{place}", f"w{place}"], [f"x{place + 1}"], pads=[1, 1, 1, 1])
        for place in range(count)
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, size, size])]
        for name in ("x0", f"x{count}")
    ]
    graph = helper.make_graph(nodes, "stack", *ends, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def run_until(path: str, ready: Event, stop: Event) -> None:
    """Run a model without pause."""
    session = open_session(Path(path), threads=1)
    inputs = random_inputs(session.inputs)
    ready.set()
    while not stop.is_set():
        session.run_exactly(inputs)


@contextmanager
def neighbours(count: int, path: Path) -> Iterator[None]:
    """Keep processes busy meanwhile."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    started = []
    for _ in range(count):
        ready = context.Event()
        process = context.Process(target=run_until, args=(str(path), ready, stop), daemon=True)
        process.start()
        started.append((process, ready))
    try:
        for _, ready in started:
            ready.wait()
        yield
    finally:
        stop.set()
        for process, _ in started:
            process.join()


def main() -> None:
    """Measure all."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--repeats", type=int, default=100)
    options.add_argument("--seconds", type=float, default=1.0)
    options.add_argument("--neighbours", type=int, default=1)
    options.add_argument("--slow", action="store_true")
    chosen = options.parse_args()
    device = ThisComputer()
    with tempfile.TemporaryDirectory() as folder:
        count, channels, size = SLOW if chosen.slow else QUICK
        paths = [stack(each, channels, size, Path(folder) / f"{each}.onnx") for each in (count, count + 1)]

        def measure(seconds: float, seed: int) -> LatencyReport:
            return device.measure(paths, seconds=seconds, operators=False, memory=False, seed=seed)

        alone = measure(30 * chosen.seconds, 0)
        true = alone.models[1].ratio_to_first
        print(
            f"true ratio {true.median:.4f} ({true.ci95[0]:.4f} to {true.ci95[1]:.4f}), "
            f"{alone.models[0].latency_ms.median:.2f} ms, without the neighbour"
            + ("" if alone.noise.quiet else f"; {alone.noise.reason}")
        )
        with neighbours(chosen.neighbours, paths[0]):
            reports = [measure(chosen.seconds, seed) for seed in range(1, chosen.repeats + 1)]
    ratios = [report.models[1].ratio_to_first for report in reports]
    medians = np.array([ratio.median for ratio in ratios])
    naive = np.array([report.models[1].latency_ms.median / report.models[0].latency_ms.median for report in reports])
    print(f"order right             {np.sum(medians > 1):4d} of {len(ratios)}")
    print(f"  by ratio of medians   {np.sum(naive > 1):4d}")
    print(f"interval covers truth   {sum(r.ci95[0] <= true.median <= r.ci95[1] for r in ratios):4d}")
    print(f"interval above 1        {sum(r.ci95[0] > 1 for r in ratios):4d}")
    print(f"flagged as not quiet    {sum(not report.noise.quiet for report in reports):4d}")
    for name, found in (("ratio", medians), ("ratio of medians", naive)):
        low, middle, high = np.percentile(found, [5, 50, 95])
        print(f"{name}: median {middle:.4f}, 90 % of the repeats within {low:.4f} to {high:.4f}")


if __name__ == "__main__":
    main()
