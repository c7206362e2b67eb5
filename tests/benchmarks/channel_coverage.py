"""Prints, for every shared model, how much of it can be pruned and what blocks the rest.

    python tests/benchmarks/channel_coverage.py [SHARED_FOLDER]

Columns: prunable channel groups of all, share of the layers' weights whose output channels can go, seconds of group
discovery, and the most frequent reasons.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from workbench.domain.errors import WorkbenchError
from workbench.graph.channels import blocked_layers, channel_groups
from workbench.graph.layers import layer_nodes
from workbench.graph.storage import open_model


def main(shared: Path) -> None:
    """Print the table."""
    print(f"{'model':34} {'groups':>9} {'weights':>8} {'s':>6}  what blocks the rest")
    for path in sorted((shared / "data").glob("*/*.onnx")):
        try:
            graph = open_model(path)
            began = time.process_time()
            groups = channel_groups(graph)
            seconds = time.process_time() - began
        except WorkbenchError as error:
            print(f"{path.name:34} {'-':>9} {'-':>8} {'-':>6}  {str(error).partition(': ')[2][:90]}")
            continue
        blocked = blocked_layers(graph)
        sizes = {node.name: int(np.prod(weight.shape)) for node, weight in layer_nodes(graph)}
        free = sum(size for name, size in sizes.items() if name not in blocked)
        share = f"{free / sum(sizes.values()):.1%}" if sizes else "-"
        reasons = Counter(blocked.values()).most_common(3)
        text = "; ".join(f"{count}× {reason[:70]}" for reason, count in reasons)
        print(f"{path.name:34} {sum(g.prunable for g in groups):>4}/{len(groups):<4} {share:>8} {seconds:6.3f}  {text}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3] / "shared")
