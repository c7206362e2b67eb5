"""Prints what is foretold of plans on the shared ResNets beside what is then measured of their files.

usage: python tests/benchmarks/preflight.py [--models resnet20 resnet56] [--threads 1 2] [--plans 16] [--seconds 4]

Besides 8-bit integers with unsigned and signed activations there are plans drawn at random (seed 0): every layer in
float, in W8A8 or in W4A8, and a prune ratio for every block. Both figures are ratios to the original at batch 1;
nothing is trained, accuracy is not looked at.

Latest figures (2 cores with AVX-512 VNNI, one thread, beside two other programs at work), foretold with its interval,
measured, and the error:

    resnet20  W8A8         0.475 (0.455-0.495)   0.465   +2.2%
    resnet20  W8A8 signed  1.391 (1.326-1.460)   1.397   -0.5%
    resnet20  random 0     0.751 (0.714-0.787)   0.758   -1.0%
    resnet20  random 1     0.790 (0.755-0.826)   0.798   -1.0%
    resnet20  random 2     0.591 (0.564-0.621)   0.593   -0.3%
    resnet20  random 3     0.906 (0.862-0.949)   0.905   +0.1%
    resnet20  random 4     0.781 (0.745-0.817)   0.784   -0.3%
    resnet20  random 5     0.576 (0.551-0.602)   0.569   +1.2%
    resnet20  random 6     0.775 (0.738-0.814)   0.778   -0.5%
    resnet20  random 7     0.943 (0.894-0.992)   0.925   +2.0%
    resnet20  random 8     1.090 (1.043-1.138)   1.082   +0.7%
    resnet20  random 9     0.664 (0.636-0.692)   0.665   -0.1%
    resnet20  random 10    0.840 (0.805-0.877)   0.841   -0.2%
    resnet20  random 11    0.561 (0.536-0.586)   0.558   +0.6%
    resnet20  random 12    0.566 (0.541-0.591)   0.568   -0.3%
    resnet20  random 13    0.612 (0.585-0.642)   0.611   +0.2%
    resnet20  random 14    0.689 (0.658-0.723)   0.692   -0.5%
    resnet20  random 15    0.821 (0.786-0.856)   0.815   +0.7%
    resnet56  W8A8         0.446 (0.426-0.467)   0.445   +0.3%
    resnet56  W8A8 signed  1.402 (1.332-1.465)   1.404   -0.1%
    resnet56  random 0     0.659 (0.629-0.691)   0.663   -0.6%
    resnet56  random 1     0.756 (0.720-0.790)   0.753   +0.5%
    resnet56  random 2     0.856 (0.813-0.895)   0.850   +0.7%
    resnet56  random 3     0.710 (0.671-0.743)   0.708   +0.1%
    resnet56  random 4     0.604 (0.573-0.637)   0.606   -0.2%
    resnet56  random 5     0.863 (0.814-0.918)   0.862   +0.1%
    resnet56  random 6     0.547 (0.519-0.579)   0.544   +0.5%
    resnet56  random 7     0.761 (0.724-0.803)   0.781   -2.5%
    resnet56  random 8     0.830 (0.777-0.874)   0.823   +0.9%
    resnet56  random 9     0.786 (0.744-0.826)   0.796   -1.2%
    resnet56  random 10    0.700 (0.657-0.741)   0.715   -2.0%
    resnet56  random 11    0.809 (0.769-0.854)   0.818   -1.1%
    resnet56  random 12    0.851 (0.802-0.897)   0.848   +0.4%
    resnet56  random 13    0.833 (0.788-0.881)   0.850   -2.0%
    resnet56  random 14    0.656 (0.619-0.688)   0.655   +0.2%
    resnet56  random 15    0.688 (0.654-0.726)   0.676   +1.8%

36 plans (--threads 1 --plans 16 --seconds 2): median error 0.5 %, largest 2.5 %, 36 measured values inside the
interval; of the 32 random plans the ranks agree at Spearman 0.997. With two threads, earlier: W8A8 0.534 and 0.496
foretold, 0.527 and 0.495 measured; signed 1.565 and 1.633, 1.563 and 1.701. Foretelling takes 5 to 10 s, less when the
kernels are known. Of signed activations it says "20 of 20 integer layers take longer than in float".

On another processor (2 cores of an AMD Zen 3 server, no VNNI; the same command, quiet): W8A8 0.605 foretold, 0.603
measured, signed 1.248 and 1.244; all 36 plans: median error 0.3 %, largest 2.0 %, 36 inside, Spearman 0.993.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from cifar10 import SHARED, candidate, description
from scipy.stats import spearmanr

from workbench.domain.plan import Plan
from workbench.domain.preflight import Preflight
from workbench.domain.recipe import Evaluation, Recipe, Step
from workbench.jobs.context import JobContext
from workbench.jobs.specs import PreflightJob
from workbench.worker.dispatch import run_job

EIGHT: dict[str, Any] = {"weight_bits": 8, "activation_bits": 8}
FLOAT: dict[str, Any] = {"weight_bits": 32, "activation_bits": 32}
FOUR: dict[str, Any] = {"weight_bits": 4, "activation_bits": 8}
PRUNE = Step(method="prune.l1", parameters={"restore_batch_norm": False, "statistics_samples": 0})
QUANTIZE = Step(method="quantize.ptq", parameters={"calibration_samples": 32})
SIGNED = Step(method="quantize.ptq", parameters={"calibration_samples": 32, "activation_type": "int8"})


def random_plan(blocks: int, rng: np.random.Generator) -> Plan:
    """Return a plan that prunes the inner channels of every block and gives every layer bits."""
    layers: dict[str, dict[str, Any]] = {}
    for number in range(2 * blocks + 1):
        name = "node_conv2d" if number == 0 else f"node_conv2d_{number}"
        layers[name] = dict((FLOAT, EIGHT, EIGHT, FOUR)[rng.integers(4)])
        if number % 2 == 1:
            layers[name]["prune_ratio"] = float(rng.choice([0.0, 0.25, 0.5]))
    return Plan(default={"prune_ratio": 0.0, **EIGHT}, layers={"*": {"prune_ratio": 0.0}, **layers})


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["resnet20", "resnet56"])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--plans", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    errors: list[float] = []
    drawn: list[tuple[float, float]] = []
    inside = 0
    for name in options.models:
        model = SHARED / "models" / f"{name}_cifar10_folded.onnx"
        rng = np.random.default_rng(0)
        blocks = {"resnet20": 9, "resnet56": 27}[name]
        rows = [("W8A8", Plan(default=EIGHT), (QUANTIZE,)), ("W8A8 signed", Plan(default=EIGHT), (SIGNED,))]
        rows += [(f"random {k}", random_plan(blocks, rng), (PRUNE, QUANTIZE)) for k in range(options.plans)]
        for threads in options.threads:
            for title, plan, steps in rows if threads == 1 else rows[:2]:
                recipe = Recipe(data=description(), plan=plan, steps=steps, evaluate=Evaluation(samples=100))
                spec = PreflightJob(model=str(model), recipe=recipe, threads=threads)
                foretold = Preflight.model_validate(run_job(spec, JobContext()))
                with tempfile.TemporaryDirectory() as folder:
                    out = Path(folder) / "candidate.onnx"
                    report = candidate(model, recipe, out, threads=threads, latency_seconds=options.seconds)
                assert foretold.ratio is not None
                assert report.latency is not None
                measured = report.latency.ratio_to_first.median
                low, high = foretold.ratio.ci95
                errors.append(abs(foretold.ratio.median / measured - 1))
                inside += low <= measured <= high
                if title.startswith("random"):
                    drawn.append((foretold.ratio.median, measured))
                print(
                    f"{name}  {threads} thread(s)  {title:12s} foretold {foretold.ratio.median:.3f} "
                    f"({low:.3f}-{high:.3f})  measured {measured:.3f}  {foretold.ratio.median / measured - 1:+.1%}",
                    flush=True,
                )
                for warning in foretold.warnings:
                    print(f"    {warning}", flush=True)
    print(f"{len(errors)} plans: median error {np.median(errors):.1%}, largest {max(errors):.1%}, {inside} inside")
    if len(drawn) > 2:
        ranks = spearmanr(*zip(*drawn, strict=True))[0]
        print(f"{len(drawn)} random plans: Spearman of foretold and measured {ranks:.3f} (wanted 0.9 over 30 or more)")


if __name__ == "__main__":
    main()
