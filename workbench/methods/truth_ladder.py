"""Climbs the truth ladder: the same file simulated in torch, executed literally, and executed as it is deployed.

Simulated accuracy that the deployed file does not have is an old fault of compression tools. Three executions of one
file, value by value, show whether it is there, and at which node it begins. Notation: reference r, other o; signal to
difference sum r² / sum (r - o)², in decibel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.data.dataset import Dataset, Samples
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, WorkbenchError
from workbench.domain.ladder import IDENTICAL_DB, Agreement, LadderReport, Rung, RungName, ValueAgreement
from workbench.engines.contracts import InferenceEngine, InferenceSession, Inputs, TrainingEngine
from workbench.graph.compared_values import ComparedValue, compared_values, saturating_layers
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import fixed_batch
from workbench.graph.storage import model_sha256, open_model
from workbench.methods.evaluation import Reference, Runner, chosen_samples, evaluate

# Ties are rounded differently by differently ordered sums, and that adds up on the way: ResNet-20 in W8A8 begins at
# 82 dB and ends at 37 dB, two to seven decibel a node, with the same accuracy. A fault of a kernel is a fall.
PARTS_BELOW_DB = 30.0
_FALL_DB = 10.0
COMPARED_SAMPLES = 64
_BATCH, _EVALUATED_BATCH = 16, 32


@dataclass(frozen=True)
class Ladder:
    """Who climbs.

    Attributes:
        inference, training: The engines.
    """

    inference: InferenceEngine
    training: TrainingEngine

    def climb(
        self,
        path: Path,
        dataset: Dataset,
        *,
        original: Path | None = None,
        samples: int | Literal["all"] = "all",
        compared_samples: int = COMPARED_SAMPLES,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> LadderReport:
        """Execute the file in three ways and compare.

        Args:
            path: The candidate's file.
            dataset: Test samples.
            original: Model that label-free metrics compare with; the file itself without it.
            samples: For the metric of each rung.
            compared_samples: For the comparison of values.
            progress: Updated throughout.
            cancel: Polled between batches and within them.

        Raises:
            ModelFileError: the file can't be opened.
            DataError: the samples don't fit.
            CancelledError: `cancel` was set.
        """
        progress, cancel = progress or Progress(), cancel or CancelToken()
        graph = open_model(path)
        missing = self.training.unsupported(graph)
        reference = Reference(self.inference, original or path)
        fixed = fixed_batch(graph)
        batch = _BATCH if fixed == 1 else fixed
        evaluated_batch = _EVALUATED_BATCH if fixed == 1 else fixed

        def rung(index: int, name: RungName, engine: Runner) -> Rung:
            evaluated = evaluate(
                engine,
                path if name == "deployed" else graph,
                dataset,
                samples=samples,
                batch_size=evaluated_batch,
                reference=reference,
                progress=progress.part(0.27 * index, 0.27 * (index + 1), _WORDS[name]),
                cancel=cancel,
            )
            return Rung(name=name, metric=evaluated.measurement)

        simulated = Rung(name="simulated", reason=f"the training engine can't execute {', '.join(missing[:3])}")
        if not missing:
            try:
                simulated = rung(0, "simulated", _Simulation(self.training))
            except CancelledError:
                raise
            except (WorkbenchError, RuntimeError) as error:
                # What the file does deployed can be told without the simulation.
                simulated = Rung(name="simulated", reason=f"the training engine failed: {error}")
        rungs = (
            simulated,
            rung(1, "literal", _Literal(self.inference)),
            rung(2, "deployed", self.inference),
        )
        part = chosen_samples(dataset, -(-compared_samples // batch) * batch)
        compared = _Comparison(graph, self.inference, self.training if simulated.metric else None, cancel)
        values = compared.of(part, batch, progress.part(0.81, 1.0, "comparing values"))
        return LadderReport(
            path=str(path),
            sha256=model_sha256(path),
            rungs=rungs,
            values=values,
            compared_samples=len(part),
            parts_below_db=PARTS_BELOW_DB,
            parts_literal=first_parting(values, "literal"),
            parts_deployed=first_parting(values, "deployed"),
            saturating=saturating_layers(graph) if self.inference.integer_dot_products is False else (),
            notes=tuple(compared.notes),
        )


_WORDS: dict[RungName, str] = {
    "simulated": "simulating",
    "literal": "executing node by node",
    "deployed": "executing as deployed",
}


@dataclass(frozen=True)
class _Simulation:
    """The training engine as something that opens sessions."""

    engine: TrainingEngine

    def open(
        self, model: ModelGraph | Path, *, threads: int = 0, cancel: CancelToken | None = None
    ) -> InferenceSession:
        return _SimulatedSession(self.engine, open_model(model) if isinstance(model, Path) else model)


@dataclass(frozen=True)
class _SimulatedSession:
    engine: TrainingEngine
    graph: ModelGraph

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.graph.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(info.name for info in self.graph.outputs)

    def run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        size, count = fixed_batch(self.graph), len(next(iter(inputs.values())))
        if size == 1 or count == size:
            return self.engine.run(self.graph, inputs)
        # The last batch of the samples may be smaller than the one that the file fixes.
        filled = {name: np.resize(array, (size, *array.shape[1:])) for name, array in inputs.items()}
        return {name: array[:count] for name, array in self.engine.run(self.graph, filled).items()}


@dataclass(frozen=True)
class _Literal:
    """The runtime without fusing anything."""

    engine: InferenceEngine

    def open(
        self, model: ModelGraph | Path, *, threads: int = 0, cancel: CancelToken | None = None
    ) -> InferenceSession:
        return self.engine.open(model, threads=threads, optimize=False, cancel=cancel)


class _Difference:
    """Sums of squares of one value on two rungs, and the largest difference."""

    def __init__(self) -> None:
        self._signal = self._noise = self._largest = 0.0

    def update(self, reference: np.ndarray, other: np.ndarray, zero: float) -> None:
        """Take one batch."""
        expected = reference.astype(np.float64) - zero
        difference = np.abs(other.astype(np.float64) - zero - expected)
        self._signal += float(np.square(expected).sum())
        self._noise += float(np.square(difference).sum())
        self._largest = max(self._largest, float(difference.max(initial=0.0)))

    def agreement(self) -> Agreement:
        """Return the sums as a ratio."""
        if self._noise == 0:
            return Agreement(sqnr_db=IDENTICAL_DB, max_error=0.0)
        ratio = 10 * np.log10(max(self._signal, np.finfo(np.float64).tiny) / self._noise)
        return Agreement(sqnr_db=float(np.clip(ratio, -IDENTICAL_DB, IDENTICAL_DB)), max_error=self._largest)


class _Comparison:
    """Runs samples through all rungs side by side, a few values at a time where they are large."""

    def __init__(
        self, graph: ModelGraph, inference: InferenceEngine, training: TrainingEngine | None, cancel: CancelToken
    ) -> None:
        self._graph, self._inference, self._training, self._cancel = graph, inference, training, cancel
        self.notes: list[str] = []

    def of(self, dataset: Dataset, batch: int, progress: Progress) -> tuple[ValueAgreement, ...]:
        """Return the agreement at every value, in graph order."""
        values = compared_values(self._graph)
        fused, watched = self._watched(values, next(iter(dataset.batches(batch))))
        literal, deployed = ({value.name: _Difference() for value in values} for _ in range(2))
        names = tuple(value.name for value in values)
        plain = self._inference.open(self._graph.with_outputs(names), optimize=False, cancel=self._cancel)
        done = 0
        for samples in dataset.batches(batch):
            self._cancel.raise_if_cancelled()
            expected = plain.run(samples.inputs)
            found = fused.run(samples.inputs)
            simulated = self._training.run(self._graph, samples.inputs, names) if self._training is not None else {}
            for value in values:
                if simulated:
                    literal[value.name].update(simulated[value.name], expected[value.name], value.zero_point)
                if value.name in found:
                    deployed[value.name].update(expected[value.name], found[value.name], value.zero_point)
            done += len(samples)
            progress.update(done / len(dataset))
        return tuple(
            ValueAgreement(
                value=value.name,
                node=value.node.name,
                op=value.node.op,
                steps=value.integers,
                literal=literal[value.name].agreement() if self._training is not None else None,
                deployed=deployed[value.name].agreement() if value.name in watched else None,
            )
            for value in values
        )

    def _watched(self, values: Sequence[ComparedValue], samples: Samples) -> tuple[InferenceSession, frozenset[str]]:
        """Return the deployed graph, and what it tells: outputs, and all integers if reading them changes nothing."""
        outputs = [info.name for info in self._graph.outputs]
        integers = [value.name for value in values if value.integers]
        alone = self._inference.open(self._graph, cancel=self._cancel)
        names = tuple(dict.fromkeys([*outputs, *integers]))
        watched = self._inference.open(self._graph.with_outputs(names), cancel=self._cancel)
        plainly, beside = alone.run(samples.inputs), watched.run(samples.inputs)
        if all(np.array_equal(plainly[name], beside[name], equal_nan=True) for name in outputs):
            return watched, frozenset(names)
        self.notes.append(
            "Reading inner values changes what the runtime fuses here, so that the deployed file is compared at its "
            "outputs only."
        )
        return alone, frozenset(outputs)


def first_parting(values: Iterable[ValueAgreement], rung: Literal["literal", "deployed"]) -> str | None:
    """Return the node at which a rung leaves the one before it: below PARTS_BELOW_DB, and by a fall from all before."""
    lowest = IDENTICAL_DB
    for value in values:
        agreement: Agreement | None = getattr(value, rung)
        if agreement is None:
            continue
        if agreement.sqnr_db < min(PARTS_BELOW_DB, lowest - _FALL_DB):
            return value.node
        lowest = min(lowest, agreement.sqnr_db)
    return None
