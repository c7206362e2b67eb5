"""What is sent to a device: complete, the same every time, and readable by the oldest Python that is promised."""

from __future__ import annotations

import ast
import importlib.util
import io
import sys
import zipfile
from pathlib import Path

import pytest

from workbench.devices.shipped_agent import MODULES, agent_archive, agent_name
from workbench.devices.ssh_faults import fault
from workbench.devices.ssh_link import command_line
from workbench.domain.remote_device import RemoteDevice


def source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    return Path(str(spec.origin)).read_text(encoding="utf-8")


@pytest.mark.parametrize("module", MODULES)
def test_module_needs_nothing_that_is_not_sent(module):
    tree = ast.parse(source(module), feature_version=(3, 9))
    names = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    own = {name for name in names if name.split(".")[0] == "workbench"}
    assert own <= set(MODULES)
    others = {name.split(".")[0] for name in names - own}
    assert others <= sys.stdlib_module_names | {"numpy", "onnxruntime"}


@pytest.mark.parametrize("module", MODULES)
def test_module_uses_nothing_newer_than_python_3_9(module):
    tree = ast.parse(source(module))
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            assert not node.keywords, "zip(strict=…) came with Python 3.10"


def test_archive_is_the_same_every_time_and_complete():
    before = agent_archive()
    agent_archive.cache_clear()
    assert agent_archive() == before
    with zipfile.ZipFile(io.BytesIO(before)) as archive:
        names = archive.namelist()
        for module in MODULES:
            assert "/".join(("workbench_agent", *module.split(".")[1:])) + ".py" in names
        for name in names:
            text = archive.read(name).decode()
            assert "from workbench." not in text
            compile(text, name, "exec")
    assert len(before) < 40_000
    assert agent_name().endswith(".pyz")


def test_words_are_quoted_and_options_come_before_the_host():
    device = RemoteDevice(name="pi", host="pi.local", port=2222, user="me", python="~/my venv/bin/python")
    words = command_line(device, [device.python, "-c", "print('a b')", "~/x"])
    assert words[-2:] == ["pi.local", """~/'my venv/bin/python' -c 'print('"'"'a b'"'"')' ~/x"""]
    assert "BatchMode=yes" in words
    assert "StrictHostKeyChecking=yes" in words
    assert words[words.index("-p") + 1] == "2222"
    assert words[words.index("-l") + 1] == "me"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ssh: connect to host pi.local port 22: Connection timed out", "pi.local does not answer"),
        ("ssh: connect to host pi.local port 22: No route to host", "pi.local does not answer"),
        ("me@pi.local: Permission denied (publickey,password).", "does not let me in"),
        ("kex_exchange_identification: Connection closed by remote host", "closed the connection at once"),
        ('Load key "/k": error in libcrypto\nme@pi.local: Permission denied', "no private key that ssh can read"),
        ("Permissions 0644 for '/k' are too open.\nWARNING: UNPROTECTED PRIVATE KEY FILE!", "read by others"),
        ("something that nobody has seen", "ssh to me@pi.local failed"),
    ],
)
def test_what_ssh_says_is_put_into_words(said, message):
    error = fault(RemoteDevice(name="pi", host="pi.local", user="me", key="/k"), 255, said)
    assert message in error.message
    assert error.where == "device pi"
    assert error.exit_status == 2
