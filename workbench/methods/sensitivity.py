"""Measures how the metric changes when one knob of one layer takes one value: what every plan is decided on.

Only what lies behind a changed layer runs again, on samples that are paired with the original's; trials whose rank is
settled end early; what was run is stored at once, so that a sweep that is cancelled or killed goes on where it was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.domain.reports import SweepReport
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import coupled_layers, layer_knobs, obstacles
from workbench.methods.evaluation import chosen_samples
from workbench.methods.method import Method, Tools
from workbench.methods.original_run import OriginalRun
from workbench.methods.pipeline import step_seed
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.requirements import check_requirements
from workbench.methods.step import apply_method, fold_given_back, naming
from workbench.methods.sweep_store import SweepStore, sweep_key
from workbench.methods.sweep_trials import Trial, TrialRun


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
    early: bool = True,
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
        threads: Trials that run at the same time, one thread each; 0 takes all cores.
        store: JSON-lines file that the records are appended to and resumed from.
        done: Points ("layer\tvalue") that are not wanted again; they are left out of the report.
        early: End a trial as soon as its rank among the layers is settled, it is known to 0.3 points, or it is
            certainly useless; all samples are run otherwise.
        on_point: Takes each point as it comes, provisional ones first, those resumed from the store included.
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
    kept = SweepStore(store, sweep_key(graph, applied, registry.get(method), turned, part.fingerprint, seed, data))
    original = OriginalRun(
        graph,
        inference,
        part,
        seed=seed,
        workers=threads or _cores(),
        progress=progress.part(0.0, 0.05),
        cancel=cancel,
    )
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
    finished = _finished(done)
    trials = [
        _resumed(Trial(members, tuple(wanted_of), value, value), kept)
        for members, reported, value in _jobs(
            [name for name in chosen if name not in blocked], wanted, coupled, blocked
        )
        if (wanted_of := [layer for layer in reported if (layer, value) not in finished])
    ]
    run = TrialRun(
        original,
        _Maker(graph, registry, applied, turned, tools).make,
        kept,
        on_point,
        early=early,
        cancel=cancel,
        log=log,
    )
    run.run(trials, _inputs_of(graph, {layer for trial in trials for layer in trial.members}), progress.part(0.05, 1.0))
    failed = [trial for trial in trials if trial.failed is not None]
    skipped.update({f"{layer} at {trial.value}": str(trial.failed) for trial in failed for layer in trial.reported})
    if failed and len(failed) == len(trials):
        assert failed[0].failed is not None
        raise failed[0].failed
    return SweepReport(
        method=method,
        knob=knob,
        metric=original.measurement.metric,
        baseline=original.measurement,
        points=tuple(run.points(trials)),
        evaluations=run.evaluations + 1,
        seconds=time.perf_counter() - began,
        skipped=skipped,
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _resumed(trial: Trial, kept: SweepStore) -> Trial:
    """Return the trial with what an earlier run has found."""
    found = kept.get(trial.reported[0], trial.value)
    if found is not None:
        trial.records.append(found[0])
        trial.divergences.append(found[1])
    return trial


def _inputs_of(graph: ModelGraph, layers: Collection[str]) -> list[str]:
    """Return the values that the layers read: a trial that changes a layer is nearly always fed with these."""
    names = [name for node in graph.nodes if node.name in layers for name in node.inputs[:1]]
    fed = {info.name for info in graph.inputs}
    return [name for name in names if name and name not in fed and not graph.is_constant(name)]


@dataclass(frozen=True)
class _Maker:
    """Everything that stays the same from trial to trial."""

    graph: ModelGraph
    registry: MethodRegistry
    method: Method
    knob: Knob
    tools: Tools

    def make(self, trial: Trial) -> ModelGraph:
        """Apply the method with only this trial's layers set.

        Raises:
            WorkbenchError: the setting can't be honoured, or the method failed.
            CancelledError: cancelled.
        """
        entry = self.registry.get(self.method.id)
        settings = LayerSettings({layer: {self.knob.name: trial.value} for layer in trial.members})
        where = f"{trial.reported[0]}, {self.knob.name} {trial.value}"
        with naming(entry, where):
            self.method.check(self.graph, settings)
        # A fresh generator per trial keeps trials independent of the order they are taken in.
        tools = replace(self.tools, rng=np.random.default_rng(self.tools.seed))
        changed = apply_method(self.method, entry, where, self.graph, settings, tools).graph
        return fold_given_back(changed, self.graph)


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
    """Return (layers set together, those of them to report, value), each coupled set once, in graph order."""
    sets: dict[tuple[str, ...], list[str]] = {}
    for layer in layers:
        members = tuple(member for member in coupled[layer] if member not in blocked)
        sets.setdefault(members, []).append(layer)
    return [(members, reported, value) for members, reported in sets.items() for value in values]
