"""One measurement on a device: begun, followed across dropped connections, fetched, verified, and cleared away."""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from workbench.devices.agent.answers import DONE
from workbench.devices.agent_calls import AgentCalls, SentModel
from workbench.devices.remote_results import RemoteAnswer
from workbench.devices.ssh_link import DroppedError, SshLink
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError, JobError, WorkbenchError

Answer = TypeVar("Answer", bound=RemoteAnswer)

_SENDING_SHARE = 0.2


class _ModelsChangedError(Exception):
    """A model that the device had stored is another file by now; it must be sent again."""


def run_there(
    calls: AgentCalls,
    job: Mapping[str, Any],
    models: Sequence[SentModel],
    kind: type[Answer],
    progress: Progress,
    cancel: CancelToken | None,
) -> Answer:
    """Do a job on the device.

    Args:
        calls: Of the device.
        job: {"task", "models", …} for the agent's `measuring` or `kernels`.
        models: Of the job, in its order; those that are not there yet are sent.
        kind: Of the result.
        progress: Of sending and measuring.
        cancel: Ends the run there too.

    Raises:
        ModelFileError: the runtime there refuses a model.
        DeviceError: the device can't be reached, or can't measure.
        JobError: the run failed there, or its result is not to be trusted.
        CancelledError: `cancel` was set.
    """
    try:
        return _Run(calls, job, models, kind, progress, cancel).result()
    except _ModelsChangedError:
        return _Run(calls, job, models, kind, progress, cancel).result()


class _Run(Generic[Answer]):
    def __init__(
        self,
        calls: AgentCalls,
        job: Mapping[str, Any],
        models: Sequence[SentModel],
        kind: type[Answer],
        progress: Progress,
        cancel: CancelToken | None,
    ) -> None:
        self._id = uuid.uuid4().hex
        self._calls = calls
        self._job = job
        self._models = {model.sha256: model for model in models}
        self._order = tuple(models)
        self._kind = kind
        self._sending, self._measuring = progress.part(0.0, _SENDING_SHARE), progress.part(_SENDING_SHARE, 1.0)
        self._cancel = cancel
        self._asked = self._begun = False
        self._done = 0.0

    def result(self) -> Answer:
        """Return what was measured; a run that nobody will fetch is stopped."""
        self._sending.update(0.0, f"connecting to {self._calls.device.name}")
        try:
            return self._calls.insist(
                self._attempt, self._cancel, lambda text: self._measuring.update(self._done, text)
            )
        except BaseException as error:
            if self._begun or (self._asked and isinstance(error, CancelledError)):
                # The first fault is the one to tell; a run that can't be stopped now ends by itself.
                with contextlib.suppress(WorkbenchError, DroppedError):
                    self._calls.exchange(("stop", self._id), lambda link: link.answer())
            raise

    def _attempt(self) -> Answer:
        if self._begun:
            return self._calls.exchange(("watch", self._id), self._follow, self._cancel)
        while True:
            found = self._calls.exchange(("run", self._id), self._begin, self._cancel)
            if not isinstance(found, list):
                return found
            self._calls.send_models([self._models[sha256] for sha256 in found], self._sending, self._cancel)

    def _begin(self, link: SshLink) -> Answer | list[str]:
        self._asked = True
        link.send(f"{json.dumps(self._job)}\n".encode())
        answer = link.answer()
        if answer["type"] == "lacking":
            return [str(sha256) for sha256 in answer["models"]]
        self._calls.expect(answer, "started", self._order)
        self._begun = True
        return self._follow(link)

    def _follow(self, link: SshLink) -> Answer:
        while True:
            answer = link.answer()
            match answer["type"]:
                case "progress":
                    self._done = float(answer["fraction"])
                    self._measuring.update(self._done, str(answer["text"]))
                case "dead":
                    raise self._died(str(answer["log"]))
                case "error" if answer["kind"] == "gone":
                    raise JobError("the run is not there any more", where=self._where, action="Run it again.")
                case _:
                    text = str(self._calls.expect(answer, "result", self._order)["text"])
                    link.send(DONE)
                    return self._verified(text)

    def _verified(self, text: str) -> Answer:
        """Return the result in the file's text, unless it is cut short, changed, or about something else."""
        try:
            outer = json.loads(text)
            payload, stated = str(outer["payload"]), str(outer["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged("it is cut short or not JSON") from error
        found = hashlib.sha256(payload.encode()).hexdigest()
        if found != stated:
            raise self._damaged(f"sha256 {found[:12]} where {stated[:12]} was written")
        content = json.loads(payload)
        if "error" in content:
            if content["error"].get("kind") == "damaged":
                raise _ModelsChangedError
            raise self._calls.error(content["error"], self._order)
        try:
            result = self._kind.model_validate(content)
        except ValidationError as error:
            raise self._damaged(f"{error.error_count()} fields are not as they should be") from error
        if result.models != tuple(model.sha256 for model in self._order) or not result.is_whole:
            raise self._damaged("it is about other models")
        return result

    def _damaged(self, how: str) -> JobError:
        return JobError(
            "the result of the measurement is damaged",
            where=self._where,
            found=how,
            action="Nothing of it was kept. Run it again, and check the device's disk if it happens again.",
        )

    def _died(self, log: str) -> JobError:
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        return JobError(
            "the measurement ended there without a result",
            where=self._where,
            found=f"as its last words: {lines[-1][:200]}" if lines else "no word of it",
            action="Systems end processes this way when memory runs out: use a smaller batch or model.",
        )

    @property
    def _where(self) -> str:
        return f"device {self._calls.device.name}"
