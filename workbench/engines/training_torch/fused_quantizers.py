"""Joins quantizing, limiting and dequantizing of one value into one node, so that training pays for one pass only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from workbench.engines.training_torch.operators.fake_quantization import FAKE_QUANTIZE
from workbench.engines.training_torch.operators.quantization import RANGES
from workbench.graph.model import Node
from workbench.graph.passes.trainable_qdq import DOMAIN


def fused_quantizers(
    nodes: Sequence[Node], wanted: Collection[str], known: Mapping[str, Tensor], types: Mapping[str, str]
) -> tuple[Node, ...]:
    """Return the nodes with every QuantizeLinear, Clip and DequantizeLinear that follow each other as one.

    Left as they are: integers that others read too or that are wanted, quantizers whose dequantizer has other settings,
    scales of blocks, and constants that are rounded beforehand anyway.

    Args:
        nodes: In topological order.
        wanted: Values that must exist afterwards.
        known: Tensors that never change, by name.
        types: Element types of values by name.
    """
    readers = Counter(name for node in nodes for name in node.inputs if name)
    reader = {name: node for node in nodes for name in node.inputs}
    joined: dict[str, Node] = {}
    gone: set[str] = set()
    for node in nodes:
        if node.op != "QuantizeLinear" or node.domain or node.inputs[0] in known:
            continue
        chain, low, high = _chain(node, readers, reader, wanted, known, types)
        if chain is None or node.attribute("block_size", 0):
            continue
        last = chain[-1]
        if last.op != "DequantizeLinear" or last.inputs[1:] != node.inputs[1:]:
            continue
        if last.attribute("axis", 1) != node.attribute("axis", 1):
            continue
        attributes = {"axis": node.attribute("axis", 1), "low": low, "high": high}
        joined[last.name] = Node(
            name=last.name,
            op=FAKE_QUANTIZE,
            domain=DOMAIN,
            inputs=node.inputs,
            outputs=last.outputs,
            attributes=MappingProxyType(attributes),
            path=last.path,
            metadata=node.metadata,
        )
        gone.update(part.name for part in chain[:-1])
    return tuple(joined.get(node.name, node) for node in nodes if node.name not in gone)


def _chain(
    node: Node,
    readers: Mapping[str, int],
    reader: Mapping[str, Node],
    wanted: Collection[str],
    known: Mapping[str, Tensor],
    types: Mapping[str, str],
) -> tuple[list[Node] | None, int, int]:
    """Return the nodes from the quantizer to the first that is no limit on its integers, and the levels between."""
    name = types.get(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else types.get(node.outputs[0])
    if name not in RANGES:
        return None, 0, 0
    low, high = RANGES[name]
    chain = [node]
    while readers[chain[-1].outputs[0]] == 1 and chain[-1].outputs[0] not in wanted:
        following = reader[chain[-1].outputs[0]]
        chain.append(following)
        if following.op != "Clip":
            return chain, low, high
        for index, side in ((1, max), (2, min)):
            if len(following.inputs) > index and following.inputs[index]:
                bound = known.get(following.inputs[index])
                if bound is None:
                    return None, 0, 0
                low, high = (side(low, int(bound)), high) if index == 1 else (low, side(high, int(bound)))
    return None, 0, 0
