"""Prints the truth ladder of what post-training quantization reaches on the shared ResNets: reported is exported.

usage: python tests/benchmarks/quantization_ladder.py [--only NAME …] [--seed 0]

Every row is a recipe that runs through the command line's own job, with 512 calibration images. "Reported" is what the
job says of the exported file; the rungs are the same file simulated in torch, executed literally in ONNX Runtime
without fusion, and executed as it is deployed, each on all 10,000 test images of CIFAR-10. Learned rounding, mixed
precision and training print theirs in `quantization_reconstruction.py`, `quantization_mixed.py` and
`quantization_aware.py`. Latest figures (1 thread):

                            reported   simulated   literal   deployed   asked
    w8a8                      0.9176      0.9177    0.9176     0.9176   >= 0.917
    w4a8-minmax               0.9106      0.9107    0.9106     0.9106   >= 0.896
    w4a8-minmax-equalized     0.9104      0.9104    0.9104     0.9104   >= 0.906
    w4a8-equalized            0.9101      0.9102    0.9102     0.9101   >= 0.906
    w4a4                      0.8831      0.8831    0.8831     0.8831
    w4a8-gptq                 0.9159      0.9166    0.9166     0.9159
    resnet56-w8a8             0.9330      0.9333    0.9331     0.9330   >= 0.932

Differences of a few images are values that lie on the edge between two levels and are summed in another order.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cifar10 import RESNET20, SHARED, candidate, description, rungs

from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step

RESNET56 = SHARED / "models" / "resnet56_cifar10_folded.onnx"
_MINMAX = {"calibrator": "minmax", "weight_range": "minmax"}


@dataclass(frozen=True)
class Row:
    """One candidate: bits, what it should reach, parameters, whether layers are equalized, the original, the method."""

    weight_bits: int
    activation_bits: int
    wanted: str
    parameters: dict[str, Any] = field(default_factory=dict)
    equalized: bool = False
    model: Path = RESNET20
    method: str = "quantize.ptq"


ROWS = {
    "w8a8": Row(8, 8, ">= 0.917"),
    "w4a8-minmax": Row(4, 8, ">= 0.896", _MINMAX),
    "w4a8-minmax-equalized": Row(4, 8, ">= 0.906", _MINMAX, equalized=True),
    "w4a8-equalized": Row(4, 8, ">= 0.906", equalized=True),
    "w4a4": Row(4, 4, ""),
    "w4a8-gptq": Row(4, 8, "", method="quantize.gptq"),
    "resnet56-w8a8": Row(8, 8, ">= 0.932", model=RESNET56),
}


def recipe(row: Row, data: Any, seed: int) -> Recipe:
    """Return a row's recipe."""
    plan = Plan(default={"weight_bits": row.weight_bits, "activation_bits": row.activation_bits})
    before = (Step(method="quantize.equalize"),) if row.equalized else ()
    step = Step(method=row.method, parameters={"calibration_samples": 512, **row.parameters})
    return Recipe(data=data, plan=plan, seed=seed, steps=(*before, step))


def main() -> None:
    """Run the rows and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = description()
        for name in options.only or ROWS:
            row, out = ROWS[name], Path(temporary) / f"{name}.onnx"
            report = candidate(row.model, recipe(row, data, options.seed), out, measure_latency=False)
            assert report.metric is not None
            figures = {
                "name": name,
                "reported": report.metric.value,
                "rungs": rungs(out, data),
                "wanted": row.wanted,
                "seconds": round(sum(step.seconds for step in report.steps), 1),
            }
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
