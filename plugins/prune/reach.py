"""Says before a run whether the loss's gradient reaches a value, and which node stops it."""

from __future__ import annotations

from workbench.api import ModelGraph

# Operators whose result does not move with their input, or only in jumps.
_STEPS = frozenset(
    {"ArgMax", "ArgMin", "Ceil", "Floor", "Hardmax", "NonZero", "OneHot", "Round", "Shape", "Sign", "Size"}
)
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
# Rounding to integers that the training engine lets gradients pass.
_PASSED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


def gradient_obstacle(graph: ModelGraph, value: str) -> str | None:
    """Return why no gradient of any output reaches `value`, naming the first node in the way; None if one does."""
    outputs = {info.name for info in graph.outputs}
    waiting, seen, blocked = [value], {value}, ""
    while waiting:
        name = waiting.pop()
        if name in outputs:
            return None
        for node in graph.consumers(name):
            if node.op in _STEPS and not node.domain:
                blocked = blocked or f"{node.op} (node {node.name!r}) has no gradient"
                continue
            for output in node.outputs:
                dtype = graph.value(output).dtype if output else None
                if not output or output in seen:
                    continue
                if dtype is not None and dtype not in _FLOATS and node.op not in _PASSED:
                    blocked = blocked or f"{node.op} (node {node.name!r}) makes {dtype}, which has no gradient"
                    continue
                seen.add(output)
                waiting.append(output)
    return f"the loss does not depend on it smoothly: {blocked}" if blocked else "no output depends on it"
