"""Prints what is foretold of plans on the shared ResNets beside what is then measured of their files.

usage: python tests/benchmarks/preflight.py [--models resnet20 resnet56] [--threads 1 2] [--plans 16] [--seconds 4]

Besides 8-bit integers with unsigned and signed activations there are plans drawn at random (seed 0): every layer in
float, in W8A8 or in W4A8, and a prune ratio for every block. Both figures are ratios to the original at batch 1;
nothing is trained, accuracy is not looked at.

Latest figures (2 cores with AVX-512 VNNI, a training beside them), foretold with its interval, measured, and the error:

    resnet20  1 thread   W8A8         0.472 (0.452-0.492)   0.469   +0.7%
    resnet20  1 thread   W8A8 signed  1.468 (1.378-1.559)   1.540   -4.6%
    resnet20  1 thread   random 0     0.746 (0.703-0.786)   0.765   -2.5%
    resnet20  1 thread   random 1     0.790 (0.756-0.823)   0.787   +0.3%
    resnet20  1 thread   random 2     0.603 (0.570-0.631)   0.593   +1.7%
    resnet20  1 thread   random 3     0.910 (0.868-0.951)   0.909   +0.1%
    resnet20  1 thread   random 4     0.794 (0.758-0.830)   0.788   +0.8%
    resnet20  1 thread   random 5     0.569 (0.544-0.593)   0.572   -0.5%
    resnet20  2 threads  W8A8         0.534 (0.506-0.562)   0.527   +1.3%
    resnet20  2 threads  W8A8 signed  1.565 (1.484-1.642)   1.563   +0.1%
    resnet56  1 thread   W8A8         0.440 (0.420-0.460)   0.440   -0.1%
    resnet56  1 thread   W8A8 signed  1.409 (1.344-1.477)   1.411   -0.2%
    resnet56  1 thread   random 0     0.653 (0.622-0.687)   0.659   -0.8%
    resnet56  1 thread   random 1     0.750 (0.715-0.785)   0.762   -1.6%
    resnet56  1 thread   random 2     0.829 (0.790-0.868)   0.830   -0.0%
    resnet56  1 thread   random 3     0.683 (0.651-0.715)   0.685   -0.3%
    resnet56  1 thread   random 4     0.589 (0.559-0.622)   0.591   -0.3%
    resnet56  1 thread   random 5     0.844 (0.805-0.884)   0.844   -0.0%
    resnet56  2 threads  W8A8         0.496 (0.469-0.523)   0.495   +0.2%
    resnet56  2 threads  W8A8 signed  1.633 (1.554-1.720)   1.701   -4.0%

20 plans (--plans 6): median error 0.4 %, largest 4.6 %, 20 measured values inside the interval. Foretelling takes 5 to
10 s, less when the kernels are known. Of signed activations it says "20 of 20 integer layers take longer than in
float".
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
