"""SparseGPT: every zero is made up for by the weights that stay, so that the layer computes nearly what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from workbench.api import ModelGraph, Node, Parameters, Progress, RowMoments, Tools, inverse_root, parts_within

from .layout import Layout
from .observed import observe
from .paired import Readings, observe_pair
from .sparsification import Outcome, Sparsification, matrices_of, stored_like
from .subjects import Subject
from .surgeon import make_sparse, shares

_MOMENT_BYTES = 1_000_000_000
_WIDEST = 12_288


class SparseGptParameters(Parameters):
    """Parameters of SparseGPT."""

    calibration_samples: int = Field(
        default=256,
        ge=1,
        le=100_000,
        title="Calibration samples",
        description="Training samples that the second moments of what the layers read are taken from.",
        json_schema_extra={"unit": "samples"},
    )
    inputs: Literal["matched", "sparse", "dense"] = Field(
        default="matched",
        title="Inputs",
        description="Let each layer, reading what the sparse layers before it compute, come close to what it computed "
        "in the dense model (matched) or to what its dense weights would compute now (sparse, as published); both run "
        "the calibration samples once a layer. dense takes what the dense model reads, in one go.",
    )
    damping: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Damping",
        description="Share of the mean second moment that is added to each, so that rare inputs are not overrated.",
    )
    block_columns: int = Field(
        default=128,
        ge=4,
        le=4096,
        multiple_of=4,
        title="Columns a block",
        description="Columns whose zeros are chosen together; the published value is 128.",
    )
    update_bias: bool = Field(
        default=True,
        title="Update bias",
        description="Let a layer's stored bias take up the mean of the error; the weights then make up for the rest.",
    )


class SparseGpt(Sparsification):
    """Chooses zeros by the optimal brain surgeon and lets the columns after each make up for it.

    The second moments of convolutions are those of their unfolded patches. Where a layer has a stored bias of its own
    they are taken about the mean, and the bias takes up the mean of the error exactly. With `matched` inputs, zeros
    are made in the weights that come closest to the dense model's output from what the layer reads by then:
    W + W (E[x z^T] - E[z z^T]) E[z z^T]^-1, x read in the dense model, z now.
    """

    id = "prune.sparsegpt"
    title = "Sparse weights with update (SparseGPT)"
    summary = "Sets weights to zero and updates the others so that the layer's output changes least; no training."
    source = "Frantar & Alistarh, 2023, SparseGPT; Hassibi & Stork, 1993, Optimal Brain Surgeon"
    needs_data = True
    Parameters = SparseGptParameters

    @classmethod
    def unfit(cls, layout: Layout) -> str | None:
        """Return why a weight is too wide for its matrix of second moments."""
        if layout.columns <= _WIDEST:
            return None
        size = 8 * layout.columns**2 / 1e9
        return f"{layout.columns:,} weights make one output, whose second moments take {size:.1f} GB; use prune.wanda"

    def sparse(self, graph: ModelGraph, subjects: tuple[Subject, ...], tools: Tools) -> Outcome:
        """Return the graph with zeros and updated weights, layer by layer from the input on."""
        layers: dict[str, dict[str, float]] = {}
        biases, dense = 0, graph
        parts = self._goes(subjects)
        for number, go in enumerate(parts):
            part = tools.progress.part(
                number / len(parts), (number + 1) / len(parts), go[0].name if len(go) == 1 else ""
            )
            seen = self._readings(dense, graph, go, tools, part.part(0.0, 0.7, "calibration"))
            arrays: dict[str, np.ndarray] = {}
            for subject in go:
                bias = _own_bias(graph, subject) if self.parameters.update_bias else None
                weight, readings = matrices_of(graph, subject), seen[subject.weight]
                about = readings if bias is None else readings.centered()
                after, error = self._updated(subject, weight, about, tools)
                arrays[subject.weight] = stored_like(graph, subject, after)
                layers[subject.name] = {"output_error": round(error, 6)}
                if bias is not None:
                    shift = _row_sums(weight, readings.dense_mean) - _row_sums(after, readings.mean)
                    arrays[bias[0]] = _shifted(graph, *bias, shift)
                    biases += 1
            part.update(1.0, go[-1].name)
            graph = graph.with_initializers(arrays)
        notes = (f"Biases of {biases} layers took up the mean of the error.",) if biases else ()
        return Outcome(graph, notes, layers)

    def _readings(
        self, dense: ModelGraph, graph: ModelGraph, go: list[Subject], tools: Tools, progress: Progress
    ) -> Mapping[str, Readings]:
        samples = self.parameters.calibration_samples
        if self.parameters.inputs == "matched":
            return {subject.weight: observe_pair(dense, graph, subject, tools, samples, progress) for subject in go}
        read = dense if self.parameters.inputs == "dense" else graph
        moments = observe(read, go, RowMoments, tools, samples, progress)
        return {weight: Readings.alone(found) for weight, found in moments.items()}

    def _goes(self, subjects: tuple[Subject, ...]) -> list[list[Subject]]:
        """Return which layers are observed together: one by one, or as many as 1 GB of moments holds."""
        if self.parameters.inputs != "dense":
            return [[subject] for subject in subjects]
        return parts_within(subjects, lambda each: 8 * each.layout.groups * each.layout.columns**2, _MOMENT_BYTES)

    def _updated(
        self, subject: Subject, weight: np.ndarray, readings: Readings, tools: Tools
    ) -> tuple[np.ndarray, float]:
        """Return the sparse matrices, and the relative root-mean-square error that their zeros cause in the output."""
        layout, parameters = subject.layout, self.parameters
        counts = shares(subject.target, layout.groups, layout.outputs, layout.columns)
        after = np.empty_like(weight)
        lost = total = 0.0
        for group, count in enumerate(counts):
            second, before = readings.second[group], weight[group]
            root = inverse_root(second, parameters.damping)
            if readings.cross is not readings.second:
                before = before + before @ (readings.cross[group] - second) @ root.T @ root
            pause = tools.cancel.raise_if_cancelled
            after[group] = make_sparse(before, root, subject.target, count, parameters.block_columns, pause)
            change = before - after[group]
            lost += float(np.sum((change @ second) * change))
            total += float(np.sum((before @ second) * before))
        return after, float(np.sqrt(max(lost, 0.0) / total)) if total > 0 else 0.0


def _own_bias(graph: ModelGraph, subject: Subject) -> tuple[str, float] | None:
    """Return the stored bias that belongs to a subject's layer alone, and what a change of its output is divided by."""
    if len(subject.nodes) != 1:
        return None
    node = subject.nodes[0]
    reader, name, gain = node, node.inputs[2] if len(node.inputs) > 2 else "", 1.0
    if node.op == "MatMul":
        add = _sole_add(graph, node)
        if add is None:
            return None
        reader, name = add, next(value for value in add.inputs if value != node.outputs[0])
    if node.op == "Gemm":
        beta = float(node.attribute("beta", 1.0))
        gain = beta / float(node.attribute("alpha", 1.0)) if beta else 0.0
    shape = graph.constant_shape(name) if name in graph.initializers else None
    outputs = subject.layout.groups * subject.layout.outputs
    if shape is None or not gain or shape[-1:] != (outputs,) or int(np.prod(shape)) != outputs:
        return None
    alone = [other.name for other in graph.consumers(name)] == [reader.name]
    return (name, gain) if alone else None


def _sole_add(graph: ModelGraph, node: Node) -> Node | None:
    readers = graph.consumers(node.outputs[0])
    if len(readers) != 1 or readers[0].op != "Add" or node.outputs[0] in {info.name for info in graph.outputs}:
        return None
    return readers[0] if readers[0].inputs.count(node.outputs[0]) == 1 else None


def _row_sums(matrices: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return what matrices (groups, out, columns) make of a mean (groups, columns): (groups, out)."""
    return np.asarray(np.einsum("goc,gc->go", matrices, mean))


def _shifted(graph: ModelGraph, name: str, gain: float, shift: np.ndarray) -> np.ndarray:
    """Return the bias that shifts the layer's output by `shift` (groups, out)."""
    bias = graph.constant(name)
    assert bias is not None
    return np.asarray((bias.astype(np.float64) + shift.reshape(bias.shape) / gain).astype(bias.dtype))
