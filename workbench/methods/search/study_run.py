"""Runs a study from model and data to the report: prepares, searches, and says what holds the result back."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from workbench.data.dataset import Dataset, open_split
from workbench.data.fit import check_fit
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError, RecipeError
from workbench.domain.measurements import LatencyReport
from workbench.domain.search_reports import FailedTrial, Outlook, Relaxation, SearchReport
from workbench.domain.study import Study
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.bit_operations import bit_operations
from workbench.graph.check import require_runtime_support
from workbench.graph.inspection import summary
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import open_dimensions
from workbench.graph.storage import model_sha256, open_model
from workbench.methods.candidate import MeasureLatency
from workbench.methods.evaluation import Evaluated, Reference, checked_metric, evaluate
from workbench.methods.pipeline import prepare
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.baseline import write_baseline
from workbench.methods.search.binding import budget_relaxations, held_back, pin_relaxations
from workbench.methods.search.drops import SensitivityPass
from workbench.methods.search.forming import form_space
from workbench.methods.search.journal import Journal
from workbench.methods.search.loop import Entry, StudyLoop
from workbench.methods.search.objectives import Original, limit_words, limits_of, reference_of
from workbench.methods.search.preparing import compared_costs, forecast_of, refuse_impossible, take_prices
from workbench.methods.search.registry import make_strategy
from workbench.methods.search.reporting import chosen, search_report
from workbench.methods.search.space import Space
from workbench.methods.search.stand_ins import StandIns, Stopwatch
from workbench.methods.search.strategy import SearchTask
from workbench.methods.search.template import Template, completed
from workbench.methods.search.trials import TrialBuilder

# Of the time that a study has, what timing structures and what sensitivities may take.
_TIMING_SHARE, _SENSITIVITY_SHARE = 0.15, 0.2
_SECONDS_FOR_PINS = 60.0

OnCandidate = Callable[[SearchReport], None]
OnOutlook = Callable[[Outlook], None]


@dataclass(frozen=True)
class Means:
    """What a study works with.

    Attributes:
        registry: The known methods.
        inference, training: The engines.
        builder: Builds candidates.
        stopwatch: Times stand-ins on the study's device.
        measure: Measures files on the study's device.
        paying: By layer, channel counts that are known to be faster than all larger ones.
        saturates: Whether sums of 8-bit products saturate here or on the study's device.
    """

    registry: MethodRegistry
    inference: InferenceEngine
    training: TrainingEngine
    builder: TrialBuilder
    stopwatch: Stopwatch
    measure: MeasureLatency
    paying: Mapping[str, Collection[int]] = field(default_factory=dict)
    saturates: bool = False


def run_study(
    model_path: Path,
    study: Study,
    folder: Path,
    means: Means,
    *,
    on_candidate: OnCandidate = lambda report: None,
    on_outlook: OnOutlook = lambda outlook: None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    log: Callable[[str], None] = lambda text: None,
) -> SearchReport:
    """Search, and return the front of measured files.

    Everything that is finished lies in `folder`; the same call goes on where an earlier one was cancelled or killed.

    Args:
        model_path: The original.
        study: With its data embedded.
        folder: Of the study.
        means: Engines, methods, builder, device.
        on_candidate: Takes the report so far whenever a candidate is finished.
        on_outlook: Takes what is foretold of what is being built and of what promises most after it.
        progress: Of the whole.
        cancel: Polled throughout.
        log: Takes lines for the job's log.

    Raises:
        BadInputError: model, study or data can't be used, the folder holds something else, or a budget can't be met.
        StorageError: the folder can't be written.
        CancelledError: `cancel` was set; what is finished is kept.
    """
    run = _Run(model_path, study, folder, means, on_candidate, progress or Progress(), cancel or CancelToken(), log)
    return run(on_outlook)


class _Run:
    def __init__(
        self,
        model_path: Path,
        study: Study,
        folder: Path,
        means: Means,
        on_candidate: OnCandidate,
        progress: Progress,
        cancel: CancelToken,
        log: Callable[[str], None],
    ) -> None:
        self._began = time.monotonic()
        self._path, self._means = model_path, means
        self._on_candidate, self._progress, self._cancel, self._log = on_candidate, progress, cancel, log
        self._graph = open_model(model_path)
        require_runtime_support(self._graph)
        open_dimensions(self._graph, study.dimensions)
        self._data = _description(study)
        self._test = _split(self._data, "test", self._graph)
        checked_metric(self._test)
        self._study = completed(study, self._graph, means.registry, saturates=means.saturates)
        self._space = form_space(self._graph, self._study, means.registry, means.paying)
        self._template = Template(self._study, self._graph, means.registry, self._space)
        self._strategy = make_strategy(self._study.strategy)
        # A first recipe that can't be run at all is better known before any work.
        first = self._template.recipe(tuple(len(dimension.choices) - 1 for dimension in self._space.dimensions))
        prepare(self._graph, first, means.registry, means.inference, training=means.training, cancel=cancel)
        self._journal = Journal(folder, self._study.identity(), model_sha256(model_path))
        self._journal.tidy()

    def __call__(self, on_outlook: OnOutlook) -> SearchReport:
        self._on_outlook = on_outlook
        try:
            return self._searched()
        finally:
            self._journal.end(time.monotonic() - self._began)

    def _searched(self) -> SearchReport:
        study, space, progress, cancel = self._study, self._space, self._progress, self._cancel
        for note in space.notes:
            self._log(f"Note: {note}.")
        self._log(f"{len(space.dimensions)} dimensions, {space.size:.3g} proposals.")
        self._baseline = self._measured_baseline(progress.part(0.0, 0.02, "original"))
        baseline_file = self._journal.folder / "baseline.npz"
        write_baseline(self._baseline, baseline_file)
        timed = "latency" in study.costs or any(name.startswith("latency") for name in study.budgets.limits())
        memory = "memory" in study.costs or any(name.startswith("memory") for name in study.budgets.limits())
        self._latency = self._original_latency(progress.part(0.02, 0.03, "original")) if timed or memory else None
        original = self._original()
        self._limits, self._reference = limits_of(study.budgets, original), reference_of(study, original)
        stand_ins = StandIns(
            self._graph,
            study,
            space,
            self._template,
            self._means.registry,
            self._means.inference,
            self._means.training,
            self._means.stopwatch if timed else None,
            self._journal.timed,
            self._journal.time,
            self._log,
            memory_bytes=original.memory_bytes if memory else None,
        )
        costs = compared_costs(study, self._limits)
        prices = take_prices(space, stand_ins, costs, self._seconds(_TIMING_SHARE), progress.part(0.03, 0.06), cancel)
        refuse_impossible(
            space,
            prices,
            self._limits,
            stand_ins,
            cancel,
            lambda name, share: limit_words(name, share, study.budgets, original),
        )
        held_out, trains = self._held_out(), self._trains()
        sensitivities = None if held_out is None else self._sensitivities(*held_out)
        part = progress.part(0.06, 0.1)
        forecast = forecast_of(
            space, study, costs, prices, sensitivities, self._reference, trains, part, cancel, self._log
        )
        task = SearchTask(space, study.costs, self._reference, self._limits, study.seed, forecast)
        if not any(step.enabled for step in self._template.recipe(space.untouched).steps):
            task.spent.add(space.untouched)  # it is the original itself
        self._strategy.begin(task)
        loop = StudyLoop(
            self._path,
            study,
            space,
            self._template,
            self._strategy,
            task,
            self._means.builder,
            self._journal,
            stand_ins,
            self._means.measure if timed or memory else None,
            baseline_file,
            bit_operations(self._graph, study.dimensions),
            self._began,
            lambda entry: self._report_so_far(loop.entries),
            self._log,
            self._on_outlook,
        )
        loop.resume()
        stopped = loop.run(progress.part(0.1, 1.0), cancel)
        self._log(f"Ended: {stopped}.")
        number = chosen(study, loop.entries, self._limits)
        bindings = self._bindings(study, loop.entries, number, task, space, stand_ins, cancel)
        progress.update(1.0)
        binding = [] if number is None else list(bindings[number])
        report = self._report(loop.entries, self._journal.failed, binding, stopped)
        return self._written(report.model_copy(update={"bindings": bindings}))

    def _bindings(
        self,
        study: Study,
        entries: list[Entry],
        best: int | None,
        task: SearchTask,
        space: Space,
        stand_ins: StandIns,
        cancel: CancelToken,
    ) -> dict[int, tuple[Relaxation, ...]]:
        """Return what holds each candidate back, by number: budgets of all, and pins as far as a minute goes."""
        began = time.monotonic()
        template = partial(Template, study, self._graph, self._means.registry)
        found = {}
        for place in sorted(range(1, len(entries) + 1), key=lambda place: place != best):
            budgets = budget_relaxations if place == best else held_back
            pins: list[Relaxation] = []
            # The best is asked whatever it takes; each other one builds and times structures of its own.
            if place == best or time.monotonic() - began < _SECONDS_FOR_PINS:
                pins = pin_relaxations(study, entries[place - 1], space, template, stand_ins, self._limits, cancel)
            found[place] = (*budgets(study, entries, place, task), *pins)
        return dict(sorted(found.items()))

    def _report_so_far(self, entries: list[Entry]) -> None:
        self._on_candidate(self._report(entries, self._journal.failed, [], ""))

    def _report(
        self, entries: list[Entry], failed: list[FailedTrial], binding: list[Relaxation], stopped: str
    ) -> SearchReport:
        report = search_report(
            self._study,
            entries,
            failed,
            model=summary(self._graph, self._path, dimensions=self._study.dimensions),
            baseline=self._baseline.measurement,
            baseline_latency=self._latency,
            reference=self._reference,
            limits=self._limits,
            binding=binding,
            stopped=stopped,
            seconds=self._journal.seconds + time.monotonic() - self._began,
            notes=self._space.notes,
        )
        return self._written(report)

    def _written(self, report: SearchReport) -> SearchReport:
        self._journal.write_front(report.model_dump(mode="json"))
        return report

    def _measured_baseline(self, progress: Progress) -> Evaluated:
        return evaluate(
            self._means.inference,
            self._path,
            self._test,
            samples=self._study.evaluate.samples,
            reference=Reference(self._means.inference, self._graph),
            progress=progress,
            cancel=self._cancel,
        )

    def _original_latency(self, progress: Progress) -> LatencyReport:
        return self._means.measure((self._path,), progress, self._cancel)

    def _original(self) -> Original:
        whole = summary(self._graph, self._path, dimensions=self._study.dimensions)
        latency = None if self._latency is None else self._latency.models[0]
        memory = None if latency is None else latency.peak_memory_bytes
        return Original(
            self._baseline.measurement,
            None if latency is None else latency.latency_ms.median,
            whole.size_bytes,
            whole.macs,
            whole.params,
            None if memory is None else float(memory),
            bit_operations(self._graph, self._study.dimensions),
        )

    def _trains(self) -> bool:
        structural = tuple(
            0 if dimension.precision else len(dimension.choices) - 1 for dimension in self._space.dimensions
        )
        return self._template.trained(self._template.recipe(structural))

    def _held_out(self) -> tuple[RecipeData | None, Dataset] | None:
        """Return the recipe's data and the samples that sensitivities are taken on; None where there are none."""
        if self._data.train is None:
            return None, self._test
        data = RecipeData(
            self._data,
            self._graph.inputs,
            self._means.inference,
            self._graph,
            seed=self._study.seed,
            cancel=self._cancel,
        )
        try:
            # What candidates are judged by in the end must not choose among them.
            return data, data.held_out
        except DataError as error:
            self._log(f"Sensitivities are taken on the test split: {error}")
            return data, self._test

    def _sensitivities(self, data: RecipeData | None, dataset: Dataset) -> SensitivityPass:
        return SensitivityPass(
            self._graph,
            self._study,
            self._space,
            self._template,
            self._means.registry,
            self._means.inference,
            self._means.training,
            data,
            dataset,
            self._journal.sensitivities,
            self._seconds(_SENSITIVITY_SHARE),
        )

    def _seconds(self, share: float) -> float:
        """Return a share of the study's time, or of an hour where it has no end."""
        minutes = self._study.stop.minutes
        return max(5.0, share * 60 * (60.0 if minutes is None else minutes))


def _description(study: Study) -> DataDescription:
    if isinstance(study.data, DataDescription):
        return study.data
    raise RecipeError("the study names no data", where="data", action="Name a DATA.yaml.")


def _split(data: DataDescription, split: str, graph: ModelGraph) -> Dataset:
    if data.test is None:
        raise DataError("the data has no test split", where="test", action="Add `test:` to the DATA.yaml.")
    dataset = open_split(data, split, graph.inputs)  # type: ignore[arg-type]
    check_fit(dataset, graph.inputs, graph.outputs)
    return dataset
