"""Compares pruning schedules in one small budget: ResNet-20, half of the units of every group, 6 epochs in all.

    python tests/benchmarks/pruning_schedules.py [schedule ...]

CIFAR-10, batch norm folded in the file; every epoch has 2,500 training images; top-1 on the validation images that are
held out of the training split; a quarter of the parameters stays. "one shot" is L1 and 6 epochs of recovery; iterative
pruning has 4 rounds (3 epochs) and 3 epochs of recovery, all others 3 epochs of schedule and 3 of recovery.

Figures of one run (1 thread, bfloat16, learning rate 0.006, feature distillation 30, penalties as they come by
themselves), right after the removal with statistics taken anew, and recovered:

    one shot     0.184  0.760
    iterative    0.446  0.790
    agp          0.584  0.798
    soft         0.186  0.689
    spp          0.525  0.786
    increg       0.486  0.775
    greg1        0.590  0.763
    greg2        0.616  0.764
    group_lasso  0.214  0.735    (a twelfth of the median length instead of a tenth)
    slimming     0.155  0.708    (the same)

With penalties of 1.0 the growing ones had been at 0.669 to 0.687: too weak for 117 steps. Soft pruning and those that
pull all channels alike were made for a hundred epochs, and here cost more than they save.
"""

from __future__ import annotations

import sys

import numpy as np
from cifar10 import RESNET20, description

from workbench.api import PRUNE_RATIO, Tools
from workbench.domain.installation import shipped_folder
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model
from workbench.methods.preparation import RecipeData
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

HOOKED = {"schedule_epochs": 3, "epochs": 3}
BUDGETS = {
    "one shot": ("iterative", {"rounds": 1, "epochs": 6}),
    "iterative": ("iterative", {"rounds": 4, "round_epochs": 1, "epochs": 3}),
    **{name: (name, HOOKED) for name in ("agp", "soft", "spp", "increg", "greg1", "greg2", "group_lasso", "slimming")},
}


def main(wanted: list[str]) -> None:
    """Print one line for every schedule."""
    graph = open_model(RESNET20)
    engine = OrtEngine(threads=1)
    tools = Tools(
        reference=graph,
        data=RecipeData(description(augmented=True), graph.inputs, engine, graph),
        inference=engine,
        training=TorchEngine(threads=1),
        rng=np.random.default_rng(0),
        seed=0,
    )
    knobs = {layer.name: layer.knobs for layer in find_layers(graph)}
    plan = resolve(Plan(default={"prune_ratio": 0.5}), knobs, [PRUNE_RATIO])
    plugins = shipped_folder("plugins")
    assert plugins is not None
    methods = {method.id: method for method in load_methods(read_manifest(plugins / "prune", "first-party"))}
    for name in wanted or BUDGETS:
        schedule, budget = BUDGETS[name]
        kind = methods[f"schedule.{schedule}"]
        parameters = kind.Parameters(**{"samples": 2500, "threads": 1, "statistics_samples": 256, **budget})
        details = kind(parameters).apply(graph, plan, tools).details
        best = max(entry["score"] for entry in details["history"])
        print(f"{name:12s} {details['score_removed']:.3f}  {best:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
