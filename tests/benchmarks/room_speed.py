"""Prints how fast the rooms are that the window waits for, each beside what was asked.

usage: python tests/benchmarks/room_speed.py

    what                                            asked     measured (2 shared cores, processor time)
    channel groups of ResNet-56                     < 0.2 s   0.05 s
    inspect ResNet-56, with picture                           0.24 s
    layout of a chain of 10,000 nodes               < 2 s     0.56 s
    one edit, 500 layers and 200 candidates         < 10 ms   0.95 ms
    one augmented epoch of 20,000 32×32 pictures              0.17 s
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from workbench.data.dataset import open_split
from workbench.domain.data_description import Crop, DataDescription, Preprocess, Split
from workbench.graph.channels import channel_groups
from workbench.graph.inspection import inspect_model
from workbench.graph.layout import layout
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model
from workbench.project.commands import SetSettings
from workbench.project.document import Document

RESNET56 = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "models" / "resnet56_cifar10_folded.onnx"


def show(what: str, asked: str, work: Callable[[], object], repeats: int = 5) -> None:
    """Print the median processor time of `work` in seconds."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    print(f"{what:48s}{asked:10s}{statistics.median(seconds):.4f} s (worst {max(seconds):.4f})")


def chain(count: int, path: Path) -> ModelGraph:
    """Return a chain of `count` activations."""
    nodes = [helper.make_node("Relu", [f"x{at}"], [f"x{at + 1}"]) for at in range(count)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x0", f"x{count}")]
    model = helper.make_model(
        helper.make_graph(nodes, "chain", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.save(model, str(path))
    return open_model(path)


def epoch(folder: Path) -> Callable[[], object]:
    """Return one pass over 20,000 augmented pictures."""
    pictures = np.random.default_rng(0).integers(0, 256, (20_000, 32, 32, 3), np.uint8)
    np.savez(folder / "train.npz", x=pictures, y=np.zeros(len(pictures), np.int64))
    description = DataDescription(
        train=Split(reader="npz", path="train.npz", inputs="x", targets="y"),
        preprocess=Preprocess(scale=255, mean=(0.5,) * 3, std=(0.2,) * 3, layout="NHWC->NCHW"),
        augment=("flip", Crop(crop=4)),
        folder=str(folder),
    )
    dataset = open_split(description, "train")
    return lambda: sum(len(batch) for batch in dataset.shuffled(128, 0))


def main() -> None:
    """Measure all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if RESNET56.is_file():
            show("channel groups of ResNet-56", "< 0.2 s", lambda: channel_groups(open_model(RESNET56)))
            show("inspect ResNet-56, with picture", "", lambda: inspect_model(RESNET56, drawing=True))
        long = chain(10_000, folder / "chain.onnx")
        show("layout of a chain of 10,000 nodes", "< 2 s", lambda: layout(long), 3)
        with Document.create(folder / "p.mcw") as document:
            document.do(SetSettings(tuple(f"layer{at}" for at in range(500)), "weight_bits", 8))
            at = iter(range(500))
            show(
                "one edit, 500 layers",
                "< 10 ms",
                lambda: document.do(SetSettings((f"layer{next(at)}",), "weight_bits", 4)),
                50,
            )
        show("one augmented epoch of 20,000 32×32 pictures", "", epoch(folder))


if __name__ == "__main__":
    main()
