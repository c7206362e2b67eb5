"""What ssh says when it fails, in the workbench's words: what is wrong with which setting, and what to do."""

from __future__ import annotations

import re

from workbench.domain.errors import DeviceError
from workbench.domain.remote_device import RemoteDevice

CONNECTION_FAILED = 255
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127

_FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        r"Could not resolve hostname|Name or service not known|nodename nor servname",
        "there is no host {host!r}",
        "Correct the host name, or give its address.",
    ),
    (
        r"Connection refused",
        "{host} runs no SSH server at port {port}",
        "Check the port, and that the server is running there.",
    ),
    (
        r"timed out|No route to host|Network is unreachable|Host is down",
        "{host} does not answer",
        "Check that it is switched on and in the same network, and no firewall lies between.",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "the host key of {host} is another one than before",
        "Either the machine was set up anew, or something pretends to be it. If it was, remove its line from the file "
        "of known hosts (`ssh-keygen -R {host}`).",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "the host key of {host} is not known yet",
        "Connect once with `ssh {login}` and compare the key, or let this device's key be remembered the first time.",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "the key file {key} can be read by others, so that ssh refuses it",
        "Run `chmod 600` on it.",
    ),
    (
        r"Load key .*(invalid format|error in libcrypto|incorrect)",
        "{key} is no private key that ssh can read",
        "Name the private key, not the one that ends in .pub; one with a passphrase must be in the SSH agent.",
    ),
    (
        r"Permission denied|Too many authentication failures|no mutual signature",
        "{host} does not let {who} in with {with_key}",
        "Put the public key into ~/.ssh/authorized_keys there (`ssh-copy-id`); a key with a passphrase must be in the "
        "SSH agent. Passwords are not used.",
    ),
    (r"Bad configuration option|Bad owner or permissions on", "ssh refuses its own settings", "Correct ~/.ssh/config."),
    (
        r"no matching (host key type|key exchange|cipher|mac)",
        "{host} speaks none of the ciphers that this computer's ssh speaks",
        "Update the SSH server there.",
    ),
    (
        r"Connection closed by|kex_exchange_identification|Connection reset",
        "{host} closed the connection at once",
        "Check that the port is that of an SSH server, and that it is not limiting connections.",
    ),
)


def fault(device: RemoteDevice, status: int, said: str) -> DeviceError:
    """Return why a call of ssh failed.

    Args:
        device: That was called.
        status: Of the ssh process: 255 is its own fault, others are the called program's.
        said: Its standard error.
    """
    if status == CONNECTION_FAILED:
        for pattern, message, action in _FAULTS:
            if re.search(pattern, said):
                return _error(device, _filled(device, message), _filled(device, action), said)
        return _error(device, f"ssh to {device.address} failed", "Try `ssh` to it in a terminal.", said)
    other_processor = re.search(r"[Ee]xec format error|cannot execute binary|ELF", said)
    if (status == _NOT_FOUND and not other_processor) or re.search(
        rf"{re.escape(device.python)}: (not found|No such file)", said
    ):
        return _error(device, f"there is no {device.python} on {device.host}", "Name its Python with `python`.", said)
    if status == _NOT_EXECUTABLE or other_processor:
        return _error(
            device,
            f"{device.python} on {device.host} "
            + ("is made for another processor" if other_processor else "can't be executed there"),
            "Name a Python that runs there, with numpy and onnxruntime for its processor.",
            said,
        )
    return _error(device, f"Python on {device.host} stopped with status {status}", None, said)


def is_permanent(error_text: str) -> bool:
    """Whether trying again would fail alike: the machine answers and refuses."""
    return bool(
        re.search(r"Permission denied|Host key|HOST IDENTIFICATION|host key is known|Too many auth", error_text)
    )


def _error(device: RemoteDevice, message: str, action: str | None, said: str) -> DeviceError:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("@@")]
    return DeviceError(message, where=f"device {device.name}", found=lines[-1] if lines else None, action=action)


def _filled(device: RemoteDevice, text: str) -> str:
    port = f"-p {device.port} " if device.port else ""
    user = f"{device.user}@" if device.user else ""
    return text.format(
        host=device.host,
        port=device.port or 22,
        key=device.key or "the key",
        who=device.user or "this user",
        with_key=f"the key {device.key}" if device.key else "the keys that ssh tried",
        login=f"{port}{user}{device.host}",
    )
