"""Prints what choosing bits layer by layer gains on the shared ResNet-20 over the same bits everywhere.

usage: python tests/benchmarks/quantization_mixed.py [--only NAME …] [--sensitivity output]

Every row is a recipe of one step without training that runs through the command line's own job, 8-bit activations; top1
is that of the exported file in ONNX Runtime on all 10,000 test images of CIFAR-10. Latest figures, sensitivity
"output", 1 thread; seconds are those of the step, with other work beside:

    uniform 4   0.9033
    mixed 4     0.9127   68 s   (2 layers with 3 bits, 11 with 4, 4 with 5, 3 with 6)     above uniform 4
    uniform 3   0.5758
    mixed 3     0.7141   48 s   (1 layer with 2 bits, 15 with 3, 2 with 4, 2 with 5)      3 points above uniform 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from workbench.data.description_file import read_data_description
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import CandidateReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob
from workbench.worker.dispatch import run_job

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MODEL = SHARED / "models" / "resnet20_cifar10_folded.onnx"
DATA = """
task: classification
metric: top1
train: {{reader: npz, path: {data}/cifar10/train.npz, inputs: x, targets: y}}
test:  {{reader: npz, path: {data}/cifar10/test.npz,  inputs: x, targets: y}}
preprocess: {{scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], layout: NHWC->NCHW}}
"""
# Name → (method, bits of weights in the plan, average bits or None).
ROWS: dict[str, tuple[str, int, float | None]] = {
    "uniform-4": ("quantize.ptq", 4, None),
    "mixed-4": ("quantize.mixed", 8, 4.0),
    "uniform-3": ("quantize.ptq", 3, None),
    "mixed-3": ("quantize.mixed", 8, 3.0),
}


def main() -> None:
    """Run the rows and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    parser.add_argument("--sensitivity", default="output", choices=["output", "metric", "gradient", "hessian"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "data.yaml").write_text(DATA.format(data=SHARED))
        data = read_data_description(folder / "data.yaml")
        for name in options.only or ROWS:
            method, bits, average = ROWS[name]
            chosen: dict[str, Any] = {}
            if average is not None:
                chosen = {"average_bits": average, "sensitivity": options.sensitivity}
            spec = CompressJob(
                model=str(MODEL),
                recipe=Recipe(
                    data=data,
                    plan=Plan(default={"weight_bits": bits, "activation_bits": 8}),
                    steps=(Step(method=method, parameters=chosen),),
                ),
                out=str(folder / f"{name}.onnx"),
                measure_latency=False,
            )
            report = CandidateReport.model_validate(run_job(spec, JobContext()))
            assert report.metric is not None
            (step,) = report.steps
            notes = [note for note in step.notes if "bits" in note]
            print(json.dumps({"name": name, "top1": report.metric.value, "seconds": step.seconds, "notes": notes}))


if __name__ == "__main__":
    main()
