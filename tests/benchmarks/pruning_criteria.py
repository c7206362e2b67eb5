"""Prints what every pruning criterion keeps of ResNet-20 without any training.

usage: python tests/benchmarks/pruning_criteria.py [--only prune.l1 …] [--scope layer|global] [--images 3000]

The folded ResNet-20 gets batch norm back, loses half of the inner channels of every block (`--scope global`: the same
number of multiplications, spread by one ranking of all inner channels), and its statistics are taken anew. Latest top-1
on 3,000 test images (original 0.917), MACs 0.505 to 0.510 of the original's; lasso and obs reconstruct by themselves:

    criterion         per layer  per layer, --set reconstruct=true  --scope global
    l1                  0.580              0.766                        0.514
    l2                  0.562                                           -
    geometric_median    0.396                                           -
    bn_scale            0.499                                           -
    apoz                0.514                                           -
    mean_activation     0.572              0.713                        0.387
    feature_rank        0.530                                           -
    taylor              0.555              0.749                        0.474
    fisher              0.543                                           0.526
    obd                 0.558              0.738                        0.501
    lasso                 -                0.772                        0.334
    obs                   -                0.801                        0.685
    random              0.447              0.660                        -

A global ranking with --set normalisation=mean, which makes layers comparable: l1 0.572, l2 0.618. One thread, on a busy
machine: 10 to 45 s each. Slopes of ResNet-56 (28 groups, prune.taylor, 1,024 images): 8.5 s of one core.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from cifar10 import SHARED, description

from workbench.api import LayerSettings, Method, ModelGraph, Tools, fold_batch_norm, graph_cost
from workbench.domain.installation import shipped_folder
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.engines.training_torch.engine import TorchEngine
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model
from workbench.methods.preparation import RecipeData
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def criteria() -> dict[str, type[Method]]:
    """Return the pruning methods by id."""
    folder = shipped_folder("plugins")
    assert folder is not None
    return {method.id: method for method in load_methods(read_manifest(folder / "prune", "first-party"))}


def halved(graph: ModelGraph, *, by_default: bool = False) -> LayerSettings:
    """Return the plan that takes half of the inner channels of every block and leaves the residual stream alone.

    Args:
        graph: A CIFAR ResNet of the shared ones.
        by_default: Say it as the default, which a target or global ranking may change; the stream has lines of 0.
    """
    layers = {layer.name: layer.knobs for layer in find_layers(graph)}
    inner = [f"node_conv2d_{number}" for number in range(1, 55, 2) if f"node_conv2d_{number}" in layers]
    name = PRUNE_RATIO.name
    if by_default:
        plan = Plan(default={name: 0.5}, layers={layer: {name: 0.0} for layer in layers if layer not in inner})
    else:
        plan = Plan(layers={layer: {name: 0.5} for layer in inner})
    return resolve(plan, layers, [PRUNE_RATIO])


def tools(graph: ModelGraph, threads: int = 0, seed: int = 0) -> Tools:
    """Return engines with so many threads (0: all cores) and the shared data."""
    inference = OrtEngine(threads)
    data = RecipeData(description(), graph.inputs, inference, graph)
    return Tools(
        reference=graph,
        data=data,
        inference=inference,
        training=TorchEngine(threads),
        rng=np.random.default_rng(seed),
        seed=seed,
    )


def top1(graph: ModelGraph, images: int, threads: int) -> float:
    """Return the share of test images that the exported graph gets right."""
    test = np.load(SHARED / "cifar10" / "test.npz")
    x = ((test["x"][:images] / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32)
    session = OrtEngine(threads).open(fold_batch_norm(graph))
    name = session.input_names[0]
    scores = [session.run({name: x[start : start + 250]})[session.output_names[0]] for start in range(0, len(x), 250)]
    return float((np.concatenate(scores).argmax(axis=1) == test["y"][: len(x)]).mean())


def main() -> None:
    """Run all and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", default="resnet20_cifar10_folded.onnx")
    arguments.add_argument("--only", nargs="*")
    arguments.add_argument("--scope", choices=("layer", "global"), default="layer")
    arguments.add_argument("--images", type=int, default=3000)
    arguments.add_argument("--threads", type=int, default=0, help="0: all cores")
    arguments.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters")
    options = arguments.parse_args()
    graph = open_model(SHARED / "models" / options.model)
    macs = graph_cost(graph).macs
    everywhere = options.scope == "global"
    plan = halved(graph, by_default=everywhere)
    print(f"{'original':28s} top1 {top1(graph, options.images, options.threads):.4f}")
    for name, method in criteria().items():
        if options.only and name not in options.only:
            continue
        given: dict[str, Any] = dict(entry.split("=", 1) for entry in options.set)
        if everywhere:
            given = {"scope": "global", "target": "macs", "target_ratio": 0.51, **given}
        known = method.Parameters.model_fields
        parameters = method.Parameters.model_validate({key: value for key, value in given.items() if key in known})
        began = time.perf_counter()
        result = method(parameters).apply(graph, plan, tools(graph, options.threads))
        seconds = time.perf_counter() - began
        share = graph_cost(fold_batch_norm(result.graph)).macs / macs
        score = top1(result.graph, options.images, options.threads)
        print(f"{name:28s} top1 {score:.4f}  MACs {share:.3f}  {seconds:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
