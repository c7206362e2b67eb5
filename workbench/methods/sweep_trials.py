"""Runs the trials of a sweep on more and more samples, until enough is known of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace

import numpy as np

from workbench.data.statistics import Z95
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, StorageError, WorkbenchError
from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.engines.contracts import ReplayedPart
from workbench.graph.model import ModelGraph
from workbench.methods.evaluation import measured
from workbench.methods.expected_drops import ExpectedDrops, expected_drops
from workbench.methods.original_run import Drop, OriginalRun
from workbench.methods.sampling import interval
from workbench.methods.settling import settled
from workbench.methods.sweep_store import SweepStore

_FIRST_SAMPLES = 200
_SHARE_RESOLUTION = 0.003
_RELATIVE_RESOLUTION = 0.01
_HOPELESS_SHARE = 0.5
_STAY = 0.4
_FIGURES = ("drop", "error", "divergence")


@dataclass
class Trial:
    """One setting of the layers that it moves together.

    Attributes:
        name: In the store.
        members: Layers that are set.
        reported: Layers that a point is wanted of.
        value: Of the knob.
        group: Trials of the same group are ranked against each other.
        records: (m, k) of the first m samples of the sampling plan, those of an earlier run included.
        divergences: (m,) of the outputs from the original's; NaN where that means nothing.
        taken: How many of them count so far.
        done: Whether no more are wanted.
        ran: Whether a graph was made and run for it.
        known: How many samples counted when its drop was last worked out, and that drop.
        failed: Why there is no result.
    """

    name: str
    members: tuple[str, ...]
    reported: tuple[str, ...]
    value: Setting
    group: Hashable
    records: list[np.ndarray] = field(default_factory=list)
    divergences: list[np.ndarray] = field(default_factory=list)
    part: ReplayedPart | None = None
    taken: int = 0
    done: bool = False
    ran: bool = False
    known: tuple[int, Drop] | None = None
    failed: WorkbenchError | None = None

    @property
    def have(self) -> int:
        """Number of samples that records exist of."""
        return sum(map(len, self.records))

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """Return records and divergences of the samples that count."""
        return np.concatenate(self.records)[: self.taken], np.concatenate(self.divergences)[: self.taken]


class TrialRun:
    """All trials of a sweep.

    Args:
        original: What they are paired with.
        make: Applies the method with one trial's settings.
        store: Takes records as they come.
        emit: Takes a trial's points, provisional ones first.
        early: Whether trials end as soon as enough is known of them.
        budget: Drop that is accepted; trials then end when it is certain on which side of it they are.
        cancel: Polled between chunks.
        log: Takes a line for every trial that fails.
    """

    def __init__(
        self,
        original: OriginalRun,
        make: Callable[[Trial], ModelGraph],
        store: SweepStore,
        emit: Callable[[SensitivityPoint], None],
        *,
        early: bool,
        budget: float | None = None,
        cancel: CancelToken,
        log: Callable[[str], None],
    ) -> None:
        self._original, self._make, self._store, self._emit = original, make, store, emit
        self._early, self._cancel, self._log = early, cancel, log
        self._budget = budget
        value, share = abs(original.measurement.value), original.metric.unit == "share"
        self._resolution = _SHARE_RESOLUTION if share else _RELATIVE_RESOLUTION * value
        self._hopeless = _HOPELESS_SHARE * value
        replay = original.replay
        self._ends = [replay.samples(chunk).stop for chunk in range(replay.chunks)]

    def evaluations(self, trials: Sequence[Trial]) -> int:
        """Return how many graphs were run, the original included."""
        return 1 + sum(trial.ran for trial in trials)

    def run(self, trials: Sequence[Trial], values: Sequence[str], progress: Progress) -> None:
        """Run all trials to their end; those with records from an earlier run go on after them.

        Args:
            trials: To run.
            values: Inner values of the original that most trials will be fed with.
            progress: Of the whole.

        Raises:
            CancelledError: cancelled; what was run is in the store.
            StorageError: the store can't be written.
        """
        rounds = self._rounds()
        # Most trials end after the first rounds.
        work = np.cumsum([0.0, *(np.diff([0, *rounds]) * _STAY ** np.arange(len(rounds)))])
        for number, until in enumerate(rounds):
            active = [trial for trial in trials if not trial.done and trial.failed is None]
            if not active:
                break
            share = progress.part(float(work[number] / work[-1]), float(work[number + 1] / work[-1]))
            try:
                self._advance(active, until, values if number == 0 else (), share)
            except CancelledError:
                self._show_what_there_is(active)
                raise
            self._judge(trials, active, until)
        self._original.replay.forget()
        progress.update(1.0)

    def points(self, trials: Sequence[Trial]) -> list[SensitivityPoint]:
        """Return the points of all trials that did not fail, in order."""
        tried = [trial for trial in trials if trial.failed is None and trial.taken]
        expected = self._expected(tried)
        return [
            point
            for index, trial in enumerate(tried)
            for point in self._points(trial, float(expected.values[index]), float(expected.errors[index]))
        ]

    def _rounds(self) -> list[int]:
        """Return how many samples every trial has been run on after each round; ends of chunks all."""
        total, rounds, wanted = self._ends[-1], [], _FIRST_SAMPLES
        while self._early and wanted < total:
            rounds.append(next(end for end in self._ends if end >= wanted))
            wanted = 2 * rounds[-1]
        return [*(count for count in rounds if count < total), total]

    def _advance(self, active: Sequence[Trial], until: int, values: Sequence[str], progress: Progress) -> None:
        """Run trials on the samples up to `until`: each in a thread, while the next one's graph is made."""
        wanted = [chunk for chunk, end in enumerate(self._ends) if end <= until]
        lacking = [trial for trial in active if trial.have < until]
        # Computed for all trials in one go; each by itself would run the original once more.
        known = [name for trial in lacking if trial.part is not None for name in trial.part.fed]
        self._original.replay.keep([*(values if lacking else ()), *known], wanted)
        waiting: dict[Future[None], Trial] = {}
        finished = 0
        with ThreadPoolExecutor(self._original.workers, thread_name_prefix="trial") as pool:
            try:
                for trial in lacking:
                    self._cancel.raise_if_cancelled()
                    if self._made(trial):
                        assert trial.part is not None
                        chunks = [chunk for chunk in wanted if self._original.replay.samples(chunk).start >= trial.have]
                        self._original.replay.keep(trial.part.fed, chunks)
                        waiting[pool.submit(self._run, trial, chunks)] = trial
                    # Graphs that wait to be run take memory.
                    full = len(waiting) >= 2 * self._original.workers
                    ended = wait(waiting, return_when=FIRST_COMPLETED).done if full else ()
                    for future in [*ended, *(future for future in waiting if future.done() and future not in ended)]:
                        future.result()
                        self._look(waiting.pop(future))
                    finished += 1
                    # Making graphs goes ahead of running them; the bar shows the middle of the two.
                    share = (finished - len(waiting) / 2) / len(lacking)
                    progress.update(share, f"{trial.reported[0]}, {trial.value}, {until} samples")
                for number, future in enumerate(as_completed(waiting)):
                    future.result()
                    self._look(waiting[future])
                    progress.update(1 - (len(waiting) - number - 1) / 2 / len(lacking))
            except BaseException:
                for future in waiting:
                    future.cancel()
                raise
        for trial in active:
            trial.taken = min(until, trial.have)

    def _made(self, trial: Trial) -> bool:
        """Whether the trial has a graph to run; makes it when first asked."""
        if trial.part is None:
            try:
                trial.part = self._original.replay.part(self._make(trial))
            except (CancelledError, StorageError):
                raise
            except WorkbenchError as error:
                self._fail(trial, error)
                return False
            trial.ran = True
        return True

    def _run(self, trial: Trial, chunks: Sequence[int]) -> None:
        assert trial.part is not None
        found: list[tuple[np.ndarray, np.ndarray]] = []
        try:
            for chunk in chunks:
                self._cancel.raise_if_cancelled()
                found.append(self._original.records_of(trial.part, chunk))
            # An answer that is no number is known before all samples are through.
            measured(self._original.metric, np.concatenate([records for records, _ in found]), None)
        except (CancelledError, StorageError):
            raise
        except WorkbenchError as error:
            self._fail(trial, error)
            found = []
        finally:
            trial.part.close()
            if found:
                records, divergences = (np.concatenate(parts) for parts in zip(*found, strict=True))
                self._store.add(trial.name, trial.value, trial.have, records, divergences)
                trial.records.append(records)
                trial.divergences.append(divergences)

    def _fail(self, trial: Trial, error: WorkbenchError) -> None:
        trial.failed = error
        self._log(f"Skipped {', '.join(trial.reported)} at {trial.value}: {error}")

    def _judge(self, trials: Sequence[Trial], active: Sequence[Trial], until: int) -> None:
        tried = [trial for trial in trials if trial.failed is None]
        expected = self._expected(tried)
        done = settled(
            expected.values,
            expected.errors,
            [trial.group for trial in tried],
            resolution=self._resolution,
            hopeless=self._hopeless,
            budget=self._budget,
        )
        for index, trial in enumerate(tried):
            if trial in active:
                trial.done = bool(done[index]) or until >= self._ends[-1]
                if trial.done:
                    trial.part = None  # with its graph
                for point in self._points(trial, float(expected.values[index]), float(expected.errors[index])):
                    self._emit(point)

    def _show_what_there_is(self, active: Sequence[Trial]) -> None:
        """Hand on what is known of trials that a cancel broke off."""
        for trial in active:
            trial.taken = trial.have
        for point in self.points(active):
            self._emit(point)

    def _expected(self, trials: Sequence[Trial]) -> ExpectedDrops:
        found = [self._drop(trial) for trial in trials]
        drops, errors, divergences = (np.array([getattr(drop, name) for drop in found]) for name in _FIGURES)
        return expected_drops(drops, errors, divergences, self._resolution / 3)

    def _drop(self, trial: Trial) -> Drop:
        """Return a trial's drop; intervals of some metrics are bootstrapped, which is not done twice."""
        if trial.known is None or trial.known[0] != trial.taken:
            trial.known = trial.taken, self._original.drop(*trial.counted())
        return trial.known[1]

    def _look(self, trial: Trial) -> None:
        """Hand on what a trial's first samples say by themselves, before those of the others are known."""
        if trial.taken == 0 and trial.failed is None and trial.have:
            seen = replace(trial, taken=trial.have)
            for point in self._points(seen, None, 0.0):
                self._emit(point)

    def _points(self, trial: Trial, expected: float | None, error: float) -> Iterator[SensitivityPoint]:
        drop = self._drop(trial)
        for layer in trial.reported:
            yield SensitivityPoint(
                layer=layer,
                value=trial.value,
                metric=drop.metric,
                drop=drop.drop,
                ci95=drop.ci95,
                samples=trial.taken,
                coupled=tuple(member for member in trial.members if member != layer) if layer in trial.members else (),
                expected=expected,
                expected_ci95=None if expected is None else interval(expected, error, Z95),
                provisional=not trial.done,
            )
