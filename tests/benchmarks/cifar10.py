"""What the benchmarks on the shared CIFAR-10 models have in common: the data, one candidate, and its truth ladder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.domain.data_description import DataDescription
from workbench.domain.ladder import LadderReport
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob, LadderJob
from workbench.worker.dispatch import run_job

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
RESNET20 = SHARED / "models" / "resnet20_cifar10_folded.onnx"


def description(*, augmented: bool = False) -> DataDescription:
    """Return the shared 20,000 training and 10,000 test images, flipped and shifted for training if `augmented`."""
    splits = {
        split: {"reader": "npz", "path": f"cifar10/{split}.npz", "inputs": "x", "targets": "y"}
        for split in ("train", "test")
    }
    return DataDescription.model_validate(
        {
            "task": "classification",
            "metric": "top1",
            **splits,
            "preprocess": {
                "scale": 255,
                "mean": [0.485, 0.456, 0.406],
                "std": [0.229, 0.224, 0.225],
                "layout": "NHWC->NCHW",
            },
            "augment": ["flip", {"crop": 4}] if augmented else [],
            "folder": str(SHARED),
        }
    )


def candidate(model: Path, recipe: Recipe, out: Path, *, log: bool = False, **settings: Any) -> CandidateReport:
    """Run a recipe through the command line's own job, to a file that is measured on the test images.

    Args:
        model: The original.
        recipe: What to do.
        out: The candidate's file.
        log: Print what the job says.
        **settings: Further fields of the job.
    """
    spec = CompressJob(model=str(model), recipe=recipe, out=str(out), **settings)
    return CandidateReport.model_validate(run_job(spec, JobContext(log=print) if log else JobContext()))


def rungs(path: Path, data: DataDescription) -> dict[str, float | None]:
    """Return the file's metric simulated, literal and deployed, on all test images."""
    report = LadderReport.model_validate(run_job(LadderJob(model=str(path), data=data), JobContext()))
    return {rung.name: None if rung.metric is None else rung.metric.value for rung in report.rungs}
