"""Measures sparse weights: what each method leaves of ResNet-20's accuracy, and what zeros are worth in bytes.

    python tests/benchmarks/sparsity_resnet20.py

ResNet-20 on CIFAR-10, batch norm folded, no training; 256 calibration images; top-1 on 3,000 test images, one thread.
Layers that a pattern does not fit stay dense (the first convolution for N:M, the classifier for blocks). Zeros and
sizes are of the sparse layers' weights: as in the file, as bitmask and values (counted), and deflated (zlib, level 6),
each over the first. Seconds are those of a busy machine.

Wanda is no better than magnitude here. Layer by layer, at 0.5, its error of the layer's output is about magnitude's
where weights compete within the layer (0.06 to 0.22), and up to 1.6 times larger where they compete within one output.
Aiming at the dense model's outputs (inputs=matched, the default) is what makes blocks and 75 % usable without training.

Figures of one run (the times over dense of a second one, with inputs=dense):

    dense                                                  top1 0.9173
    0.5                prune.magnitude                     top1 0.8537  zeros 0.500  size 0.531 0.532  0.3 s
    0.5                prune.wanda                         top1 0.8177  zeros 0.500  size 0.531 0.537  1.5 s
    0.5                prune.wanda      comparison=layer   top1 0.8303  zeros 0.500  size 0.531 0.532  10.3 s
    0.5                prune.sparsegpt  inputs=dense       top1 0.9093  zeros 0.500  size 0.531 0.534  52.5 s
    0.5                prune.sparsegpt  inputs=sparse      top1 0.9083  zeros 0.500  size 0.531 0.533  29.3 s
    0.5                prune.sparsegpt                     top1 0.9093  zeros 0.500  size 0.531 0.533  33.7 s
    2:4                prune.magnitude                     top1 0.7160  zeros 0.500  size 0.531 0.543  0.1 s
    2:4                prune.wanda                         top1 0.6450  zeros 0.500  size 0.531 0.542  0.9 s
    2:4                prune.wanda      comparison=layer   top1 0.6450  zeros 0.500  size 0.531 0.542  1.0 s
    2:4                prune.sparsegpt  inputs=dense       top1 0.8883  zeros 0.500  size 0.531 0.545  4.4 s
    2:4                prune.sparsegpt  inputs=sparse      top1 0.8863  zeros 0.500  size 0.531 0.545  24.7 s
    2:4                prune.sparsegpt                     top1 0.9063  zeros 0.500  size 0.531 0.544  15.5 s
    0.5 block          prune.magnitude                     top1 0.4700  zeros 0.500  size 0.531 0.544  0.1 s
    0.5 block          prune.wanda                         top1 0.4513  zeros 0.500  size 0.531 0.542  0.8 s
    0.5 block          prune.wanda      comparison=layer   top1 0.3870  zeros 0.500  size 0.531 0.540  0.5 s
    0.5 block          prune.sparsegpt  inputs=dense       top1 0.8073  zeros 0.500  size 0.531 0.547  2.3 s
    0.5 block          prune.sparsegpt  inputs=sparse      top1 0.7503  zeros 0.500  size 0.531 0.544  5.3 s
    0.5 block          prune.sparsegpt                     top1 0.8907  zeros 0.500  size 0.531 0.547  23.4 s
    0.75               prune.magnitude                     top1 0.3710  zeros 0.750  size 0.281 0.288  0.1 s
    0.75               prune.wanda                         top1 0.2817  zeros 0.750  size 0.281 0.293  0.5 s
    0.75               prune.wanda      comparison=layer   top1 0.2060  zeros 0.750  size 0.281 0.289  0.6 s
    0.75               prune.sparsegpt  inputs=dense       top1 0.5737  zeros 0.750  size 0.281 0.294  3.2 s
    0.75               prune.sparsegpt  inputs=sparse      top1 0.4703  zeros 0.750  size 0.281 0.293  10.5 s
    0.75               prune.sparsegpt                     top1 0.8533  zeros 0.750  size 0.281 0.293  26.6 s
    0.5                time over dense 0.993 (0.981-1.013)
    2:4                time over dense 0.991 (0.976-1.011)
    0.5 block          time over dense 0.987 (0.971-1.007)
    0.75               time over dense 1.001 (0.988-1.019)
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from workbench.devices import ThisComputer  # noqa: E402
from workbench.domain.knobs import FIRST_PARTY_KNOBS, Setting  # noqa: E402
from workbench.domain.plan import Plan, resolve  # noqa: E402
from workbench.engines.contracts import Batch  # noqa: E402
from workbench.engines.inference_ort import OrtEngine  # noqa: E402
from workbench.engines.training_torch import TorchEngine  # noqa: E402
from workbench.graph.layers import find_layers  # noqa: E402
from workbench.graph.model import ModelGraph  # noqa: E402
from workbench.graph.storage import open_model, save_model  # noqa: E402
from workbench.methods.method import Method, MethodResult, Tools  # noqa: E402
from workbench.plugin_host.loader import load_methods  # noqa: E402
from workbench.plugin_host.manifests import read_manifest  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
ENGINE = OrtEngine(threads=1)
WANTED: tuple[dict[str, Setting], ...] = (
    {"sparsity": 0.5},
    {"sparsity_pattern": "2:4"},
    {"sparsity": 0.5, "sparsity_pattern": "block"},
    {"sparsity": 0.75},
)
METHODS: tuple[tuple[str, dict[str, object]], ...] = (
    ("prune.magnitude", {}),
    ("prune.wanda", {}),
    ("prune.wanda", {"comparison": "layer"}),
    ("prune.sparsegpt", {"inputs": "dense"}),
    ("prune.sparsegpt", {"inputs": "sparse"}),
    ("prune.sparsegpt", {}),
)


def cifar(split: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return preprocessed images (N, 3, 32, 32) and labels (N,)."""
    arrays = np.load(DATA / "cifar10" / f"{split}.npz")
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    x = (arrays["x"][:samples] / np.float32(255) - mean) / std
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), dtype=np.float32), arrays["y"][:samples]


class Calibration:
    """The same images for every method."""

    task, metric = "classification", "top1"

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def calibration(self, samples: int, batch_size: int = 64) -> Iterator[Batch]:
        """Yield up to `samples` images."""
        for start in range(0, min(samples, len(self.images)), batch_size):
            yield Batch({"input": self.images[start : start + batch_size]}, None)


def top1(graph: ModelGraph, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images that are classified as labelled."""
    session = ENGINE.open(graph)
    scores = [session.run(batch.inputs)[session.output_names[0]] for batch in Calibration(images).calibration(10**9)]
    return float((np.concatenate(scores).argmax(1) == labels).mean())


def applied(
    kind: type[Method], graph: ModelGraph, wanted: dict[str, Setting], parameters: dict[str, object], images: np.ndarray
) -> MethodResult:
    """Run a method on all layers."""
    layers = {layer.name: layer.knobs for layer in find_layers(graph)}
    tools = Tools(
        reference=graph,
        data=Calibration(images),  # type: ignore[arg-type]
        inference=ENGINE,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=0,
    )
    method = kind(kind.Parameters(**parameters))
    return method.apply(graph, resolve(Plan(default=wanted), layers, FIRST_PARTY_KNOBS), tools)


def latency(graph: ModelGraph, sparse: dict[str, ModelGraph], seconds: float) -> None:
    """Print the time of sparse models over that of the dense one, interleaved, one thread, batch 1."""
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place) / f"{number}.onnx" for number in range(len(sparse) + 1)]
        for path, each in zip(paths, (graph, *sparse.values()), strict=True):
            save_model(each, path)
        report = ThisComputer().measure(paths, seconds=seconds, operators=False)
    for title, measured in zip(sparse, report.models[1:], strict=True):
        ratio = measured.ratio_to_first
        assert ratio is not None
        print(f"{title:18} time over dense {ratio.median:.3f} ({ratio.ci95[0]:.3f}-{ratio.ci95[1]:.3f})")


def main() -> None:
    """Print all figures."""
    methods = {kind.id: kind for kind in load_methods(read_manifest(ROOT / "plugins" / "sparsify", "first-party"))}
    graph = open_model(DATA / "models" / "resnet20_cifar10_folded.onnx")
    (train, _), (test, labels) = cifar("train", 256), cifar("test", 3000)
    print(f"{'dense':18} {'':16} {'':18} top1 {top1(graph, test, labels):.4f}")
    sparse: dict[str, ModelGraph] = {}
    for wanted in WANTED:
        title = " ".join(str(value) for value in wanted.values())
        for id, parameters in METHODS:
            began = time.perf_counter()
            result = applied(methods[id], graph, wanted, parameters, train)
            seconds = time.perf_counter() - began
            found, shown = result.details, " ".join(f"{name}={value}" for name, value in parameters.items())
            sizes = " ".join(f"{found[key] / found['bytes']:.3f}" for key in ("bitmask_bytes", "deflate_bytes"))
            print(
                f"{title:18} {id:16} {shown:18} top1 {top1(result.graph, test, labels):.4f}  "
                f"zeros {found['zeros'] / found['weights']:.3f}  size {sizes}  {seconds:.1f} s",
                flush=True,
            )
            sparse[title] = result.graph
    latency(graph, sparse, 20.0)


if __name__ == "__main__":
    main()
