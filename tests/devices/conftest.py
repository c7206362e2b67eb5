"""A real SSH server on this computer, in the hands of the test: it starts, stops and drops its connections."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from workbench.domain.remote_device import RemoteDevice


class LoopbackServer:
    """sshd for the user who runs the tests, who logs in with a key made for it."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host", "key", "greeted", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        greet = 'command="echo Welcome to this machine; exec /bin/sh -c \\"$SSH_ORIGINAL_COMMAND\\""'
        plain, greeted = ((folder / f"{name}.pub").read_text() for name in ("key", "greeted"))
        (folder / "authorized").write_text(f"{plain}{greet} {greeted}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        self.known_hosts = folder / "known"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key}\n")
        self._config = folder / "config"
        self._config.write_text(
            f"""Port {self.port}
            ListenAddress 127.0.0.1
            HostKey "{folder}/host"
            AuthorizedKeysFile "{folder}/authorized"
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            """
        )

    @property
    def key(self) -> Path:
        return self._folder / "key"

    @property
    def greeted_key(self) -> Path:
        """Logs in where the shell says something first, and is a plain one."""
        return self._folder / "greeted"

    @property
    def strange_key(self) -> Path:
        return self._folder / "stranger"

    def start(self) -> None:
        if self._process is not None:
            return
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen([self._program, "-D", "-e", "-f", str(self._config)], stderr=log)
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.1):
                return

    def drop_connections(self) -> None:
        """Kill the processes of the sessions, as a dead network would; what they started lives on."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name().startswith("sshd"):
                    child.kill()

    def stop(self) -> None:
        if self._process is not None:
            self.drop_connections()
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    program = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if program is None or shutil.which("ssh") is None:
        pytest.skip("OpenSSH is not installed; packaging/test.sh installs openssh-server where that is permitted")
    server = LoopbackServer(program, tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture
def server(one_server: LoopbackServer) -> LoopbackServer:
    one_server.start()
    return one_server


@pytest.fixture
def agent_folder(tmp_path: Path) -> Path:
    """Folder of the agent; its name has a space to be quoted."""
    return tmp_path / "the agent"


@pytest.fixture
def settings(server: LoopbackServer, agent_folder: Path) -> Callable[..., RemoteDevice]:
    """Return a function (changed fields) -> settings of a device that is this computer, by SSH."""

    def make(**changed: object) -> RemoteDevice:
        fields = {
            "name": "loop",
            "host": "127.0.0.1",
            "port": server.port,
            "key": str(server.key),
            "known_hosts": str(server.known_hosts),
            "python": sys.executable,
            "folder": str(agent_folder),
        }
        return RemoteDevice.model_validate(fields | changed)

    return make


@pytest.fixture
def cnn_file(small_cnn, tmp_path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes(small_cnn.to_bytes())
    return path


@pytest.fixture
def slow_file(graph_from, tmp_path) -> Path:
    """A model of some 5 ms, whose rounds don't run out within seconds as those of a tiny one do."""
    weights = np.random.default_rng(0).normal(size=(32, 32, 3, 3)).astype(np.float32)
    graph = graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,32,96,96] x) => (float[batch,32,96,96] y) {
            a = Conv <pads = [1,1,1,1]> (x, w)
            y = Conv <pads = [1,1,1,1]> (a, w)
        }""",
        {"w": weights},
    )
    path = tmp_path / "slow.onnx"
    path.write_bytes(graph.to_bytes())
    return path
