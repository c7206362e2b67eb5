"""Prints what pruning of the shared ResNets reaches, each figure beside what it should be.

usage: python tests/benchmarks/pruning_resnet.py [--only NAME …] [--out FOLDER] [--threads 0]

Every row is a recipe that runs through the command line's own job, from the folded file to a file that was measured on
the 10,000 test images of CIFAR-10; training sees the shared 20,000 images. Latency ratios at batch 1, 1 thread.
Latest figures: 2 cores, trainings with --threads 1 and, but for the first two rows, other work beside them, so that
seconds are no measure; ratios are of interleaved runs. Rows ending in int8 reuse the training of the row before.

    20-plain       no training at all            1.49x fewer MACs   top1 0.2351
    20-l1          no training, new statistics   1.49x fewer MACs   top1 0.7842   ratio 1.036 (1.033-1.039)     21 s
    20-obs         the same, least squares       1.49x              top1 0.8685   ratio 1.041 (1.038-1.043)     25 s
    20-3           depth, channels, 3 epochs     2.01x              top1 0.8912   ratio 0.731                  220 s
    20-15          the same, 15 epochs           2.01x              top1 0.9005   ratio 0.735                  848 s
    20-int8        depth, 15 epochs, W8A8        1.43x              top1 0.9099   ratio 0.305 (0.305-0.306)    645 s
    56-channels    channels, 20 epochs           2.12x              top1 0.9243   ratio 0.722                 2359 s
    56-both        depth, channels, 20 epochs    2.10x              top1 0.9152   ratio 0.506 (0.504-0.508)   4188 s
    56-both-int8   the same, W8A8                2.09x              top1 0.9155   ratio 0.245 (0.244-0.247)
    56-depth       depth, 20 epochs              1.82x              top1 0.9224   ratio 0.548 (0.545-0.552)   2562 s
    56-depth-int8  the same, W8A8                1.81x              top1 0.9219   ratio 0.246 (0.245-0.247)

With seed 1 instead of 0 (`Recipe.seed`) 20-3 came to 0.8937 and 20-15 to 0.8991: what is asked of 20-15 lies within the
scatter of seeds.

What was tried for the rows of 2x beside them (one seed each, picked by these figures), by prune.obs: ResNet-20, 3
epochs, no block left out, inner channels of the three stages less (0.5, 0.5, 0.5625) 2.06x 0.8862 (by l1 0.8884),
(0.5, 0.5, 0.53) 1.998x 0.8908, (0.4, 0.5, 0.65) 1.98x 0.8843; three blocks out and half of stage 3 2.0x 0.8789. 15
epochs: no block out 2.06x 0.8976; as 20-15 with feature distillation 100 instead of 30 0.8990. ResNet-56, 20 epochs:
8 blocks out and half of stages 2 and 3 2.07x 0.9159; in W8A8 13 blocks out 1.94x 0.9149 at 0.236, 12 and a quarter of
stage 3's inner channels 1.97x 0.9174 at 0.237. Another run of 56-depth-int8 gave the ratio 0.253.

For the same multiplications, narrower blocks (56-channels, the first run that was made of it) keep 0.9 points more than
fewer blocks (56-both), and fewer blocks are 1.4 times faster.

Whole blocks that are left out cost the least accuracy for the time they save: 20-int8 with two blocks chosen by the
metric and the inner channels of two stages halved had been 0.8895 at 0.294.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cifar10 import SHARED, candidate, description

from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step

Line = dict[str, float | int | str]
INTEGERS: Line = {"weight_bits": 8, "activation_bits": 8}


@dataclass(frozen=True)
class Row:
    """One candidate.

    Attributes:
        model: Name of the shared model.
        inner: Prune ratio of the first convolution of every block, by stage.
        left_out: How many residual blocks are left out, those whose loss costs least accuracy on held-out samples.
        blocks: Those (from 0) that are left out besides.
        epochs: Of fine-tuning; 0 leaves it out.
        learning_rate: Its peak, or None for the default, which suits 3 epochs.
        integers: Whether the file is quantized to W8A8.
        wanted: What the row should reach.
    """

    model: str
    inner: tuple[float, float, float]
    wanted: str
    left_out: int = 0
    blocks: tuple[int, ...] = ()
    epochs: int = 0
    learning_rate: float | None = None
    integers: bool = False
    method: str = "prune.l1"
    parameters: dict[str, Any] = field(default_factory=dict)


_TWICE = {"blocks": (0, 2), "method": "prune.obs"}
_CHANNELS = {"epochs": 20, "learning_rate": 0.01, "method": "prune.obs"}
_BOTH = {"left_out": 12, "epochs": 20, "learning_rate": 0.01, "method": "prune.obs"}
_DEPTH = {"left_out": 12, "epochs": 20, "learning_rate": 0.01}
ROWS = {
    "20-plain": Row(
        "resnet20",
        (0.35, 0.35, 0.35),
        "1.5x fewer MACs, weights as they are: what to beat",
        parameters={"restore_batch_norm": False, "statistics_samples": 0},
    ),
    "20-l1": Row("resnet20", (0.35, 0.35, 0.35), "the same with new statistics"),
    "20-obs": Row("resnet20", (0.35, 0.35, 0.35), "20 points above 20-plain, no training", method="prune.obs"),
    "20-3": Row("resnet20", (0.0, 0.375, 0.46875), ">= 0.890 at >= 2.0x", epochs=3, **_TWICE),
    "20-15": Row("resnet20", (0.0, 0.375, 0.46875), ">= 0.900 at >= 2.0x", epochs=15, learning_rate=0.01, **_TWICE),
    "20-int8": Row(
        "resnet20",
        (0.0, 0.0, 0.25),
        ">= 0.895 at ratio <= 0.32",
        blocks=(0, 2),
        epochs=15,
        learning_rate=0.01,
        integers=True,
    ),
    "56-channels": Row("resnet56", (0.5, 0.53125, 0.5625), ">= 0.923 at >= 2.1x", **_CHANNELS),
    "56-both": Row("resnet56", (0.0, 0.125, 0.3125), "as many multiplications as 56-channels, faster", **_BOTH),
    "56-both-int8": Row("resnet56", (0.0, 0.125, 0.3125), "the same in integers", integers=True, **_BOTH),
    "56-depth": Row("resnet56", (0.0, 0.0, 0.0), ">= 0.918 at ratio <= 0.55", **_DEPTH),
    "56-depth-int8": Row("resnet56", (0.0, 0.0, 0.0), "the same in integers: ratio <= 0.25", integers=True, **_DEPTH),
}


def recipe(row: Row, data: Any, threads: int = 0) -> Recipe:
    """Return a row's recipe."""
    blocks = {"resnet20": 9, "resnet56": 27}[row.model]
    lines: dict[str, Line] = {"*": {"prune_ratio": 0.0}}
    for number in range(blocks):
        first, second = f"node_conv2d_{2 * number + 1}", f"node_conv2d_{2 * number + 2}"
        lines[first] = {"prune_ratio": row.inner[number * 3 // blocks]}
        if number in row.blocks:
            lines[first] = lines[second] = {"keep": "no"}
    steps = []
    if row.left_out or row.blocks:
        ranked = {"remove": row.left_out, "criterion": "metric", "samples": 512} if row.left_out else {}
        steps.append(Step(method="prune.depth", parameters=ranked))
    steps.append(Step(method=row.method, parameters=row.parameters))
    if row.epochs:
        training: dict[str, Any] = {"epochs": row.epochs, "threads": threads}
        if row.learning_rate is not None:
            training["learning_rate"] = row.learning_rate
        steps.append(Step(method="train.finetune", parameters=training))
    if row.integers:
        steps.append(Step(method="quantize.ptq"))
    plan = Plan(default=INTEGERS if row.integers else {}, layers=lines)
    return Recipe(data=data, plan=plan, steps=tuple(steps))


def main() -> None:
    """Run the rows and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(ROWS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="of training; 0 takes all cores")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = description(augmented=True)
        for name in options.only or ROWS:
            row, began = ROWS[name], time.perf_counter()
            model = SHARED / "models" / f"{row.model}_cifar10_folded.onnx"
            report = candidate(
                model,
                recipe(row, data, options.threads),
                folder / f"{name}.onnx",
                log=True,
                cache=str(folder / "steps"),
                latency_seconds=8.0,
            )
            assert report.metric is not None
            assert report.latency is not None
            ratio = report.latency.ratio_to_first
            figures = {
                "name": name,
                "top1": report.metric.value,
                "macs_times_fewer": report.model.macs / report.candidate.macs,
                "size_bytes": report.candidate.size_bytes,
                "latency_ratio": ratio.median,
                "latency_ratio_ci95": ratio.ci95,
                "seconds": round(time.perf_counter() - began),
                "wanted": row.wanted,
            }
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
