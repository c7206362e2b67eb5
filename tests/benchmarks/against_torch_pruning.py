"""Prints channel pruning of the shared ResNets by the workbench and by Torch-Pruning, side by side from one run.

usage: python tests/benchmarks/against_torch_pruning.py [--models resnet20 resnet56] [--slow] [--epochs N]

Both prune the same weights, in which batch norm is unfolded, by L1; the torch module that Torch-Pruning cuts gives the
shared file's outputs within 1e-6, and what it makes of it comes back through the workbench's own import. =masked:
largest difference to the original with the same channels zeroed, over the largest logit (64 random pictures). odd/8:
convolutions of an odd count of channels, and of one that is no multiple of 8. top1 (2,000 test images) with the
original's batch-norm statistics, and with statistics taken anew from 1,000 training images; no training. time: ratio to
the original, ONNX Runtime, batch 1, 1 thread, interleaved. lsq: with weights reconstructed by least squares.

"workbench" is what a user gets; "once" ranks all layers once instead of in rounds (ranking_rounds 1).

Latest figures, Torch-Pruning 1.6.1, on 2 cores that trainings kept busy (accuracy and counts do not mind, times do);
ResNet-20, original 0.912:

    task                  tool             runs  =masked  MACs   params  odd/8   top1   stats  time
    inner, half of each   workbench        yes   4e-07    0.505  0.503   0/0     0.218  0.567  0.652
    inner, half of each   Torch-Pruning    yes   5e-07    0.505  0.503   0/0     0.254  0.566  0.646
    inner, half the MACs  workbench        yes   4e-07    0.499  0.677   2/7     0.302  0.707  0.781
    inner, half the MACs  workbench, once  yes   4e-07    0.500  0.449   6/7     0.177  0.434  0.763
    inner, half the MACs  Torch-Pruning    yes   5e-07    0.491  0.656   4/8     0.244  0.642  0.823
    same, multiples of 8  workbench        yes   8e-07    0.491  0.558   0/0     0.132  0.535  0.675
    same, multiples of 8  workbench, once  yes   3e-07    0.495  0.477   0/0     0.179  0.483  0.673
    same, multiples of 8  Torch-Pruning    yes   7e-07    0.491  0.558   0/0     0.118  0.539  0.666
    all, half the MACs    workbench        yes   3e-07    0.495  0.666   5/8     0.284  0.691  0.783
    all, half the MACs    workbench, once  yes   4e-07    0.500  0.449   6/7     0.177  0.434  0.758
    all, half the MACs    Torch-Pruning    yes   1e+00    0.477  0.687   6/16    0.110  0.279  0.856

ResNet-56, original 0.934:

    task                  tool             runs  =masked  MACs   params  odd/8   top1   stats  time
    all, half of each     workbench        yes   2e-07    0.251  0.251   0/0     0.104  0.229  0.446
    all, half of each     workbench, lsq   yes   -        0.251  0.251   0/0     0.429  0.623  0.444
    all, half of each     Torch-Pruning    yes   1e+00    0.352  0.415   0/0     0.102  0.215  0.609
    inner, half of each   workbench        yes   4e-07    0.502  0.501   0/0     0.372  0.822  0.669
    inner, half of each   workbench, lsq   yes   -        0.502  0.501   0/0     0.835  0.867  0.681
    inner, half of each   Torch-Pruning    yes   5e-07    0.502  0.501   0/0     0.375  0.823  0.673
    inner, half the MACs  workbench        yes   4e-07    0.499  0.635   13/26   0.376  0.866  0.853
    inner, half the MACs  workbench, once  yes   5e-07    0.500  0.498   14/21   0.320  0.824  0.778
    inner, half the MACs  workbench, lsq   yes   -        0.499  0.635   13/26   0.817  0.881  0.853
    inner, half the MACs  Torch-Pruning    yes   5e-07    0.497  0.645   16/25   0.237  0.841  0.863
    same, multiples of 8  workbench        yes   5e-07    0.492  0.557   0/0     0.282  0.808  0.694
    same, multiples of 8  workbench, once  yes   6e-07    0.497  0.490   0/0     0.281  0.816  0.682
    same, multiples of 8  workbench, lsq   yes   -        0.492  0.557   0/0     0.781  0.859  0.692
    same, multiples of 8  Torch-Pruning    yes   4e-07    0.462  0.519   0/0     0.207  0.767  0.683
    all, half the MACs    workbench        yes   3e-07    0.500  0.636   13/25   0.362  0.865  0.841
    all, half the MACs    workbench, once  yes   5e-07    0.500  0.498   14/21   0.320  0.824  0.773
    all, half the MACs    workbench, lsq   yes   -        0.500  0.636   13/25   0.818  0.880  0.843
    all, half the MACs    Torch-Pruning    yes   5e-01    0.492  0.652   40/48   0.118  0.601  1.054

What decides is the scale that layers are compared on: taken anew from what is left, as Torch-Pruning does step by step,
or once. Which weights count matters less. On multiples of 8 both come to the same counts and nearly to the same
channels; Torch-Pruning is 0.004 ahead, 8 pictures. On ResNet-56 Torch-Pruning stops at 0.462 of the multiplications,
ours at 0.492.

Torch-Pruning pairs channel i of a narrow stage with channel i of the wide one, though padding moves it by 8 and by 16:
its nets of all groups run, but are not the original without some channels. One channel that only the widest stage has:
workbench 4e-07; Torch-Pruning returns a net that does not run (sizes 63 and 64).

    processor seconds                               asked  workbench  Torch-Pruning
    groups of ResNet-56                             < 0.2      0.049          0.024
    groups of a residual net of 5,007 nodes           < 3      1.778          3.727
    Taylor, ResNet-56, 1,024 images (--slow)         < 20      9.174         12.147
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar_resnet import ResNet, copied, exported, loaded, zeroed
from pruning_criteria import SHARED, criteria, tools, top1
from pruning_speed import print_speed, torch_pruning

from workbench.api import (
    LayerSettings,
    ModelGraph,
    Tools,
    channel_groups,
    fold_batch_norm,
    graph_cost,
    remove_channels,
    with_new_statistics,
)
from workbench.devices.this_computer import ThisComputer
from workbench.domain.installation import shipped_folder
from workbench.domain.knobs import PRUNE_RATIO
from workbench.domain.plan import Plan, resolve
from workbench.engines.inference_ort.engine import OrtEngine
from workbench.graph.kept import kept
from workbench.graph.layers import find_layers
from workbench.graph.storage import open_model, save_model
from workbench.methods.normalisation import give_back_normalisation
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import read_manifest

STEPS = 100
"""In which Torch-Pruning approaches half the multiplications; it ranks anew after each."""
MOST = 0.9
"""Share of a layer's channels that a global ranking may take, for both."""


@dataclass(frozen=True)
class Task:
    """What both tools are asked to do.

    Attributes:
        inner: Prune only the first convolution of every block, so that residual streams stay whole.
        to_half: Rank all channels together until half of the multiplications are left; otherwise half of each layer.
        multiple: Kept channels are multiples of this.
    """

    inner: bool
    to_half: bool = False
    multiple: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a tool made of a task.

    Attributes:
        seconds: Processor time.
        graph: With batch norm, its statistics as they were; None where there is none that runs.
        gone: By number of the convolution the output channels that were taken away.
        failure: Why there is no graph.
    """

    seconds: float
    graph: ModelGraph | None = None
    gone: Mapping[int, Sequence[int]] | None = None
    failure: str = ""


TASKS = {
    "all, half of each": Task(inner=False),
    "inner, half of each": Task(inner=True),
    "inner, half the MACs": Task(inner=True, to_half=True),
    "same, multiples of 8": Task(inner=True, to_half=True, multiple=8),
    "all, half the MACs": Task(inner=False, to_half=True),
}
# The first is what a user gets. The second ranks all layers once, by the scores that they have before anything goes.
_ONCE = "workbench, once"
OURS: dict[str, dict[str, Any]] = {
    "workbench": {},
    _ONCE: {"ranking_rounds": 1},
    "workbench, lsq": {"reconstruct": True},
}


def by_workbench(start: ModelGraph, task: Task, equipment: Tools, parameters: Mapping[str, Any]) -> Outcome:
    """Prune by prune.l1; statistics are left as they are."""
    convolutions = [node.name for node in start.nodes if node.op == "Conv"]
    layers = {layer.name: layer.knobs for layer in find_layers(start)}
    stay = [name for name in layers if name not in convolutions or (task.inner and name in convolutions[::2])]
    plan = Plan(default={PRUNE_RATIO.name: 0.5}, layers={layer: {PRUNE_RATIO.name: 0.0} for layer in stay})
    settings: LayerSettings = resolve(plan, layers, [PRUNE_RATIO])
    given = {"statistics_samples": 0, "channel_multiple": task.multiple, **parameters}
    if task.to_half:
        given |= {"scope": "global", "target": "macs", "target_ratio": 0.5, "smallest_share": 1 - MOST}
    method = criteria()["prune.l1"]
    began = time.process_time()
    graph = method(method.Parameters(**given)).apply(start, settings, equipment).graph
    seconds = time.process_time() - began
    gone = {}
    for number, node in enumerate(node for node in graph.nodes if node.op == "Conv"):
        note = kept(node.metadata)
        if note is not None:
            gone[number] = np.setdiff1d(np.arange(note.count), note.positions).tolist()
    return Outcome(seconds, graph, gone)


def by_torch_pruning(net: ResNet, task: Task, path: Path) -> Outcome:
    """Prune by its magnitude pruner (L1, its defaults otherwise)."""
    pruned = copied(net)
    left = {conv: list(range(conv.out_channels)) for conv in pruned.convolutions()}
    began = time.process_time()
    try:
        _prune(pruned, task, left)
    except Exception as error:  # a foreign tool may raise anything; that it does is the finding
        return Outcome(time.process_time() - began, failure=f"raises {type(error).__name__}: {error}")
    seconds = time.process_time() - began
    try:
        with torch.no_grad():
            pruned(torch.rand(2, 3, 32, 32))
    except RuntimeError as error:
        return Outcome(seconds, failure=f"returns a net that does not run: {error}")
    gone = {
        number: sorted(set(range(before.out_channels)) - set(stays))
        for number, (before, stays) in enumerate(zip(net.convolutions(), left.values(), strict=True))
    }
    return Outcome(seconds, exported(pruned, path), gone)


def _prune(net: ResNet, task: Task, left: Mapping[torch.nn.Module, list[int]]) -> None:
    """Prune in place, and note in `left` the original output channels that every convolution still has."""
    example = torch.rand(1, 3, 32, 32)
    half = torch_pruning.utils.count_ops_and_params(net, example)[0] / 2
    pruner = torch_pruning.pruner.MagnitudePruner(
        net,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=1),
        global_pruning=task.to_half,
        pruning_ratio=MOST if task.to_half else 0.5,
        max_pruning_ratio=MOST,
        iterative_steps=STEPS if task.to_half else 1,
        ignored_layers=[*(net.convolutions()[::2] if task.inner else ()), net.linear],
        round_to=task.multiple if task.multiple > 1 else None,
    )
    for _ in range(STEPS if task.to_half else 1):
        for group in pruner.step(interactive=True):
            for dependency, positions in group:
                stays = left.get(dependency.target.module)
                if stays is not None and pruner.DG.is_out_channel_pruning_fn(dependency.handler):
                    cut = {int(position) for position in positions}
                    stays[:] = [channel for at, channel in enumerate(stays) if at not in cut]
            group.prune()
        if task.to_half and torch_pruning.utils.count_ops_and_params(net, example)[0] <= half:
            return


def one_wide_channel(net: ResNet, start: ModelGraph, pictures: np.ndarray) -> tuple[str, str]:
    """Return what comes of removing one channel of the last residual stream that no earlier stage has; ours, theirs."""
    channel, convolutions = 60, net.convolutions()
    streams = range(len(convolutions) * 2 // 3 + 2, len(convolutions), 2)
    names = [node.name for node in start.nodes if node.op == "Conv"]
    stream = next(group for group in channel_groups(start) if group.id == names[0])
    last = next(member for member in stream.out_members if member.layer == names[streams[-1]])
    unit = next(unit for unit, positions in enumerate(last.positions) if channel in positions)
    gone = dict.fromkeys(streams, (channel,))
    ours = disagreement(net, Outcome(0.0, remove_channels(start, {stream.id: [unit]}), gone), pictures)
    pruned = copied(net)
    try:
        dependencies = torch_pruning.DependencyGraph().build_dependency(pruned, torch.rand(1, 3, 32, 32))
        outputs_of = torch_pruning.prune_conv_out_channels
        dependencies.get_pruning_group(pruned.convolutions()[streams[-1]], outputs_of, [channel]).prune()
        with torch.no_grad():
            found, wanted = (each(torch.from_numpy(pictures)).numpy() for each in (pruned, zeroed(net, gone)))
    except Exception as error:  # a foreign tool may raise anything; that it does is the finding
        return f"{ours:.0e}", f"{type(error).__name__}: {error}"
    return f"{ours:.0e}", f"{relative(wanted, found):.0e}"


def disagreement(net: ResNet, outcome: Outcome, pictures: np.ndarray) -> float:
    """Return the largest difference to the original with the same channels zeroed, over the output's largest value."""
    assert outcome.graph is not None
    assert outcome.gone is not None
    with torch.no_grad():
        wanted = zeroed(net, outcome.gone)(torch.from_numpy(pictures)).numpy()
    return relative(wanted, outputs(outcome.graph, pictures))


def outputs(graph: ModelGraph, pictures: np.ndarray) -> np.ndarray:
    """Return the logits (n, 10) that the runtime computes."""
    session = OrtEngine(1).open(graph)
    return session.run({session.input_names[0]: pictures})[session.output_names[0]]


def relative(wanted: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference over the largest value."""
    return float(np.abs(wanted - found).max() / np.abs(wanted).max())


def odd_counts(graph: ModelGraph) -> tuple[int, int]:
    """Return how many convolutions have an odd count of output channels, and how many no multiple of 8."""
    shapes = [graph.constant_shape(node.inputs[1]) or (0,) for node in graph.nodes if node.op == "Conv"]
    return sum(shape[0] % 2 for shape in shapes), sum(shape[0] % 8 > 0 for shape in shapes)


def fine_tuned(graph: ModelGraph, equipment: Tools, epochs: int, samples: int | None) -> ModelGraph:
    """Return the graph after the workbench's own fine-tuning, which is the same for both tools."""
    folder = shipped_folder("plugins")
    assert folder is not None
    (method,) = load_methods(read_manifest(folder / "finetune", "first-party"))
    parameters = method.Parameters.model_validate({"epochs": epochs, "samples": samples})
    return method(parameters).apply(graph, resolve(Plan(), {}, []), equipment).graph


def compare(name: str, folder: Path, options: argparse.Namespace) -> None:
    """Print the table of one model."""
    shared = open_model(SHARED / "models" / f"{name}_cifar10_{'bnclean' if name == 'resnet20' else 'folded'}.onnx")
    pictures = np.random.default_rng(0).normal(size=(64, 3, 32, 32)).astype(np.float32)
    source = shared
    if not any(node.op == "BatchNormalization" for node in shared.nodes):
        source, _ = give_back_normalisation(shared, tools(shared, 1))
    net = loaded(source)
    start = exported(net, folder / f"{name}.onnx")
    print(f"{name}: outputs of the torch definition against the shared file "
          f"{relative(outputs(shared, pictures), outputs(start, pictures)):.1e}")  # fmt: skip
    ours, theirs = one_wide_channel(net, start, pictures)
    print(f"one channel of the widest stage, removed against masked: workbench {ours}, Torch-Pruning {theirs}")
    equipment = tools(start, 1)
    files = [folder / f"{name}_folded.onnx"]
    save_model(fold_batch_norm(start), files[0])
    whole = graph_cost(fold_batch_norm(start))
    rows: list[tuple[str, str, Outcome]] = []
    for title in options.tasks:
        task = TASKS[title]
        for tool, parameters in OURS.items():
            if tool in options.ours and (tool != _ONCE or task.to_half):
                rows.append((title, tool, by_workbench(start, task, equipment, parameters)))
        rows.append((title, "Torch-Pruning", by_torch_pruning(net, task, folder / "exported.onnx")))
    lines: list[list[str]] = []
    for title, tool, outcome in rows:
        if outcome.graph is None:
            lines.append([title, tool, "NO", f"{outcome.seconds:.1f}", outcome.failure])
            continue
        fresh = with_new_statistics(outcome.graph, equipment, 1000, [])
        folded = fold_batch_norm(fresh)
        files.append(folder / f"{name}_{len(files)}.onnx")
        save_model(folded, files[-1])
        cost = graph_cost(folded)
        # Least squares reckons with all weights, so that nothing can be compared by zeroing the original's.
        agrees = "-" if "lsq" in tool else f"{disagreement(net, outcome, pictures):.0e}"
        odd, rough = odd_counts(folded)
        cells = [agrees, f"{cost.macs / whole.macs:.3f}", f"{cost.params / whole.params:.3f}", f"{odd}/{rough}"]
        scores = [top1(graph, options.images, 1) for graph in (outcome.graph, fresh)]
        if options.epochs:
            scores.append(top1(fine_tuned(fresh, equipment, options.epochs, options.samples), options.images, 1))
        lines.append([title, tool, "yes", f"{outcome.seconds:.1f}", *cells, *(f"{score:.3f}" for score in scores)])
    report = ThisComputer().measure(files, threads=1, batch=1, seconds=options.seconds, operators=False)
    ratios = iter(entry.ratio_to_first for entry in report.models[1:])
    print(f"original: top1 {top1(start, options.images, 1):.3f}, {report.models[0].latency_ms.median:.2f} ms, "
          f"quiet: {report.noise.quiet}")  # fmt: skip
    tuned = ["tuned"] if options.epochs else []
    _print(["task", "tool", "runs", "cpu s", "=masked", "MACs", "params", "odd/8", "top1", "stats", *tuned, "time"])
    for line in lines:
        if line[2] == "yes":
            ratio = next(ratios)
            assert ratio is not None
            line.append(f"{ratio.median:.3f}")
        _print(line)


def _print(cells: Sequence[str]) -> None:
    widths = (21, 16, 5, 6, 8, 6, 7, 7, 6, 6, 6, 6)
    print(" ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip(), flush=True)


def main() -> None:
    """Print all."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", nargs="*", default=["resnet20", "resnet56"], choices=("resnet20", "resnet56"))
    arguments.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    arguments.add_argument("--ours", nargs="*", default=list(OURS), choices=list(OURS), help="our ways; all by default")
    arguments.add_argument("--images", type=int, default=2000, help="test images for top1")
    arguments.add_argument("--seconds", type=float, default=30.0, help="of timing, per model")
    arguments.add_argument("--epochs", type=int, default=0, help="of fine-tuning, the same trainer for both")
    arguments.add_argument("--samples", type=int, help="that fine-tuning takes of the training images; all by default")
    arguments.add_argument("--no-speed", dest="speed", action="store_false", help="leave the processor seconds out")
    arguments.add_argument("--slow", action="store_true", help="time first-order Taylor importance too")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.speed:
        print_speed(slow=options.slow)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            compare(name, Path(folder), options)


if __name__ == "__main__":
    main()
