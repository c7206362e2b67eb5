"""Prints what choosing bits layer by layer gains on the shared ResNet-20 over the same bits everywhere.

usage: python tests/benchmarks/quantization_mixed.py [--only NAME …] [--sensitivity output]

Every row is a recipe of one step without training that runs through the command line's own job; top1 is that of the
exported file in ONNX Runtime on all 10,000 test images of CIFAR-10. Latest figures, sensitivity "output", biases
corrected, 8-bit activations unless said, 1 thread; seconds are those of the step, on a busy machine:

    uniform 4          0.9119   14 s
    mixed 4            0.9134  159 s   (2 layers with 3 bits, 11 with 4, 4 with 5, 3 with 6)   asked: above uniform 4
    uniform 3          0.7868    8 s
    mixed 3            0.8227   63 s   (1 layer with 2 bits, 15 with 3, 2 with 4, 2 with 5)    asked: 3 points above
    uniform 3, GPTQ    0.9092   28 s
    mixed 3, GPTQ      0.9106  176 s   (the same bits)
    W4A5               0.9053   20 s
    mixed, as many     0.9116  153 s   (bit operations; activations: 12 with 4 bits, 5 with 5, 1 with 6, 2 with 8)

Simulated, literal and deployed: uniform 4 0.9116, 0.9120, 0.9119; mixed 4 0.9134 thrice; uniform 3 0.7869, 0.7869,
0.7868; mixed 3 0.8227, 0.8228, 0.8227; uniform 3, GPTQ 0.9093, 0.9093, 0.9092; mixed 3, GPTQ 0.9105, 0.9103, 0.9106.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from cifar10 import RESNET20, candidate, description, rungs

from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step

# Name → (method, bits of weights and of activations in the plan, parameters).
ROWS: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "uniform-4": ("quantize.ptq", 4, 8, {}),
    "mixed-4": ("quantize.mixed", 8, 8, {"average_bits": 4.0}),
    "uniform-3": ("quantize.ptq", 3, 8, {}),
    "mixed-3": ("quantize.mixed", 8, 8, {"average_bits": 3.0}),
    "uniform-3-gptq": ("quantize.gptq", 3, 8, {}),
    "mixed-3-gptq": ("quantize.mixed", 8, 8, {"average_bits": 3.0, "rounding": "gptq"}),
    "uniform-4-5": ("quantize.ptq", 4, 5, {}),
    "mixed-4-5": (
        "quantize.mixed", 8, 8, {"budget": "bit_operations", "bit_operations": 4 * 5 / 64, "activations": "chosen"}
    ),
}  # fmt: skip


def main() -> None:
    """Run the rows and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    parser.add_argument("--sensitivity", default="output", choices=["output", "metric", "gradient", "hessian"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = description()
        for name in options.only or ROWS:
            method, bits, activation_bits, parameters = ROWS[name]
            mixed = method == "quantize.mixed"
            chosen = parameters | ({"sensitivity": options.sensitivity} if mixed else {})
            plan = Plan(default={"weight_bits": bits, "activation_bits": activation_bits})
            made = Recipe(data=data, plan=plan, steps=(Step(method=method, parameters=chosen),))
            out = folder / f"{name}.onnx"
            report = candidate(RESNET20, made, out, measure_latency=False)
            assert report.metric is not None
            (step,) = report.steps
            notes = [note for note in step.notes if "bits" in note]
            figures = {
                "name": name,
                "top1": report.metric.value,
                "rungs": rungs(out, data),
                "seconds": step.seconds,
                "notes": notes,
            }
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
