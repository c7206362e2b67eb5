"""Prints, for every shared model, how much of it can be pruned and what blocks the rest.

    python tests/benchmarks/channel_coverage.py [SHARED_FOLDER]

Columns: prunable channel groups of all; share of the convolutions' weights, and of all layers' weights, that some
removable unit takes away, be it among their output channels or among those they read; share of the layers' weights
whose own output channels can go; seconds of group discovery; and what keeps most weights from losing output channels.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from workbench.domain.errors import WorkbenchError
from workbench.graph.channels import ChannelGroup, blocked_layers, channel_groups, folded_graph
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model

Shares = dict[str, float]


def main(shared: Path) -> None:
    """Print the table."""
    print(f"{'model':30} {'groups':>9} {'conv':>7} {'all':>7} {'outputs':>8} {'s':>6}  what blocks output channels")
    for path in sorted((shared / "data").glob("*/*.onnx")):
        try:
            graph = open_model(path)
            began = time.process_time()
            groups = channel_groups(graph)
            seconds = time.process_time() - began
        except WorkbenchError as error:
            print(f"{path.name:30} {'-':>9} {'-':>7} {'-':>7} {'-':>8} {'-':>6}  {str(error).partition(': ')[2][:90]}")
            continue
        print(_line(path.name, graph, groups, seconds))


def _line(name: str, graph: ModelGraph, groups: tuple[ChannelGroup, ...], seconds: float) -> str:
    blocked = blocked_layers(graph)
    # Layers by node of the folded graph, whose weights the members of groups name.
    folded = folded_graph(graph)
    layers = {node.name: (node.op, weight.name, weight.shape) for node, weight in layer_nodes(folded)}
    sizes = {name: int(np.prod(shape)) for name, (_, _, shape) in layers.items()}
    removable = _removable(groups)
    gone = {layer: sizes[layer] * _share(removable[weight], shape) for layer, (_, weight, shape) in layers.items()}
    convolutions = [layer for layer, (op, _, _) in layers.items() if op.startswith("Conv")]
    reasons: Counter[str] = Counter()
    for layer, reason in blocked.items():
        reasons[reason] += sizes.get(layer, 0)
    total = sum(sizes.values())
    text = "; ".join(f"{size / total:.1%} {reason[:90]}" for reason, size in reasons.most_common(3) if size)
    cells = (
        _percent(sum(gone[layer] for layer in convolutions), sum(sizes[layer] for layer in convolutions)),
        _percent(sum(gone.values()), total),
        _percent(sum(size for layer, size in sizes.items() if layer not in blocked), total),
    )
    prunable = f"{sum(group.prunable for group in groups)}/{len(groups)}"
    return f"{name:30} {prunable:>9} {cells[0]:>7} {cells[1]:>7} {cells[2]:>8} {seconds:6.3f}  {text}"


def _removable(groups: tuple[ChannelGroup, ...]) -> dict[str, dict[int, set[int]]]:
    """Return by weight and axis the positions that can be removed."""
    found: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for group in groups:
        for member in group.members if group.prunable else ():
            for unit, positions in enumerate(member.positions):
                if unit not in group.locked:
                    found[member.weight][member.weight_axis].update(positions)
    return found


def _share(removable: dict[int, set[int]], shape: tuple[int, ...]) -> float:
    return 1 - float(np.prod([1 - len(positions) / shape[axis] for axis, positions in removable.items()] or [1.0]))


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3] / "shared")
