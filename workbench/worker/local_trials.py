"""Builds a study's candidates in processes of their own, so that one that crashes or eats all memory ends alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import get_args

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, WorkbenchError
from workbench.domain.installation import own_command
from workbench.domain.reports import CandidateReport
from workbench.jobs.messages import Cancelled, Failed, LogMessage, Message, ProgressMessage, Result
from workbench.jobs.record import Lane
from workbench.jobs.specs import CompressJob
from workbench.jobs.supervisor import Supervisor
from workbench.methods.search.trials import Trial

_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class _Waiting:
    future: Future[CandidateReport]
    progress: Progress
    unhook: Callable[[], None]


class LocalTrials:
    """A TrialBuilder on this computer: one worker process for each trial that is built at the same time.

    Args:
        workers: How many.
        log: Takes lines of the trials.
    """

    def __init__(self, workers: int, log: Callable[[str], None]) -> None:
        self._lanes: tuple[Lane, ...] = get_args(Lane)
        self._capacity = workers
        self._log = log
        self._lock = threading.RLock()
        self._waiting: dict[str, _Waiting] = {}
        self._supervisors = [
            Supervisor(own_command("worker"), self._hear, grace_s=_GRACE_SECONDS, polite=False) for _ in range(workers)
        ]
        self._busy: dict[int, str] = {}

    @property
    def capacity(self) -> int:
        """See TrialBuilder."""
        return self._capacity

    def submit(self, trial: Trial, progress: Progress, cancel: CancelToken) -> Future[CandidateReport]:
        """See TrialBuilder."""
        future: Future[CandidateReport] = Future()
        with self._lock:
            number = next(index for index in range(self._capacity) if index not in self._busy)
            supervisor = self._supervisors[number]
            job = supervisor.submit(trial_job(trial), title="trial", lane=self._lanes[0])
            self._busy[number] = job
            self._waiting[job] = _Waiting(future, progress, lambda: None)
        unhook = cancel.on_cancel(lambda: supervisor.cancel(job))
        with self._lock:
            if job in self._waiting:
                self._waiting[job] = _Waiting(future, progress, unhook)
            else:
                unhook()
        return future

    def close(self) -> None:
        """See TrialBuilder."""
        for supervisor in self._supervisors:
            supervisor.close()

    def _hear(self, message: Message) -> None:
        with self._lock:
            waiting = self._waiting.get(message.job)
            if waiting is not None and isinstance(message, (Result, Failed, Cancelled)):
                del self._waiting[message.job]
                self._busy = {number: job for number, job in self._busy.items() if job != message.job}
        if waiting is None:
            return
        match message:
            case ProgressMessage():
                waiting.progress.update(message.fraction, message.text)
            case LogMessage():
                self._log(f"    {message.text}")
            case Result():
                waiting.unhook()
                waiting.future.set_result(CandidateReport.model_validate(message.payload))
            case Failed():
                waiting.unhook()
                waiting.future.set_exception(WorkbenchError.from_json(message.error))
            case Cancelled():
                waiting.unhook()
                waiting.future.set_exception(CancelledError())


def trial_job(trial: Trial) -> CompressJob:
    """Return a trial as a worker's job; its latency is measured elsewhere."""
    return CompressJob(
        model=str(trial.model),
        recipe=trial.recipe,
        out=str(trial.out),
        cache=str(trial.cache),
        baseline=str(trial.baseline),
        measure_latency=False,
        dimensions=trial.dimensions,
    )
