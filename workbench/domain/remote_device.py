"""How another machine is reached over SSH to measure there, and what a check of it found.

Nothing in here is secret: a key is named by its file, and there are no passwords.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

LOCAL = "local"


class RemoteDevice(BaseModel):
    """A machine to measure on; what is left empty is as the user's own SSH settings have it.

    Attributes:
        name: In recipes and on the command line.
        host: Name, address, or alias of the user's SSH settings.
        port: Of the SSH server.
        user: To log in as.
        key: File of the private key.
        python: Interpreter there, with numpy and onnxruntime; "~/" is the home there.
        folder: Where the agent and the models are kept there.
        host_key: What to do with a machine whose key is not known: refuse it, or remember it the first time. A key
            that changed is refused either way.
        known_hosts: File of the machines' keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    host: str
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str = ""
    key: str = ""
    python: str = "python3"
    folder: str = "~/.cache/model-compression-workbench"
    host_key: Literal["known", "first"] = "known"
    known_hosts: str = ""

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if name == LOCAL:
            raise ValueError(f"another name: {LOCAL!r} is this computer")
        return _matching(
            name, r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a name of up to 40 letters, digits, dots and dashes"
        )

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        return _matching(host, r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,254}", "a host name or address, such as pi.local")

    @field_validator("user")
    @classmethod
    def _is_user(cls, user: str) -> str:
        return _matching(user, r"([A-Za-z0-9_][A-Za-z0-9_.@%+-]{0,99})?", "the name of an account")

    @field_validator("python", "folder")
    @classmethod
    def _is_path(cls, path: str) -> str:
        return _matching(path, r"[^-\s][^\n\0]{0,999}", "a path there, such as ~/venv/bin/python")

    @property
    def address(self) -> str:
        """Where it is, in words: "user@host:port"."""
        user = f"{self.user}@" if self.user else ""
        return f"{user}{self.host}{f':{self.port}' if self.port else ''}"


class DeviceCheck(BaseModel):
    """What a check of a device found; it can measure.

    Attributes:
        name: Of the device.
        cores: That a process may use there.
        system, machine: Operating system and processor architecture, e.g. "Linux", "aarch64".
        versions: Of numpy and onnxruntime there.
        integer_dot_products: Whether 8-bit products are added in 32 bits; None where the system does not say.
        seconds: That it took to ask.
        notes: What should be known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cpu: str
    cores: int
    system: str
    machine: str
    python: str
    versions: dict[str, str]
    integer_dot_products: bool | None = None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The check in a sentence."""
        runtime = self.versions.get("onnxruntime", "")
        return (
            f"{self.name} can measure: {self.cpu}, {self.cores} core{'' if self.cores == 1 else 's'}, {self.system} "
            f"{self.machine}, ONNX Runtime {runtime}, Python {self.python}"
        )


def _matching(text: str, pattern: str, meant: str) -> str:
    """Return a text that matches; ssh would take what begins with a dash for an option."""
    if not re.fullmatch(pattern, text):
        raise ValueError(meant)
    return text
