"""Makes the embedded demo: trains a small CNN on Fashion-MNIST with the workbench's own trainer and cuts a subset.

usage: python packaging/make_demo.py FASHION_MNIST_FOLDER [--epochs N]

FASHION_MNIST_FOLDER holds the four gzipped IDX files (Xiao, Rasul and Vollgraf, 2017; MIT licence). Writes
resources/demo/{model.onnx, train.npz, test.npz, data.yaml} and prints the accuracy on all 10,000 test images.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional

DEMO = Path(__file__).resolve().parents[1] / "resources" / "demo"
PREPROCESS = {"scale": 255, "mean": [0.2860], "std": [0.3530], "layout": "HW->NCHW"}
CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
TRAIN_SAMPLES, TEST_SAMPLES = 6000, 2500


class Block(nn.Module):
    """A residual block of two 3×3 convolutions (He et al., 2016) with a 1×1 shortcut where the shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what comes out (N, channels, H / stride, W / stride) for an input (N, channels_in, H, W)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class FashionNet(nn.Module):
    """A residual CNN for 28×28 grey images: 16, 32 and 64 channels, 78 k parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = Block(16, 16, 1)
        self.layer2 = Block(16, 32, 2)
        self.layer3 = Block(32, 64, 2)
        self.fc = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, 10) of images (N, 1, 28, 28)."""
        x = functional.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def make() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return the untrained network and an example input, as `workbench import` asks of a factory."""
    torch.manual_seed(0)
    return FashionNet().eval(), (torch.zeros(2, 1, 28, 28),)


def read_idx(path: Path) -> np.ndarray:
    """Return the array of a gzipped IDX file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    sizes = np.frombuffer(raw, ">u4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


def write_subset(source: Path, prefix: str, samples: int, target: Path) -> None:
    """Write the same number of samples of every class, in the order of the source."""
    images, labels = (read_idx(source / f"{prefix}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    each = samples // 10
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:each] for label in range(10)]))
    np.savez_compressed(target, x=images[chosen], y=labels[chosen].astype(np.int64))


def describe(train: dict[str, str], test: dict[str, str]) -> dict[str, object]:
    """Return the content of a DATA.yaml."""
    return {
        "task": "classification",
        "metric": "top1",
        "train": train,
        "test": test,
        "preprocess": PREPROCESS,
        "augment": ["flip", {"crop": 2}],
        "options": {"classes": CLASSES},
    }


def main() -> None:
    """Train, cut and write."""
    from workbench.cli import main as workbench

    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("fashion_mnist", type=Path)
    arguments.add_argument("--epochs", type=int, default=12)
    options = arguments.parse_args()
    source = options.fashion_mnist.resolve()
    DEMO.mkdir(parents=True, exist_ok=True)
    write_subset(source, "train", TRAIN_SAMPLES, DEMO / "train.npz")
    test = "t10k" if (source / "t10k-images-idx3-ubyte.gz").exists() else "test"
    write_subset(source, test, TEST_SAMPLES, DEMO / "test.npz")
    npz = {"reader": "npz", "inputs": "x", "targets": "y"}
    (DEMO / "data.yaml").write_text(
        yaml.safe_dump(describe({**npz, "path": "train.npz"}, {**npz, "path": "test.npz"}), sort_keys=False)
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        full = describe(
            *(
                {
                    "reader": "idx",
                    "path": str(source / f"{prefix}-images-idx3-ubyte.gz"),
                    "targets": str(source / f"{prefix}-labels-idx1-ubyte.gz"),
                }
                for prefix in ("train", test)
            )
        )
        (work / "full.yaml").write_text(yaml.safe_dump(full))
        parameters = {"epochs": options.epochs, "learning_rate": 0.1, "distillation": 0.0, "warmup_epochs": 1}
        recipe = {"version": 1, "data": "full.yaml", "steps": [{"method": "train.finetune", "parameters": parameters}]}
        (work / "train.yaml").write_text(yaml.safe_dump(recipe))
        start = work / "untrained.onnx"
        if workbench(["import", f"{Path(__file__).resolve()}:make", "--out", str(start), "--trust"]):
            raise SystemExit("the import failed")
        trained = work / "model.onnx"
        if workbench(["compress", str(start), "--recipe", str(work / "train.yaml"), "--out", str(trained)]):
            raise SystemExit("the training failed")
        shutil.copyfile(trained, DEMO / "model.onnx")


if __name__ == "__main__":
    main()
