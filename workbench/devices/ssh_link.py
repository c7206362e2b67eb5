"""One call of a program on a device through the system's own SSH client, which knows the user's keys and settings.

A library would be a new dependency under a licence with conditions (paramiko, asyncssh) and know neither agent,
aliases nor jump hosts; OpenSSH's client is part of Linux, macOS and Windows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from workbench.devices.agent.answers import MARK
from workbench.devices.ssh_faults import CONNECTION_FAILED, fault, is_permanent
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import DeviceError
from workbench.domain.remote_device import RemoteDevice

_CLIENT = "ssh"
_NO_SUCH_SCRIPT = 2
_HANG_UP_S = 5.0
_OPTIONS = (
    "BatchMode=yes",  # never asks: neither for passwords nor for passphrases
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "LogLevel=ERROR",
)


class DroppedError(Exception):
    """The connection broke, or could not be made for a reason that may pass; carries what to tell if it stays so."""

    def __init__(self, error: DeviceError) -> None:
        super().__init__(str(error))
        self.error = error


class MissingAgentError(Exception):
    """Python there has no agent to run yet."""


class SshLink:
    """A program that runs on the device while this lives; a context manager.

    Args:
        device: To call.
        words: The command and its arguments there; a leading "~/" is the home there.
        cancel: Ends the call; whoever reads then finds the end of the answers.

    Raises:
        DeviceError: there is no ssh on this computer, or no such key file.
    """

    def __init__(self, device: RemoteDevice, words: Sequence[str], cancel: CancelToken | None = None) -> None:
        self._device = device
        self._words = words
        self._cancel = cancel
        self.heard = False

    def __enter__(self) -> SshLink:
        if self._device.key and not Path(self._device.key).is_file():
            raise DeviceError(
                f"there is no key file {self._device.key}",
                where=f"device {self._device.name}",
                action="Correct the path.",
            )
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                command_line(self._device, self._words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the workbench, which ends the call itself
            )
        except FileNotFoundError as error:
            self._errors.close()
            raise DeviceError(
                "OpenSSH's client is not installed on this computer",
                expected=f"a program called {_CLIENT}",
                action="Install it: the package openssh-client, or on Windows the optional feature.",
            ) from error
        self._forget = _nothing if self._cancel is None else self._cancel.on_cancel(self._process.kill)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self.close()

    def close(self) -> None:
        """Hang up, which ends the agent's command, and wait for the end of the call."""
        self._forget()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_HANG_UP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def send(self, *parts: bytes) -> None:
        """Write to the program; a broken connection shows when its answer is read."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()

    def send_all(self, parts: Iterable[bytes]) -> None:
        """Write all that the program will read."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.close()

    def answer(self) -> dict[str, Any]:
        """Return the agent's next message; where it or the connection ended, raise what `ended` returns."""
        for answer in self.answers():
            return answer
        raise self.ended()

    def answers(self) -> Iterator[dict[str, Any]]:
        """Yield the agent's messages until it or the connection ends; what else is printed there is passed over."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                self.heard = True
                yield json.loads(line.removeprefix(MARK))

    def read(self, count: int) -> bytes:
        """Return that many bytes that follow a message; fewer where the connection ends."""
        assert self._process.stdout is not None
        return self._process.stdout.read(count)

    def why_ended(self) -> tuple[int, str]:
        """Wait for the end of the call; return its exit status and what it said on standard error."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        status = self._process.wait()
        self._errors.seek(0)
        return status, self._errors.read().decode("utf-8", "replace")

    def ended(self) -> Exception:
        """Return what to raise where an answer is missing: DroppedError, MissingAgentError or DeviceError.

        Raises:
            CancelledError: the call was cancelled.
        """
        status, said = self.why_ended()
        if self._cancel is not None:
            self._cancel.raise_if_cancelled()
        if status == _NO_SUCH_SCRIPT and "can't open file" in said:
            return MissingAgentError(said)
        error = fault(self._device, status, said)
        return DroppedError(error) if status == CONNECTION_FAILED and not is_permanent(said) else error


def _nothing() -> None:
    """Forget nothing: no cancel is listened for."""


def command_line(device: RemoteDevice, words: Sequence[str]) -> list[str]:
    """Return the ssh command that runs `words` on the device."""
    options = [*_OPTIONS, f"StrictHostKeyChecking={'accept-new' if device.host_key == 'first' else 'yes'}"]
    if device.known_hosts:
        options.append(f'UserKnownHostsFile="{os.path.expanduser(device.known_hosts)}"')
    command = [_CLIENT, "-T", "-x", "-a"]
    if device.key:
        options.append("IdentitiesOnly=yes")
        command += ["-i", device.key]
    if device.port:
        command += ["-p", str(device.port)]
    if device.user:
        command += ["-l", device.user]
    for option in options:
        command += ["-o", option]
    return [*command, "--", device.host, " ".join(_quoted(word) for word in words)]


def _quoted(word: str) -> str:
    """Return a word for the shell there, which alone knows what "~" is."""
    return f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word)
