"""Prints the figures of the main job on ResNet-20 and CIFAR-10, each beside what it should be.

usage: python tests/benchmarks/main_job_resnet20.py [--epochs 3] [--out FOLDER]

Everything goes through the command line's own jobs, in this process, on the shared models and data. Latest figures
(2 cores with AVX-512 VNNI; ratio at batch 1, 1 thread; quiet from the pruned ones on, other work beside those before;
the last row's seconds are those of a quiet machine):

    original                             top1 0.9173
    empty recipe                         top1 0.9173  MACs 1.000  1103 kB  ratio 0.999 (0.989-1.005)
    W8A8                                 top1 0.9180  MACs 1.010   337 kB  ratio 0.457 (0.452-0.466)
    inner_half, 3 epochs, W8A8           top1 0.8924  MACs 0.690   209 kB  ratio 0.396 (0.395-0.396)
    inner_half_of_wide, 3 epochs, W8A8   top1 0.8971  MACs 0.690   209 kB  ratio 0.394 (0.394-0.395)  117 s

Pruning alone leaves 0.509 (and 0.684) of the multiplications. quantize.ptq then lets the integer convolutions of the
8 channels that stage 1 has left make 8 channels of zeros besides: sixteen take 25 us where eight take 38 us, and the
file's multiplications count them. Stage 1 could therefore as well be left alone on this processor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from cifar10 import RESNET20, candidate, description

from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import CandidateReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import EvaluateJob
from workbench.worker.dispatch import run_job

PLANS = (
    ("inner_half", (0.5, 0.5, 0.5), ">= 0.885 at ratio <= 0.40"),
    ("inner_half_of_wide", (0.0, 0.5, 0.5), "the same, stage 1 left alone"),
)


def compress(model: Path, recipe: Recipe, out: Path, cache: Path) -> tuple[CandidateReport, float]:
    """Make one candidate and return its report and the seconds it took."""
    began = time.perf_counter()
    report = candidate(model, recipe, out, log=True, cache=str(cache), latency_seconds=8.0)
    return report, time.perf_counter() - began


def show(title: str, report: CandidateReport, seconds: float, wanted: str) -> dict[str, Any]:
    """Print one candidate's figures and return them."""
    assert report.metric is not None
    assert report.latency is not None
    assert report.latency_report is not None
    ratio = report.latency.ratio_to_first
    low, high = ratio.ci95
    figures = {
        "title": title,
        "top1": report.metric.value,
        "macs_ratio": report.candidate.macs / report.model.macs,
        "size_bytes": report.candidate.size_bytes,
        "latency_ratio": ratio.median,
        "latency_ratio_ci95": ratio.ci95,
        "quiet": report.latency_report.noise.quiet,
        "seconds": seconds,
    }
    print(
        f"{title:34s} top1 {report.metric.value:.4f}  MACs {figures['macs_ratio']:.3f}  "
        f"{report.candidate.size_bytes / 1e3:.0f} kB  ratio {ratio.median:.3f} ({low:.3f}-{high:.3f})"
        f"  {seconds:.0f} s   wanted: {wanted}",
        flush=True,
    )
    return figures


def inner_channels(ratios: tuple[float, float, float]) -> dict[str, dict[str, float | int | str]]:
    """Return plan lines that prune the first convolution of every block by its stage's ratio, and nothing else."""
    lines: dict[str, dict[str, float | int | str]] = {"*": {"prune_ratio": 0.0}}
    for number in range(9):
        lines[f"node_conv2d_{2 * number + 1}"] = {"prune_ratio": ratios[number // 3]}
    return lines


def recipe(data: DataDescription, plan: dict[str, float | int | str], *steps: Step) -> Recipe:
    """Return a recipe that sets the same for all layers."""
    return Recipe(data=data, plan=Plan(default=plan), steps=steps)


def main() -> None:
    """Run all and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--epochs", type=int, default=3)
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = description(augmented=True)
        cache = folder / "steps"
        value = run_job(EvaluateJob(model=str(RESNET20), data=data), JobContext())["value"]
        print(f"{'original':34s} top1 {value:.4f}   wanted: exactly 0.9173")
        figures = [
            show("empty recipe", *compress(RESNET20, recipe(data, {}), folder / "empty.onnx", cache), "0.9173, 1.0")
        ]
        quantize = Step(method="quantize.ptq", parameters={"calibration_samples": 256})
        bits: dict[str, float | int | str] = {"weight_bits": 8, "activation_bits": 8}
        done = compress(RESNET20, recipe(data, bits, quantize), folder / "w8a8.onnx", cache)
        figures.append(show("W8A8", *done, ">= 0.9160, onnxruntime 0.446"))
        steps = (Step(method="prune.l1"), Step(method="train.finetune", parameters={"epochs": options.epochs}))
        for name, ratios, wanted in PLANS:
            plan = Plan(default=bits, layers=inner_channels(ratios))
            made = Recipe(data=data, plan=plan, steps=(*steps, quantize))
            done = compress(RESNET20, made, folder / f"{name}.onnx", cache)
            figures.append(show(f"{name}, {options.epochs} epochs, W8A8", *done, wanted))
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
