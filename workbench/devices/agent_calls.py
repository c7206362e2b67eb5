"""Calls the agent on a device: brings it there first, says its faults in words, and survives a dropped connection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from workbench.devices.shipped_agent import agent_archive, agent_name, agent_sha256
from workbench.devices.ssh_link import DroppedError, MissingAgentError, SshLink
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import DeviceError, JobError, WorkbenchError
from workbench.domain.remote_device import RemoteDevice
from workbench.engines.inference_ort import failures
from workbench.graph.storage import model_files, model_sha256, model_size_bytes

T = TypeVar("T")

_PATIENCE_S = 300.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
_CHUNK_BYTES = 1 << 18
_MODEL = "model.onnx"
# Takes the agent's bytes from standard input; one line, so that every shell can pass it on. Python of any age reads it.
_RECEIVE = (
    "import hashlib,os,sys;v=tuple(sys.version_info[:2]);a=chr(30)+'workbench ';"
    'v<(3,9) and (sys.stdout.write(a+\'{"type": "error", "kind": "python", "text": "%d.%d"}\\n\'%v),sys.exit(0));'
    "f,n,s=sys.argv[1:];f=os.path.expanduser(f);os.makedirs(f,mode=0o700,exist_ok=True);"
    "d=sys.stdin.buffer.read();hashlib.sha256(d).hexdigest()==s or sys.exit('the agent arrived cut short');"
    "p=os.path.join(f,n);t=p+'.'+str(os.getpid());o=open(t,'wb');o.write(d);o.close();os.replace(t,p);"
    'sys.stdout.write(a+\'{"type": "stored"}\\n\')'
)


@dataclass(frozen=True)
class SentModel:
    """A model file as the device knows it."""

    path: Path
    sha256: str

    @staticmethod
    def of(path: Path) -> SentModel:
        """Return the model in a file; ModelFileError if it can't be read."""
        return SentModel(path, model_sha256(path))


class AgentCalls:
    """The agent on one device.

    Args:
        device: To call.
        patience_s: How long a connection may be gone before a call fails, once the device has answered.
    """

    def __init__(self, device: RemoteDevice, *, patience_s: float = _PATIENCE_S) -> None:
        self.device = device
        self._patience_s = patience_s
        self._heard = 0

    def exchange(
        self,
        words: Sequence[str],
        talk: Callable[[SshLink], T],
        cancel: CancelToken | None = None,
        *,
        keep: bool = False,
    ) -> T:
        """Run an agent's command and let `talk` converse with it; where there is no agent yet, it is brought there.

        Args:
            words: The command.
            talk: Returns what came out.
            cancel: Ends the conversation.
            keep: Whether the link is left open when `talk` returns; it closes it then.

        Raises:
            DroppedError: the connection could not be made, or broke.
            DeviceError: the device can't do it.
            CancelledError: `cancel` was set.
        """
        device = self.device
        command = [device.python, f"{device.folder.rstrip('/')}/{agent_name()}", device.folder, *words]
        try:
            return self._talk(command, talk, cancel, keep)
        except MissingAgentError:
            self._bring_agent(cancel)
        try:
            return self._talk(command, talk, cancel, keep)
        except MissingAgentError as error:
            raise self._fault("the agent was stored and is not there", str(error)) from error

    def insist(
        self,
        attempt: Callable[[], T],
        cancel: CancelToken | None = None,
        say: Callable[[str], object] = lambda text: None,
    ) -> T:
        """Return what `attempt` returns, which is made again where the connection drops, for as long as patience lasts.

        A device that has never answered is not waited for.

        Args:
            attempt: Goes on where the one before was interrupted.
            cancel: Ends the waiting.
            say: Is told that there is no connection.

        Raises:
            DeviceError: it can't be reached, or not any more.
            CancelledError: `cancel` was set while waiting.
        """
        gone_since: float | None = None
        heard = self._heard
        wait = _FIRST_WAIT_S
        while True:
            try:
                return attempt()
            except DroppedError as dropped:
                if not self._heard:
                    raise dropped.error from None
                if self._heard > heard or gone_since is None:
                    heard, gone_since, wait = self._heard, time.monotonic(), _FIRST_WAIT_S
                if time.monotonic() - gone_since > self._patience_s:
                    raise DeviceError(
                        f"the connection was lost and did not come back within {self._patience_s:.0f} s",
                        where=f"device {self.device.name}",
                        found=str(dropped.error.found or dropped.error.message),
                        action="Check the network and run it again; what ran there ends by itself.",
                    ) from dropped
            say(f"no connection to {self.device.name}, trying again")
            _rest(wait, cancel)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    def send_models(self, models: Sequence[SentModel], progress: Progress, cancel: CancelToken | None) -> None:
        """Store models there, with the files that hold their weights.

        Raises:
            DroppedError: the connection broke.
            DeviceError: there is no room, or the folder can't be written.
            CancelledError: `cancel` was set.
        """
        total = sum(model_size_bytes(model.path) for model in models)
        what = models[0].path.name if len(models) == 1 else f"{len(models)} models"

        def parts() -> Iterator[bytes]:
            sent = 0
            for model in models:
                for part in _parts(model):
                    yield part
                    sent += len(part)
                    progress.update(sent / max(total, 1), f"sending {what}")

        def talk(link: SshLink) -> None:
            link.send_all(parts())
            self.expect(link.answer(), "stored", models)

        self.exchange(("store",), talk, cancel)

    def expect(self, answer: Mapping[str, Any], kind: str, models: Sequence[SentModel] = ()) -> Mapping[str, Any]:
        """Return an answer of that kind; where it is an error, raise it in words.

        Args:
            answer: Of the agent.
            kind: That is expected.
            models: That the call was about.

        Raises:
            ModelFileError: the runtime there refuses a model.
            JobError: a model fails there, or memory ran out.
            DeviceError: something of the device is in the way, or the agent says something else.
        """
        if answer["type"] == "error":
            raise self.error(answer, models)
        if answer["type"] != kind:
            raise self._fault("the agent's answer is not understood", str(answer)[:200])
        return answer

    def error(self, answer: Mapping[str, Any], models: Sequence[SentModel]) -> WorkbenchError:
        """Return an agent's error in words; for arguments see `expect`."""
        kind, text, number = str(answer["kind"]), str(answer["text"]), int(answer.get("model", 0))
        where = f"device {self.device.name}"
        name = models[number].path.name if number < len(models) else None
        match kind:
            case "refused" | "failed":
                translate = failures.refused if kind == "refused" else failures.failed
                error = translate(RuntimeError(text), name)
                error.where = f"{name} on {where}"
                return error
            case "missing":
                module, _, reason = text.partition(": ")
                return missing_modules(self.device, {module: reason})
            case "python":
                return DeviceError(
                    f"{self.device.python} there is Python {text}",
                    where=where,
                    expected="Python 3.9 or newer",
                    action="Name another one with `python`.",
                )
            case "storage":
                return DeviceError(
                    f"the folder {self.device.folder} there can't be used",
                    where=where,
                    found=text,
                    action="Make room, or name another folder.",
                )
            case "memory":
                return JobError("memory ran out there", where=where, action="Use a smaller batch or model.")
            case "damaged":
                return DeviceError("a model arrived damaged", where=where, found=text, action="Run it again.")
            case _:
                return JobError("the agent failed", where=where, found=text.strip().splitlines()[-1] if text else None)

    def _talk(
        self, command: Sequence[str], talk: Callable[[SshLink], T], cancel: CancelToken | None, keep: bool = False
    ) -> T:
        with ExitStack() as stack:
            link = stack.enter_context(SshLink(self.device, command, cancel))
            try:
                found = talk(link)
            finally:
                self._heard += link.heard
            if keep:
                stack.pop_all()
            return found

    def _bring_agent(self, cancel: CancelToken | None) -> None:
        def talk(link: SshLink) -> None:
            link.send_all([agent_archive()])
            self.expect(link.answer(), "stored")

        self._talk([self.device.python, "-c", _RECEIVE, self.device.folder, agent_name(), agent_sha256()], talk, cancel)

    def _fault(self, message: str, found: str) -> DeviceError:
        return DeviceError(message, where=f"device {self.device.name}", found=found)


def missing_modules(device: RemoteDevice, missing: Mapping[str, str]) -> DeviceError:
    """Return the error for a device whose Python lacks modules, given with the reasons, that measuring needs."""
    return DeviceError(
        f"{device.python} there can't import {' and '.join(missing)}",
        where=f"device {device.name}",
        found=next(iter(missing.values())),
        action=f"Install it there (`{device.python} -m pip install numpy onnxruntime`), or name another Python.",
    )


def _parts(model: SentModel) -> Iterator[bytes]:
    """Yield what the agent's store takes: a line with hash and files, then their bytes."""
    files = model_files(model.path)
    names = [_MODEL if file == files[0] else file.relative_to(files[0].parent).as_posix() for file in files]
    listed = [[name, file.stat().st_size] for name, file in zip(names, files, strict=True)]
    yield f"{json.dumps([model.sha256, listed])}\n".encode()
    for file in files:
        with open(file, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk


def _rest(seconds: float, cancel: CancelToken | None) -> None:
    """Wait, but not longer than until a cancel."""
    woken = Event()
    if cancel is None:
        woken.wait(seconds)
        return
    forget = cancel.on_cancel(woken.set)
    woken.wait(seconds)
    forget()
    cancel.raise_if_cancelled()
