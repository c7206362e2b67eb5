"""Arithmetic on shapes in which some sizes are symbols: enough to follow what exporters compute from Shape nodes.

Arrays of dtype object hold ints, symbols (str) and None for "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

Dimension = int | str | None


def partial_contents(
    node: ir.Node, arrays: Sequence[np.ndarray | None], dims: tuple[Dimension, ...] | None, opset: int
) -> np.ndarray | None:
    """Return the contents of a node's one output, as far as its inputs tell; None if nothing is known.

    Args:
        node: A node of the standard domain.
        arrays: Contents of its inputs, None where unknown.
        dims: Shape of its first input, for Shape and Size.
        opset: Version of the standard domain.
    """
    op = node.op_type
    if op == "Shape":
        if dims is None:
            return None
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(dims))
        return _objects(dims[start:end])
    if op == "Size":
        if dims is None or not all(isinstance(size, int) for size in dims):
            return None
        return np.asarray(int(np.prod([size for size in dims if isinstance(size, int)], dtype=np.int64)))
    rule = _RULES.get(op)
    if rule is None:
        return None
    try:
        return rule(node, arrays, opset)
    except (IndexError, ValueError, TypeError):
        # An invalid file (index out of range, shapes that do not fit): the runtime will name it, here it is unknown.
        return None


def _objects(items: Sequence[object]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _axes(node: ir.Node, arrays: Sequence[np.ndarray | None]) -> list[int] | None:
    """Return the axes of Squeeze and Unsqueeze, which moved from attribute to input in opset 13; [] if absent."""
    if len(arrays) > 1 and node.inputs[1] is not None:
        axes = arrays[1]
        return None if axes is None or axes.dtype == object else [int(axis) for axis in axes.reshape(-1)]
    return list(node.attributes.get_ints("axes", ()) or ())


def _gather(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    data, indices = arrays
    if (
        data is None
        or indices is None
        or indices.dtype == object
        or node.attributes.get_int("axis", 0) not in (0, -data.ndim)
    ):
        return None
    return _as_array(data[indices])


def _slice(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    data = arrays[0]
    if data is None or data.ndim != 1:
        return None
    if opset < 10:
        starts, ends = node.attributes.get_ints("starts", ()), node.attributes.get_ints("ends", ())
        return data[starts[0] : ends[0]] if starts and ends else None
    if any(value is not None and array is None for value, array in zip(node.inputs, arrays, strict=True)):
        return None
    parts = [None if array is None else _one(array) for array in arrays[1:]]
    if not all(part is None or isinstance(part, int) for part in parts):
        return None
    step = parts[3] if len(parts) > 3 and parts[3] is not None else 1
    return data[slice(parts[0], parts[1], step)]


def _one(array: np.ndarray) -> object:
    item = array.reshape(-1)[0] if array.size == 1 else None
    return int(item) if isinstance(item, np.integer) else item


def _concat(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    if any(array is None or array.ndim != 1 for array in arrays):
        return None
    return np.concatenate([_boxed(array) for array in arrays if array is not None])


def _unsqueeze(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    axes = _axes(node, arrays)
    return None if arrays[0] is None or not axes else np.expand_dims(arrays[0], tuple(axes))


def _squeeze(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    axes = _axes(node, arrays)
    return (
        None if arrays[0] is None or axes is None else _as_array(np.squeeze(arrays[0], tuple(axes) if axes else None))
    )


def _same(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    return arrays[0]


def _cast(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    integer = node.attributes.get_int("to", 0) in (ir.DataType.INT64, ir.DataType.INT32)
    return arrays[0] if integer else None


def _reshape(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    data, target = arrays[0], arrays[1]
    if data is None or target is None or target.dtype == object or 0 in target:
        return None
    return data.reshape([int(size) for size in target])


def _product(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    """Multiply all elements of a vector (ReduceProd over its only axis)."""
    data = arrays[0]
    if data is None or data.ndim != 1:
        return None
    total: Dimension = 1
    for size in _boxed(data):
        total = _multiply(total, size)
    result = _objects([total])
    return result if node.attributes.get_int("keepdims", 1) else result.reshape(())


def _where(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
    condition, yes, no = arrays
    if condition is None or yes is None or no is None:
        return None
    return _as_array(_CHOOSE(_boxed(condition), _boxed(yes), _boxed(no)))


def _elementwise(rule: Callable[[Dimension, Dimension], object]) -> Callable[..., np.ndarray | None]:
    function = np.frompyfunc(rule, 2, 1)

    def apply(node: ir.Node, arrays: Sequence[np.ndarray | None], opset: int) -> np.ndarray | None:
        left, right = arrays
        return None if left is None or right is None else _as_array(function(_boxed(left), _boxed(right)))

    return apply


def _as_array(value: object) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def _boxed(array: np.ndarray) -> np.ndarray:
    """Return the array with plain Python items, so that symbols and numbers mix."""
    if array.dtype == object:
        return array
    boxed = np.empty(array.shape, dtype=object)
    boxed[...] = array.tolist() if array.ndim else array.item()
    return boxed


def _choose(condition: object, yes: object, no: object) -> object:
    if condition is None:
        return yes if yes == no else None
    return yes if condition else no


def _multiply(left: Dimension, right: Dimension) -> Dimension:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    if left == 1 or right == 1:
        return right if left == 1 else left
    return 0 if left == 0 or right == 0 else None


def _add(left: Dimension, right: Dimension) -> Dimension:
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    return right if left == 0 else left if right == 0 else None


def _subtract(left: Dimension, right: Dimension) -> Dimension:
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    if left is not None and left == right:
        return 0
    return left if right == 0 else None


def _divide(left: Dimension, right: Dimension) -> Dimension:
    if isinstance(left, int) and isinstance(right, int) and right != 0:
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    if left is not None and left == right:
        return 1
    return left if right == 1 else None


def _equal(left: Dimension, right: Dimension) -> bool | None:
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    if left is not None and left == right:
        return True
    # A symbol is a size, and no size is negative.
    negative = (isinstance(left, int) and left < 0) or (isinstance(right, int) and right < 0)
    return False if negative and left is not None and right is not None else None


_CHOOSE = np.frompyfunc(_choose, 3, 1)

_RULES: dict[str, Callable[..., np.ndarray | None]] = {
    "Add": _elementwise(_add),
    "Cast": _cast,
    "Concat": _concat,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(_equal),
    "Gather": _gather,
    "Identity": _same,
    "Mul": _elementwise(_multiply),
    "ReduceProd": _product,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _elementwise(_subtract),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}


def broadcast(left: Sequence[Dimension], right: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Return the shape that two shapes broadcast to, as far as it is known."""
    rank = max(len(left), len(right))
    pairs = zip((1,) * (rank - len(left)) + tuple(left), (1,) * (rank - len(right)) + tuple(right), strict=True)
    sizes: list[Dimension] = []
    for one, other in pairs:
        if one == 1 or other == 1:
            sizes.append(other if one == 1 else one)
        elif one == other:
            sizes.append(one)
        else:
            sizes.append(next((size for size in (one, other) if isinstance(size, int)), None))
    return tuple(sizes)


def resolve_reshape(
    dims: Sequence[Dimension] | None, target: Sequence[Dimension], *, allow_zero: bool = False
) -> tuple[Dimension, ...]:
    """Return the shape after Reshape: 0 copies a size, -1 takes what is left over, be it a number or one symbol."""
    sizes: list[Dimension] = []
    for axis, size in enumerate(target):
        copied = dims[axis] if dims is not None and axis < len(dims) else None
        sizes.append(copied if size == 0 and not allow_zero else size)
    if -1 not in sizes:
        return tuple(sizes)
    rest = _quotient(dims, [size for size in sizes if size != -1])
    return tuple(rest if size == -1 else size for size in sizes)


def _quotient(dims: Sequence[Dimension] | None, divisor: Sequence[Dimension]) -> Dimension:
    if dims is None or None in dims or None in divisor:
        return None
    symbols = [size for size in dims if isinstance(size, str)]
    number = int(np.prod([size for size in dims if isinstance(size, int)], dtype=np.int64))
    for size in divisor:
        if isinstance(size, str):
            if size not in symbols:
                return None
            symbols.remove(size)
    below = int(np.prod([size for size in divisor if isinstance(size, int)], dtype=np.int64))
    if below == 0 or number % below:
        return None
    if not symbols:
        return number // below
    return symbols[0] if len(symbols) == 1 and number == below else None
