"""Says how large a file would be if every weight took as many bits as it has levels for, where its container is wider.

A 3-bit weight in int8 takes 8 bits in the file that is measured. What its integers are worth is a second figure,
counted and not measured: the file's size less the bits that its weights leave unused.
"""

from __future__ import annotations

from math import prod

from workbench.graph.diff import noted_weight_bits
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.graph.weights import weights_of


def packed_size_bytes(graph: ModelGraph, size_bytes: int) -> int:
    """Return the size of a file of `size_bytes` with each quantized weight's bits packed without gaps.

    Bits are those noted on the layers by what quantized them; scales, tables, names and all else count as they are.
    Without noted bits below those stored, this is `size_bytes`.
    """
    unused: dict[str, int] = {}
    every = ((node, weight) for node, _ in layer_nodes(graph) for weight in weights_of(graph, node))
    for node, weight in every:
        bits = noted_weight_bits(node)
        if bits is None or bits >= weight.bits:
            continue
        spare = weight.nbytes - int(-(-prod(weight.shape) * bits // 8))
        # A weight that several layers read is stored once, for the one that wants most of it.
        unused[weight.name] = max(min(spare, unused.get(weight.name, spare)), 0)
    return size_bytes - sum(unused.values())
