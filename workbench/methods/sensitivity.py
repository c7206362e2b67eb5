"""Measures how the metric changes when one knob of one layer takes one value: what every plan is decided on.

Each point is paired with the original on the same samples and stored the moment it exists, so that a sweep that is
cancelled or killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, RecipeError, StorageError, WorkbenchError
from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.domain.reports import SweepReport
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import coupled_layers, layer_knobs, obstacles
from workbench.methods.evaluation import Evaluated, Reference, chosen_samples, compare, evaluate
from workbench.methods.method import Method, Tools
from workbench.methods.pipeline import step_seed
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.requirements import check_requirements
from workbench.methods.step import apply_method, fold_given_back, naming
from workbench.methods.sweep_store import SweepStore, sweep_key


class SettingExecutor(Protocol):
    """Takes the metric of a graph that differs from the original in a few layers."""

    def evaluate(
        self, graph: ModelGraph, changed: Sequence[str], progress: Progress, cancel: CancelToken | None
    ) -> Evaluated:
        """Return the metric of `graph` on the sweep's samples; `changed` names the layers that differ."""
        ...


@dataclass(frozen=True)
class WholeGraph:
    """The plain executor: runs every sample through the whole changed graph."""

    engine: InferenceEngine
    dataset: Dataset
    reference: Reference
    threads: int = 0

    def evaluate(
        self, graph: ModelGraph, changed: Sequence[str], progress: Progress, cancel: CancelToken | None
    ) -> Evaluated:
        """See SettingExecutor."""
        return evaluate(
            self.engine,
            graph,
            self.dataset,
            threads=self.threads,
            reference=self.reference,
            progress=progress,
            cancel=cancel,
        )


def sweep(
    graph: ModelGraph,
    registry: MethodRegistry,
    *,
    method: str,
    knob: str,
    values: Sequence[Setting],
    dataset: Dataset,
    inference: InferenceEngine,
    training: TrainingEngine,
    parameters: Mapping[str, Any] | None = None,
    layers: Sequence[str] = (),
    samples: int | Literal["all"] = 2000,
    data: RecipeData | None = None,
    seed: int = 0,
    threads: int = 0,
    store: Path | None = None,
    done: Collection[str] = (),
    executor: SettingExecutor | None = None,
    on_point: Callable[[SensitivityPoint], None] = lambda point: None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> SweepReport:
    r"""Take the sensitivity of every layer to every value of a knob.

    Layers that the knob can only move together are computed once and reported for each. Layers on which it can't be
    turned, and points that fail, stand in the report's `skipped` with the reason.

    Args:
        graph: The original model.
        registry: The known methods.
        method: Id of the method that honours the knob.
        knob: Name of the knob.
        values: To try; none takes the knob's own `sweep` values.
        dataset: Samples that the metric is taken on.
        inference: Engine that evaluates.
        training: Engine that methods may use.
        parameters: Of the method.
        layers: Names; all layers without any.
        samples: How many samples, evenly spread, or "all".
        data: Calibration samples for methods that need them.
        seed: Of the method.
        threads: Of the inference engine; 0 takes all cores.
        store: JSON-lines file that points are appended to and resumed from.
        done: Points ("layer\tvalue") that are not wanted again; they are left out of the report.
        executor: Replaces the evaluation of the whole graph.
        on_point: Takes each point as it comes, those resumed from the store included.
        progress: Of the whole sweep.
        cancel: Polled between batches.
        log: Takes lines for the job's log.

    Raises:
        RecipeError: unknown method, parameter, knob or layer, a value out of range, a knob that the method does not
            read, parameters that don't suit a sweep, or something that the method needs is missing.
        BadInputError: the store is a file of another kind.
        StorageError: the store can't be written.
        CancelledError: `cancel` was set; finished points are in the store and were handed to `on_point`.
        WorkbenchError: not one point could be taken; the first one's error.
    """
    progress, cancel = progress or Progress(), cancel or CancelToken()
    began = time.perf_counter()
    step = Step(method=method, parameters=dict(parameters or {}))
    applied = registry.instantiate(step)
    turned = _knob_of(applied, registry, knob)
    _refuse_what_needs_more(applied, graph, data)
    wanted = tuple(turned.check(value, "values") for value in (values or turned.sweep))
    blocked = obstacles(graph, turned, registry)
    chosen = _chosen_layers(graph, registry, layers)
    coupled = coupled_layers(graph, turned)
    skipped = {layer: blocked[layer] for layer in chosen if layer in blocked}

    part = chosen_samples(dataset, samples)
    runs = executor or WholeGraph(inference, part, Reference(inference, graph), threads)
    key = sweep_key(graph, applied, registry.get(method), turned, part.fingerprint, seed, data)
    kept = SweepStore(store, key)
    baseline = runs.evaluate(graph, (), progress.part(0.0, 0.05, "original"), cancel)
    tools = Tools(
        reference=graph,
        data=data,
        inference=inference,
        training=training,
        rng=np.random.default_rng(step_seed(seed, 0, method)),
        seed=step_seed(seed, 0, method),
        cancel=cancel,
        log=log,
    )
    trial = _Trial(graph, registry, applied, turned, tools, runs, baseline)

    jobs = _jobs([layer for layer in chosen if layer not in blocked], wanted, coupled, blocked)
    finished = _finished(done)
    points: list[SensitivityPoint] = []
    evaluations, first_error = 1, None
    for number, (members, reported, value) in enumerate(jobs):
        cancel.raise_if_cancelled()
        share = 0.05 + 0.95 * number / len(jobs), 0.05 + 0.95 * (number + 1) / len(jobs)
        here = progress.part(*share, f"{reported[0]}, {knob} {value}")
        open_layers = [layer for layer in reported if (layer, value) not in finished]
        found = {layer: point for layer in open_layers if (point := kept.get(layer, value)) is not None}
        missing = [layer for layer in open_layers if layer not in found]
        if missing:
            try:
                point = trial.point(members, value, here)
            except (CancelledError, StorageError):
                raise
            except WorkbenchError as error:
                first_error = first_error or error
                skipped.update({f"{layer} at {value}": str(error) for layer in missing})
                log(f"Skipped {', '.join(missing)} at {value}: {error}")
                continue
            evaluations += 1
            for layer in missing:
                others = tuple(member for member in members if member != layer)
                found[layer] = point.model_copy(update={"layer": layer, "coupled": others})
                kept.add(found[layer])
        for layer in open_layers:
            points.append(found[layer])
            on_point(found[layer])
        here.update(1.0)
    if first_error is not None and not points:
        raise first_error
    return SweepReport(
        method=method,
        knob=knob,
        metric=baseline.measurement.metric,
        baseline=baseline.measurement,
        points=tuple(points),
        evaluations=evaluations,
        seconds=time.perf_counter() - began,
        skipped=skipped,
    )


@dataclass(frozen=True)
class _Trial:
    """Everything that stays the same from point to point."""

    graph: ModelGraph
    registry: MethodRegistry
    method: Method
    knob: Knob
    tools: Tools
    executor: SettingExecutor
    baseline: Evaluated

    def point(self, layers: Sequence[str], value: Setting, progress: Progress) -> SensitivityPoint:
        """Apply the method with only these layers set and compare with the original."""
        entry = self.registry.get(self.method.id)
        settings = LayerSettings({layer: {self.knob.name: value} for layer in layers})
        where = f"{layers[0]}, {self.knob.name} {value}"
        with naming(entry, where):
            self.method.check(self.graph, settings)
        # A fresh generator per point keeps points independent of the order they are taken in.
        tools = Tools(
            reference=self.tools.reference,
            data=self.tools.data,
            inference=self.tools.inference,
            training=self.tools.training,
            rng=np.random.default_rng(self.tools.seed),
            seed=self.tools.seed,
            progress=progress.part(0.0, 0.3),
            cancel=self.tools.cancel,
            log=self.tools.log,
        )
        changed = apply_method(self.method, entry, where, self.graph, settings, tools).graph
        changed = fold_given_back(changed, self.graph)
        result = self.executor.evaluate(changed, layers, progress.part(0.3, 1.0), self.tools.cancel)
        difference = compare(self.baseline, result)
        low, high = difference.ci95
        worse = self.baseline.measurement.higher_is_better
        return SensitivityPoint(
            layer=layers[0],
            value=value,
            metric=result.measurement.value,
            drop=0.0 - difference.value if worse else difference.value,
            ci95=(0.0 - high, 0.0 - low) if worse else (low, high),
            samples=result.measurement.samples,
        )


def _refuse_what_needs_more(method: Method, graph: ModelGraph, data: RecipeData | None) -> None:
    """Refuse, before the first evaluation, a method that can't work in a sweep at all.

    Raises:
        RecipeError: its parameters don't suit a sweep, or data, labels or measured latencies are missing.
    """
    obstacle = method.sweep_obstacle()
    if obstacle is not None:
        raise RecipeError(
            f"no sensitivities can be taken with {method.id}: {obstacle}",
            where="parameters",
            expected="that a point changes only the layer that it stands for",
        )
    check_requirements("sweep", method, method.requirements(graph), graph, data, None, None)


def _knob_of(method: Method, registry: MethodRegistry, name: str) -> Knob:
    known = registry.knob(name, "knob")
    if known not in method.knobs:
        readers = ", ".join(entry.method.id for entry in registry if known in entry.method.knobs)
        raise RecipeError(f"{method.id} does not read {name}", where="knob", expected=f"one of the methods {readers}")
    return known


def _chosen_layers(graph: ModelGraph, registry: MethodRegistry, layers: Sequence[str]) -> list[str]:
    names = list(layer_knobs(graph, registry))
    unknown = next((layer for layer in layers if layer not in names), None)
    if unknown is not None:
        raise RecipeError(
            f"there is no layer {unknown!r}", where="layers", action="Run `workbench inspect` for the names."
        )
    return [name for name in names if not layers or name in layers]


def _finished(done: Collection[str]) -> set[tuple[str, Setting]]:
    """Return the points that texts (layer, tab, value) name; "8" and "8.0" are the same value."""
    found: set[tuple[str, Setting]] = set()
    for text in done:
        layer, _, value = text.rpartition("\t")
        try:
            found.add((layer, float(value)))
        except ValueError:
            found.add((layer, value))
    return found


def _jobs(
    layers: Sequence[str],
    values: Sequence[Setting],
    coupled: Mapping[str, tuple[str, ...]],
    blocked: Mapping[str, str],
) -> list[tuple[tuple[str, ...], list[str], Setting]]:
    """Return (layers set together, those of them to report, value), each coupled set once."""
    sets: dict[tuple[str, ...], list[str]] = {}
    for layer in layers:
        members = tuple(member for member in coupled[layer] if member not in blocked)
        sets.setdefault(members, []).append(layer)
    return [(members, reported, value) for members, reported in sets.items() for value in values]
