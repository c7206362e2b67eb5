"""A model graph as a torch module: same values, same names, with gradients."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from workbench.domain.errors import DataError, UnsupportedGraphError
from workbench.engines.training_torch.fused_quantizers import fused_quantizers
from workbench.engines.training_torch.operators.control_flow import bodies
from workbench.engines.training_torch.operators.indexing import tensor_of
from workbench.engines.training_torch.operators.registry import Mode, torch_type
from workbench.engines.training_torch.program import Program, Setting, described
from workbench.graph.model import ModelGraph, Node

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


class GraphModule(nn.Module):
    """Executes a graph in torch.

    Float initializers that act as weights are parameters under their own names; means and variances of batch
    normalization are `statistics`; shapes, scales, bounds and one-element constants of formulas are fixed.
    Half precision is held and computed in float32 and rounded where the graph casts.

    Args:
        graph: What to execute.
        trainable: False makes every weight a constant, so that all that depends on weights only is computed once.
        also: Initializers that are trained although they usually are settings: scales of quantizers, and zero points,
            which are held as floats and written back rounded.
        device: Where to compute.
        channels_last: Lay out images and their weights with the channels last in memory.
        fused: Quantize and dequantize in one pass where only that is asked for: faster, and of values within rounding
            noise of the border between two levels the other one may come out.

    Raises:
        UnsupportedGraphError: names the operators that are missing.
        DataError: a name in `also` is not an initializer.
    """

    def __init__(
        self,
        graph: ModelGraph,
        *,
        trainable: bool = True,
        also: Collection[str] = (),
        device: torch.device | str = "cpu",
        channels_last: bool = False,
        fused: bool = False,
    ) -> None:
        super().__init__()
        missing = unsupported(graph)
        if missing:
            raise UnsupportedGraphError(
                "the training engine can't execute " + ", ".join(missing[:5]) + (", …" if len(missing) > 5 else ""),
                where=graph.source,
                action="Leave training steps out of the recipe, or replace these nodes.",
            )
        self.graph = graph
        self.mode = Mode()
        self.device = torch.device(device)
        self.channels_last = channels_last
        self._fused = fused
        weights, statistics = roles(graph)
        tensors = {name: tensor_of(_constant(graph, name)) for name in graph.initializers if _holdable(graph, name)}
        for name in also:
            if name not in tensors:
                raise DataError(f"{name!r} can't be trained: it is no initializer of the graph", where=graph.source)
            tensors[name] = tensors[name] if tensors[name].is_floating_point() else tensors[name].float()
        weights |= frozenset(also)
        self.weights: dict[str, nn.Parameter] = {}
        self.statistics: dict[str, Tensor] = {}
        for name in graph.initializers:
            if trainable and name in weights:
                self.weights[name] = nn.Parameter(self._laid_out(tensors.pop(name)))
                # register_parameter refuses the dots that ONNX names are full of.
                self._parameters[name] = self.weights[name]
            elif name in statistics:
                self.statistics[name] = tensors.pop(name).to(self.device)
                self._buffers[name] = self.statistics[name]
        self._known = tensors
        self._fixed_statistics = self.statistics if trainable else {}
        if not trainable:
            self._known = {**tensors, **self.statistics}
        self._setting = Setting(graph.opsets, _types(graph), frozenset(self._fixed_statistics), self.mode, self.device)
        self._programs: dict[tuple[str, ...], Program] = {}
        self.input_names = tuple(info.name for info in graph.inputs)
        self.output_names = tuple(info.name for info in graph.outputs)

    def forward(self, inputs: Mapping[str, Tensor], values: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the graph's outputs, or the named values, by name."""
        names = self.output_names if values is None else tuple(values)
        results = self.program(names).run(*[inputs[name] for name in self.input_names])
        return dict(zip(names, results, strict=True))

    def program(self, outputs: tuple[str, ...]) -> Program:
        """Return the compiled program for the named values."""
        if outputs not in self._programs:
            tensors: dict[str, Tensor] = {**self.weights, **self._fixed_statistics}
            nodes = self.graph.nodes
            if self._fused:
                nodes = fused_quantizers(nodes, outputs, self._known, self._setting.types)
            self._programs[outputs] = Program(nodes, self.input_names, outputs, tensors, self._known, self._setting)
        return self._programs[outputs]

    def feed(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Return a batch's arrays as tensors of the types that the graph declares.

        Raises:
            DataError: an input is missing.
        """
        fed = {}
        for info in self.graph.inputs:
            if info.name not in inputs:
                raise DataError(
                    f"the batch lacks the model input {info.name!r}",
                    expected=", ".join(self.input_names),
                    found=", ".join(inputs) or "no inputs",
                    action="Name the model's inputs in the data description.",
                )
            tensor = tensor_of(inputs[info.name])
            wanted = torch_type(info.dtype)
            tensor = tensor if wanted is None or tensor.dtype == wanted else tensor.to(wanted)
            fed[info.name] = self._laid_out(tensor)
        return fed

    def _laid_out(self, tensor: Tensor) -> Tensor:
        if self.channels_last and tensor.dim() == 4:
            return tensor.to(self.device, memory_format=torch.channels_last)
        return tensor.to(self.device)

    def written_back(self) -> ModelGraph:
        """Return the graph with the present weights and statistics, each in its own element type."""
        arrays = {}
        for name, tensor in (*self.weights.items(), *self.statistics.items()):
            array = tensor.detach().cpu().contiguous().numpy()
            stored = _constant(self.graph, name).dtype
            if np.issubdtype(stored, np.integer):
                limits = np.iinfo(stored)
                array = np.clip(np.rint(array), limits.min, limits.max)
            arrays[name] = array.copy() if array.dtype == stored else array.astype(stored)
        return self.graph.with_initializers(arrays)


def _constant(graph: ModelGraph, name: str) -> np.ndarray:
    array = graph.constant(name)
    assert array is not None, name
    return array


def _holdable(graph: ModelGraph, name: str) -> bool:
    return torch_type(graph.value(name).dtype) is not None


def _types(graph: ModelGraph) -> dict[str, str]:
    names = [info.name for info in (*graph.inputs, *graph.outputs)]
    names += [*graph.initializers, *(output for node in graph.nodes for output in node.outputs if output)]
    found = {name: graph.value(name).dtype for name in names}
    return {name: dtype for name, dtype in found.items() if dtype is not None}


def _all_nodes(nodes: Iterable[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from _all_nodes(body.nodes)


def roles(graph: ModelGraph) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the initializers that are weights, and of those that are batch statistics."""
    floats = {name for name in graph.initializers if graph.value(name).dtype in _FLOATS}
    setting = _bare_setting(graph)
    weights, statistics = set(), set()
    for node in _all_nodes(graph.nodes):
        operator = setting.operator(node)
        for index, name in enumerate(node.inputs):
            if name not in floats:
                continue
            single = operator.scalars_fixed and np.prod(graph.constant_shape(name) or (), dtype=int) == 1
            if node.op == "BatchNormalization" and index in (3, 4):
                statistics.add(name)
            elif index not in operator.host and index not in operator.fixed and not single:
                weights.add(name)
    return frozenset(weights - statistics), frozenset(statistics)


def _bare_setting(graph: ModelGraph) -> Setting:
    return Setting(graph.opsets, _types(graph), frozenset(), Mode(), torch.device("cpu"))


def unsupported(graph: ModelGraph) -> tuple[str, ...]:
    """Return "Op (node name)" for every node that can't be executed; looks at the structure only."""
    setting = _bare_setting(graph)
    missing = []
    for node in _all_nodes(graph.nodes):
        types = [setting.types.get(name) for name in (*node.inputs, *node.outputs) if name]
        try:
            found = setting.operator(node)
            if any(dtype is not None and torch_type(dtype) is None for dtype in types):
                missing.append(f"{described(node)} ({node.name})")
            elif not bodies(node):
                found.factory(setting.context(node, {}, _no_body))
        except UnsupportedGraphError:
            missing.append(f"{described(node)} ({node.name})")
    return tuple(missing)


def _no_body(*_: object) -> Program:
    raise AssertionError("only operators with a body compile one")


def prefers_channels_last(graph: ModelGraph) -> bool:
    """Whether images are faster with the channels last: for graphs with two-dimensional convolutions.

    Measured with ResNet-20, batch 128, 2 threads: 194 ms a training step instead of 241 ms in float32.
    Decided from the graph alone, never by timing, so that the same recipe gives the same bytes. Weights may be
    computed, as those that are trained in few bits are.
    """
    return any(
        node.op in ("Conv", "ConvTranspose") and len(graph.value(node.inputs[1]).shape or ()) == 4
        for node in graph.nodes
    )
