"""Cuts a part out of a graph, so that one part can be run, or trained, without the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from workbench.graph.model import ModelGraph
from workbench.graph.surgery import remove_unused


def cut_out(
    graph: ModelGraph,
    inputs: Iterable[str],
    outputs: Sequence[str],
    ranks: Mapping[str, int] | None = None,
    like: Mapping[str, np.ndarray] | None = None,
) -> ModelGraph:
    """Return what computes `outputs` from `inputs`.

    A computed value or an initializer that is named as input is fed from then on, under its name; so gradients can
    flow into a weight or a scale. Inputs of the model that the outputs need and that are not named stay inputs.

    Args:
        graph: The whole.
        inputs: Names of values and initializers, in the order of the part's inputs; those nobody reads are inputs too.
        outputs: Names of values, in order.
        ranks: Number of axes of inputs whose shape the file does not state.
        like: Arrays as computed values among the inputs will be fed: their element types and numbers of axes hold,
            whatever the file states; so do sizes beyond the first axis in which they and the file agree.

    Raises:
        KeyError: a name is not a value of the graph.
    """
    model = graph.edit()
    inner = model.graph
    values: dict[str, ir.Value] = {value.name or "": value for value in inner.inputs}
    values.update(inner.initializers)
    for node in inner:
        values.update({value.name or "": value for value in node.outputs})
    old_inputs = [value for value in inner.inputs if value.name not in inner.initializers]
    fed: list[ir.Value] = []
    for name in dict.fromkeys(inputs):
        value = values[name]
        if value.is_graph_input() and not value.is_initializer():
            fed.append(value)
            continue
        # Runtimes refuse an input without a type; inner values of files that state none are nearly always float32.
        kind, shape = value.type or ir.TensorType(ir.DataType.FLOAT), value.shape
        if like is not None and name in like:
            kind, shape = ir.TensorType(ir.DataType.from_numpy(like[name].dtype)), _common_shape(shape, like[name])
        elif shape is None and ranks is not None and name in ranks:
            shape = ir.Shape([None] * ranks[name])
        given = ir.Value(name=name, type=kind, shape=shape)
        value.replace_all_uses_with(given, replace_graph_outputs=True)
        if value.is_initializer():
            inner.initializers.pop(name)
        else:
            value.name = f"{name} before the cut"
        values[name] = given
        fed.append(given)
    for name in outputs:
        if values[name].type is None:
            values[name].type = ir.TensorType(ir.DataType.FLOAT)
    inner.outputs.clear()
    inner.outputs.extend(values[name] for name in outputs)
    remove_unused(model)
    known = set(fed)
    needed = [value for value in old_inputs if value not in known and (value.uses() or value.is_graph_output())]
    inner.inputs.clear()
    inner.inputs.extend([*fed, *needed])
    return graph.edited(model)


def _common_shape(stated: ir.Shape | None, like: np.ndarray) -> ir.Shape:
    """Return what is sure of a fed value: without sizes, runtimes leave out their fastest layouts behind it."""
    if stated is None or len(stated) != like.ndim or not like.ndim:
        return ir.Shape([None] * like.ndim)
    # A name says that two first axes are equally long; a number would say how many samples are fed.
    first = stated[0].value if isinstance(stated[0], ir.SymbolicDim) else None
    sizes = zip(stated[1:], like.shape[1:], strict=True)
    return ir.Shape([first, *(size if isinstance(size, int) and size == found else None for size, found in sizes)])
