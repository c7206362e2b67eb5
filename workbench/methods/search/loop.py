"""Runs a study: what promises most is built, measured, put on the front at once and learned from, until it ends.

Only building may happen elsewhere; latency is taken here, on the study's device, one candidate at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import (
    CancelledError,
    ClusterLostError,
    DeviceError,
    JobError,
    StorageError,
    WorkbenchError,
)
from workbench.domain.knobs import Setting
from workbench.domain.measurements import Ratio
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport
from workbench.domain.search_reports import FailedTrial, Foretold, Outlook, Promise
from workbench.domain.study import Study
from workbench.graph.bit_operations import bit_operations
from workbench.graph.storage import open_model
from workbench.methods.candidate import MeasureLatency
from workbench.methods.search.forecast import Result
from workbench.methods.search.journal import Finished, Journal
from workbench.methods.search.objectives import Figures, figures_of
from workbench.methods.search.space import Proposal, Space
from workbench.methods.search.stand_ins import StandIns
from workbench.methods.search.strategy import SearchTask, Strategy
from workbench.methods.search.template import Template, labels
from workbench.methods.search.trials import Trial, TrialBuilder

_SCREENED = 4
_FORESEEN = 6
_POLL_SECONDS = 0.2
# A trial that was begun in time may end so much later; its finished epochs are kept for the next run.
_OVERTIME, _OVERTIME_SECONDS = 1.2, 30.0
_MOST_DISMISSED = 50
_MOST_FAILED_IN_A_ROW = 10


@dataclass(frozen=True)
class Entry:
    """A finished candidate with its figures; `proposal` is None where the space of today has none like it."""

    finished: Finished
    figures: Figures
    proposal: Proposal | None


@dataclass
class _UnderWay:
    proposal: Proposal
    settings: dict[str, dict[str, Setting]]
    recipe: Recipe
    foretold: Foretold
    trial: Trial
    began: float


@dataclass
class StudyLoop:
    """Everything that a running study needs.

    Attributes:
        model: The original's file.
        study: Completed.
        space, template: Of the study.
        strategy: Begun with `task`.
        task: Shared with it.
        builder: Builds candidates.
        journal: Keeps them.
        stand_ins: Times structures.
        measure: Takes latency, or None where nothing needs it.
        baseline: File of the original's metric.
        original_bitops: Of the original.
        on_finished: Told of every candidate.
        on_outlook: Told of what is being built and what comes next, whenever that changes.
        log: Takes lines.
    """

    model: Path
    study: Study
    space: Space
    template: Template
    strategy: Strategy
    task: SearchTask
    builder: TrialBuilder
    journal: Journal
    stand_ins: StandIns
    measure: MeasureLatency | None
    baseline: Path
    original_bitops: float
    began: float
    on_finished: Callable[[Entry], None]
    log: Callable[[str], None]
    on_outlook: Callable[[Outlook], None] = lambda outlook: None
    entries: list[Entry] = field(default_factory=list)
    _promising: list[Proposal] = field(default_factory=list)
    _left: list[Proposal] = field(default_factory=list)
    _timed: dict[Proposal, Ratio] = field(default_factory=dict)
    _counted: dict[Proposal, Mapping[str, float]] = field(default_factory=dict)
    _seconds: list[tuple[bool, float]] = field(default_factory=list)
    _idle: int = 0

    def resume(self) -> None:
        """Take in what earlier runs of the study finished, failed at, or died of."""
        for finished in self.journal.finished:
            try:
                figures = figures_of(finished.report, self.study, finished.bitops)
            except JobError as error:
                self.log(f"A finished candidate lacks a figure that is compared now, and is left out: {error}")
                continue
            self._enter(Entry(finished, figures, self.space.proposal_of(finished.settings)))
        for failed in self.journal.failed:
            proposal = self.space.proposal_of(failed.settings)
            if proposal is not None:
                self.task.spent.add(proposal)
        if self.entries:
            self.log(f"{len(self.entries)} finished candidates taken from an earlier run.")

    def run(self, progress: Progress, cancel: CancelToken) -> str:
        """Search until it ends; returns why it did.

        Raises:
            CancelledError: `cancel` was set; what is finished is in the journal.
            StorageError: the folder can't be written.
            ClusterLostError, DeviceError: nothing more can be built or measured; what was under way comes again next
                time.
        """
        under_way: dict[Future[CandidateReport], _UnderWay] = {}
        failures = 0
        # Cancels what is built: where the user does, and where the time is over by far.
        building = CancelToken()
        unhook = cancel.on_cancel(building.cancel)
        progress.update(self._share())
        try:
            while True:
                cancel.raise_if_cancelled()
                reason = self._ended(len(under_way))
                while reason is None and len(under_way) < self.builder.capacity:
                    proposal = self._next(progress, cancel)
                    if proposal is None:
                        reason = "the strategy has nothing new to propose that promises anything"
                    elif not self._fits(proposal):
                        reason = "what is left of the time is too short for another candidate"
                    else:
                        future, waiting = self._begin(proposal, progress, building)
                        under_way[future] = waiting
                        self.on_outlook(self._outlook(under_way.values()))
                        reason = self._ended(len(under_way))
                if not under_way:
                    return reason or "nothing is left"
                if self._overdue() and not building.cancelled:
                    self.log("The time is over by far: what is being built is given up; it is gone on with next time.")
                    building.cancel()
                done, _ = wait(under_way, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                for future in done:
                    waiting = under_way.pop(future)
                    if not self._end(future, waiting, cancel, overdue=building.cancelled):
                        failures += 1
                    else:
                        failures = 0
                    if failures >= _MOST_FAILED_IN_A_ROW:
                        last = self.journal.failed[-1].reason
                        return f"{failures} trials in a row failed, the last one because: {last}"
                if done:
                    progress.update(self._share(), f"{len(self.entries)} candidates, {len(self.journal.failed)} failed")
        finally:
            unhook()
            for future, waiting in under_way.items():
                future.cancel()
                self.journal.drop(waiting.settings)

    def _next(self, progress: Progress, cancel: CancelToken) -> Proposal | None:
        """Return what to build next: of several proposals the one that promises most once its structure was timed."""
        task = self.task
        for _ in range(_MOST_DISMISSED):
            count = _SCREENED if self.strategy.screened else 1
            asked = task.new(list(self.strategy.ask(count)))[:count]
            if not asked:
                break
            asked = [proposal for proposal in asked if not self._ended_the_program(proposal)]
            self._price(asked, progress, cancel)
            kept = []
            for proposal in asked:
                if (broken := task.surely_beyond(proposal)) is None:
                    kept.append(proposal)
                    continue
                task.spent.add(proposal)
                self._left.append(proposal)
                why = f"{broken[0]} would be {broken[1]:.3g} of the original's, "
                why += f"beyond the budget of {task.limits[broken[0]]:.3g}"
                self.log(f"Not built, {why}: {labels(self.space, [proposal])[0]}")
            if not kept:
                continue
            if not self.strategy.screened or (kept[0] == task.base and not task.finished):
                return kept[0]
            ranked = task.ranked(kept)
            if ranked:
                self._promising = ranked[1 : 1 + _FORESEEN]
                return ranked[0]
            # Now that their structures were timed, none of them promises anything.
            task.spent.update(kept)
        return self._least_beyond()

    def _ended_the_program(self, proposal: Proposal) -> bool:
        """Whether a proposal took the program down in earlier runs; it is then recorded as failed."""
        settings = self.space.settings(proposal)
        if self.space.key(proposal) not in self.journal.crashed:
            return False
        self.task.spent.add(proposal)
        self.journal.fail(FailedTrial(settings=settings, reason="the program ended each time while it was built"))
        return True

    def _price(self, proposals: Sequence[Proposal], progress: Progress, cancel: CancelToken) -> None:
        self._timed |= self.stand_ins.timed(proposals, Progress(), cancel)
        self._learn(proposals, cancel)
        progress.update(self._share())

    def _learn(self, proposals: Sequence[Proposal], cancel: CancelToken) -> None:
        counted = {}
        for proposal in proposals:
            stand_in = self.stand_ins.of(proposal, cancel)
            if stand_in is not None:
                counted[proposal] = stand_in.costs
        self._counted |= counted
        self.task.forecast.learn(self.task.finished, self._timed, self._counted)

    def _least_beyond(self) -> Proposal | None:
        """Return of what was left out what is closest to the budgets, where nothing keeps them; None after a few."""
        closest = self.task.closest(self._left)
        if not closest:
            return None
        self._left.remove(closest[0])
        self.log("Nothing is foretold to keep the budgets: what comes closest to them is built.")
        return closest[0]

    def _begin(
        self, proposal: Proposal, progress: Progress, cancel: CancelToken
    ) -> tuple[Future[CandidateReport], _UnderWay]:
        settings = self.space.settings(proposal)
        recipe = self.template.recipe(proposal)
        foretold = self.task.forecast.foretold(proposal)
        self.task.spent.add(self.space.canonical(proposal))
        said = ", ".join(f"{name} {entry.value:.3f}" for name, entry in foretold.costs.items())
        drop = "" if foretold.drop is None else f"drop {foretold.drop.value:.4f}, "
        self.log(f"Building (foretold: {drop}{said}): {labels(self.space, [proposal])[0]}")
        self.journal.begin(settings)
        trial = Trial(
            self.model, recipe, self.journal.working_file(), self.journal.steps, self.baseline, self.study.dimensions
        )
        waiting = _UnderWay(proposal, settings, recipe, foretold, trial, time.monotonic())
        return self._submitted(waiting, progress, cancel), waiting

    def _outlook(self, under_way: Iterable[_UnderWay]) -> Outlook:
        coming = self.task.new(self._promising)
        promised = zip(labels(self.space, coming), map(self.task.forecast.foretold, coming), strict=True)
        return Outlook(
            building=tuple(
                Promise(words=labels(self.space, [entry.proposal])[0], foretold=entry.foretold) for entry in under_way
            ),
            promising=tuple(Promise(words=words, foretold=foretold) for words, foretold in promised),
        )

    def _submitted(self, waiting: _UnderWay, progress: Progress, cancel: CancelToken) -> Future[CandidateReport]:
        number = len(self.entries) + 1
        share = self._share()
        part = progress.part(share, min(1.0, share + self._step()), f"candidate {number}")
        return self.builder.submit(waiting.trial, part, cancel)

    def _end(self, future: Future[CandidateReport], waiting: _UnderWay, cancel: CancelToken, *, overdue: bool) -> bool:
        """Take in a trial that ended; returns False where it failed.

        Raises:
            CancelledError, StorageError: see `run`.
        """
        try:
            report = future.result()
            cancel.raise_if_cancelled()
            entry = self._measured(waiting, report, cancel)
        except CancelledError:
            self.journal.drop(waiting.settings)
            cancel.raise_if_cancelled()
            if not overdue:
                self._fail(waiting, "it was cancelled where it ran")
            return overdue
        except (StorageError, ClusterLostError, DeviceError):
            self.journal.drop(waiting.settings)
            raise
        except MemoryError:
            self._fail(waiting, "there was not enough memory")
            return False
        except WorkbenchError as error:
            self._fail(waiting, str(error))
            return False
        except Exception as error:  # the border to wherever trials run: pools and clusters raise what they like
            self._fail(waiting, f"{type(error).__name__}: {error}")
            return False
        self._seconds.append((self.template.trained(waiting.recipe), time.monotonic() - waiting.began))
        before = self.task.hypervolume()
        self._enter(entry)
        self._idle = 0 if self.task.hypervolume() > before + 1e-12 else self._idle + 1
        self.on_finished(entry)
        return True

    def _measured(self, waiting: _UnderWay, report: CandidateReport, cancel: CancelToken) -> Entry:
        """Measure a built candidate's latency here and keep it."""
        built = Path(report.candidate.path)
        try:
            if self.measure is not None:
                latency = self.measure((self.model, built), Progress(), cancel)
                report = report.model_copy(update={"latency": latency.models[1], "latency_report": latency})
            bitops = bit_operations(open_model(built), self.study.dimensions) / max(self.original_bitops, 1.0)
            figures = figures_of(report, self.study, bitops)
        except BaseException:
            built.unlink(missing_ok=True)
            raise
        report = report.model_copy(update={"recipe_sha256": waiting.recipe.sha256()})
        finished = self.journal.finish(waiting.settings, report, waiting.recipe, bitops, waiting.foretold)
        costs = ", ".join(f"{name} {figures.costs[name]:.3f}" for name in self.study.costs)
        assert report.metric is not None
        self.log(
            f"Candidate {len(self.journal.finished)}: {report.metric.metric} {report.metric.value:.4f} "
            f"({-figures.drop:+.4f}), {costs}"
        )
        return Entry(finished, figures, self.space.canonical(waiting.proposal))

    def _enter(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.proposal is None:
            return
        self.task.spent.add(entry.proposal)
        result = Result(entry.proposal, entry.figures)
        self.task.finished.append(result)
        self.task.forecast.learn(self.task.finished, self._timed, self._counted)
        self.strategy.tell(result)

    def _fail(self, waiting: _UnderWay, reason: str) -> None:
        self.log(f"Failed: {labels(self.space, [waiting.proposal])[0]}: {reason}")
        waiting.trial.out.unlink(missing_ok=True)
        self.journal.fail(FailedTrial(settings=waiting.settings, reason=reason, recipe_sha256=waiting.recipe.sha256()))

    def _ended(self, under_way: int) -> str | None:
        stop = self.study.stop
        minutes = (time.monotonic() - self.began) / 60
        if stop.minutes is not None and minutes >= stop.minutes:
            return f"{stop.minutes:g} minutes are over"
        if stop.candidates is not None and len(self.entries) + under_way >= stop.candidates:
            return f"{stop.candidates} candidates are finished"
        if stop.stagnation is not None and self._idle >= stop.stagnation:
            return f"{self._idle} candidates in a row did not enlarge the front"
        return None

    def _overdue(self) -> bool:
        minutes = self.study.stop.minutes
        return minutes is not None and time.monotonic() - self.began > minutes * 60 * _OVERTIME + _OVERTIME_SECONDS

    def _fits(self, proposal: Proposal) -> bool:
        """Whether a candidate would probably be finished within the time."""
        if self.study.stop.minutes is None:
            return True
        trained = self.template.trained(self.template.recipe(proposal))
        like = [seconds for was_trained, seconds in self._seconds if was_trained == trained]
        left = self.study.stop.minutes * 60 - (time.monotonic() - self.began)
        return not like or sum(like) / len(like) <= left

    def _share(self) -> float:
        """Return how much of the study is done (0-1), by whatever ends it first."""
        stop = self.study.stop
        shares = [0.0]
        if stop.minutes is not None:
            shares.append((time.monotonic() - self.began) / 60 / stop.minutes)
        if stop.candidates is not None:
            shares.append(len(self.entries) / stop.candidates)
        return min(max(shares), 1.0)

    def _step(self) -> float:
        return 0.0 if self.study.stop.candidates is None else 1 / self.study.stop.candidates
