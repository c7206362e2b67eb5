"""Sensitivities of all layers: exact, with early ending and estimated, against the plain loop, in time and in ranks.

The plain loop is what one would write by hand: for every setting the method, a new session, all samples through the
whole graph on all cores. It is timed on every `--stride`-th setting in the same run. Ranks are compared (Spearman)
with the drops on all 10,000 test images, which are kept in a file beside the shared data's checkout (`--truth`).

Latest figures, ResNet-20, 2,000 images, 2 cores with nothing else at work. Shares of the loop count layers whose
channels go together once, as the sweep computes them; in brackets the loop takes every layer. Spearman with the drops
on all 10,000 images; at 6 and 8 bits these are noise themselves:

    weight_bits  estimate    1.7 s 0.017           2 bits 0.95, 3 bits 0.86, 4 bits 0.38
    weight_bits  early       7.4 s 0.075           2 bits 0.98, 3 bits 0.86, 4 bits 0.52; 212 samples each
    weight_bits  exact      37.5 s 0.379           2 bits 0.99, 3 bits 0.93, 4 bits 0.60
    prune_ratio  estimate    0.6 s 0.031 (0.016)   0.25: 1.00, 0.5: 1.00, 0.75: 0.75, all 0.87
    prune_ratio  early       7.2 s 0.359 (0.189)   1.00 at each ratio; 463 samples each
    prune_ratio  exact      14.2 s 0.706 (0.372)   1.00 at each ratio

The plain loop took 0.99 s a setting of bits and 0.67 s of pruning. Both knobs together: estimate 2.3 s, 0.020 (0.017)
of the loop; early 14.6 s, 0.123 (0.107); exact 51.7 s, 0.435 (0.377). Wanted: 1/50, 1/8 and 0.45.

ResNet-56 (`--model resnet56 --times-only --stride 28`), the same samples and values; the loop was timed on 14 settings
and took 2.48 to 2.63 s a setting of bits and 1.77 to 1.87 s of pruning. Estimate and early ending beside a little other
work, exact (with more of the original's values in memory than before) on a quiet machine:

    weight_bits  estimate    9.6 s 0.014           early  43.7 s 0.063           exact 272.7 s 0.371
    prune_ratio  estimate    3.6 s 0.024 (0.012)   early  23.2 s 0.157 (0.080)   exact  93.3 s 0.595 (0.303)
    together     estimate   13.2 s 0.016 (0.013)   early  66.9 s 0.079 (0.068)   exact 366.0 s 0.410 (0.351)

    python tests/benchmarks/sensitivity.py [--model resnet56] [--truth FILE | --times-only] [--only weight_bits]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from cifar10 import SHARED, description
from scipy.stats import spearmanr

from workbench.data.dataset import open_split
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.graph.storage import open_model
from workbench.jobs.context import JobContext
from workbench.methods.estimates import SAMPLES, estimate
from workbench.methods.evaluation import evaluate
from workbench.methods.method import Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.sensitivity import sweep
from workbench.methods.sweep_setup import Swept
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import loaded_methods

# What a loop by hand does: no statistics taken anew after channels are gone.
SWEEPS: dict[str, tuple[str, tuple[float, ...], dict[str, Any]]] = {
    "weight_bits": ("quantize.ptq", (2, 3, 4, 6, 8), {}),
    "prune_ratio": ("prune.l1", (0.25, 0.5, 0.75), {"restore_batch_norm": False, "statistics_samples": 0}),
}


class Benchmark:
    """One model with all its sweeps."""

    def __init__(self, model: str) -> None:
        self.graph = open_model(SHARED / "models" / f"{model}_cifar10_folded.onnx")
        self.engine = inference_engine()
        data = description()
        self.test = open_split(data, "test", self.graph.inputs)
        self.data = RecipeData(data, self.graph.inputs, self.engine, self.graph)
        self.registry = loaded_methods(JobContext())
        self.training = DeferredTrainingEngine(threads=1)

    def swept(self, knob: str, **changes: Any) -> Swept:
        """Return what is swept."""
        method, _, parameters = SWEEPS[knob]
        given: dict[str, Any] = {"parameters": parameters, "data": self.data, **changes}
        return Swept(self.graph, self.registry, method, knob, self.test, self.engine, self.training, **given)

    def loop_seconds(self, knob: str, stride: int, samples: int) -> float:
        """Return the seconds of one setting in the plain loop."""
        method, values, parameters = SWEEPS[knob]
        applied = self.registry.instantiate(Step(method=method, parameters=parameters))
        found = sweep(self.swept(knob, samples=1), (values[0],))
        layers = [point.layer for point in found.points]
        settings = [(layer, value) for layer in layers for value in values][::stride]
        began = time.perf_counter()
        for layer, value in settings:
            members = next(point.coupled for point in found.points if point.layer == layer)
            plan = LayerSettings({name: {knob: value} for name in (layer, *members)})
            tools = Tools(self.graph, self.data, self.engine, self.training, np.random.default_rng(0), 0)
            changed = applied.apply(self.graph, plan, tools).graph
            evaluate(self.engine, changed, self.test, samples=samples)
        return (time.perf_counter() - began) / len(settings)

    def truth(self, knob: str, file: Path) -> dict[str, float]:
        """Return the drops on all test images, from the file if it has them."""
        known = json.loads(file.read_text()) if file.exists() else {}
        if knob not in known:
            report = sweep(self.swept(knob, samples="all", early=False), SWEEPS[knob][1])
            known[knob] = {f"{point.layer}\t{point.value}": point.drop for point in report.points}
            file.write_text(json.dumps(known))
        return dict(known[knob])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--stride", type=int, default=7)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--only", choices=tuple(SWEEPS))
    parser.add_argument("--modes", default="estimate,early,exact")
    parser.add_argument("--times-only", action="store_true", help="no ranks, and no drops on all 10,000 images")
    options = parser.parse_args()
    benchmark = Benchmark(options.model)
    totals: dict[str, float] = {}
    once, every = 0.0, 0.0
    for knob in [options.only] if options.only else SWEEPS:
        kept = options.truth or Path(f"{options.model}_drops.json")
        truth = {} if options.times_only else benchmark.truth(knob, kept)
        loop = benchmark.loop_seconds(knob, options.stride, options.samples)
        print(f"{knob}: plain loop {loop:.2f} s a setting")
        for mode in options.modes.split(","):
            began = time.perf_counter()
            if mode == "estimate":
                found = estimate(benchmark.swept(knob, samples=SAMPLES), SWEEPS[knob][1])
                points = {f"{point.layer}\t{point.value}": point.divergence for point in found.points}
                count = len({(point.value, point.divergence) for point in found.points})
                samples = float(found.samples)
            else:
                swept = benchmark.swept(knob, samples=options.samples, early=mode == "early")
                report = sweep(swept, SWEEPS[knob][1])
                points = {
                    f"{point.layer}\t{point.value}": point.drop if point.expected is None else point.expected
                    for point in report.points
                }
                count, samples = report.evaluations - 1, float(np.mean([point.samples for point in report.points]))
            seconds = time.perf_counter() - began
            totals[mode] = totals.get(mode, 0.0) + seconds
            if mode == options.modes.split(",")[0]:
                once += loop * count
                every += loop * len(points)
            print(
                f"  {mode:8} {seconds:6.1f} s for {count} settings, {samples:.0f} samples each: "
                f"{seconds / (loop * count):.3f} of the loop; {seconds / (loop * len(points)):.3f} where it takes "
                f"every layer, {len(points)} settings"
            )
            for value in SWEEPS[knob][1] if truth else ():
                keys = [key for key in points if key.endswith(f"\t{value}")]
                print(f"    at {value}: Spearman {_spearman(points, truth, keys):.3f} of {len(keys)}")
            if truth:
                print(f"    all: Spearman {_spearman(points, truth, list(points)):.3f}")
    for mode in options.modes.split(","):
        print(
            f"{mode}: {totals[mode]:.1f} s, {totals[mode] / once:.3f} of the loop's {once:.0f} s, "
            f"{totals[mode] / every:.3f} of the {every:.0f} s where it takes every layer"
        )


def _spearman(points: dict[str, float], truth: dict[str, float], keys: list[str]) -> float:
    return float(spearmanr([points[key] for key in keys], [truth[key] for key in keys])[0])


if __name__ == "__main__":
    main()
