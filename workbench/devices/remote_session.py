"""A model that runs on a device batch by batch, so that accuracy too is that of the file where it is deployed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.devices.agent_calls import AgentCalls, SentModel
from workbench.devices.ssh_link import SshLink
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, DataError
from workbench.engines.contracts import Inputs
from workbench.engines.inference_ort import feeding
from workbench.graph.model import ModelGraph, ValueInfo

_SENDABLE = "biufcUO"


class _Values(NamedTuple):
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]


class RemoteSession:
    """Implements InferenceSession; a batch whose answer was lost with the connection is sent again.

    Args:
        calls: Of the device.
        model: To run; it is sent if it is not there.
        threads: Of the runtime; 0 takes all cores there.
        cancel: Ends a run that is under way.

    Raises:
        ModelFileError: the runtime there refuses the model.
        DeviceError: the device can't be reached, or can't run models.
        CancelledError: `cancel` was set.
    """

    def __init__(
        self, calls: AgentCalls, model: SentModel, *, threads: int = 0, cancel: CancelToken | None = None
    ) -> None:
        self._calls = calls
        self._model = model
        self._threads = threads
        self._cancel = cancel
        self._link: SshLink | None = None
        self._values = calls.insist(self._opened, cancel)
        self._fixed_batch = feeding.fixed_batch(self._values.inputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs to feed."""
        return tuple(info.name for info in self._values.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(info.name for info in self._values.outputs)

    def run(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Run one batch there; a model with a fixed batch size is run as often as it takes.

        Raises:
            DataError: the batch does not fit the model's inputs, or can't be sent.
            CancelledError: the session's cancel token was set while it ran.
            DeviceError: the connection was lost for good.
            JobError: the runtime failed; names the node where it says.
        """
        arrays = feeding.fit(inputs, self._values.inputs, self._model.path.name)
        return feeding.run_in_parts(arrays, self._fixed_batch, self._run_once)

    def close(self) -> None:
        """End the program there."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _run_once(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        frame = io.BytesIO()
        named = {str(number): _sendable(arrays[name], name) for number, name in enumerate(self.input_names)}
        np.savez(frame, allow_pickle=False, **named)
        found = self._calls.insist(lambda: self._answer(frame.getvalue()), self._cancel)
        with np.load(io.BytesIO(found)) as outputs:
            return {name: outputs[str(number)] for number, name in enumerate(self.output_names)}

    def _answer(self, frame: bytes) -> bytes:
        """Return what the program there makes of a frame, a new one where the connection to the last is lost."""
        if self._link is None:
            self._opened()
        link = self._link
        assert link is not None
        link.send(len(frame).to_bytes(8, "big"), frame)
        size = self._number(link)
        if size:
            return self._bytes(link, size)
        text = self._bytes(link, self._number(link)).decode("utf-8", "replace")
        raise self._calls.error({"kind": "failed", "text": text}, (self._model,))

    def _opened(self) -> _Values:
        self.close()
        while True:
            found = self._calls.exchange(
                ("serve", self._model.sha256, str(self._threads)), self._open, self._cancel, keep=True
            )
            if found is not None:
                return found
            self._calls.send_models((self._model,), Progress(), self._cancel)

    def _open(self, link: SshLink) -> _Values | None:
        answer = link.answer()
        if answer["type"] == "lacking" or (answer["type"] == "error" and answer["kind"] == "damaged"):
            link.close()
            return None
        ready = self._calls.expect(answer, "ready", (self._model,))
        self._link = link
        return _Values(*(tuple(feeding.value_info(*value) for value in ready[kind]) for kind in ("inputs", "outputs")))

    def _number(self, link: SshLink) -> int:
        return int.from_bytes(self._bytes(link, 8), "big")

    def _bytes(self, link: SshLink, count: int) -> bytes:
        found = link.read(count)
        if len(found) < count:
            self._link = None
            try:
                raise link.ended()
            finally:
                link.close()
        return found


class RemoteRunner:
    """Opens model files on one device, and closes them all when it is left; a context manager.

    Args:
        calls: Of the device.
    """

    def __init__(self, calls: AgentCalls) -> None:
        self._calls = calls
        self._sessions: list[RemoteSession] = []

    def __enter__(self) -> RemoteRunner:
        return self

    def __exit__(self, *error: object) -> None:
        for session in self._sessions:
            session.close()

    def open(self, model: ModelGraph | Path, *, threads: int = 0, cancel: CancelToken | None = None) -> RemoteSession:
        """Make a model file ready to run; for arguments and errors see RemoteSession.

        Raises:
            BadInputError: it is a graph in memory.
        """
        if not isinstance(model, Path):
            raise BadInputError("only model files can be run on another device", where=model.source)
        session = RemoteSession(self._calls, SentModel.of(model), threads=threads, cancel=cancel)
        self._sessions.append(session)
        return session


def _sendable(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array as a file without code in it can hold it.

    Raises:
        DataError: none can hold its type.
    """
    if array.dtype.kind not in _SENDABLE:
        raise DataError(f"values of type {array.dtype} of input {name!r} can't be sent to another device")
    return array.astype(str) if array.dtype == object else array
