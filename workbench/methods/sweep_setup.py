"""What sweeps of single settings and of pairs begin with: everything checked, the original run, trials to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.data.dataset import Dataset
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.cores import available_cores
from workbench.domain.errors import CancelledError, RecipeError, StorageError, WorkbenchError
from workbench.domain.knobs import Knob, Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Step
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.changed_part import values_ahead
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


@dataclass(frozen=True)
class Swept:
    """What is swept, and on what.

    Attributes:
        graph: The original model.
        registry: The known methods.
        method: Id of the method that honours the knob.
        knob: Name of the knob.
        dataset: Samples that the metric is taken on.
        inference: Engine that evaluates.
        training: Engine that methods may use.
        parameters: Of the method, beside those that it takes in sweeps (Method.in_sweeps).
        layers: Names; all layers without any.
        samples: How many samples, evenly spread, or "all".
        data: Calibration samples for methods that need them.
        seed: Of the method and of the samples' order.
        threads: Trials that run at the same time, one thread each; 0 takes all cores.
        store: JSON-lines file that the records are appended to and resumed from.
        early: End a trial as soon as its rank is settled, it is known to 0.3 points (or a seventh of itself), or it is
            certainly useless; all samples are run otherwise.
        budget: Drop that is accepted, in the metric's unit: trials end as soon as it is certain on which side they are.
    """

    graph: ModelGraph
    registry: MethodRegistry
    method: str
    knob: str
    dataset: Dataset
    inference: InferenceEngine
    training: TrainingEngine
    parameters: Mapping[str, Any] = field(default_factory=dict)
    layers: Sequence[str] = ()
    samples: int | Literal["all"] = 2000
    data: RecipeData | None = None
    seed: int = 0
    threads: int = 0
    store: Path | None = None
    early: bool = True
    budget: float | None = None


@dataclass(frozen=True)
class Watched:
    """Who watches a sweep: its progress, its cancelling, its log."""

    progress: Progress = field(default_factory=Progress)
    cancel: CancelToken = field(default_factory=CancelToken)
    log: Callable[[str], None] = lambda text: None


class Setup:
    """A sweep that is ready to run.

    Args:
        swept: What.
        values: Of the knob; none takes the knob's own `sweep` values.
        kind: Of sweep, which keeps records of different kinds apart in the store.
        watched: By whom.

    Attributes:
        values: Checked.
        sets: Layers that move together, and those of them that are wanted, in graph order.
        skipped: Wanted layers on which the knob can't be turned, with why.
        original: On the samples.

    Raises:
        RecipeError: unknown method, parameter, knob or layer, a value out of range, a knob that the method does not
            read, parameters that don't suit a sweep, or something that the method needs is missing.
        BadInputError: the store is a file of another kind.
        CancelledError: cancelled.
    """

    def __init__(self, swept: Swept, values: Sequence[Setting], kind: str, watched: Watched) -> None:
        graph, registry, method = swept.graph, swept.registry, swept.method
        self._swept, self._watched = swept, watched
        own = registry.get(method).method.in_sweeps
        given = {**own, **swept.parameters}
        for name in own.keys() - swept.parameters.keys():
            # Drops are larger than those of a recipe that leaves the parameter to its default.
            watched.log(f"Sweeps take {method} with {name} {own[name]}, unless they are given it.")
        applied = registry.instantiate(Step(method=method, parameters=given))
        self._knob = _knob_of(applied, registry, swept.knob)
        _refuse_what_needs_more(applied, graph, swept.data)
        self.values = tuple(self._knob.check(value, "values") for value in (values or self._knob.sweep))
        blocked = obstacles(graph, self._knob, registry)
        chosen = _chosen_layers(graph, registry, swept.layers)
        self.skipped = {layer: blocked[layer] for layer in chosen if layer in blocked}
        coupled = coupled_layers(graph, self._knob)
        self.sets: dict[tuple[str, ...], list[str]] = {}
        for layer in chosen:
            if layer not in blocked:
                members = tuple(member for member in coupled[layer] if member not in blocked)
                self.sets.setdefault(members, []).append(layer)
        self.everything = tuple(name for name in _chosen_layers(graph, registry, ()) if name not in blocked)
        part, seed = chosen_samples(swept.dataset, swept.samples), swept.seed
        entry = registry.get(method)
        key = sweep_key(graph, applied, entry, self._knob, part.fingerprint, seed, swept.data)
        self._store = SweepStore(swept.store, f"{kind} {key}" if kind else key)
        self.original = OriginalRun(
            graph,
            swept.inference,
            part,
            seed=seed,
            workers=swept.threads or available_cores(),
            progress=watched.progress.part(0.0, 0.05),
            cancel=watched.cancel,
        )
        tools = Tools(
            reference=graph,
            data=swept.data,
            inference=swept.inference,
            training=swept.training,
            rng=np.random.default_rng(step_seed(seed, 0, method)),
            seed=step_seed(seed, 0, method),
            cancel=watched.cancel,
            log=watched.log,
        )
        self._maker = Maker(graph, registry, applied, self._knob, tools)

    def make(self, trial: Trial) -> ModelGraph:
        """Return the graph of a trial.

        Raises:
            WorkbenchError: the setting can't be honoured, or the method failed.
            CancelledError: cancelled.
        """
        return self._maker.make(trial)

    def resumed(self, trial: Trial) -> Trial:
        """Return the trial with what an earlier run has found."""
        found = self._store.get(trial.name, trial.value)
        if found is not None:
            trial.records.append(found[0])
            trial.divergences.append(found[1])
        return trial

    def run(self, trials: Sequence[Trial], on_point: Callable[[SensitivityPoint], None]) -> TrialRun:
        """Run all trials to their end.

        Raises:
            CancelledError: cancelled; what was run is in the store, and what is known was handed to `on_point`.
            StorageError: the store can't be written.
            WorkbenchError: not one trial could be run; the first one's error.
        """
        watched = self._watched
        last, reference = self._last_changed(trials)
        self.original.feed_from(reference)
        run = TrialRun(
            self.original,
            lambda trial: reference if trial is last else self._maker.make(trial),
            self._store,
            on_point,
            early=self._swept.early,
            budget=self._swept.budget,
            cancel=watched.cancel,
            log=watched.log,
        )
        layers = {layer for trial in trials for layer in trial.members}
        run.run(trials, values_ahead(reference, layers), watched.progress.part(0.05, 1.0))
        failed = [trial for trial in trials if trial.failed is not None]
        self.skipped.update(
            {f"{layer} at {trial.value}": str(trial.failed) for trial in failed for layer in trial.reported}
        )
        if failed and len(failed) == len(trials):
            assert failed[0].failed is not None
            raise failed[0].failed
        return run

    def _last_changed(self, trials: Sequence[Trial]) -> tuple[Trial | None, ModelGraph]:
        """Return the trial that changes the graph last, and its graph; the original where it has none.

        Methods tidy a graph before they change it; compared with the original, all behind the first thing that was
        tidied would differ. A trial has everything ahead of its own layers in common with this graph.
        """
        original, order = self._swept.graph, {node.name: place for place, node in enumerate(self._swept.graph.nodes)}
        last = max(trials, key=lambda trial: min(order.get(name, 0) for name in trial.members), default=None)
        if last is None or all(trial.have >= len(self.original) for trial in trials):
            return None, original
        try:
            return last, self._maker.make(last)
        except (CancelledError, StorageError):
            raise
        except WorkbenchError:
            return None, original  # the trial will fail again, and be recorded


@dataclass(frozen=True)
class Maker:
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
